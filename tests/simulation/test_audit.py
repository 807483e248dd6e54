"""The determinism checks accept histories of simulations, and reject changed ones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from msgspec import structs

from traction import Step, activity, all_of, workflow
from traction.errors import PayloadError, WorkflowFailed
from traction.model import events as e
from traction.model.names import ActivityType, TaskList, WorkflowExecution
from traction.payloads.codec import JSON
from traction.testing import UnsoundFlowError, simulate
from traction_local.simulation.determinism import CUTS_MAX, audit, list_cuts


@activity
def double(n: int) -> int:
    return 2 * n


@workflow
async def double_often(times: int) -> int:
    total = 0
    for n in range(times):
        total += sum(await all_of(double(n), double(n + 1)))
    return total


@workflow
async def give_up() -> int:
    raise ValueError("no")


def play(call: Any) -> tuple[Any, Any]:
    """Return a run, and a function that audits it with other decisions."""
    run = simulate(call)

    def check(decided: Any) -> None:
        types = {double.spec.type: double}  # type: ignore[attr-defined]
        audit(type(call), run.execution, run.history, decided, activities=types, codec=JSON)

    return run, check


@pytest.mark.parametrize("call", [double_often(2), give_up()], ids=["closes well", "fails"])
def test_what_a_simulation_decided_is_decided_again(call: Any) -> None:
    run, check = play(call)
    check(run.decided)


@pytest.mark.parametrize(
    "change",
    [
        lambda decisions: decisions[:-1],
        lambda decisions: [*decisions, decisions[-1]],
        lambda decisions: decisions[::-1],
        lambda decisions: [structs.replace(decisions[0], activity_id="other"), *decisions[1:]],
    ],
    ids=["one less", "one more", "in another order", "another"],
)
@pytest.mark.parametrize("number", [0, 1])
def test_a_replay_with_another_decision_is_reported(change: Callable[[Any], Any], number: int) -> None:
    run, check = play(double_often(2))
    two = [started for started, decisions in run.decided.items() if len(decisions) == 2][number]
    with pytest.raises(UnsoundFlowError, match=f"makes another decision .* at event {two}, decision"):
        check({**run.decided, two: change(run.decided[two])})


def test_of_a_long_history_the_first_cut_the_last_and_some_between_are_checked() -> None:
    run, _ = play(double_often(2 * CUTS_MAX))
    all_of_them = [event.started_event_id for event in run.history if isinstance(event, e.DecisionTaskCompleted)]
    cuts = list_cuts(run.history, run.decided)
    assert (cuts[0], cuts[-1], len(cuts)) == (all_of_them[0], all_of_them[-1], CUTS_MAX)
    assert cuts == sorted(set(cuts))


class Grown(msgspec.Struct):
    """A value that comes back another each time that it is read."""

    n: int

    def __post_init__(self) -> None:
        self.n += 1


@activity
def give_grown(n: int) -> Grown:
    return Grown(n)


@activity
def take_grown(grown: Grown) -> int:
    return grown.n


@pytest.mark.parametrize("call", [lambda: give_grown(1), lambda: take_grown(Grown(1))], ids=["result", "input"])
def test_a_value_that_changes_when_encoded_and_decoded_is_reported(call: Callable[[], Step[Any]]) -> None:
    @workflow
    async def use() -> None:
        await call()

    with pytest.raises((PayloadError, WorkflowFailed), match="would not come back equal"):
        _ = simulate(use()).result


# Activities that are left behind.

MOMENT = datetime(2030, 1, 1, tzinfo=UTC)


def write(kind: type[Any], event_id: int, **attributes: Any) -> Any:
    return kind(event_id=event_id, event_timestamp=MOMENT, **attributes)


def schedule(event_id: int) -> e.Event:
    attributes = {"activity_id": f"double-{event_id}", "activity_type": ActivityType("double", "1"), "input": "{}"}
    return write(
        e.ActivityTaskScheduled, event_id, task_list=TaskList("x"), decision_task_completed_event_id=1, **attributes
    )  # type: ignore[no-any-return]


def check_left(*events: e.Event) -> None:
    """Audit a history of which it is not known what was decided."""
    audit(type(give_up()), WorkflowExecution("w", "r"), events, {}, activities={}, codec=JSON)


END = write(e.WorkflowExecutionCompleted, 9, decision_task_completed_event_id=1)
CANCELLED = write(e.ActivityTaskCancelRequested, 4, decision_task_completed_event_id=1, activity_id="double-2")
LINKS = {"scheduled_event_id": 2, "started_event_id": 3}


@pytest.mark.parametrize(
    "between",
    [
        [CANCELLED],
        [write(e.ActivityTaskCompleted, 4, **LINKS)],
        [write(e.ActivityTaskFailed, 4, **LINKS)],
        [write(e.ActivityTaskTimedOut, 4, timeout_type="START_TO_CLOSE", **LINKS)],
        [write(e.ActivityTaskCanceled, 4, **LINKS)],
    ],
    ids=lambda events: type(events[0]).__name__,
)
def test_an_activity_that_ended_or_was_cancelled_is_not_left_behind(between: list[e.Event]) -> None:
    check_left(schedule(2), *between, END)
    with pytest.raises(UnsoundFlowError, match=r"double-5 \(event 5\) is still open"):
        check_left(schedule(2), *between, schedule(5), END)


def test_what_does_not_close_well_may_leave_anything_behind() -> None:
    terminated = write(e.WorkflowExecutionTerminated, 9, child_policy="TERMINATE")
    check_left()
    check_left(schedule(2))
    check_left(schedule(2), terminated)
