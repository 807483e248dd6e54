"""The conformance exam for the embedded backend, and backends that fail it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.support.exam import SMALL, find_failures
from traction.backend import Backend
from traction.model import operations as o
from traction.testing.conformance import CHECKS, ExamFailure, exam, sit
from traction_local.backend import DOMAIN, LocalBackend
from traction_local.plugin import open_local
from traction_local.service.service import Service


def open_small() -> LocalBackend:
    """Open a backend with small limits."""
    backend = LocalBackend(Service(limits=SMALL), limits=SMALL)
    backend.call(o.RegisterDomain(name=DOMAIN, workflow_execution_retention_period_in_days="1"))
    return backend


def name_check(value: object) -> str | None:
    return value if isinstance(value, str) else ""


@pytest.mark.parametrize(("name", "check"), exam(open_local), ids=name_check)
def test_the_embedded_backend_conforms(name: str, check: Callable[[], None]) -> None:
    check()
    assert name


def test_the_embedded_backend_conforms_with_small_limits() -> None:
    assert find_failures(open_small) == {}


def test_each_check_has_its_own_name_and_a_docstring() -> None:
    assert len({check.__name__ for check in CHECKS}) == len(CHECKS)
    assert [check.__name__ for check in CHECKS if not check.__doc__] == []


class Forgetful(LocalBackend):
    """A backend that ignores signals."""

    def call(self, request: Any, wait: timedelta | None = None) -> Any:
        if isinstance(request, o.SignalWorkflowExecution):
            return None
        return super().call(request, wait)


def test_a_backend_that_loses_signals_fails_the_checks_that_count_them() -> None:
    def open_forgetful() -> Backend:
        backend = Forgetful(Service())
        backend.call(o.RegisterDomain(name=DOMAIN, workflow_execution_retention_period_in_days="1"))
        return backend

    checks = dict(exam(open_forgetful))
    with pytest.raises(ExamFailure, match="the inputs of the signals should be"):
        checks["each_accepted_signal_is_recorded_once_and_in_order"]()
    checks["a_start_records_two_events_with_one_timestamp"]()


def test_sit_returns_each_failure_with_the_name_of_its_check() -> None:
    class Refusing(LocalBackend):
        def call(self, request: Any, wait: timedelta | None = None) -> Any:
            raise RuntimeError("closed for the holidays")

    failures = sit(lambda: Refusing(Service()))
    assert {str(error) for _, error in failures} == {"closed for the holidays"}
    assert {name for name, _ in failures} == {check.__name__ for check in CHECKS} - {
        "now_is_utc_in_whole_milliseconds",
        # The limit is too large to be checked.
        "polls_beyond_the_limit_are_refused",
    }
