"""Check requests about executions: start, signal, cancel, terminate, describe and list."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from traction.backend import Backend
from traction.errors import UnknownResourceFault, ValidationException, WorkflowExecutionAlreadyStartedFault
from traction.model import decisions as d
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import WorkflowExecution
from traction.testing.conformance.expect import expect, expect_equal, expect_type
from traction.testing.conformance.fixture import LONG, NOW, Fixture, begin, wait_for
from traction.testing.conformance.history_invariants import expect_sound

HOUR = timedelta(hours=1)


def a_start_records_two_events_with_one_timestamp(backend: Backend) -> None:
    """WorkflowExecutionStarted, with all settings resolved, and DecisionTaskScheduled."""
    fixture, execution = begin(backend, input="{}", tag_list=("red", "blue"), task_priority="7")
    first, second = backend.get_history(execution)
    started, scheduled = expect_type(first, e.WorkflowExecutionStarted), expect_type(second, e.DecisionTaskScheduled)
    expect_equal((started.event_id, scheduled.event_id), (1, 2), "the first event ids")
    expect_equal(started.event_timestamp, scheduled.event_timestamp, "the time of event 2")
    expect_equal((started.input, started.tag_list), ("{}", ("red", "blue")), "the input and the tags")
    expect_equal(
        (started.workflow_type, started.task_priority), (fixture.workflow_type, "7"), "the type and the priority"
    )
    timeouts = (started.execution_start_to_close_timeout, started.task_start_to_close_timeout)
    expect_equal((*timeouts, scheduled.start_to_close_timeout), ("300", "120", "120"), "the timeouts of the type")
    expect_equal((started.task_list, started.child_policy), (fixture.deciders, "TERMINATE"), "the defaults of the type")
    expect_equal(scheduled.task_list, fixture.deciders, "the list of the first decision task")
    expect_equal(scheduled.task_priority, "7", "the priority of the first decision task")
    offset = abs(backend.now() - started.event_timestamp)
    expect(offset < timedelta(minutes=10), f"now() and the time of an event should not differ by {offset}")
    fixture.terminate(execution)


def a_workflow_id_has_at_most_one_open_run(backend: Backend) -> None:
    """A second start is refused while the first run is open. After the close it starts another run."""
    fixture, execution = begin(backend)
    again = o.StartWorkflowExecution(
        domain=fixture.domain, workflow_id=execution.workflow_id, workflow_type=fixture.workflow_type
    )
    fixture.expect_fault(WorkflowExecutionAlreadyStartedFault, again, "a start while a run is open")
    fixture.terminate(execution)
    second = fixture.start()
    expect(second.run_id != execution.run_id, "the second run should have another run id")
    expect_equal(len(backend.get_history(second)), 2, "the number of events of the second run")
    fixture.terminate(second)


def each_accepted_signal_is_recorded_once_and_in_order(backend: Backend) -> None:
    """Signals reach the open run, or the open run with the run id of the request."""
    fixture, execution = begin(backend)
    for number in ("1", "2", "2"):
        fixture.signal(execution, input=number, run_id=execution.run_id if number == "1" else None)
    signals = [event for event in backend.get_history(execution) if isinstance(event, e.WorkflowExecutionSignaled)]
    expect_equal([event.input for event in signals], ["1", "2", "2"], "the inputs of the signals")
    expect_equal({event.signal_name for event in signals}, {"poke"}, "the name of the signals")
    other_run = o.SignalWorkflowExecution(
        domain=fixture.domain, workflow_id=execution.workflow_id, run_id="no-such-run", signal_name="poke"
    )
    fixture.expect_fault(UnknownResourceFault, other_run, "a signal to an unknown run")
    fixture.terminate(execution)
    late = o.SignalWorkflowExecution(domain=fixture.domain, workflow_id=execution.workflow_id, signal_name="poke")
    fixture.expect_fault(UnknownResourceFault, late, "a signal after the close")


def requests_with_a_run_id_affect_only_that_run(backend: Backend) -> None:
    """A request with the id of a closed run does not reach the open run of the same workflow id."""
    fixture, closed = begin(backend)
    fixture.terminate(closed)
    execution = fixture.start()
    for run_id in (closed.run_id, "no-such-run"):
        named: dict[str, Any] = {"domain": fixture.domain, "workflow_id": execution.workflow_id, "run_id": run_id}
        fixture.expect_faults(
            UnknownResourceFault,
            "of a run that is not open",
            o.SignalWorkflowExecution(signal_name="poke", **named),
            o.RequestCancelWorkflowExecution(**named),
            o.TerminateWorkflowExecution(**named),
        )
    expect_equal(len(backend.get_history(execution)), 2, "the number of events")
    expect_equal(fixture.describe(closed).execution_info.close_status, "TERMINATED", "the status of the closed run")
    named = {"domain": fixture.domain, "workflow_id": execution.workflow_id, "run_id": execution.run_id}
    fixture.call(o.RequestCancelWorkflowExecution(**named))
    fixture.call(o.TerminateWorkflowExecution(**named))
    expect(backend.wait_until_closed(execution, LONG), "the run with this run id should be closed")
    fixture.inspect(execution)


def texts_are_stored_unchanged(backend: Backend) -> None:
    """Unicode, control characters and empty texts. An empty text is not `None`."""
    fixture = Fixture(backend).register()
    for text in (' {"name": "Zo\u00eb \u2603 \U0001f6b2",\r\n\t"path": "a\\\\b\u2028"} ', ""):
        execution = fixture.start(input=text)
        fixture.signal(execution, input=text)
        activity = d.ScheduleActivityTask(
            activity_type=fixture.activity_type, activity_id="a", input=text, control=text
        )
        marker = d.RecordMarker(marker_name="m", details=text)
        fixture.decide(marker, activity, execution_context=text)
        work = fixture.get_activity_task()
        fixture.complete(work, text)
        fixture.decide(d.FailWorkflowExecution(reason=text, details=text))
        expect_equal(work.input, text, "the input of the activity task")
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
        expect_equal(fixture.describe(execution).latest_execution_context, text, "the latest context")
        expect_sound(events)


def a_cancel_request_is_recorded_and_closes_nothing(backend: Backend) -> None:
    """The execution stays open until its decider handles the request."""
    fixture, execution = begin(backend)
    fixture.decide()
    fixture.cancel(execution)
    expect_equal(
        fixture.list_types(execution, 5),
        ["WorkflowExecutionCancelRequested", "DecisionTaskScheduled"],
        "the new events",
    )
    expect_equal(fixture.describe(execution).execution_info.execution_status, "OPEN", "the status")
    fixture.decide(d.CancelWorkflowExecution(details="as requested"))
    closing = expect_type(backend.find_closing_event(execution), e.WorkflowExecutionCanceled)
    expect_equal(closing.details, "as requested", "the details")
    late = o.RequestCancelWorkflowExecution(domain=fixture.domain, workflow_id=execution.workflow_id)
    fixture.expect_fault(UnknownResourceFault, late, "a cancel request after the close")
    fixture.inspect(execution)


def a_termination_closes_the_run_at_once(backend: Backend) -> None:
    """A running decision task cannot be completed afterwards, and a second termination is refused."""
    fixture, execution = begin(backend)
    task = fixture.get_decision_task()
    fixture.terminate(execution, reason="enough", details="is enough")
    closing = expect_type(backend.find_closing_event(execution), e.WorkflowExecutionTerminated)
    expect_equal(
        (closing.reason, closing.details), ("enough", "is enough"), "the reason and details of the termination"
    )
    expect_equal(closing.cause, "OPERATOR_INITIATED", "the cause of the termination")
    again = o.TerminateWorkflowExecution(domain=fixture.domain, workflow_id=execution.workflow_id)
    fixture.expect_fault(UnknownResourceFault, again, "a second termination")
    answer = o.RespondDecisionTaskCompleted(task_token=task.task_token)
    fixture.expect_fault(UnknownResourceFault, answer, "a completion for a closed run")
    expect(backend.wait_until_closed(execution, NOW), "a closed run should count as closed")


def executions_time_out(backend: Backend) -> None:
    """When the timeout is over, and not before."""
    fixture, execution = begin(backend, execution_start_to_close_timeout="1")
    expect(backend.find_closing_event(execution) is None, "a run should be open before its timeout")
    expect(backend.wait_until_closed(execution, LONG), "a run with a timeout of 1 s should be closed after a minute")
    closing = expect_type(backend.find_closing_event(execution), e.WorkflowExecutionTimedOut)
    elapsed = closing.event_timestamp - backend.get_history(execution)[0].event_timestamp
    expect(elapsed >= timedelta(seconds=1), f"a timeout of 1 s should not expire after {elapsed}")
    fixture.inspect(execution)


def unknown_runs_are_refused_by_every_call(backend: Backend) -> None:
    """The fault is `UnknownResourceFault`."""
    fixture = Fixture(backend)
    unknown = WorkflowExecution(f"{fixture.tag}-unknown", "no-such-run")
    fixture.expect_faults(
        UnknownResourceFault,
        "of an unknown run",
        o.DescribeWorkflowExecution(domain=fixture.domain, execution=unknown),
        o.GetWorkflowExecutionHistory(domain=fixture.domain, execution=unknown),
        o.SignalWorkflowExecution(domain=fixture.domain, workflow_id=unknown.workflow_id, signal_name="s"),
        o.RequestCancelWorkflowExecution(domain=fixture.domain, workflow_id=unknown.workflow_id),
        o.TerminateWorkflowExecution(domain=fixture.domain, workflow_id=unknown.workflow_id),
    )
    for ask in (
        lambda: backend.get_history(unknown),
        lambda: backend.find_closing_event(unknown),
        lambda: backend.wait_until_closed(unknown, NOW),
    ):
        try:
            ask()
        except UnknownResourceFault:
            continue
        expect(False, "the run should be unknown")


def descriptions_count_open_activities_and_timers(backend: Backend) -> None:
    """They also contain the latest context and, after the close, how the run closed."""
    fixture, execution = begin(backend)
    fixture.decide(
        d.ScheduleActivityTask(activity_type=fixture.activity_type, activity_id="a"),
        d.ScheduleActivityTask(activity_type=fixture.activity_type, activity_id="b"),
        d.StartTimer(timer_id="t", start_to_fire_timeout="100"),
        execution_context="halfway",
    )
    detail = fixture.describe(execution)
    counts = detail.open_counts
    expect_equal((counts.open_activity_tasks, counts.open_timers), (2, 1), "the open counts")
    expect_equal(detail.latest_execution_context, "halfway", "the latest context")
    expect_equal(detail.execution_info.execution_status, "OPEN", "the status")
    expect_equal(detail.execution_info.execution, execution, "the execution")
    fixture.terminate(execution)
    info = fixture.describe(execution).execution_info
    expect_equal((info.execution_status, info.close_status), ("CLOSED", "TERMINATED"), "the status after the close")
    expect(info.close_timestamp is not None, "a closed run should have a close timestamp")


def executions_are_found_by_id_type_tag_and_status(backend: Backend) -> None:
    """Lists may lag behind."""
    fixture = Fixture(backend).register()
    execution = fixture.start(tag_list=(fixture.tag,))
    since = o.ExecutionTimeFilter(oldest_date=backend.now() - HOUR)
    by_id = o.WorkflowExecutionFilter(workflow_id=execution.workflow_id)
    by_type = o.WorkflowTypeFilter(name=fixture.tag)
    filters: tuple[dict[str, Any], ...] = (
        {"execution_filter": by_id},
        {"type_filter": by_type},
        {"tag_filter": o.TagFilter(tag=fixture.tag)},
    )
    for members in filters:
        listing = o.ListOpenWorkflowExecutions(domain=fixture.domain, start_time_filter=since, **members)
        found = wait_for(lambda listing=listing: fixture.call(listing).execution_infos, f"an open run by {members}")  # type: ignore[misc]
        expect_equal([info.execution for info in found], [execution], f"the open runs by {members}")
        counting = o.CountOpenWorkflowExecutions(domain=fixture.domain, start_time_filter=since, **members)
        expect_equal(wait_for(lambda counting=counting: fixture.call(counting).count, "a count"), 1, "the open runs")  # type: ignore[misc]
    fixture.decide(d.CompleteWorkflowExecution())
    closed = o.ListClosedWorkflowExecutions(domain=fixture.domain, close_time_filter=since, execution_filter=by_id)
    (info,) = wait_for(lambda: fixture.call(closed).execution_infos, "a closed run")
    expect_equal(
        (info.close_status, info.tag_list), ("COMPLETED", (fixture.tag,)), "the status and tags of a closed run"
    )
    opened = o.ListOpenWorkflowExecutions(domain=fixture.domain, start_time_filter=since, execution_filter=by_id)
    wait_for(lambda: not fixture.call(opened).execution_infos, "the removal of the run from the list of open runs")


def lists_with_several_filters_are_refused(backend: Backend) -> None:
    """A list takes exactly one time filter and at most one other filter."""
    fixture = Fixture(backend)
    since = o.ExecutionTimeFilter(oldest_date=backend.now() - HOUR)
    by_type, by_tag = o.WorkflowTypeFilter(name=fixture.tag), o.TagFilter(tag=fixture.tag)
    fixture.expect_faults(
        ValidationException,
        "with these filters",
        o.ListClosedWorkflowExecutions(domain=fixture.domain),
        o.ListClosedWorkflowExecutions(domain=fixture.domain, start_time_filter=since, close_time_filter=since),
        o.ListOpenWorkflowExecutions(
            domain=fixture.domain, start_time_filter=since, type_filter=by_type, tag_filter=by_tag
        ),
    )


def a_start_with_a_member_beyond_its_limit_is_refused(backend: Backend) -> None:
    """The longest allowed input is accepted and stored unchanged."""
    fixture = Fixture(backend).register()
    limits = backend.limits
    named: dict[str, Any] = {"domain": fixture.domain, "workflow_type": fixture.workflow_type}
    invalid: tuple[dict[str, Any], ...] = (
        {"workflow_id": "i" * (limits.name_chars_max + 1)},
        {"workflow_id": "a/b"},
        {"workflow_id": fixture.tag, "input": "x" * (limits.payload_chars_max + 1)},
        {"workflow_id": fixture.tag, "tag_list": ("t",) * (limits.execution_tags_max + 1)},
        {"workflow_id": fixture.tag, "tag_list": ("t" * (limits.execution_tag_chars_max + 1),)},
        {"workflow_id": fixture.tag, "execution_start_to_close_timeout": "NONE"},
        {"workflow_id": fixture.tag, "execution_start_to_close_timeout": str(limits.execution_seconds_max + 1)},
    )
    for members in invalid:
        request = o.StartWorkflowExecution(**named, **members)
        fixture.expect_fault(ValidationException, request, f"a start with {', '.join(members)}")
    longest = "x" * limits.payload_chars_max
    execution = fixture.start(input=longest, tag_list=tuple("abcde")[: limits.execution_tags_max])
    first = expect_type(backend.get_history(execution)[0], e.WorkflowExecutionStarted)
    expect(first.input == longest, "the longest input should be stored unchanged")
    reason = "r" * (limits.reason_chars_max + 1)
    long = o.TerminateWorkflowExecution(domain=fixture.domain, workflow_id=execution.workflow_id, reason=reason)
    fixture.expect_fault(ValidationException, long, "a reason that is too long")
    fixture.terminate(execution, reason=reason[:-1])
