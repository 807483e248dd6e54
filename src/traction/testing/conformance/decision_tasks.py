"""Check decision tasks: one at a time, with all that came before, answered once; and what becomes of decisions."""

from __future__ import annotations

from datetime import timedelta

from traction.backend import Backend
from traction.errors import UnknownResourceFault, ValidationException
from traction.model import decisions as d
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import ActivityType, TaskList, WorkflowExecution
from traction.testing.conformance.expect import expect, expect_equal
from traction.testing.conformance.fixture import LONG, Fixture, name_types, wait_for


def the_first_decision_task_brings_the_history_up_to_its_own_start(backend: Backend) -> None:
    """With who took it, and no task before it."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    task = desk.get_decision_task(identity="examiner")
    expect_equal(task.workflow_execution, execution, "the task's execution")
    expect_equal(task.workflow_type, desk.workflow_type, "the task's workflow type")
    expect_equal([event.event_id for event in task.events], [1, 2, 3], "the ids of its events")
    expect_equal(task.started_event_id, 3, "the event of its start")
    expect(not task.previous_started_event_id, "a first task should have none before it")
    started = task.events[-1]
    assert isinstance(started, e.DecisionTaskStarted), started
    expect_equal((started.scheduled_event_id, started.identity), (2, "examiner"), "the start of the task")
    expect_equal(list(task.events), backend.get_history(execution), "the history")
    desk.terminate(execution)


def the_next_task_tells_which_came_before_and_can_begin_there(backend: Backend) -> None:
    """A task that timed out does not count."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start(task_start_to_close_timeout="1")
    desk.let_time_pass()
    first = desk.decide(d.RecordMarker(marker_name="m", details="1"))
    desk.signal(execution)
    lost = desk.get_decision_task()
    expect_equal(lost.previous_started_event_id, first.started_event_id, "the start of the task before")
    desk.wait_for_event(execution, e.DecisionTaskTimedOut)
    again = desk.get_decision_task(start_at_previous_started_event=True)
    expect_equal(again.previous_started_event_id, first.started_event_id, "the start of the last task answered")
    begin = again.events[0]
    previous = next(event for event in again.events if event.event_id == first.started_event_id)
    # It begins at that event by its time: what happened in the same moment may come along.
    expect_equal(begin.event_timestamp, previous.event_timestamp, "the time of the first event given")
    started, timed_out = backend.get_history(execution)[0], desk.wait_for_event(execution, e.DecisionTaskTimedOut)
    assert isinstance(started, e.WorkflowExecutionStarted), started
    expect_equal(started.task_start_to_close_timeout, "1", "the timeout of the tasks")
    expect_equal(
        (timed_out.timeout_type, timed_out.started_event_id), ("START_TO_CLOSE", lost.started_event_id), "the timeout"
    )
    lasted = timed_out.event_timestamp - lost.events[-1].event_timestamp
    expect(lasted >= timedelta(seconds=1), f"a task of a second should not time out early, and did after {lasted}")
    expect_equal(again.events[-1].event_id, again.started_event_id, "the last event given")
    late = o.RespondDecisionTaskCompleted(task_token=lost.task_token)
    desk.expect_fault(UnknownResourceFault, late, "an answer after the timeout")
    desk.terminate(execution)


def news_for_a_waiting_task_do_not_make_a_second(backend: Backend) -> None:
    """They are coalesced; news that come while it runs make one more, which is handed out after it."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    desk.signal(execution)
    desk.signal(execution)
    task = desk.get_decision_task()
    signaled, scheduled = "WorkflowExecutionSignaled", "DecisionTaskScheduled"
    expect_equal(
        name_types(list(task.events)),
        ["WorkflowExecutionStarted", scheduled, signaled, signaled, "DecisionTaskStarted"],
        "the events of the first task",
    )
    desk.signal(execution)
    desk.signal(execution)
    expect_equal(desk.list_types(execution, 6), [signaled, scheduled, signaled], "the events while it runs")
    poll = desk.find_decision_task(timedelta(seconds=1))
    expect(not poll.task_token, "a second task of a run should not be handed out while the first runs")
    desk.respond(task)
    following = desk.get_decision_task()
    expect_equal(
        name_types(list(following.events[5:])),
        [signaled, scheduled, signaled, "DecisionTaskCompleted", "DecisionTaskStarted"],
        "the events that follow",
    )
    desk.terminate(execution)


def an_answer_is_taken_once(backend: Backend) -> None:
    """A second call tells that the first one worked. A token of nothing is no token."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    task = desk.decide(execution_context="first")
    again = o.RespondDecisionTaskCompleted(task_token=task.task_token, execution_context="second")
    desk.expect_fault(UnknownResourceFault, again, "a second answer to a decision task")
    expect_equal(desk.list_types(execution, 4), ["DecisionTaskCompleted"], "the events of the answer")
    expect_equal(desk.describe(execution).latest_execution_context, "first", "the context")
    garbage = o.RespondDecisionTaskCompleted(task_token="garbage")
    desk.expect_fault(ValidationException, garbage, "a token of nothing")
    desk.terminate(execution)


def an_answer_that_is_not_well_formed_changes_nothing_and_may_be_mended(backend: Backend) -> None:
    """A close that is not last, a timer in the same answer as a close, a text beyond its limit."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    task = desk.get_decision_task()
    close = d.CompleteWorkflowExecution()
    answers: tuple[tuple[d.Decision, ...], ...] = (
        (close, d.RecordMarker(marker_name="m")),
        (d.StartTimer(timer_id="t", start_to_fire_timeout="1"), close),
        (d.RecordMarker(marker_name="m", details="x" * (backend.limits.payload_chars_max + 1)),),
        (d.RecordMarker(marker_name="m"), d.StartTimer(timer_id="a/b", start_to_fire_timeout="1")),
        (d.StartTimer(timer_id="t", start_to_fire_timeout="soon"),),
    )
    for answer in answers:
        request = o.RespondDecisionTaskCompleted(task_token=task.task_token, decisions=answer)
        desk.expect_fault(ValidationException, request, f"{[type(decision).__name__ for decision in answer]}")
    expect_equal(len(backend.get_history(execution)), 3, "the number of events")
    desk.respond(task, close)
    expect(backend.wait_until_closed(execution, LONG), "the mended answer should close the run")
    desk.inspect(execution)


def decisions_are_applied_in_order_and_in_one_moment(backend: Backend) -> None:
    """With the id of the completed task; the close comes last."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    task = desk.get_decision_task()
    desk.respond(
        task,
        d.RecordMarker(marker_name="m1"),
        d.ScheduleActivityTask(activity_type=desk.activity_type, activity_id="a", input="in", control="c"),
        d.StartTimer(timer_id="t", start_to_fire_timeout="100"),
        d.RecordMarker(marker_name="m2", details="d"),
    )
    completed, *made = backend.get_history(execution)[3:]
    expect_equal(
        name_types([completed, *made]),
        ["DecisionTaskCompleted", "MarkerRecorded", "ActivityTaskScheduled", "TimerStarted", "MarkerRecorded"],
        "the events of the answer",
    )
    expect_equal({event.event_timestamp for event in made}, {completed.event_timestamp}, "the times of the events")
    links = {getattr(event, "decision_task_completed_event_id", None) for event in made}
    expect_equal(links, {completed.event_id}, "the links of the events")
    scheduled = made[1]
    assert isinstance(scheduled, e.ActivityTaskScheduled)
    expect_equal((scheduled.input, scheduled.control), ("in", "c"), "what was said of the activity")
    expect_equal((scheduled.task_list, scheduled.start_to_close_timeout), (desk.workers, "120"), "its defaults")
    waits = (scheduled.schedule_to_start_timeout, scheduled.schedule_to_close_timeout, scheduled.heartbeat_timeout)
    expect_equal((scheduled.activity_type, *waits), (desk.activity_type, "NONE", "NONE", "NONE"), "its type and clocks")
    marker = made[3]
    assert isinstance(marker, e.MarkerRecorded), marker
    expect_equal((marker.marker_name, marker.details), ("m2", "d"), "what the marker keeps")
    desk.terminate(execution)


def a_decision_that_cannot_be_applied_is_told_in_the_history(backend: Backend) -> None:
    """The others are applied; one decision task follows."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    desk.decide(
        d.ScheduleActivityTask(activity_type=ActivityType(desk.tag, "never"), activity_id="a"),
        d.StartTimer(timer_id="t", start_to_fire_timeout="100"),
        d.StartTimer(timer_id="t", start_to_fire_timeout="100"),
        d.CancelTimer(timer_id="u"),
        d.RequestCancelActivityTask(activity_id="u"),
    )
    events = backend.get_history(execution)[4:]
    told = [(type(event).__name__, getattr(event, "cause", None)) for event in events]
    refused = events[0]
    assert isinstance(refused, e.ScheduleActivityTaskFailed), refused
    expect_equal((refused.activity_id, refused.activity_type.version), ("a", "never"), "the activity that was refused")
    wanted = [
        ("ScheduleActivityTaskFailed", "ACTIVITY_TYPE_DOES_NOT_EXIST"),
        ("TimerStarted", None),
        ("StartTimerFailed", "TIMER_ID_ALREADY_IN_USE"),
        ("CancelTimerFailed", "TIMER_ID_UNKNOWN"),
        ("RequestCancelActivityTaskFailed", "ACTIVITY_ID_UNKNOWN"),
        ("DecisionTaskScheduled", None),
    ]
    expect_equal(told, wanted, "the events")
    desk.terminate(execution)


def a_close_that_overlooks_news_is_refused(backend: Backend) -> None:
    """UNHANDLED_DECISION: what came before it in the answer stays, and the next task brings the news."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    task = desk.get_decision_task()
    desk.signal(execution)
    desk.respond(task, d.RecordMarker(marker_name="m"), d.CompleteWorkflowExecution(result="1"))
    expect_equal(
        desk.list_types(execution, 4),
        [
            "WorkflowExecutionSignaled",
            "DecisionTaskScheduled",
            "DecisionTaskCompleted",
            "MarkerRecorded",
            "CompleteWorkflowExecutionFailed",
        ],
        "the events of the refusal",
    )
    refusal = backend.get_history(execution)[7]
    assert isinstance(refusal, e.CompleteWorkflowExecutionFailed), refusal
    expect_equal(refusal.cause, "UNHANDLED_DECISION", "the cause of the refusal")
    desk.decide(d.CompleteWorkflowExecution(result="2"))
    closing = backend.find_closing_event(execution)
    assert isinstance(closing, e.WorkflowExecutionCompleted), closing
    expect_equal(closing.result, "2", "the result")
    desk.inspect(execution)


def a_run_fails_with_reason_and_details(backend: Backend) -> None:
    """And nothing is appended afterwards, though an activity is open."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    desk.decide(d.ScheduleActivityTask(activity_type=desk.activity_type, activity_id="a"))
    task = desk.get_activity_task()
    desk.signal(execution)
    desk.decide(d.FailWorkflowExecution(reason="r", details="d"))
    closing = backend.find_closing_event(execution)
    assert isinstance(closing, e.WorkflowExecutionFailed), closing
    expect_equal((closing.reason, closing.details), ("r", "d"), "the failure")
    late = o.RespondActivityTaskCompleted(task_token=task.task_token)
    desk.expect_fault(UnknownResourceFault, late, "an answer to an activity task of a closed run")
    expect_equal(backend.get_history(execution)[-1], closing, "the last event")
    desk.inspect(execution)


def a_timer_fires_when_it_is_due_and_not_before_unless_it_is_cancelled(backend: Backend) -> None:
    """One of no length fires at once, which brings the next decision task."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    desk.decide(
        d.StartTimer(timer_id="two", start_to_fire_timeout="2", control="c"),
        d.StartTimer(timer_id="none", start_to_fire_timeout="0"),
        d.StartTimer(timer_id="long", start_to_fire_timeout="3"),
    )
    first = desk.wait_for_event(execution, e.TimerFired)
    expect_equal(first.timer_id, "none", "the timer that fires first")
    desk.decide(d.CancelTimer(timer_id="long"))
    canceled = desk.wait_for_event(execution, e.TimerCanceled)
    expect_equal(canceled.timer_id, "long", "the timer that was cancelled")

    def look() -> e.TimerFired | None:
        fired = desk.wait_for_event(execution, e.TimerFired)
        return fired if fired.timer_id == "two" else None

    fired = wait_for(look, "a timer of two seconds")
    started = backend.get_history(execution)[fired.started_event_id - 1]
    assert isinstance(started, e.TimerStarted), started
    expect_equal((started.timer_id, started.control), ("two", "c"), "what was said of the timer")
    lasted = fired.event_timestamp - started.event_timestamp
    expect(lasted >= timedelta(seconds=2), f"a timer of two seconds should not fire early, and did after {lasted}")
    task = desk.get_decision_task()
    expect(any(event == fired for event in task.events), "the decision task should tell of the timer")
    desk.respond(task, d.StartTimer(timer_id="two", start_to_fire_timeout="100"), d.CancelTimer(timer_id="two"))
    expect_equal(desk.list_types(execution)[-2:], ["TimerStarted", "TimerCanceled"], "the events of an id used again")
    desk.terminate(execution)


def an_execution_goes_on_as_a_new_run(backend: Backend) -> None:
    """The old run names the new one, and the new one the old."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start(input="1")
    desk.decide(d.ContinueAsNewWorkflowExecution(input="2"))
    expect(backend.wait_until_closed(execution, LONG), "the old run should be closed")
    closing = backend.find_closing_event(execution)
    assert isinstance(closing, e.WorkflowExecutionContinuedAsNew), closing
    following = WorkflowExecution(execution.workflow_id, closing.new_execution_run_id)
    started = backend.get_history(following)[0]
    assert isinstance(started, e.WorkflowExecutionStarted), started
    expect_equal((started.input, started.continued_execution_run_id), ("2", execution.run_id), "the new run")
    for run in (execution, following):
        desk.inspect(run)
    desk.terminate(following)


def a_child_is_started_and_its_close_is_told_to_its_parent(backend: Backend) -> None:
    """The child knows its parent."""
    desk = Fixture(backend)
    desk.register()
    parent = desk.start("parent")
    child_id, children = f"{desk.tag}-child", TaskList(f"{desk.tag}-children")
    desk.decide(
        d.StartChildWorkflowExecution(
            workflow_type=desk.workflow_type, workflow_id=child_id, task_list=children, input="in"
        )
    )
    task = desk.get_decision_task(task_list=children)
    started = task.events[0]
    assert isinstance(started, e.WorkflowExecutionStarted), started
    expect_equal((started.input, started.parent_workflow_execution), ("in", parent), "what the child knows")
    desk.respond(task, d.CompleteWorkflowExecution(result="out"))
    completed = desk.wait_for_event(parent, e.ChildWorkflowExecutionCompleted)
    expect_equal((completed.result, completed.workflow_execution), ("out", task.workflow_execution), "the child's end")
    initiated, begun = (
        backend.get_history(parent)[id - 1] for id in (completed.initiated_event_id, completed.started_event_id)
    )
    expect(isinstance(initiated, e.StartChildWorkflowExecutionInitiated), "the close should link to the decision")
    expect(isinstance(begun, e.ChildWorkflowExecutionStarted), "the close should link to the start")
    desk.terminate(parent)


def a_run_signals_and_cancels_another(backend: Backend) -> None:
    """Or is told that there is none."""
    desk = Fixture(backend)
    desk.register()
    source = desk.start("source")
    target = desk.start("target", task_list=TaskList(f"{desk.tag}-elsewhere"))
    desk.decide(
        d.SignalExternalWorkflowExecution(workflow_id=target.workflow_id, signal_name="hello", input="x"),
        d.RequestCancelExternalWorkflowExecution(workflow_id=target.workflow_id),
        d.SignalExternalWorkflowExecution(workflow_id=f"{desk.tag}-nobody", signal_name="hello"),
    )
    signaled = desk.wait_for_event(target, e.WorkflowExecutionSignaled)
    expect_equal((signaled.input, signaled.external_workflow_execution), ("x", source), "what the target is told")
    desk.wait_for_event(target, e.WorkflowExecutionCancelRequested)
    told = desk.wait_for_event(source, e.ExternalWorkflowExecutionSignaled)
    expect_equal(told.workflow_execution, target, "who was signalled")
    desk.wait_for_event(source, e.ExternalWorkflowExecutionCancelRequested)
    failed = desk.wait_for_event(source, e.SignalExternalWorkflowExecutionFailed)
    expect_equal(failed.cause, "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION", "the cause of the failure")
    for execution in (source, target):
        desk.terminate(execution)


def an_answer_may_name_the_list_of_the_tasks_to_come(backend: Backend) -> None:
    """For a time, if it says for how long they wait there; a task that was not taken comes back on the old list."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    own = TaskList(f"{desk.tag}-own")
    desk.decide(task_list=own, task_list_schedule_to_start_timeout="2")
    completed = backend.get_history(execution)[-1]
    assert isinstance(completed, e.DecisionTaskCompleted), completed
    told = (completed.task_list, completed.task_list_schedule_to_start_timeout)
    expect_equal(told, (own, "2"), "the list that the answer named")
    desk.signal(execution)
    task = desk.get_decision_task(task_list=own, start_at_previous_started_event=True)
    expect_equal(task.workflow_execution, execution, "the execution of the task on the list that was named")
    desk.respond(task, task_list=own, task_list_schedule_to_start_timeout="1")
    desk.signal(execution)
    missed = desk.wait_for_event(execution, e.DecisionTaskTimedOut)
    expect_equal(missed.timeout_type, "SCHEDULE_TO_START", "the clock of a task that nobody took")
    back = desk.get_decision_task()
    expect_equal(back.workflow_execution, execution, "the execution of the task that came back")
    expect_equal(back.previous_started_event_id, task.started_event_id, "the start of the last task answered")
    desk.respond(back, task_list=own)
    desk.signal(execution)
    expect(desk.get_decision_task(task_list=own).task_token, "a list that was named for good should be used")
    expect_equal(desk.describe(execution).execution_configuration.task_list, desk.deciders, "the list of the run")
    desk.terminate(execution)


def a_lambda_task_without_a_role_cannot_start(backend: Backend) -> None:
    """It is scheduled, and then its failure is told."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    desk.decide(d.ScheduleLambdaFunction(id="l", name="f", input="in", control="c", start_to_close_timeout="5"))
    failed = desk.wait_for_event(execution, e.StartLambdaFunctionFailed)
    expect_equal(failed.cause, "ASSUME_ROLE_FAILED", "the cause of the failure")
    scheduled = backend.get_history(execution)[(failed.scheduled_event_id or 0) - 1]
    assert isinstance(scheduled, e.LambdaFunctionScheduled), scheduled
    told = (scheduled.id, scheduled.name, scheduled.input, scheduled.control, scheduled.start_to_close_timeout)
    expect_equal(told, ("l", "f", "in", "c", "5"), "the task that was scheduled")
    desk.terminate(execution)


def a_run_without_news_gets_no_task(backend: Backend) -> None:
    """An empty answer is taken, and nothing follows until something happens."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    desk.decide()
    expect_equal(len(backend.get_history(execution)), 4, "the number of events")
    poll = desk.find_decision_task(timedelta(seconds=1))
    expect(not poll.task_token, "an idle run should have no decision task")
    desk.signal(execution)
    desk.decide(d.CompleteWorkflowExecution())
    expect(backend.wait_until_closed(execution, LONG), "the run should be closed")
    desk.inspect(execution)


CHECKS = (
    the_first_decision_task_brings_the_history_up_to_its_own_start,
    the_next_task_tells_which_came_before_and_can_begin_there,
    news_for_a_waiting_task_do_not_make_a_second,
    an_answer_is_taken_once,
    an_answer_that_is_not_well_formed_changes_nothing_and_may_be_mended,
    decisions_are_applied_in_order_and_in_one_moment,
    a_decision_that_cannot_be_applied_is_told_in_the_history,
    a_close_that_overlooks_news_is_refused,
    a_run_fails_with_reason_and_details,
    a_timer_fires_when_it_is_due_and_not_before_unless_it_is_cancelled,
    an_execution_goes_on_as_a_new_run,
    a_child_is_started_and_its_close_is_told_to_its_parent,
    a_run_signals_and_cancels_another,
    an_answer_may_name_the_list_of_the_tasks_to_come,
    a_lambda_task_without_a_role_cannot_start,
    a_run_without_news_gets_no_task,
)
