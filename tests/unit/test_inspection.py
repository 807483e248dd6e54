"""Any moment of a history can be visited: where the flow waits, its variables, what it decides."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from traction import Signal, Step, activity, all_of, receive, sleep, workflow
from traction.errors import DefinitionError, HistoryError
from traction.history.export import make_stored, write_stored
from traction.inspection import Inspector, Moment
from traction.model import decisions as d
from traction.model import events as e
from traction.testing import simulate


class Approve(Signal):
    by: str


@activity
def reserve(item: str) -> int:
    return len(item)


@workflow
async def order(item: str) -> str:
    count = await reserve(item)
    answer = await (receive(Approve) | sleep(3600))
    return f"{count} {answer}"


@workflow
def many(count: int) -> Step[list[int]]:
    return all_of([reserve("x" * n) for n in range(count)])


@workflow(name="order")
async def changed_order(item: str) -> str:
    await sleep(1)
    return item


def find_line(text: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    return 1 + next(n for n, line in enumerate(lines) if text in line)


HISTORY = simulate(order("apple")).history


def find_close(moment: Moment) -> bool:
    closes = any(isinstance(decision, d.CompleteWorkflowExecution) for decision in moment.decisions)
    return closes or moment.next_events == ("WorkflowExecutionCompleted",)


def find_event(kind: type[e.Event]) -> int:
    return next(event.event_id for event in HISTORY if isinstance(event, kind))


def test_a_branch_shows_its_line_source_and_variables() -> None:
    moment = Inspector(HISTORY, order).at(find_event(e.ActivityTaskStarted))
    (branch,) = moment.branches
    (frame,) = branch.frames
    assert (branch.step, branch.waits_for) == ("reserve-1", "reserve 1")
    assert (frame.function, frame.code) == ("order", "count = await reserve(item)")
    assert frame.line == find_line("count = await reserve(item)")
    assert frame.variables == {"item": "'apple'"}
    view = Inspector(HISTORY, order).view(moment.event_id)
    assert view.list_open()[0].place == f"test_inspection.py:{frame.line} in order"


def test_each_branch_of_a_group_is_listed_with_the_frames_around_it() -> None:
    moment = Inspector(HISTORY, order).at(find_event(e.TimerStarted))
    assert [(branch.step, branch.waits_for) for branch in moment.branches] == [
        ("1.0.receive-1", "receive Approve"),
        ("1.1.sleep-1", "sleep"),
    ]
    assert all(branch.frames[0].variables == {"item": "'apple'", "count": "5"} for branch in moment.branches)
    (signal,) = moment.awaited
    assert (signal.names, signal.targets) == (("Approve",), (f"{__name__}:Approve",))


def test_a_moment_shows_what_the_flow_decides_and_what_came_next() -> None:
    moment = Inspector(HISTORY, order).at(1)
    assert [type(decision) for decision in moment.decisions] == [d.ScheduleActivityTask]
    assert moment.next_events[:3] == ("DecisionTaskScheduled", "DecisionTaskStarted", "DecisionTaskCompleted")
    scheduled = Inspector(HISTORY, order).at(find_event(e.ActivityTaskScheduled))
    assert scheduled.decisions == ()


def test_every_event_of_a_history_can_be_visited() -> None:
    inspector = Inspector(HISTORY, order)
    for event in HISTORY:
        moment = inspector.at(event.event_id)
        view = inspector.view(event.event_id)
        assert (moment.event_id, moment.event, view.blocked) == (event.event_id, type(event).__name__, None)
        assert bool(moment.branches) == (view.status == "OPEN" and not find_close(moment))
    assert inspector.view().status == "COMPLETED"


def test_a_flow_without_await_has_branches_without_frames() -> None:
    history = simulate(many(2)).history
    scheduled = [event.event_id for event in history if isinstance(event, e.ActivityTaskScheduled)]
    moment = Inspector(history, many).at(scheduled[-1])
    assert [branch.step for branch in moment.branches] == ["1.0.reserve-1", "1.1.reserve-1"]


def test_code_that_no_longer_matches_is_shown_as_what_blocks_the_execution() -> None:
    moment = Inspector(HISTORY, changed_order).at(find_event(e.ActivityTaskStarted))
    assert moment.blocked is not None
    assert moment.blocked.type == "traction.errors.NonDeterminismError"
    view = Inspector(HISTORY, changed_order).view(moment.event_id)
    assert (view.awaited, view.blocked) == (None, moment.blocked)


def test_the_frames_of_a_branch_are_a_traceback_for_a_debugger() -> None:
    inspector = Inspector(HISTORY, order)
    trace = inspector.make_traceback(find_event(e.TimerStarted), "1.1.sleep-1")
    assert trace is not None
    assert [frame.line for frame in traceback.extract_tb(trace)] == ["answer = await (receive(Approve) | sleep(3600))"]
    assert trace.tb_frame.f_locals["count"] == 5
    with pytest.raises(HistoryError, match=r"no branch of the flow waits for mail-1.*1\.0\.receive-1, 1\.1\.sleep-1"):
        inspector.make_traceback(find_event(e.TimerStarted), "mail-1")


def test_an_event_that_does_not_exist_and_another_workflow_are_refused() -> None:
    with pytest.raises(HistoryError, match=f"there is no event 99: the history has the events 1 to {len(HISTORY)}"):
        Inspector(HISTORY, order).at(99)
    with pytest.raises(DefinitionError, match="the history is of order 1, and many is many 1"):
        Inspector(HISTORY, many)


def test_a_history_may_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "order.json"
    file.write_text(write_stored(make_stored(HISTORY)))
    assert Inspector(file, order).view().status == "COMPLETED"
