"""Check decisions: what each records, and how it fails."""

from __future__ import annotations

from datetime import timedelta

from traction.backend import Backend
from traction.errors import UnknownResourceFault
from traction.model import decisions as d
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import ActivityType
from traction.testing.conformance.expect import expect, expect_equal, expect_type
from traction.testing.conformance.fixture import begin, name_types, wait_for


def decisions_are_applied_in_order_with_one_timestamp(backend: Backend) -> None:
    """Each event has the id of the DecisionTaskCompleted event."""
    fixture, execution = begin(backend)
    task = fixture.get_decision_task()
    fixture.respond(
        task,
        d.RecordMarker(marker_name="m1"),
        d.ScheduleActivityTask(activity_type=fixture.activity_type, activity_id="a", input="in", control="c"),
        d.StartTimer(timer_id="t", start_to_fire_timeout="100"),
        d.RecordMarker(marker_name="m2", details="d"),
    )
    completed, *made = backend.get_history(execution)[3:]
    expect_equal(
        name_types([completed, *made]),
        ["DecisionTaskCompleted", "MarkerRecorded", "ActivityTaskScheduled", "TimerStarted", "MarkerRecorded"],
        "the events of the decisions",
    )
    expect_equal({event.event_timestamp for event in made}, {completed.event_timestamp}, "the times of the events")
    links = {getattr(event, "decision_task_completed_event_id", None) for event in made}
    expect_equal(links, {completed.event_id}, "the links of the events")
    scheduled = expect_type(made[1], e.ActivityTaskScheduled)
    expect_equal((scheduled.input, scheduled.control), ("in", "c"), "the input and control")
    expect_equal((scheduled.task_list, scheduled.start_to_close_timeout), (fixture.workers, "120"), "its defaults")
    waits = (scheduled.schedule_to_start_timeout, scheduled.schedule_to_close_timeout, scheduled.heartbeat_timeout)
    expect_equal(
        (scheduled.activity_type, *waits), (fixture.activity_type, "NONE", "NONE", "NONE"), "its type and timeouts"
    )
    marker = expect_type(made[3], e.MarkerRecorded)
    expect_equal((marker.marker_name, marker.details), ("m2", "d"), "the marker")
    fixture.terminate(execution)


def failed_decisions_are_recorded_with_their_cause(backend: Backend) -> None:
    """The other decisions are applied, and one decision task follows."""
    fixture, execution = begin(backend)
    fixture.decide(
        d.ScheduleActivityTask(activity_type=ActivityType(fixture.tag, "never"), activity_id="a"),
        d.StartTimer(timer_id="t", start_to_fire_timeout="100"),
        d.StartTimer(timer_id="t", start_to_fire_timeout="100"),
        d.CancelTimer(timer_id="u"),
        d.RequestCancelActivityTask(activity_id="u"),
    )
    events = backend.get_history(execution)[4:]
    outcomes = [(type(event).__name__, getattr(event, "cause", None)) for event in events]
    refused = expect_type(events[0], e.ScheduleActivityTaskFailed)
    expect_equal((refused.activity_id, refused.activity_type.version), ("a", "never"), "the activity that was refused")
    expected = [
        ("ScheduleActivityTaskFailed", "ACTIVITY_TYPE_DOES_NOT_EXIST"),
        ("TimerStarted", None),
        ("StartTimerFailed", "TIMER_ID_ALREADY_IN_USE"),
        ("CancelTimerFailed", "TIMER_ID_UNKNOWN"),
        ("RequestCancelActivityTaskFailed", "ACTIVITY_ID_UNKNOWN"),
        ("DecisionTaskScheduled", None),
    ]
    expect_equal(outcomes, expected, "the events")
    fixture.terminate(execution)


def a_close_with_unhandled_events_is_refused(backend: Backend) -> None:
    """With UNHANDLED_DECISION. The decisions before it are applied; the next task has the unhandled events."""
    fixture, execution = begin(backend)
    task = fixture.get_decision_task()
    fixture.signal(execution)
    fixture.respond(task, d.RecordMarker(marker_name="m"), d.CompleteWorkflowExecution(result="1"))
    expect_equal(
        fixture.list_types(execution, 4),
        [
            "WorkflowExecutionSignaled",
            "DecisionTaskScheduled",
            "DecisionTaskCompleted",
            "MarkerRecorded",
            "CompleteWorkflowExecutionFailed",
        ],
        "the events of the refusal",
    )
    refusal = expect_type(backend.get_history(execution)[7], e.CompleteWorkflowExecutionFailed)
    expect_equal(refusal.cause, "UNHANDLED_DECISION", "the cause of the refusal")
    fixture.decide(d.CompleteWorkflowExecution(result="2"))
    closing = expect_type(backend.find_closing_event(execution), e.WorkflowExecutionCompleted)
    expect_equal(closing.result, "2", "the result")
    fixture.inspect(execution)


def a_failed_run_records_reason_and_details(backend: Backend) -> None:
    """Nothing is recorded after the close, although an activity is open."""
    fixture, execution = begin(backend)
    fixture.decide(d.ScheduleActivityTask(activity_type=fixture.activity_type, activity_id="a"))
    task = fixture.get_activity_task()
    fixture.signal(execution)
    fixture.decide(d.FailWorkflowExecution(reason="r", details="d"))
    closing = expect_type(backend.find_closing_event(execution), e.WorkflowExecutionFailed)
    expect_equal((closing.reason, closing.details), ("r", "d"), "the failure")
    late = o.RespondActivityTaskCompleted(task_token=task.task_token)
    fixture.expect_fault(UnknownResourceFault, late, "a response to an activity task of a closed run")
    expect_equal(backend.get_history(execution)[-1], closing, "the last event")
    fixture.inspect(execution)


def timers_fire_when_due_unless_cancelled(backend: Backend) -> None:
    """A timer of 0 s fires at once."""
    fixture, execution = begin(backend)
    fixture.decide(
        d.StartTimer(timer_id="two", start_to_fire_timeout="2", control="c"),
        d.StartTimer(timer_id="none", start_to_fire_timeout="0"),
        d.StartTimer(timer_id="long", start_to_fire_timeout="3"),
    )
    first = fixture.wait_for_event(execution, e.TimerFired)
    expect_equal(first.timer_id, "none", "the first timer to fire")
    fixture.decide(d.CancelTimer(timer_id="long"))
    canceled = fixture.wait_for_event(execution, e.TimerCanceled)
    expect_equal(canceled.timer_id, "long", "the timer that was cancelled")

    def look() -> e.TimerFired | None:
        fired = fixture.wait_for_event(execution, e.TimerFired)
        return fired if fired.timer_id == "two" else None

    fired = wait_for(look, "the timer of 2 s")
    started = expect_type(backend.get_history(execution)[fired.started_event_id - 1], e.TimerStarted)
    expect_equal((started.timer_id, started.control), ("two", "c"), "the timer that fired")
    elapsed = fired.event_timestamp - started.event_timestamp
    expect(elapsed >= timedelta(seconds=2), f"a timer of 2 s should not fire after {elapsed}")
    task = fixture.get_decision_task()
    expect(any(event == fired for event in task.events), "the decision task should contain TimerFired")
    fixture.respond(task, d.StartTimer(timer_id="two", start_to_fire_timeout="100"), d.CancelTimer(timer_id="two"))
    expect_equal(
        fixture.list_types(execution)[-2:], ["TimerStarted", "TimerCanceled"], "the events after the id was used again"
    )
    fixture.terminate(execution)


def lambda_tasks_without_a_role_fail_to_start(backend: Backend) -> None:
    """The task is scheduled, and then its failure is recorded."""
    fixture, execution = begin(backend)
    fixture.decide(d.ScheduleLambdaFunction(id="l", name="f", input="in", control="c", start_to_close_timeout="5"))
    failed = fixture.wait_for_event(execution, e.StartLambdaFunctionFailed)
    expect_equal(failed.cause, "ASSUME_ROLE_FAILED", "the cause of the failure")
    scheduled = expect_type(
        backend.get_history(execution)[(failed.scheduled_event_id or 0) - 1], e.LambdaFunctionScheduled
    )
    fields = (scheduled.id, scheduled.name, scheduled.input, scheduled.control, scheduled.start_to_close_timeout)
    expect_equal(fields, ("l", "f", "in", "c", "5"), "the task that was scheduled")
    fixture.terminate(execution)
