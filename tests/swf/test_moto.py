"""A second reference: moto, which implements part of SWF. docs/swf-differences.md lists the differences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from tests.support.http_backends import NOW
from tests.swf.test_sticky import chain, increment
from traction import Retry, activity, side_effect, sleep, workflow
from traction.client.handle import start_execution
from traction.client.registration import RegistrationError, register_type
from traction.client.system import WorkerSystem
from traction.errors import ActivityFailed
from traction.model import events as e
from traction.testing.conformance import CHECKS
from traction.worker.activity_worker import ActivityWorker
from traction.worker.workflow_worker import WorkflowWorker
from traction_swf.backend import SwfBackend, open_swf

DIFFERENCES = Path(__file__).parents[2] / "docs" / "swf-differences.md"

AGREED = (
    "registering_a_type_again_is_refused_and_changes_nothing",
    "unregistered_types_are_unknown",
    "the_domain_is_registered",
    "a_start_without_a_required_setting_is_refused",
    "a_workflow_id_has_at_most_one_open_run",
    "a_termination_closes_the_run_at_once",
    "the_first_decision_task_contains_the_history_up_to_its_start",
    "a_decision_task_is_completed_once",
    "an_activity_result_is_recorded_and_schedules_a_decision_task",
    "an_activity_id_has_at_most_one_open_task",
    "concurrent_starts_of_one_id_open_one_run",
    "a_close_wakes_all_waiters",
    "now_is_utc_in_whole_milliseconds",
)
"""The checks of the exam that moto passes, as traction_swf asks it."""

BY_NAME = {check.__name__: check for check in CHECKS}


@pytest.fixture
def backend() -> Iterator[SwfBackend]:
    with mock_aws():
        backend = open_swf("swf://acme?region=us-east-1&retention_days=7")
        yield backend
        backend.close()


@pytest.mark.parametrize("name", AGREED)
def test_moto_passes_the_checks_that_it_supports(name: str, backend: SwfBackend) -> None:
    BY_NAME[name](backend)


def test_production_workers_run_a_chain_on_moto(backend: SwfBackend) -> None:
    for definition in (chain, increment):
        assert register_type(backend, definition) is None
    handle = start_execution(backend, chain(5), workflow_id="one")
    decides, works = WorkflowWorker(backend, [chain]), ActivityWorker(backend, increment)  # type: ignore[list-item]
    assert decides.work_once(NOW)
    for _ in range(5):
        assert works.work_once(NOW)
        assert decides.work_once(NOW)
    assert handle.result(1) == 5
    # One turn of the ring, five times, and the close: as SWF's.
    turn = ["DecisionTaskScheduled", "DecisionTaskStarted", "DecisionTaskCompleted"]
    work = ["ActivityTaskScheduled", "ActivityTaskStarted", "ActivityTaskCompleted"]
    types = [type(event).__name__ for event in handle.history()]
    assert types == [e.WorkflowExecutionStarted.__name__, *(turn + work) * 5, *turn, "WorkflowExecutionCompleted"]


@activity(retry=Retry(attempts=2, backoff=0))
def spoil(n: int) -> int:
    raise ValueError(f"spoilt {n}")


@workflow
async def errand(n: int) -> list[Any]:
    """Use in sequence what moto supports: activities, retries, markers, timers."""
    seen = await side_effect(lambda: n)
    await sleep(1)
    try:
        await spoil(seen)
    except ActivityFailed as error:
        return [await increment(seen), error.message]
    return []


def run_errand(url: str) -> tuple[list[Any], list[str]]:
    with WorkerSystem(url) as system:
        system.start_workflow_worker(errand)
        for definition in (increment, spoil):
            system.start_activity_worker(definition)
        handle = system.start(errand(6))
        return handle.result(60), [type(event).__name__ for event in handle.history()]


def test_worker_systems_run_on_moto_as_in_process() -> None:
    here = run_errand("local:")
    for decode in ("fast", "plain"):
        with mock_aws():
            assert run_errand(f"swf://acme?region=us-east-1&retention_days=7&decode={decode}") == here


def test_changed_registrations_are_found_on_moto(backend: SwfBackend) -> None:
    from tests.swf.test_registration import brew, brew_longer

    register_type(backend, brew)
    with pytest.raises(RegistrationError):
        register_type(backend, brew_longer)


def test_every_check_that_moto_does_not_pass_is_documented() -> None:
    documented = set(re.findall(r"`([a-z_]{12,})`", DIFFERENCES.read_text()))
    assert set(BY_NAME) - set(AGREED) == documented & set(BY_NAME)
