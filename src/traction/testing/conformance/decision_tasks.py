"""Check decision tasks: what their histories contain, how they are coalesced, and that each is completed once."""

from __future__ import annotations

from datetime import timedelta

from traction.backend import Backend
from traction.errors import UnknownResourceFault, ValidationException
from traction.model import decisions as d
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import TaskList
from traction.testing.conformance.expect import expect, expect_equal, expect_type
from traction.testing.conformance.fixture import LONG, begin, name_types


def the_first_decision_task_contains_the_history_up_to_its_start(backend: Backend) -> None:
    """The last event has the identity of the poller. There is no previous decision task."""
    fixture, execution = begin(backend)
    task = fixture.get_decision_task(identity="examiner")
    expect_equal(task.workflow_execution, execution, "the task's execution")
    expect_equal(task.workflow_type, fixture.workflow_type, "the task's workflow type")
    expect_equal([event.event_id for event in task.events], [1, 2, 3], "the ids of its events")
    expect_equal(task.started_event_id, 3, "the event of its start")
    expect(not task.previous_started_event_id, "the first task should have no previous one")
    started = expect_type(task.events[-1], e.DecisionTaskStarted)
    expect_equal((started.scheduled_event_id, started.identity), (2, "examiner"), "the start of the task")
    expect_equal(list(task.events), backend.get_history(execution), "the history")
    fixture.terminate(execution)


def decision_tasks_name_the_previous_completed_task(backend: Backend) -> None:
    """A task that timed out does not count. The history can start at the previous task."""
    fixture, execution = begin(backend, task_start_to_close_timeout="1")
    fixture.wait_for_next_timestamp()
    first = fixture.decide(d.RecordMarker(marker_name="m", details="1"))
    fixture.signal(execution)
    lost = fixture.get_decision_task()
    expect_equal(lost.previous_started_event_id, first.started_event_id, "the start of the previous task")
    fixture.wait_for_event(execution, e.DecisionTaskTimedOut)
    again = fixture.get_decision_task(start_at_previous_started_event=True)
    expect_equal(again.previous_started_event_id, first.started_event_id, "the start of the last completed task")
    oldest = again.events[0]
    previous = next(event for event in again.events if event.event_id == first.started_event_id)
    # SWF selects by time, so events with the same timestamp may be included.
    expect_equal(oldest.event_timestamp, previous.event_timestamp, "the time of the first event")
    started = expect_type(backend.get_history(execution)[0], e.WorkflowExecutionStarted)
    timed_out = fixture.wait_for_event(execution, e.DecisionTaskTimedOut)
    expect_equal(started.task_start_to_close_timeout, "1", "the timeout of the tasks")
    expect_equal(
        (timed_out.timeout_type, timed_out.started_event_id), ("START_TO_CLOSE", lost.started_event_id), "the timeout"
    )
    elapsed = timed_out.event_timestamp - lost.events[-1].event_timestamp
    expect(elapsed >= timedelta(seconds=1), f"a timeout of 1 s should not expire after {elapsed}")
    expect_equal(again.events[-1].event_id, again.started_event_id, "the last event")
    late = o.RespondDecisionTaskCompleted(task_token=lost.task_token)
    fixture.expect_fault(UnknownResourceFault, late, "a completion after the timeout")
    fixture.terminate(execution)


def events_are_coalesced_into_one_decision_task(backend: Backend) -> None:
    """Events during a running task schedule one more, which is assigned after the running one is completed."""
    fixture, execution = begin(backend)
    fixture.signal(execution)
    fixture.signal(execution)
    task = fixture.get_decision_task()
    signaled, scheduled = "WorkflowExecutionSignaled", "DecisionTaskScheduled"
    expect_equal(
        name_types(list(task.events)),
        ["WorkflowExecutionStarted", scheduled, signaled, signaled, "DecisionTaskStarted"],
        "the events of the first task",
    )
    fixture.signal(execution)
    fixture.signal(execution)
    expect_equal(fixture.list_types(execution, 6), [signaled, scheduled, signaled], "the events while it runs")
    poll = fixture.find_decision_task(timedelta(seconds=1))
    expect(not poll.task_token, "no second task should be assigned while the first is running")
    fixture.respond(task)
    following = fixture.get_decision_task()
    expect_equal(
        name_types(list(following.events[5:])),
        [signaled, scheduled, signaled, "DecisionTaskCompleted", "DecisionTaskStarted"],
        "the events that follow",
    )
    fixture.terminate(execution)


def a_decision_task_is_completed_once(backend: Backend) -> None:
    """A second completion is refused, and so is an invalid token."""
    fixture, execution = begin(backend)
    task = fixture.decide(execution_context="first")
    again = o.RespondDecisionTaskCompleted(task_token=task.task_token, execution_context="second")
    fixture.expect_fault(UnknownResourceFault, again, "a second completion")
    expect_equal(fixture.list_types(execution, 4), ["DecisionTaskCompleted"], "the events of the completion")
    expect_equal(fixture.describe(execution).latest_execution_context, "first", "the context")
    garbage = o.RespondDecisionTaskCompleted(task_token="garbage")
    fixture.expect_fault(ValidationException, garbage, "an invalid token")
    fixture.terminate(execution)


def invalid_decisions_are_refused_and_change_nothing(backend: Backend) -> None:
    """The task stays open: it can be completed with valid decisions."""
    fixture, execution = begin(backend)
    task = fixture.get_decision_task()
    close = d.CompleteWorkflowExecution()
    batches: tuple[tuple[d.Decision, ...], ...] = (
        (close, d.RecordMarker(marker_name="m")),
        (d.StartTimer(timer_id="t", start_to_fire_timeout="1"), close),
        (d.RecordMarker(marker_name="m", details="x" * (backend.limits.payload_chars_max + 1)),),
        (d.RecordMarker(marker_name="m"), d.StartTimer(timer_id="a/b", start_to_fire_timeout="1")),
        (d.StartTimer(timer_id="t", start_to_fire_timeout="soon"),),
    )
    for batch in batches:
        request = o.RespondDecisionTaskCompleted(task_token=task.task_token, decisions=batch)
        fixture.expect_fault(ValidationException, request, f"{[type(decision).__name__ for decision in batch]}")
    expect_equal(len(backend.get_history(execution)), 3, "the number of events")
    fixture.respond(task, close)
    expect(backend.wait_until_closed(execution, LONG), "the valid decision should close the run")
    fixture.inspect(execution)


def a_completed_decision_task_can_set_the_list_of_later_tasks(backend: Backend) -> None:
    """With a schedule-to-start timeout, a task that is not started in time is scheduled on the original list."""
    fixture, execution = begin(backend)
    own = TaskList(f"{fixture.tag}-own")
    fixture.decide(task_list=own, task_list_schedule_to_start_timeout="2")
    completed = expect_type(backend.get_history(execution)[-1], e.DecisionTaskCompleted)
    fields = (completed.task_list, completed.task_list_schedule_to_start_timeout)
    expect_equal(fields, (own, "2"), "the list in the event")
    fixture.signal(execution)
    task = fixture.get_decision_task(task_list=own, start_at_previous_started_event=True)
    expect_equal(task.workflow_execution, execution, "the execution of the task on the new list")
    fixture.respond(task, task_list=own, task_list_schedule_to_start_timeout="1")
    fixture.signal(execution)
    missed = fixture.wait_for_event(execution, e.DecisionTaskTimedOut)
    expect_equal(missed.timeout_type, "SCHEDULE_TO_START", "the timeout type of a task that was not started")
    back = fixture.get_decision_task()
    expect_equal(back.workflow_execution, execution, "the execution of the task on the original list")
    expect_equal(back.previous_started_event_id, task.started_event_id, "the start of the last completed task")
    fixture.respond(back, task_list=own)
    fixture.signal(execution)
    expect(fixture.get_decision_task(task_list=own).task_token, "a list without a timeout should stay in use")
    expect_equal(fixture.describe(execution).execution_configuration.task_list, fixture.deciders, "the list of the run")
    fixture.terminate(execution)


def a_run_without_new_events_has_no_decision_task(backend: Backend) -> None:
    """A task may be completed without decisions. The next event schedules the next task."""
    fixture, execution = begin(backend)
    fixture.decide()
    expect_equal(len(backend.get_history(execution)), 4, "the number of events")
    poll = fixture.find_decision_task(timedelta(seconds=1))
    expect(not poll.task_token, "an idle run should have no decision task")
    fixture.signal(execution)
    fixture.decide(d.CompleteWorkflowExecution())
    expect(backend.wait_until_closed(execution, LONG), "the run should be closed")
    fixture.inspect(execution)
