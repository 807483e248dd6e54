"""Sit the exam of backends with the embedded one; and see that the exam can fail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from traction.backend import Backend
from traction.model import operations as o
from traction.model.limits import Limits
from traction.testing.conformance import CHECKS, ExamFailure, exam, sit
from traction_local.backend import DOMAIN, LocalBackend
from traction_local.plugin import open_local
from traction_local.service.service import Service

SMALL = Limits(
    pollers_max=3, page_items_max=100, payload_chars_max=3_000, heartbeat_chars_max=200, reason_chars_max=100
)


def open_small() -> Backend:
    """Open a backend whose limits are nearer."""
    backend = LocalBackend(Service(limits=SMALL), limits=SMALL)
    backend.call(o.RegisterDomain(name=DOMAIN, workflow_execution_retention_period_in_days="1"))
    return backend


def name_check(value: object) -> str | None:
    return value if isinstance(value, str) else ""


@pytest.mark.parametrize(("name", "check"), exam(open_local), ids=name_check)
def test_the_embedded_backend_keeps_what_every_backend_promises(name: str, check: Callable[[], None]) -> None:
    check()
    assert name


@pytest.mark.parametrize(("name", "check"), exam(open_small), ids=name_check)
def test_the_embedded_backend_keeps_its_promises_with_smaller_limits(name: str, check: Callable[[], None]) -> None:
    check()
    assert name


def test_each_check_has_a_name_of_its_own_and_says_what_it_claims() -> None:
    assert len({check.__name__ for check in CHECKS}) == len(CHECKS)
    assert [check.__name__ for check in CHECKS if not check.__doc__] == []


class Forgetful(LocalBackend):
    """A backend that answers as if nothing had ever happened."""

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


def test_sitting_gives_every_failure_by_the_name_of_its_check() -> None:
    class Refusing(LocalBackend):
        def call(self, request: Any, wait: timedelta | None = None) -> Any:
            raise RuntimeError("closed for the holidays")

    failures = sit(lambda: Refusing(Service()))
    assert {str(error) for _, error in failures} == {"closed for the holidays"}
    assert {name for name, _ in failures} == {check.__name__ for check in CHECKS} - {
        "now_is_utc_in_whole_milliseconds",
        # Its limit is too far away to be tried.
        "polls_beyond_the_limit_are_refused",
    }
