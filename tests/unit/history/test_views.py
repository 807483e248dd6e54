"""The view of an execution: every kind of step in every state, its links, and its decision task."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.history.test_timeline import ANOTHER, BEGAN, LIST, STORIES, WF, Story
from traction import Retry, activity, side_effect, sleep, workflow
from traction.history.contents import read_content, show_content
from traction.history.reading import list_failures, read_execution
from traction.history.views import ExecutionView, Link, StepView, Unreadable
from traction.model import events as e
from traction.model.names import WorkflowExecution
from traction.payloads.codec import JSON, Codec
from traction.payloads.encryption import Encrypt, KeyRing
from traction.payloads.failure_info import FailureInfo
from traction.payloads.failure_text import write_failure
from traction.testing import simulate

TRACE = 'Traceback (most recent call last):\n  File "/srv/shop.py", line 8, in fetch\nOSError: line is down\n'


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def schedule_activity(story: Story, **timeouts: str) -> int:
    return story.decision(
        1,
        e.ActivityTaskScheduled,
        activity_type=e.ActivityType("charge", "2"),
        activity_id="charge-1",
        task_list=LIST,
        input='{"cents":5}',
        **timeouts,
    )


def leave_activity_scheduled(story: Story) -> None:
    schedule_activity(story, schedule_to_start_timeout="30", start_to_close_timeout="60")


def leave_activity_started(story: Story) -> None:
    id = schedule_activity(story, schedule_to_start_timeout="30", start_to_close_timeout="60")
    story.add(3, e.ActivityTaskStarted, scheduled_event_id=id, identity="worker-a")


def cancel_started_activity(story: Story) -> None:
    leave_activity_started(story)
    story.decision(4, e.ActivityTaskCancelRequested, activity_id="charge-1")


def leave_activity_retrying(story: Story) -> None:
    story.activity("charge-1", 1, 2, 3, kind=e.ActivityTaskFailed, reason="busy", details="later")
    story.decision(3, e.TimerStarted, timer_id="charge-1~retry-1", start_to_fire_timeout="10")


def leave_timer_started(story: Story) -> None:
    story.decision(1, e.TimerStarted, timer_id="sleep-1", start_to_fire_timeout="90")


def leave_child_initiated(story: Story) -> None:
    story.child("Child-1", 1)


def leave_child_started(story: Story) -> None:
    child = story.child("Child-1", 1)
    story.add(2, e.ChildWorkflowExecutionStarted, **child)


def leave_lambda_scheduled(story: Story) -> None:
    story.decision(1, e.LambdaFunctionScheduled, id="resize-1", name="resize", start_to_close_timeout="20")


def leave_send_initiated(story: Story) -> None:
    story.decision(
        1,
        e.SignalExternalWorkflowExecutionInitiated,
        workflow_id="order-9",
        signal_name="Go",
        control="send-1",
    )


OPEN: dict[Any, tuple[str, str, str, datetime | None, str]] = {
    leave_activity_scheduled: ("activity", "scheduled", "charge 2", at(31), ""),
    leave_activity_started: ("activity", "started", "charge 2", at(63), "worker-a"),
    cancel_started_activity: ("activity", "cancelling", "charge 2", at(63), "worker-a"),
    leave_activity_retrying: ("activity", "retrying", "A 1", at(13), ""),
    leave_timer_started: ("timer", "started", "", at(91), ""),
    leave_child_initiated: ("child", "scheduled", "Child 2", None, ""),
    leave_child_started: ("child", "started", "Child 2", None, ""),
    leave_lambda_scheduled: ("lambda", "scheduled", "resize", None, ""),
    leave_send_initiated: ("send", "scheduled", "Go", None, ""),
}


@pytest.mark.parametrize("leave", OPEN, ids=lambda leave: leave.__name__)
def test_an_open_step_shows_what_it_waits_for_and_until_when(leave: Any) -> None:
    story = Story()
    leave(story)
    (step,) = read_execution(story.events).list_open()
    assert (step.kind, step.phase, step.name, step.due_at, step.worker) == OPEN[leave]
    assert (step.state, step.closed_at, step.event_id) == ("Open", None, 2)


@pytest.mark.parametrize("leave", OPEN, ids=lambda leave: leave.__name__)
def test_a_step_that_its_run_left_open_is_due_at_no_time(leave: Any) -> None:
    story = Story()
    leave(story)
    story.add(20, e.WorkflowExecutionTerminated, child_policy="TERMINATE", reason="enough")
    (step,) = read_execution(story.events).list_open()
    assert step.due_at is None
    assert "left open when the run closed" in step.note


def test_a_retried_step_has_its_last_failure_with_place_and_traceback() -> None:
    story = Story()
    reason, details = write_failure(FailureInfo("builtins.OSError", "line is down", TRACE), JSON)
    story.activity("charge-1", 1, 2, 3, kind=e.ActivityTaskFailed, reason=reason, details=details)
    story.decision(3, e.TimerStarted, timer_id="charge-1~retry-1", start_to_fire_timeout="10")
    view = read_execution(story.events)
    (step,) = view.steps
    assert step.failure is not None
    assert step.failure.summary == "OSError: line is down (shop.py:8)"
    assert (step.attempts, step.parts[0].failure, step.parts[1].failure) == (1, step.failure, None)
    assert list_failures(view) == [f"charge-1:\n{TRACE}"]


def test_a_view_has_the_settings_links_and_close_of_its_run() -> None:
    story = Story()
    story.events[0] = e.WorkflowExecutionStarted(
        event_id=1,
        event_timestamp=BEGAN,
        child_policy="ABANDON",
        task_list=LIST,
        workflow_type=WF,
        input='{"order":7}',
        execution_start_to_close_timeout="3600",
        tag_list=("blue",),
        parent_workflow_execution=ANOTHER,
        continued_execution_run_id="run-0",
    )
    story.add(1, e.WorkflowExecutionCancelRequested, external_workflow_execution=ANOTHER)
    view = read_execution(story.events, execution=WorkflowExecution("job", "run-1"), until=at(60))
    assert (view.workflow_id, view.run_id, view.type, view.status) == ("job", "run-1", "IndexProjectData 1", "OPEN")
    assert (view.input, view.tags, view.child_policy, view.task_list) == ({"order": 7}, ("blue",), "ABANDON", "list")
    assert (view.due_at, view.until, view.lasted) == (at(3600), at(60), timedelta(minutes=1))
    assert (view.parent, view.continued_from) == (Link("order-7", "run-2"), Link("job", "run-0"))
    assert [request.source for request in view.cancel_requests] == [Link("order-7", "run-2")]
    story.decision(
        2,
        e.WorkflowExecutionContinuedAsNew,
        new_execution_run_id="run-2",
        task_list=LIST,
        child_policy="ABANDON",
        workflow_type=WF,
    )
    closed = read_execution(story.events, execution=WorkflowExecution("job", "run-1"), until=at(60))
    assert (closed.status, closed.continued_as) == ("CONTINUED_AS_NEW", Link("job", "run-2"))
    assert (closed.closed_at, closed.until, closed.due_at) == (at(2), at(2), None)


def add_decision_task(story: Story, scheduled: float, started: float | None = None, ended: float | None = None) -> int:
    id = story.add(scheduled, e.DecisionTaskScheduled, task_list=LIST, start_to_close_timeout="30")
    if started is not None:
        start = story.add(started, e.DecisionTaskStarted, scheduled_event_id=id, identity="decider-a")
        if ended is not None:
            story.add(
                ended,
                e.DecisionTaskTimedOut,
                timeout_type="START_TO_CLOSE",
                scheduled_event_id=id,
                started_event_id=start,
            )
    return len(story.events)


def test_the_decision_task_shows_who_has_it_and_how_often_it_timed_out() -> None:
    story = Story()
    add_decision_task(story, 1)
    waiting = read_execution(story.events).decision_task
    assert waiting is not None
    assert (waiting.task_list, waiting.scheduled_at, waiting.started_at, waiting.timeouts) == ("list", at(1), None, 0)
    story = Story()
    for attempt in range(3):
        add_decision_task(story, 40 * attempt, 40 * attempt + 1, 40 * attempt + 31)
    add_decision_task(story, 120, 121)
    failing = read_execution(story.events).decision_task
    assert failing is not None
    assert (failing.worker, failing.due_at, failing.timeouts, failing.failing_since) == (
        "decider-a",
        at(151),
        3,
        at(0),
    )


def test_a_completed_decision_task_ends_the_row_of_timeouts_and_brings_the_state() -> None:
    story = Story()
    add_decision_task(story, 0, 1, 31)
    scheduled = story.add(31, e.DecisionTaskScheduled, task_list=LIST)
    started = story.add(32, e.DecisionTaskStarted, scheduled_event_id=scheduled)
    story.add(
        33,
        e.DecisionTaskCompleted,
        scheduled_event_id=scheduled,
        started_event_id=started,
        execution_context='{"done":3}',
    )
    view = read_execution(story.events)
    assert (view.decision_task, view.state) == (None, {"done": 3})
    add_decision_task(story, 40)
    task = read_execution(story.events).decision_task
    assert task is not None
    assert (task.timeouts, task.failing_since) == (0, None)


# Contents.


def test_encrypted_payloads_are_read_with_their_codec_and_unreadable_without() -> None:
    codec = Codec(Encrypt(KeyRing({"k1": bytes(32)})))
    story = Story()
    story.activity("charge-1", 1, 2, 3, result=codec.encode({"card": "4111"}))
    (step,) = read_execution(story.events, codec=codec).steps
    assert (step.result, step.note) == ({"card": "4111"}, '{"card":"4111"}')
    (step,) = read_execution(story.events).steps
    assert isinstance(step.result, Unreadable)
    assert "4111" not in step.note
    assert step.note.startswith("<unreadable: ")


@given(st.text())
def test_any_text_of_another_program_can_be_shown(text: str) -> None:
    content = read_content(text)
    assert "\n" not in show_content(content)
    if not isinstance(content, Unreadable) and content is not None:
        assert read_content(show_content(content)) == content


# Laws.


@activity(retry=Retry(attempts=2, backoff=10))
def stumble() -> None:
    raise ValueError("no")


@workflow
async def inner() -> str:
    return "inner"


@workflow
async def outer() -> str:
    await ((inner() | sleep(3600)) & stumble().attempt() & sleep(5)).named("all")
    await side_effect(lambda: 7)
    return await inner()


def check(step: StepView, view: ExecutionView) -> None:
    assert (step.state == "Open") == (step.closed_at is None)
    assert view.started_at <= step.scheduled_at <= (step.closed_at or view.until) <= view.until
    assert (step.phase is not None) == (step.state == "Open" and not step.steps)
    assert step.event_id == (0 if step.steps else step.parts[0].event_id)
    assert step.due_at is None or step.due_at >= step.scheduled_at


def test_every_prefix_of_a_real_history_has_a_consistent_view() -> None:
    events = simulate(outer()).history
    for end in range(1, len(events) + 1):
        view = read_execution(events[:end])
        assert (view.events, view.until) == (end, events[end - 1].event_timestamp)
        for step in view.walk():
            check(step, view)
    assert {step.kind for step in view.walk()} == {"group", "activity", "timer", "child", "marker"}
    assert (view.status, view.result) == ("COMPLETED", "inner")


@pytest.mark.parametrize("name", sorted(STORIES))
def test_a_view_is_plain_data_that_json_can_write(name: str) -> None:
    view = read_execution(STORIES[name]().events)
    assert msgspec.json.decode(msgspec.json.encode(view))["workflow"] == view.workflow
