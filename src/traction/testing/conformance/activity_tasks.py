"""Check activity tasks: handed out once, answered once, timed by four clocks, told to stop by their heartbeat."""

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
from traction.testing.conformance.expect import expect, expect_equal
from traction.testing.conformance.fixture import AT_ONCE, LONG, Fixture, wait_for


def _schedule(desk: Fixture, *ids: str, **given: Any) -> WorkflowExecution:
    """Start an execution that schedules activities."""
    desk.register()
    execution = desk.start()
    desk.decide(
        *(
            d.ScheduleActivityTask(activity_type=desk.activity_type, activity_id=id, input=f"for {id}", **given)
            for id in ids
        )
    )
    return execution


def an_activity_task_is_handed_out_and_its_result_told(backend: Backend) -> None:
    """Scheduled, started, completed, each linked to the one before; then a decision task."""
    desk = Fixture(backend)
    execution = _schedule(desk, "a", task_priority="-7")
    task = desk.get_activity_task(identity="worker")
    expect_equal(task.workflow_execution, execution, "the task's execution")
    expect_equal((task.activity_type, task.activity_id, task.input), (desk.activity_type, "a", "for a"), "the task")
    scheduled, started = backend.get_history(execution)[4:]
    assert isinstance(scheduled, e.ActivityTaskScheduled), scheduled
    assert isinstance(started, e.ActivityTaskStarted), started
    expect_equal(scheduled.task_priority, "-7", "the priority of the task")
    expect_equal((started.event_id, started.identity), (task.started_event_id, "worker"), "the start of the task")
    expect_equal(started.scheduled_event_id, scheduled.event_id, "the link of the start")
    desk.complete(task, "42")
    completed, following = backend.get_history(execution)[6:]
    assert isinstance(completed, e.ActivityTaskCompleted), completed
    expect_equal(completed.result, "42", "the result")
    links = (completed.scheduled_event_id, completed.started_event_id)
    expect_equal(links, (scheduled.event_id, started.event_id), "the links of the result")
    expect(isinstance(following, e.DecisionTaskScheduled), "a decision task should follow at once")
    desk.terminate(execution)


def a_result_and_the_decision_task_after_it_share_one_timestamp(backend: Backend) -> None:
    """The service records both events of one request at one time."""
    desk = Fixture(backend)
    execution = _schedule(desk, "a")
    desk.complete(desk.get_activity_task(), "42")
    completed, following = backend.get_history(execution)[6:]
    expect_equal(following.event_timestamp, completed.event_timestamp, "the time of the decision task")
    desk.terminate(execution)


def an_activity_task_may_fail_or_be_answered_as_cancelled(backend: Backend) -> None:
    """With what was said of it; cancelled even if nobody asked for that."""
    desk = Fixture(backend)
    execution = _schedule(desk, "a", "b")
    failing, stopping = desk.get_activity_task(), desk.get_activity_task()
    desk.call(o.RespondActivityTaskFailed(task_token=failing.task_token, reason="r", details="d"))
    desk.call(o.RespondActivityTaskCanceled(task_token=stopping.task_token, details="half"))
    failed = desk.wait_for_event(execution, e.ActivityTaskFailed)
    expect_equal((failed.reason, failed.details), ("r", "d"), "the failure")
    expect_equal(desk.wait_for_event(execution, e.ActivityTaskCanceled).details, "half", "the details")
    desk.terminate(execution)


def an_activity_task_is_answered_once(backend: Backend) -> None:
    """A second call tells that the first one worked, and a heartbeat that it is over. A token of nothing is none."""
    desk = Fixture(backend)
    execution = _schedule(desk, "a")
    task = desk.get_activity_task()
    desk.complete(task)
    token = task.task_token
    late: tuple[o.Request[object], ...] = (
        o.RespondActivityTaskCompleted(task_token=token),
        o.RespondActivityTaskFailed(task_token=token),
        o.RespondActivityTaskCanceled(task_token=token),
        o.RecordActivityTaskHeartbeat(task_token=token),
    )
    for request in late:
        desk.expect_fault(UnknownResourceFault, request, f"{request.__class__.__name__} after the answer")
    garbage = o.RespondActivityTaskCompleted(task_token="garbage")
    desk.expect_fault(ValidationException, garbage, "a token of nothing")
    expect_equal(desk.list_types(execution, 7), ["ActivityTaskCompleted", "DecisionTaskScheduled"], "the last events")
    desk.terminate(execution)


def each_of_the_four_clocks_of_an_activity_task_runs_out(backend: Backend) -> None:
    """Not before its time; with the details of the last heartbeat. An answer is then too late."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    clocks = {
        "SCHEDULE_TO_START": {"schedule_to_start_timeout": "1"},
        "SCHEDULE_TO_CLOSE": {"schedule_to_close_timeout": "1"},
        "START_TO_CLOSE": {"start_to_close_timeout": "1"},
        "HEARTBEAT": {"heartbeat_timeout": "1"},
    }
    desk.decide(
        *(
            d.ScheduleActivityTask(
                activity_type=desk.activity_type,
                activity_id=name,
                task_list=desk.workers if name.endswith("CLOSE") or name == "HEARTBEAT" else desk.deciders,
                **clock,
            )
            for name, clock in clocks.items()
        )
    )
    tokens = {}
    for _ in range(3):
        task = desk.get_activity_task()
        tokens[task.activity_id] = task.task_token
    desk.call(o.RecordActivityTaskHeartbeat(task_token=tokens["HEARTBEAT"], details="page 7"))

    def look() -> list[e.ActivityTaskTimedOut] | None:
        found = [event for event in backend.get_history(execution) if isinstance(event, e.ActivityTaskTimedOut)]
        return found if len(found) == len(clocks) else None

    events = wait_for(look, "four timeouts")
    history = backend.get_history(execution)
    for event in events:
        scheduled = history[event.scheduled_event_id - 1]
        assert isinstance(scheduled, e.ActivityTaskScheduled), scheduled
        expect_equal(event.timeout_type, scheduled.activity_id, "the clock that ran out")
        lasted = event.event_timestamp - scheduled.event_timestamp
        expect(lasted >= timedelta(seconds=1), f"a clock of a second should not run out early, and did after {lasted}")
        started = event.timeout_type != "SCHEDULE_TO_START"
        expect_equal(bool(event.started_event_id), started, f"whether {event.timeout_type} links to a start")
        expect_equal(event.details, "page 7" if event.timeout_type == "HEARTBEAT" else None, "the details")
    late = o.RespondActivityTaskCompleted(task_token=tokens["START_TO_CLOSE"])
    desk.expect_fault(UnknownResourceFault, late, "an answer after the timeout")
    desk.terminate(execution)


def a_heartbeat_restarts_its_own_clock_and_no_other(backend: Backend) -> None:
    """Work that beats lives on beyond its heartbeat timeout, and dies at the end of its time."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    named: dict[str, Any] = {"activity_type": desk.activity_type, "heartbeat_timeout": "3"}
    desk.decide(
        d.ScheduleActivityTask(activity_id="lives", **named),
        d.ScheduleActivityTask(activity_id="dies", start_to_close_timeout="4", **named),
    )
    tokens = {task.activity_id: task.task_token for task in (desk.get_activity_task(), desk.get_activity_task())}
    began = time.monotonic()
    while "ActivityTaskTimedOut" not in desk.list_types(execution):
        expect(time.monotonic() - began < AT_ONCE, "a task of four seconds should time out, however often it beats")
        for token in tokens.values():
            with suppress(UnknownResourceFault):
                desk.call(o.RecordActivityTaskHeartbeat(task_token=token))
        time.sleep(0.3)
    timed_out = desk.wait_for_event(execution, e.ActivityTaskTimedOut)
    expect_equal(timed_out.timeout_type, "START_TO_CLOSE", "the clock that ran out")
    desk.call(o.RespondActivityTaskCompleted(task_token=tokens["lives"]))
    desk.terminate(execution)


def a_task_that_nobody_took_in_time_is_not_handed_out(backend: Backend) -> None:
    """Nor is one whose execution has closed."""
    desk = Fixture(backend)
    execution = _schedule(desk, "a", schedule_to_start_timeout="1")
    desk.wait_for_event(execution, e.ActivityTaskTimedOut)
    expect(not desk.find_activity_task(timedelta(seconds=1)).task_token, "a timed-out task should not be handed out")
    desk.decide(d.ScheduleActivityTask(activity_type=desk.activity_type, activity_id="a"))
    desk.terminate(execution)
    expect(not desk.find_activity_task(timedelta(seconds=1)).task_token, "a closed run should have no tasks")


def a_heartbeat_tells_whether_the_work_is_still_wanted(backend: Backend) -> None:
    """Only once the decider has asked to cancel; the worker may then answer as it likes."""
    desk = Fixture(backend)
    execution = _schedule(desk, "a")
    task = desk.get_activity_task()
    beat = o.RecordActivityTaskHeartbeat(task_token=task.task_token, details="1")
    expect_equal(desk.call(beat).cancel_requested, False, "whether the task is to stop")
    desk.cancel(execution)
    expect_equal(desk.call(beat).cancel_requested, False, "whether it is to stop, before the decider says so")
    desk.decide(d.RequestCancelActivityTask(activity_id="a"))
    expect_equal(desk.call(beat).cancel_requested, True, "whether it is to stop, once the decider says so")
    types = desk.list_types(execution)
    expect("ActivityTaskCancelRequested" in types, "the request to cancel should be in the history")
    expect("ActivityTaskCanceled" not in types, "a task that runs should be cancelled by its worker alone")
    desk.call(o.RespondActivityTaskCanceled(task_token=task.task_token))
    canceled = desk.wait_for_event(execution, e.ActivityTaskCanceled)
    requested = backend.get_history(execution)[(canceled.latest_cancel_requested_event_id or 0) - 1]
    assert isinstance(requested, e.ActivityTaskCancelRequested), requested
    expect_equal(requested.activity_id, "a", "the activity of the request to cancel")
    desk.terminate(execution)


def a_task_that_nobody_has_taken_is_cancelled_at_once(backend: Backend) -> None:
    """And is not handed out any more; its id may be used again."""
    desk = Fixture(backend)
    execution = _schedule(desk, "a")
    desk.signal(execution)
    desk.decide(d.RequestCancelActivityTask(activity_id="a"))
    canceled = desk.wait_for_event(execution, e.ActivityTaskCanceled)
    expect(not canceled.started_event_id, "a task that was not started should link to no start")
    expect(not desk.find_activity_task(timedelta(seconds=1)).task_token, "a cancelled task should not be handed out")
    desk.decide(d.ScheduleActivityTask(activity_type=desk.activity_type, activity_id="a"))
    expect_equal(desk.get_activity_task().activity_id, "a", "the activity id used again")
    desk.terminate(execution)


def an_activity_id_names_one_open_task(backend: Backend) -> None:
    """A second is refused while the first is open."""
    desk = Fixture(backend)
    execution = _schedule(desk, "a", "a")
    events = backend.get_history(execution)[4:]
    told = [(type(event).__name__, getattr(event, "cause", None)) for event in events]
    wanted = [
        ("ActivityTaskScheduled", None),
        ("ScheduleActivityTaskFailed", "ACTIVITY_ID_ALREADY_IN_USE"),
        ("DecisionTaskScheduled", None),
    ]
    expect_equal(told, wanted, "the events")
    desk.terminate(execution)


def what_a_worker_says_beyond_its_limits_is_refused_and_may_be_mended(backend: Backend) -> None:
    """The task stays open; what just fits is kept whole."""
    desk = Fixture(backend)
    execution = _schedule(desk, "a")
    limits = backend.limits
    token = desk.get_activity_task().task_token
    long, longest = "x" * (limits.payload_chars_max + 1), "x" * limits.payload_chars_max
    requests: tuple[o.Request[object], ...] = (
        o.RespondActivityTaskCompleted(task_token=token, result=long),
        o.RespondActivityTaskFailed(task_token=token, details=long),
        o.RespondActivityTaskFailed(task_token=token, reason="r" * (limits.reason_chars_max + 1)),
        o.RespondActivityTaskCanceled(task_token=token, details=long),
        o.RecordActivityTaskHeartbeat(task_token=token, details="x" * (limits.heartbeat_chars_max + 1)),
        o.PollForActivityTask(
            domain=desk.domain, task_list=desk.workers, identity="i" * (limits.identity_chars_max + 1)
        ),
    )
    for request in requests:
        desk.expect_fault(ValidationException, request, f"{request.__class__.__name__} beyond a limit")
    desk.call(o.RecordActivityTaskHeartbeat(task_token=token, details="x" * limits.heartbeat_chars_max))
    desk.call(o.RespondActivityTaskCompleted(task_token=token, result=longest))
    completed = desk.wait_for_event(execution, e.ActivityTaskCompleted)
    expect(completed.result == longest, "the longest result should be kept whole")
    desk.decide(d.CompleteWorkflowExecution())
    expect(backend.wait_until_closed(execution, LONG), "the run should be closed")
    desk.inspect(execution)


CHECKS = (
    an_activity_task_is_handed_out_and_its_result_told,
    a_result_and_the_decision_task_after_it_share_one_timestamp,
    an_activity_task_may_fail_or_be_answered_as_cancelled,
    an_activity_task_is_answered_once,
    each_of_the_four_clocks_of_an_activity_task_runs_out,
    a_heartbeat_restarts_its_own_clock_and_no_other,
    a_task_that_nobody_took_in_time_is_not_handed_out,
    a_heartbeat_tells_whether_the_work_is_still_wanted,
    a_task_that_nobody_has_taken_is_cancelled_at_once,
    an_activity_id_names_one_open_task,
    what_a_worker_says_beyond_its_limits_is_refused_and_may_be_mended,
)
