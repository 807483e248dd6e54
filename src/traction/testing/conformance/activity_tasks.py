"""Check activity tasks: assigned once, completed once, with four timeouts, and cancelled through heartbeats."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

from traction.backend import Backend
from traction.errors import UnknownResourceFault, ValidationException
from traction.model import decisions as d
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import WorkflowExecution
from traction.testing.conformance.expect import expect, expect_equal, expect_type
from traction.testing.conformance.fixture import AT_ONCE, LONG, Fixture, begin, wait_for


def _schedule(backend: Backend, *ids: str, **options: Any) -> tuple[Fixture, WorkflowExecution]:
    """Start an execution that schedules activities."""
    fixture, execution = begin(backend)
    fixture.decide(
        *(
            d.ScheduleActivityTask(activity_type=fixture.activity_type, activity_id=id, input=f"for {id}", **options)
            for id in ids
        )
    )
    return fixture, execution


def an_activity_result_is_recorded_and_schedules_a_decision_task(backend: Backend) -> None:
    """Scheduled, started, completed: each event links to the one before."""
    fixture, execution = _schedule(backend, "a", task_priority="-7")
    task = fixture.get_activity_task(identity="worker")
    expect_equal(task.workflow_execution, execution, "the task's execution")
    expect_equal((task.activity_type, task.activity_id, task.input), (fixture.activity_type, "a", "for a"), "the task")
    events = backend.get_history(execution)
    scheduled, started = expect_type(events[4], e.ActivityTaskScheduled), expect_type(events[5], e.ActivityTaskStarted)
    expect_equal(scheduled.task_priority, "-7", "the priority of the task")
    expect_equal((started.event_id, started.identity), (task.started_event_id, "worker"), "the start of the task")
    expect_equal(started.scheduled_event_id, scheduled.event_id, "the link of the start")
    fixture.complete(task, "42")
    closing, following = backend.get_history(execution)[6:]
    completed = expect_type(closing, e.ActivityTaskCompleted)
    expect_equal(completed.result, "42", "the result")
    links = (completed.scheduled_event_id, completed.started_event_id)
    expect_equal(links, (scheduled.event_id, started.event_id), "the links of the result")
    expect_type(following, e.DecisionTaskScheduled)
    fixture.terminate(execution)


def a_result_and_its_decision_task_have_one_timestamp(backend: Backend) -> None:
    """The service records both events of one request at one time."""
    fixture, execution = _schedule(backend, "a")
    fixture.complete(fixture.get_activity_task(), "42")
    completed, following = backend.get_history(execution)[6:]
    expect_equal(following.event_timestamp, completed.event_timestamp, "the time of the decision task")
    fixture.terminate(execution)


def activity_tasks_can_fail_or_be_cancelled_by_the_worker(backend: Backend) -> None:
    """Cancelling does not need a request by the decider."""
    fixture, execution = _schedule(backend, "a", "b")
    failing, stopping = fixture.get_activity_task(), fixture.get_activity_task()
    fixture.call(o.RespondActivityTaskFailed(task_token=failing.task_token, reason="r", details="d"))
    fixture.call(o.RespondActivityTaskCanceled(task_token=stopping.task_token, details="half"))
    failed = fixture.wait_for_event(execution, e.ActivityTaskFailed)
    expect_equal((failed.reason, failed.details), ("r", "d"), "the failure")
    expect_equal(fixture.wait_for_event(execution, e.ActivityTaskCanceled).details, "half", "the details")
    fixture.terminate(execution)


def an_activity_task_is_completed_once(backend: Backend) -> None:
    """Later responses and heartbeats are refused, and so is an invalid token."""
    fixture, execution = _schedule(backend, "a")
    task = fixture.get_activity_task()
    fixture.complete(task)
    token = task.task_token
    fixture.expect_faults(
        UnknownResourceFault,
        "after the response",
        o.RespondActivityTaskCompleted(task_token=token),
        o.RespondActivityTaskFailed(task_token=token),
        o.RespondActivityTaskCanceled(task_token=token),
        o.RecordActivityTaskHeartbeat(task_token=token),
    )
    garbage = o.RespondActivityTaskCompleted(task_token="garbage")
    fixture.expect_fault(ValidationException, garbage, "an invalid token")
    expect_equal(
        fixture.list_types(execution, 7), ["ActivityTaskCompleted", "DecisionTaskScheduled"], "the last events"
    )
    fixture.terminate(execution)


def all_four_activity_timeouts_expire(backend: Backend) -> None:
    """Not early, and with the details of the last heartbeat. Later responses are refused."""
    fixture, execution = begin(backend)
    timeouts = {
        "SCHEDULE_TO_START": {"schedule_to_start_timeout": "1"},
        "SCHEDULE_TO_CLOSE": {"schedule_to_close_timeout": "1"},
        "START_TO_CLOSE": {"start_to_close_timeout": "1"},
        "HEARTBEAT": {"heartbeat_timeout": "1"},
    }
    fixture.decide(
        *(
            d.ScheduleActivityTask(
                activity_type=fixture.activity_type,
                activity_id=name,
                task_list=fixture.workers if name.endswith("CLOSE") or name == "HEARTBEAT" else fixture.deciders,
                **timeout,
            )
            for name, timeout in timeouts.items()
        )
    )
    tokens = {}
    for _ in range(3):
        task = fixture.get_activity_task()
        tokens[task.activity_id] = task.task_token
    fixture.call(o.RecordActivityTaskHeartbeat(task_token=tokens["HEARTBEAT"], details="page 7"))

    def look() -> list[e.ActivityTaskTimedOut] | None:
        found = [event for event in backend.get_history(execution) if isinstance(event, e.ActivityTaskTimedOut)]
        return found if len(found) == len(timeouts) else None

    events = wait_for(look, "four timeouts")
    history = backend.get_history(execution)
    for event in events:
        scheduled = expect_type(history[event.scheduled_event_id - 1], e.ActivityTaskScheduled)
        expect_equal(event.timeout_type, scheduled.activity_id, "the timeout type")
        elapsed = event.event_timestamp - scheduled.event_timestamp
        expect(elapsed >= timedelta(seconds=1), f"a timeout of 1 s should not expire after {elapsed}")
        started = event.timeout_type != "SCHEDULE_TO_START"
        expect_equal(bool(event.started_event_id), started, f"whether {event.timeout_type} links to a start")
        expect_equal(event.details, "page 7" if event.timeout_type == "HEARTBEAT" else None, "the details")
    late = o.RespondActivityTaskCompleted(task_token=tokens["START_TO_CLOSE"])
    fixture.expect_fault(UnknownResourceFault, late, "a response after the timeout")
    fixture.terminate(execution)


def heartbeats_restart_only_the_heartbeat_timeout(backend: Backend) -> None:
    """A task outlives its heartbeat timeout, but not its start-to-close timeout."""
    fixture, execution = begin(backend)
    named: dict[str, Any] = {"activity_type": fixture.activity_type, "heartbeat_timeout": "3"}
    fixture.decide(
        d.ScheduleActivityTask(activity_id="lives", **named),
        d.ScheduleActivityTask(activity_id="dies", start_to_close_timeout="4", **named),
    )
    tokens = {task.activity_id: task.task_token for task in (fixture.get_activity_task(), fixture.get_activity_task())}
    began = time.monotonic()
    while "ActivityTaskTimedOut" not in fixture.list_types(execution):
        expect(time.monotonic() - began < AT_ONCE, "a task should time out after four seconds, despite its heartbeats")
        for token in tokens.values():
            with suppress(UnknownResourceFault):
                fixture.call(o.RecordActivityTaskHeartbeat(task_token=token))
        time.sleep(0.3)
    timed_out = fixture.wait_for_event(execution, e.ActivityTaskTimedOut)
    expect_equal(timed_out.timeout_type, "START_TO_CLOSE", "the timeout type")
    fixture.call(o.RespondActivityTaskCompleted(task_token=tokens["lives"]))
    fixture.terminate(execution)


def timed_out_activity_tasks_are_not_assigned(backend: Backend) -> None:
    """Nor are the tasks of a closed run."""
    fixture, execution = _schedule(backend, "a", schedule_to_start_timeout="1")
    fixture.wait_for_event(execution, e.ActivityTaskTimedOut)
    expect(not fixture.find_activity_task(timedelta(seconds=1)).task_token, "a timed-out task should not be assigned")
    fixture.decide(d.ScheduleActivityTask(activity_type=fixture.activity_type, activity_id="a"))
    fixture.terminate(execution)
    expect(not fixture.find_activity_task(timedelta(seconds=1)).task_token, "a closed run should have no tasks")


def heartbeat_reports_a_requested_cancellation(backend: Backend) -> None:
    """Only after the decider has requested it. The task stays open until the worker responds."""
    fixture, execution = _schedule(backend, "a")
    task = fixture.get_activity_task()
    beat = o.RecordActivityTaskHeartbeat(task_token=task.task_token, details="1")
    expect_equal(fixture.call(beat).cancel_requested, False, "cancel_requested")
    fixture.cancel(execution)
    expect_equal(fixture.call(beat).cancel_requested, False, "cancel_requested before the decision")
    fixture.decide(d.RequestCancelActivityTask(activity_id="a"))
    expect_equal(fixture.call(beat).cancel_requested, True, "cancel_requested after the decision")
    types = fixture.list_types(execution)
    expect("ActivityTaskCancelRequested" in types, "the request to cancel should be in the history")
    expect("ActivityTaskCanceled" not in types, "only its worker should cancel a running task")
    fixture.call(o.RespondActivityTaskCanceled(task_token=task.task_token))
    canceled = fixture.wait_for_event(execution, e.ActivityTaskCanceled)
    requested = expect_type(
        backend.get_history(execution)[(canceled.latest_cancel_requested_event_id or 0) - 1],
        e.ActivityTaskCancelRequested,
    )
    expect_equal(requested.activity_id, "a", "the activity of the request to cancel")
    fixture.terminate(execution)


def unstarted_activity_tasks_are_cancelled_at_once(backend: Backend) -> None:
    """They are not assigned any more, and the activity id can be used again."""
    fixture, execution = _schedule(backend, "a")
    fixture.signal(execution)
    fixture.decide(d.RequestCancelActivityTask(activity_id="a"))
    canceled = fixture.wait_for_event(execution, e.ActivityTaskCanceled)
    expect(not canceled.started_event_id, "a task that was not started should link to no start")
    expect(not fixture.find_activity_task(timedelta(seconds=1)).task_token, "a cancelled task should not be assigned")
    fixture.decide(d.ScheduleActivityTask(activity_type=fixture.activity_type, activity_id="a"))
    expect_equal(fixture.get_activity_task().activity_id, "a", "the activity id used again")
    fixture.terminate(execution)


def an_activity_id_has_at_most_one_open_task(backend: Backend) -> None:
    """A second task is refused while the first is open."""
    fixture, execution = _schedule(backend, "a", "a")
    events = backend.get_history(execution)[4:]
    outcomes = [(type(event).__name__, getattr(event, "cause", None)) for event in events]
    expected = [
        ("ActivityTaskScheduled", None),
        ("ScheduleActivityTaskFailed", "ACTIVITY_ID_ALREADY_IN_USE"),
        ("DecisionTaskScheduled", None),
    ]
    expect_equal(outcomes, expected, "the events")
    fixture.terminate(execution)


def activity_responses_beyond_their_limits_are_refused(backend: Backend) -> None:
    """The task stays open, and the longest allowed result is stored unchanged."""
    fixture, execution = _schedule(backend, "a")
    limits = backend.limits
    token = fixture.get_activity_task().task_token
    long, longest = "x" * (limits.payload_chars_max + 1), "x" * limits.payload_chars_max
    fixture.expect_faults(
        ValidationException,
        "beyond a limit",
        o.RespondActivityTaskCompleted(task_token=token, result=long),
        o.RespondActivityTaskFailed(task_token=token, details=long),
        o.RespondActivityTaskFailed(task_token=token, reason="r" * (limits.reason_chars_max + 1)),
        o.RespondActivityTaskCanceled(task_token=token, details=long),
        o.RecordActivityTaskHeartbeat(task_token=token, details="x" * (limits.heartbeat_chars_max + 1)),
        o.PollForActivityTask(
            domain=fixture.domain, task_list=fixture.workers, identity="i" * (limits.identity_chars_max + 1)
        ),
    )
    fixture.call(o.RecordActivityTaskHeartbeat(task_token=token, details="x" * limits.heartbeat_chars_max))
    fixture.call(o.RespondActivityTaskCompleted(task_token=token, result=longest))
    completed = fixture.wait_for_event(execution, e.ActivityTaskCompleted)
    expect(completed.result == longest, "the longest result should be stored unchanged")
    fixture.decide(d.CompleteWorkflowExecution())
    expect(backend.wait_until_closed(execution, LONG), "the run should be closed")
    fixture.inspect(execution)
