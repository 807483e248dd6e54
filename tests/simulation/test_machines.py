"""Machines of a simulation: sticky task lists, and types that are known late."""

from __future__ import annotations

import asyncio
from typing import Any

from traction import Retry, activity, current_task, minutes, sleep, workflow
from traction.model import events as e
from traction.testing import Deviations, Faults, explore, simulate


@activity(retry=Retry(attempts=9, backoff=1))
def charge(amount: int) -> int:
    return amount


@workflow
async def once(amount: int) -> int:
    return await charge(amount)


@workflow
async def checkout(amount: int) -> int:
    await sleep(minutes(1))
    return await charge(amount) + await once(amount)


def find(run: Any, kind: type) -> list[Any]:
    return [event for event in run.history if isinstance(event, kind)]


def test_executions_return_to_the_machine_that_has_cached_them() -> None:
    def list_deciders(sticky: int | None) -> set[int]:
        ends = set()

        @explore(checkout(1), workers=2, sticky=sticky, deviations=2)
        def look(run: Any) -> None:
            assert run.result == 2
            ends.add(len({event.identity for event in find(run, e.DecisionTaskStarted)}))

        look()
        return ends

    assert list_deciders(None) == {1, 2}
    assert list_deciders(10) == {1}


def test_a_task_for_a_crashed_machine_goes_to_another_after_its_timeout() -> None:
    went_home = set()

    @explore(checkout(1), workers=2, sticky=10, faults=Faults(crashes=1), deviations=1)
    def look(run: Any) -> None:
        assert run.result == 2
        queued = {event.event_id: event for event in find(run, e.DecisionTaskScheduled)}
        for late in find(run, e.DecisionTaskTimedOut):
            if late.timeout_type == "SCHEDULE_TO_START":
                ids = (late.scheduled_event_id, late.event_id + 1)
                went_home.add(tuple(queued[id].task_list.name for id in ids))

    look()
    assert went_home == {("worker 1~1", "checkout-1")}


def test_a_type_that_is_known_late_is_asked_for_until_it_is() -> None:
    refused = []

    @explore(checkout(1), faults=Faults(delays=2), deviations=2)
    def look(run: Any) -> None:
        assert run.result == 2
        refusals = find(run, e.ScheduleActivityTaskFailed) + find(run, e.StartChildWorkflowExecutionFailed)
        assert ("does not know" in run.story) == bool(refusals)
        refused.append({event.cause for event in refusals})

    look()
    assert {"ACTIVITY_TYPE_DOES_NOT_EXIST", "WORKFLOW_TYPE_DOES_NOT_EXIST"} in refused


def test_types_are_known_at_once_where_nothing_deviates() -> None:
    plain = simulate(checkout(1))
    assert (
        simulate(checkout(1), faults=Faults.all(), schedule=Deviations(), check_determinism=False).history
        == plain.history
    )


LOOPS: list[asyncio.AbstractEventLoop] = []


@activity(retry=Retry(attempts=9, backoff=1), heartbeat=60)
async def charge_on_a_loop(amount: int) -> int:
    LOOPS.append(asyncio.get_running_loop())
    current_task().heartbeat()
    return amount


@workflow
async def on_a_loop() -> int:
    return await charge_on_a_loop(1)


def test_a_machine_that_crashes_or_ends_leaves_no_event_loop_open() -> None:
    LOOPS.clear()

    @explore(on_a_loop(), workers=2, faults=Faults(crashes=1), deviations=1)
    def look(run: Any) -> None:
        assert run.result == 1

    look()
    assert len(LOOPS) > 2
    assert [loop for loop in LOOPS if not loop.is_closed()] == []
