"""A history is shown as a tree of steps: the rows, and the text."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from traction import Retry, activity, run, sleep, workflow
from traction.errors import HistoryError
from traction.history.reading import read_execution
from traction.history.rendering import describe_close, format_span, lay_out, render
from traction.history.views import StepView
from traction.model import events as e
from traction.model.names import ActivityType, TaskList, WorkflowExecution, WorkflowType

GOLDEN = Path(__file__).parents[2] / "golden" / "timeline"
BEGAN = datetime(2030, 1, 1, tzinfo=UTC)
LIST = TaskList("list")
ANOTHER = WorkflowExecution("order-7", "run-2")
CHILD = WorkflowType("Child", "2")


class Story:
    """Builds a history: each event at a time, in seconds since the start."""

    def __init__(self) -> None:
        self.events: list[e.Event] = []
        self.opened: dict[str, int] = {}
        self.add(0, e.WorkflowExecutionStarted, child_policy="TERMINATE", task_list=LIST, workflow_type=WF)

    def add(self, at: float, kind: Any, **facts: Any) -> int:
        id = len(self.events) + 1
        self.events.append(kind(event_id=id, event_timestamp=BEGAN + timedelta(seconds=at), **facts))
        return id

    def decision(self, at: float, kind: Any, **facts: Any) -> int:
        return self.add(at, kind, decision_task_completed_event_id=0, **facts)

    def activity(self, id: str, at: float, start: float | None = None, end: float | None = None, **close: Any) -> None:
        """An activity that is scheduled, starts and closes: as passed, or with a result."""
        scheduled = self.decision(
            at, e.ActivityTaskScheduled, activity_type=ActivityType("A", "1"), activity_id=id, task_list=LIST
        )
        link = {"scheduled_event_id": scheduled}
        started = 0 if start is None else self.add(start, e.ActivityTaskStarted, **link)
        if end is not None:
            kind = close.pop("kind", e.ActivityTaskCompleted)
            self.add(end, kind, started_event_id=started, **link, **close)

    def timer(self, id: str, at: float, end: float | None = None) -> None:
        started = self.decision(at, e.TimerStarted, timer_id=id, start_to_fire_timeout="1")
        if end is not None:
            self.add(end, e.TimerFired, timer_id=id, started_event_id=started)

    def child(self, id: str, at: float) -> dict[str, Any]:
        initiated = self.decision(
            at,
            e.StartChildWorkflowExecutionInitiated,
            workflow_id=ANOTHER.workflow_id,
            workflow_type=CHILD,
            task_list=LIST,
            child_policy="TERMINATE",
            control=id,
        )
        return {"workflow_execution": ANOTHER, "workflow_type": CHILD, "initiated_event_id": initiated}


WF = WorkflowType("IndexProjectData", "1")


def tell_plain() -> Story:
    story = Story()
    story.activity("CollectChanges-1", 0.1, 0.2, 2.2, result='{"count":3}')
    story.activity("1.0.IndexStories-1", 2.4, 2.5, 6, result="12")
    story.activity("1.1.IndexIssues-1", 2.4, 4, 8, result="null")
    story.decision(8.2, e.WorkflowExecutionCompleted, result="[12,7]")
    return story


def tell_troubles() -> Story:
    story = Story()
    story.activity("charge-1", 0, 1, 5, kind=e.ActivityTaskFailed, reason="IOError", details="line is down\n(again)")
    story.timer("charge-1~retry-1", 5, 15)
    story.activity("charge-1~2", 15, 16, 46, kind=e.ActivityTaskTimedOut, timeout_type="START_TO_CLOSE")
    story.timer("charge-1~retry-2", 46, 66)
    story.activity("charge-1~3", 66, 67, 70, result='"ok"')
    story.activity("1.0.ask-1", 70, 71, 80, kind=e.ActivityTaskCanceled)
    timer = story.decision(70, e.TimerStarted, timer_id="1.1.sleep-1", start_to_fire_timeout="900")
    story.decision(80, e.TimerCanceled, timer_id="1.1.sleep-1", started_event_id=timer)
    story.decision(
        80,
        e.ScheduleActivityTaskFailed,
        activity_type=ActivityType("mail", "1"),
        activity_id="mail-1",
        cause="ACTIVITY_TYPE_DOES_NOT_EXIST",
    )
    story.timer("~more-30", 80, 80)
    story.decision(81, e.WorkflowExecutionFailed, reason="traction.errors.DecisionFailed", details="mail-1 was refused")
    return story


def tell_open() -> Story:
    story = Story()
    story.activity("audit.fetch-1", 0, 1, 3, result="null")
    story.activity("audit.check-1", 3, 4, None)
    child = story.child("2.0.Child-1", 3)
    story.add(4, e.ChildWorkflowExecutionStarted, **child)
    story.activity("2.1.0.1.send-1", 3, None, None)
    story.activity("2.1.0.2.send-1", 3, 5, 9, result='"名前 – a long result that goes on and on and on and on and on"')
    story.activity("poll-1", 4, 4.5, 6, kind=e.ActivityTaskFailed, reason="busy")
    story.timer("poll-1~retry-1", 6)
    story.add(9, e.WorkflowExecutionSignaled, signal_name="Approve", input='{"by":"Ann"}')
    return story


STORIES = {"plain": tell_plain, "troubles": tell_troubles, "open": tell_open}


@pytest.mark.parametrize("width", [60, 100])
@pytest.mark.parametrize("name", sorted(STORIES))
def test_the_text_of_a_timeline_is_as_kept(name: str, width: int) -> None:
    text = render(read_execution(STORIES[name]().events), width=width)
    path = GOLDEN / f"{name}-{width}.txt"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [40, 57, 80, 200])
@pytest.mark.parametrize("name", sorted(STORIES))
def test_no_line_is_wider_than_asked(name: str, width: int) -> None:
    ascii = render(read_execution(STORIES[name]().events), width=width, ascii=True)
    assert ascii.isascii()
    assert max(map(len, ascii.splitlines())) <= width


def list_labelled(steps: tuple[StepView, ...], above: str = "") -> list[tuple[str, StepView]]:
    return [
        pair for step in steps for pair in ((above + step.label, step), *list_labelled(step.steps, above + step.label))
    ]


@pytest.mark.parametrize("name", sorted(STORIES))
def test_the_labels_of_a_row_and_of_those_above_it_are_its_id(name: str) -> None:
    for labels, step in list_labelled(read_execution(STORIES[name]().events).steps):
        assert labels == step.id


def find(story: Story, id: str) -> StepView:
    return next(step for _, step in list_labelled(read_execution(story.events).steps) if step.id == id)


def test_attempts_and_pauses_are_parts_of_one_step() -> None:
    step = find(tell_troubles(), "charge-1")
    assert (step.state, step.attempts, step.duration) == ("Done", 3, timedelta(seconds=70))
    assert [part.kind for part in step.parts] == ["attempt", "pause", "attempt", "pause", "attempt"]
    assert [part.state for part in step.parts] == ["Failed", "Done", "TimedOut", "Done", "Done"]


def test_a_step_that_pauses_before_a_retry_is_open_and_shows_why() -> None:
    step = find(tell_open(), "poll-1")
    assert (step.state, step.closed_at, step.note) == ("Open", None, "will be retried; busy")


def test_a_refused_decision_is_a_failed_step() -> None:
    step = find(tell_troubles(), "mail-1")
    assert (step.state, step.note) == ("Failed", "refused: ACTIVITY_TYPE_DOES_NOT_EXIST")


def test_a_group_is_open_while_one_of_its_branches_is() -> None:
    step = find(tell_open(), "2.")
    assert (step.state, step.closed_at, step.note) == ("Open", None, "2 branches")


def test_a_race_whose_loser_was_cancelled_is_done() -> None:
    story = Story()
    story.activity("1.0.a-1", 0, 1, 2)
    story.activity("1.1.b-1", 0, 1, 2, kind=e.ActivityTaskCanceled)
    assert find(story, "1.").state == "Done"


def test_a_child_has_the_id_of_its_step_and_not_that_of_its_execution() -> None:
    assert find(tell_open(), "2.0.Child-1").kind == "child"


def test_a_child_that_was_never_initiated_is_shown_as_refused() -> None:
    story = Story()
    story.decision(
        1,
        e.StartChildWorkflowExecutionFailed,
        workflow_type=CHILD,
        workflow_id="order-7",
        initiated_event_id=0,
        cause="WORKFLOW_TYPE_DOES_NOT_EXIST",
        control="Child-1",
    )
    assert (find(story, "Child-1").state, find(story, "Child-1").kind) == ("Failed", "child")


def test_the_timers_of_the_decider_itself_are_not_shown() -> None:
    assert all("~more" not in label for label, _ in list_labelled(read_execution(tell_troubles().events).steps))


def test_an_id_that_no_flow_makes_is_shown_as_it_is() -> None:
    story = Story()
    story.activity(".hidden..x", 0, 1, 2)
    assert find(story, ".hidden..x").label == ".hidden..x"


def test_an_open_run_lasts_until_the_instant_passed() -> None:
    events = tell_open().events
    assert read_execution(events).lasted == timedelta(seconds=9)
    assert read_execution(events, until=BEGAN + timedelta(minutes=5)).lasted == timedelta(minutes=5)


def test_a_step_left_open_by_the_close_of_its_run_is_marked() -> None:
    story = Story()
    story.activity("slow-1", 0, 1)
    story.add(5, e.WorkflowExecutionTerminated, child_policy="TERMINATE", reason="enough")
    assert find(story, "slow-1").note == "left open when the run closed"
    assert describe_close(read_execution(story.events)) == "enough"


def test_many_branches_take_a_few_lines_and_failed_ones_are_always_shown() -> None:
    story = Story()
    for index in range(50):
        kind = e.ActivityTaskCanceled if index == 30 else e.ActivityTaskCompleted
        story.activity(f"1.{index}.read-1", 0, 1, 2, kind=kind)
    text = render(read_execution(story.events), branches_max=5)
    assert len(text.splitlines()) == 1 + 1 + 5 + 1
    assert "30.read-1" in text
    assert "… 45 more, done" in text


def test_a_line_shows_the_state_of_its_step() -> None:
    lines = lay_out(read_execution(tell_plain().events))
    assert [line.state for line in lines] == [None, "Done", None, "Done", "Done"]


def test_control_characters_never_reach_the_terminal() -> None:
    story = Story()
    story.activity("a-1", 0, 1, 2, result='"\x1b[31m\x9b\u202e"')
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", render(read_execution(story.events))) is None


def test_a_timeline_without_events_is_refused() -> None:
    with pytest.raises(ValueError, match="no events"):
        read_execution([])
    with pytest.raises(HistoryError):
        read_execution(tell_plain().events[1:])


@pytest.mark.parametrize("seconds", [0, 0.999, 1, 59.994, 59.995, 59.999, 60, 3599.9, 3600, 86399, 86400, 31_536_000])
def test_a_span_takes_at_most_nine_characters(seconds: float) -> None:
    assert len(format_span(timedelta(seconds=seconds))) <= 9


@activity
def greet(name: str) -> str:
    return f"Hello, {name}!"


@activity(retry=Retry(attempts=2, backoff=0))
def stumble() -> None:
    raise ValueError("no")


@workflow
async def visit(name: str) -> str:
    hello, _ = await (greet(name) & (greet("x") | sleep(3600)).named("other"))
    await stumble().attempt()
    return hello


def test_a_real_history_is_read_back_into_the_tree_of_its_flow() -> None:
    handles: list[Any] = []
    assert run(visit("world"), on_start=handles.append) == "Hello, world!"
    view = read_execution(handles[0].history())
    assert view.status == "COMPLETED"
    assert [(id, step.state, step.attempts) for id, step in list_labelled(view.steps) if not step.steps] == [
        ("1.0.greet-1", "Done", 1),
        ("1.1.other.1.0.greet-1", "Done", 1),
        ("1.1.other.1.1.sleep-1", "Cancelled", 1),
        ("stumble-1", "Failed", 2),
    ]
