"""Invariants of every history: times, links, and a decision task exactly when a decider has new events.

`traction.history.state` checks which events may follow which. Failures are `ExamFailure`s.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from traction.errors import HistoryError
from traction.history.state import HistoryState, HistoryStep
from traction.model import events as e
from traction.model.correlation import CLOSES
from traction.testing.conformance.expect import ExamFailure, expect, expect_equal

TRIGGERS = (
    *CLOSES.keys() - {e.TimerCanceled, e.StartChildWorkflowExecutionFailed},
    e.ChildWorkflowExecutionStarted,
    e.WorkflowExecutionSignaled,
    e.WorkflowExecutionCancelRequested,
    e.DecisionTaskTimedOut,
)
"""Events that schedule a decision task at once, unless one is queued. Failed decisions schedule one after the batch."""

TIMEOUTS = {
    "SCHEDULE_TO_START": "schedule_to_start_timeout",
    "SCHEDULE_TO_CLOSE": "schedule_to_close_timeout",
    "START_TO_CLOSE": "start_to_close_timeout",
    "HEARTBEAT": "heartbeat_timeout",
}
"""The timeouts of an activity task, by their type."""


def expect_sound(events: Sequence[e.Event]) -> None:
    """Fail unless the events can be those of a run, from the first one on.

    Raises:
        ExamFailure: They cannot.
    """
    history, before = HistoryState(), None
    queued, failed = False, False
    for position, event in enumerate(events):
        _expect_time(event, before)
        try:
            known = history.add(event)
        except HistoryError as error:
            raise ExamFailure(str(error)) from error
        _expect_links(events, event)
        if known is not None:
            _expect_step(event, known)
        match event:
            case e.DecisionTaskScheduled():
                causes = failed or event.event_id == 2 or isinstance(before, TRIGGERS) or _has_cause(before)
                expect(causes, f"{_name(event)} should follow an event that a decider should see")
                queued, failed = True, False
            case e.DecisionTaskStarted():
                queued, failed = False, False
            case e.DecisionTaskTimedOut(timeout_type="SCHEDULE_TO_START"):
                queued = False
            case _:
                failed = failed or _has_cause(event)
        if isinstance(event, TRIGGERS) and not queued and position + 1 < len(events):
            after = events[position + 1]
            expect(isinstance(after, e.DecisionTaskScheduled), f"a decision task should follow {_name(event)} at once")
            expect_equal(after.event_timestamp, event.event_timestamp, f"the time of {_name(after)}")
        before = event
    ended = history.closed is not None
    expect(
        ended or queued or not (failed or isinstance(before, TRIGGERS)), "a decision task should follow the last event"
    )


def _name(event: e.Event) -> str:
    return f"event {event.event_id}, {type(event).__name__}"


def _has_cause(event: e.Event | None) -> bool:
    """Whether the event is the failure of a decision."""
    return type(event).__name__.endswith("Failed") and getattr(event, "cause", None) is not None


def _expect_time(event: e.Event, before: e.Event | None) -> None:
    time = event.event_timestamp
    expect_equal(time.utcoffset(), timedelta(0), f"the offset from UTC of {_name(event)}")
    expect_equal(time.microsecond % 1000, 0, f"the microseconds beyond whole milliseconds of {_name(event)}")
    expect(
        before is None or before.event_timestamp <= time,
        f"{_name(event)} should not be earlier than the previous event",
    )


def _expect_links(events: Sequence[e.Event], event: e.Event) -> None:
    """Check the links to the completion that caused an event, and to the events that started and scheduled a task."""
    fields: Any = event
    link = getattr(event, "decision_task_completed_event_id", None)
    if link is not None:
        expect(0 < link < event.event_id, f"{_name(event)} should link to an earlier completion, not to event {link}")
        cause = events[link - 1]
        expect(isinstance(cause, e.DecisionTaskCompleted), f"{_name(event)} should link to a completion: {link}")
        newer = [other for other in events[link : event.event_id - 1] if isinstance(other, e.DecisionTaskCompleted)]
        initiated = getattr(event, "initiated_event_id", 0)
        if initiated:
            requested: Any = events[initiated - 1]
            expect_equal(
                link, requested.decision_task_completed_event_id, f"the completion that {_name(event)} links to"
            )
        else:
            expect(not newer, f"{_name(event)} should link to the last completion before it, not to event {link}")
    if isinstance(event, e.DecisionTaskCompleted | e.DecisionTaskTimedOut):
        scheduled = fields.scheduled_event_id
        if fields.started_event_id:
            started: Any = events[fields.started_event_id - 1]
            expect_equal(scheduled, started.scheduled_event_id, f"the schedule that {_name(event)} links to")
        has_started = getattr(event, "timeout_type", None) != "SCHEDULE_TO_START"
        expect_equal(bool(fields.started_event_id), has_started, f"whether {_name(event)} links to a start")
    if isinstance(event, e.WorkflowExecutionTimedOut):
        first: Any = events[0]
        expect_equal(event.child_policy, first.child_policy, f"the child policy of {_name(event)}")
        _expect_elapsed(event, events[0], first.execution_start_to_close_timeout)
    if isinstance(event, e.ActivityTaskCanceled) and (request := event.latest_cancel_requested_event_id):
        requested, opened = events[request - 1], events[event.scheduled_event_id - 1]
        ids = (getattr(requested, "activity_id", None), getattr(opened, "activity_id", None))
        expect(isinstance(requested, e.ActivityTaskCancelRequested), f"{_name(event)} should link to a cancel request")
        expect_equal(*ids, f"the activity whose cancellation {_name(event)} links to")


def _expect_step(event: e.Event, known: HistoryStep) -> None:
    """Check that an event has the ids of the event that opened its step, and that no timeout expires early."""
    fields: Any = event
    opened: Any = known.opened
    kind = type(event)
    for name in ("activity_id", "timer_id", "workflow_type", "workflow_id", "control"):
        if (value := getattr(event, name, None)) is not None:
            expect_equal(value, getattr(opened, name, None), f"the {name} of {_name(event)}")
    if (execution := getattr(event, "workflow_execution", None)) is not None:
        expect_equal(execution.workflow_id, opened.workflow_id, f"the workflow id of {_name(event)}")
    if kind in CLOSES and kind not in (e.TimerFired, e.TimerCanceled) and hasattr(event, "started_event_id"):
        started_event_id = known.started.event_id if known.started is not None else 0
        expect_equal(fields.started_event_id or 0, started_event_id, f"the start that {_name(event)} links to")
    if isinstance(event, e.TimerFired):
        _expect_elapsed(event, opened, opened.start_to_fire_timeout)
    if isinstance(event, e.ActivityTaskTimedOut):
        since = opened if event.timeout_type.startswith("SCHEDULE") else known.started
        assert since is not None, event
        _expect_elapsed(event, since, getattr(opened, TIMEOUTS[event.timeout_type]))


def _expect_elapsed(event: e.Event, since: e.Event, timeout: str | None) -> None:
    elapsed = event.event_timestamp - since.event_timestamp
    expect(timeout is not None and timeout != "NONE", f"{_name(event)} should not exist: that timeout is not set")
    assert timeout is not None
    expect(elapsed >= timedelta(seconds=int(timeout)), f"{_name(event)} should occur after {timeout} s, not {elapsed}")
