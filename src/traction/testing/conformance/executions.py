"""Check executions from outside: started once, signalled, asked to cancel, terminated, described and listed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from traction.backend import Backend
from traction.errors import UnknownResourceFault, ValidationException, WorkflowExecutionAlreadyStartedFault
from traction.model import decisions as d
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import WorkflowExecution
from traction.testing.conformance.expect import expect, expect_equal
from traction.testing.conformance.fixture import LONG, NOW, Fixture, wait_for
from traction.testing.conformance.history_invariants import expect_sound

HOUR = timedelta(hours=1)


def a_run_begins_with_its_start_and_a_decision_task_in_one_moment(backend: Backend) -> None:
    """Events 1 and 2, with every setting resolved."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start(input="{}", tag_list=("red", "blue"), task_priority="7")
    started, scheduled = backend.get_history(execution)
    expect(isinstance(started, e.WorkflowExecutionStarted), "event 1 should be WorkflowExecutionStarted")
    expect(isinstance(scheduled, e.DecisionTaskScheduled), "event 2 should be DecisionTaskScheduled")
    assert isinstance(started, e.WorkflowExecutionStarted)
    assert isinstance(scheduled, e.DecisionTaskScheduled)
    expect_equal((started.event_id, scheduled.event_id), (1, 2), "the first event ids")
    expect_equal(started.event_timestamp, scheduled.event_timestamp, "the time of event 2")
    expect_equal((started.input, started.tag_list), ("{}", ("red", "blue")), "the input and the tags")
    expect_equal((started.workflow_type, started.task_priority), (desk.workflow_type, "7"), "the type and the priority")
    timeouts = (started.execution_start_to_close_timeout, started.task_start_to_close_timeout)
    expect_equal((*timeouts, scheduled.start_to_close_timeout), ("300", "120", "120"), "the timeouts of the type")
    expect_equal((started.task_list, started.child_policy), (desk.deciders, "TERMINATE"), "the defaults of the type")
    expect_equal(scheduled.task_list, desk.deciders, "the list of the first decision task")
    expect_equal(scheduled.task_priority, "7", "the priority of the first decision task")
    offset = abs(backend.now() - started.event_timestamp)
    expect(offset < timedelta(minutes=10), f"now() and the time of an event should agree, and differ by {offset}")
    desk.terminate(execution)


def one_run_of_an_id_is_open_at_most(backend: Backend) -> None:
    """A start called again tells that the first one worked; after the close it starts another run."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    again = o.StartWorkflowExecution(
        domain=desk.domain, workflow_id=execution.workflow_id, workflow_type=desk.workflow_type
    )
    desk.expect_fault(WorkflowExecutionAlreadyStartedFault, again, "a start while a run is open")
    desk.terminate(execution)
    second = desk.start()
    expect(second.run_id != execution.run_id, "a second run should have an id of its own")
    expect_equal(len(backend.get_history(second)), 2, "the number of events of the second run")
    desk.terminate(second)


def a_signal_is_in_the_history_as_often_as_it_was_accepted(backend: Backend) -> None:
    """In the order of acceptance; to the run that is open, or the one that is named."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    for number in ("1", "2", "2"):
        desk.signal(execution, input=number, run_id=execution.run_id if number == "1" else None)
    signals = [event for event in backend.get_history(execution) if isinstance(event, e.WorkflowExecutionSignaled)]
    expect_equal([event.input for event in signals], ["1", "2", "2"], "the inputs of the signals")
    expect_equal({event.signal_name for event in signals}, {"poke"}, "the name of the signals")
    stranger = o.SignalWorkflowExecution(
        domain=desk.domain, workflow_id=execution.workflow_id, run_id="no-such-run", signal_name="poke"
    )
    desk.expect_fault(UnknownResourceFault, stranger, "a signal to a run that is not there")
    desk.terminate(execution)
    late = o.SignalWorkflowExecution(domain=desk.domain, workflow_id=execution.workflow_id, signal_name="poke")
    desk.expect_fault(UnknownResourceFault, late, "a signal after the close")


def what_names_a_run_reaches_no_other(backend: Backend) -> None:
    """Not the one that is open under the same id: nothing is written, and nothing read."""
    desk = Fixture(backend)
    desk.register()
    closed = desk.start()
    desk.terminate(closed)
    execution = desk.start()
    for run_id in (closed.run_id, "no-such-run"):
        named: dict[str, Any] = {"domain": desk.domain, "workflow_id": execution.workflow_id, "run_id": run_id}
        requests: tuple[o.Request[object], ...] = (
            o.SignalWorkflowExecution(signal_name="poke", **named),
            o.RequestCancelWorkflowExecution(**named),
            o.TerminateWorkflowExecution(**named),
        )
        for request in requests:
            desk.expect_fault(UnknownResourceFault, request, f"{type(request).__name__} of a run that is not open")
    expect_equal(len(backend.get_history(execution)), 2, "the number of events")
    expect_equal(desk.describe(closed).execution_info.close_status, "TERMINATED", "the status of the run before")
    named = {"domain": desk.domain, "workflow_id": execution.workflow_id, "run_id": execution.run_id}
    desk.call(o.RequestCancelWorkflowExecution(**named))
    desk.call(o.TerminateWorkflowExecution(**named))
    expect(backend.wait_until_closed(execution, LONG), "the run that was named should be closed")
    desk.inspect(execution)


def texts_are_kept_to_the_letter(backend: Backend) -> None:
    """Whatever is in them; and one of no length is not one that was not given."""
    desk = Fixture(backend)
    desk.register()
    for text in (' {"name": "Zo\u00eb \u2603 \U0001f6b2",\r\n\t"path": "a\\\\b\u2028"} ', ""):
        execution = desk.start(input=text)
        desk.signal(execution, input=text)
        activity = d.ScheduleActivityTask(activity_type=desk.activity_type, activity_id="a", input=text, control=text)
        marker = d.RecordMarker(marker_name="m", details=text)
        desk.decide(marker, activity, execution_context=text)
        work = desk.get_activity_task()
        desk.complete(work, text)
        desk.decide(d.FailWorkflowExecution(reason=text, details=text))
        expect_equal(work.input, text, "the input of an activity, as its worker is told")
        kept = {
            e.WorkflowExecutionStarted: "input",
            e.WorkflowExecutionSignaled: "input",
            e.DecisionTaskCompleted: "execution_context",
            e.MarkerRecorded: "details",
            e.ActivityTaskScheduled: "control",
            e.ActivityTaskCompleted: "result",
            e.WorkflowExecutionFailed: "reason",
        }
        events = backend.get_history(execution)
        for kind, name in kept.items():
            event = next(event for event in events if isinstance(event, kind))
            expect_equal(getattr(event, name), text, f"the {name} of {kind.__name__}")
        expect_equal(desk.describe(execution).latest_execution_context, text, "the context described")
        expect_sound(events)


def a_request_to_cancel_is_an_event_and_no_more(backend: Backend) -> None:
    """The execution stays open until its decider acts on it."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    desk.decide()
    desk.cancel(execution)
    expect_equal(
        desk.list_types(execution, 5), ["WorkflowExecutionCancelRequested", "DecisionTaskScheduled"], "the new events"
    )
    expect_equal(desk.describe(execution).execution_info.execution_status, "OPEN", "the status")
    desk.decide(d.CancelWorkflowExecution(details="as asked"))
    closing = backend.find_closing_event(execution)
    expect(isinstance(closing, e.WorkflowExecutionCanceled), f"it should have closed as cancelled, not by {closing}")
    assert isinstance(closing, e.WorkflowExecutionCanceled)
    expect_equal(closing.details, "as asked", "the details")
    late = o.RequestCancelWorkflowExecution(domain=desk.domain, workflow_id=execution.workflow_id)
    desk.expect_fault(UnknownResourceFault, late, "a request to cancel after the close")
    desk.inspect(execution)


def a_termination_closes_at_once_and_a_second_finds_nothing_open(backend: Backend) -> None:
    """Whatever the decider is doing; its answer is then refused."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    task = desk.get_decision_task()
    desk.terminate(execution, reason="enough", details="is enough")
    closing = backend.find_closing_event(execution)
    assert isinstance(closing, e.WorkflowExecutionTerminated), closing
    expect_equal((closing.reason, closing.details), ("enough", "is enough"), "what was said of the termination")
    expect_equal(closing.cause, "OPERATOR_INITIATED", "the cause of the termination")
    again = o.TerminateWorkflowExecution(domain=desk.domain, workflow_id=execution.workflow_id)
    desk.expect_fault(UnknownResourceFault, again, "a second termination")
    answer = o.RespondDecisionTaskCompleted(task_token=task.task_token)
    desk.expect_fault(UnknownResourceFault, answer, "a decision for a closed run")
    expect(backend.wait_until_closed(execution, NOW), "a closed run should be known to be closed")


def an_execution_times_out(backend: Backend) -> None:
    """At the end of its time, never before, whether or not anybody decides."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start(execution_start_to_close_timeout="1")
    expect(backend.find_closing_event(execution) is None, "a run should be open before its time is over")
    expect(backend.wait_until_closed(execution, LONG), "a run of one second should have closed after a minute")
    closing = backend.find_closing_event(execution)
    assert isinstance(closing, e.WorkflowExecutionTimedOut), closing
    lasted = closing.event_timestamp - backend.get_history(execution)[0].event_timestamp
    expect(lasted >= timedelta(seconds=1), f"it should have lasted for a second, and lasted {lasted}")
    desk.inspect(execution)


def a_run_that_nobody_started_is_unknown(backend: Backend) -> None:
    """To all that reads, and to all that asks."""
    desk = Fixture(backend)
    nobody = WorkflowExecution(f"{desk.tag}-nobody", "no-such-run")
    requests: tuple[o.Request[object], ...] = (
        o.DescribeWorkflowExecution(domain=desk.domain, execution=nobody),
        o.GetWorkflowExecutionHistory(domain=desk.domain, execution=nobody),
        o.SignalWorkflowExecution(domain=desk.domain, workflow_id=nobody.workflow_id, signal_name="s"),
        o.RequestCancelWorkflowExecution(domain=desk.domain, workflow_id=nobody.workflow_id),
        o.TerminateWorkflowExecution(domain=desk.domain, workflow_id=nobody.workflow_id),
    )
    for request in requests:
        desk.expect_fault(UnknownResourceFault, request, f"{request.__class__.__name__} of an unknown run")
    for ask in (
        lambda: backend.get_history(nobody),
        lambda: backend.find_closing_event(nobody),
        lambda: backend.wait_until_closed(nobody, NOW),
    ):
        try:
            ask()
        except UnknownResourceFault:
            continue
        expect(False, "a run that nobody started should be unknown")


def a_description_counts_what_is_open(backend: Backend) -> None:
    """Activities, timers, and the latest context; and how the run closed, once it has."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    desk.decide(
        d.ScheduleActivityTask(activity_type=desk.activity_type, activity_id="a"),
        d.ScheduleActivityTask(activity_type=desk.activity_type, activity_id="b"),
        d.StartTimer(timer_id="t", start_to_fire_timeout="100"),
        execution_context="half way",
    )
    detail = desk.describe(execution)
    counts = detail.open_counts
    expect_equal((counts.open_activity_tasks, counts.open_timers), (2, 1), "what is open")
    expect_equal(detail.latest_execution_context, "half way", "the latest context")
    expect_equal(detail.execution_info.execution_status, "OPEN", "the status")
    expect_equal(detail.execution_info.execution, execution, "the execution")
    desk.terminate(execution)
    info = desk.describe(execution).execution_info
    expect_equal((info.execution_status, info.close_status), ("CLOSED", "TERMINATED"), "the status after the close")
    expect(info.close_timestamp is not None, "a closed run should have the time of its close")


def lists_and_counts_find_executions_by_id_type_tag_and_status(backend: Backend) -> None:
    """Sooner or later: lists are behind."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start(tag_list=(desk.tag,))
    since = o.ExecutionTimeFilter(oldest_date=backend.now() - HOUR)
    by_id = o.WorkflowExecutionFilter(workflow_id=execution.workflow_id)
    by_type = o.WorkflowTypeFilter(name=desk.tag)
    filters: tuple[dict[str, Any], ...] = (
        {"execution_filter": by_id},
        {"type_filter": by_type},
        {"tag_filter": o.TagFilter(tag=desk.tag)},
    )
    for given in filters:
        listing = o.ListOpenWorkflowExecutions(domain=desk.domain, start_time_filter=since, **given)
        found = wait_for(lambda listing=listing: desk.call(listing).execution_infos, f"an open run by {given}")  # type: ignore[misc]
        expect_equal([info.execution for info in found], [execution], f"the open runs by {given}")
        counting = o.CountOpenWorkflowExecutions(domain=desk.domain, start_time_filter=since, **given)
        expect_equal(wait_for(lambda counting=counting: desk.call(counting).count, "a count"), 1, "the open runs")  # type: ignore[misc]
    desk.decide(d.CompleteWorkflowExecution())
    closed = o.ListClosedWorkflowExecutions(domain=desk.domain, close_time_filter=since, execution_filter=by_id)
    (info,) = wait_for(lambda: desk.call(closed).execution_infos, "a closed run")
    expect_equal((info.close_status, info.tag_list), ("COMPLETED", (desk.tag,)), "the status and tags of a closed run")
    opened = o.ListOpenWorkflowExecutions(domain=desk.domain, start_time_filter=since, execution_filter=by_id)
    wait_for(lambda: not desk.call(opened).execution_infos, "that the run is no longer listed as open")


def a_listing_takes_one_time_and_one_filter_besides(backend: Backend) -> None:
    """Anything else is refused."""
    desk = Fixture(backend)
    since = o.ExecutionTimeFilter(oldest_date=backend.now() - HOUR)
    by_type, by_tag = o.WorkflowTypeFilter(name=desk.tag), o.TagFilter(tag=desk.tag)
    requests: tuple[o.Request[object], ...] = (
        o.ListClosedWorkflowExecutions(domain=desk.domain),
        o.ListClosedWorkflowExecutions(domain=desk.domain, start_time_filter=since, close_time_filter=since),
        o.ListOpenWorkflowExecutions(
            domain=desk.domain, start_time_filter=since, type_filter=by_type, tag_filter=by_tag
        ),
    )
    for request in requests:
        desk.expect_fault(ValidationException, request, f"{request}")


def what_a_start_gives_beyond_its_limits_is_refused(backend: Backend) -> None:
    """And what just fits is taken."""
    desk = Fixture(backend)
    desk.register()
    limits = backend.limits
    named: dict[str, Any] = {"domain": desk.domain, "workflow_type": desk.workflow_type}
    wrong: tuple[dict[str, Any], ...] = (
        {"workflow_id": "i" * (limits.name_chars_max + 1)},
        {"workflow_id": "a/b"},
        {"workflow_id": desk.tag, "input": "x" * (limits.payload_chars_max + 1)},
        {"workflow_id": desk.tag, "tag_list": ("t",) * (limits.execution_tags_max + 1)},
        {"workflow_id": desk.tag, "tag_list": ("t" * (limits.execution_tag_chars_max + 1),)},
        {"workflow_id": desk.tag, "execution_start_to_close_timeout": "NONE"},
        {"workflow_id": desk.tag, "execution_start_to_close_timeout": str(limits.execution_seconds_max + 1)},
    )
    for given in wrong:
        request = o.StartWorkflowExecution(**named, **given)
        desk.expect_fault(ValidationException, request, f"a start with {', '.join(given)}")
    longest = "x" * limits.payload_chars_max
    execution = desk.start(input=longest, tag_list=tuple("abcde")[: limits.execution_tags_max])
    first = backend.get_history(execution)[0]
    assert isinstance(first, e.WorkflowExecutionStarted)
    expect(first.input == longest, "the longest input should be kept whole")
    reason = "r" * (limits.reason_chars_max + 1)
    long = o.TerminateWorkflowExecution(domain=desk.domain, workflow_id=execution.workflow_id, reason=reason)
    desk.expect_fault(ValidationException, long, "a reason that is too long")
    desk.terminate(execution, reason=reason[:-1])


CHECKS = (
    a_run_begins_with_its_start_and_a_decision_task_in_one_moment,
    one_run_of_an_id_is_open_at_most,
    a_signal_is_in_the_history_as_often_as_it_was_accepted,
    what_names_a_run_reaches_no_other,
    texts_are_kept_to_the_letter,
    a_request_to_cancel_is_an_event_and_no_more,
    a_termination_closes_at_once_and_a_second_finds_nothing_open,
    an_execution_times_out,
    a_run_that_nobody_started_is_unknown,
    a_description_counts_what_is_open,
    lists_and_counts_find_executions_by_id_type_tag_and_status,
    a_listing_takes_one_time_and_one_filter_besides,
    what_a_start_gives_beyond_its_limits_is_refused,
)
