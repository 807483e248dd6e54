"""Check decisions about other runs: children, child policies, signals, cancel requests, and continue as new."""

from __future__ import annotations

from typing import Any

from traction.backend import Backend
from traction.model import decisions as d
from traction.model import events as e
from traction.model import operations as o
from traction.model.literals import ChildPolicy
from traction.model.names import TaskList, WorkflowExecution, WorkflowType
from traction.testing.conformance.expect import expect, expect_equal, expect_type
from traction.testing.conformance.fixture import LONG, Fixture, begin, wait_for


def _start_family(
    backend: Backend, *ids: str, policy: ChildPolicy = "TERMINATE", **settings: Any
) -> tuple[Fixture, WorkflowExecution, TaskList]:
    """Start a parent with children. Return the parent and the decision task list of the children."""
    fixture, parent = begin(backend, "parent", child_policy=policy)
    children = TaskList(f"{fixture.tag}-children")
    fixture.decide(
        *(
            d.StartChildWorkflowExecution(
                workflow_type=fixture.workflow_type, workflow_id=f"{fixture.tag}-{id}", task_list=children, **settings
            )
            for id in ids
        )
    )
    return fixture, parent, children


def each_close_of_a_child_has_its_event_in_the_parent(backend: Backend) -> None:
    """Failed, cancelled, terminated or timed out, with reason and details."""
    fixture, parent, children = _start_family(
        backend,
        *("failing", "stopping", "ended", "late"),
        child_policy="REQUEST_CANCEL",
        control="c",
        input="in",
        tag_list=("red",),
        execution_start_to_close_timeout="5",
    )
    closes: dict[str, d.Decision] = {
        "failing": d.FailWorkflowExecution(reason="r", details="d"),
        "stopping": d.CancelWorkflowExecution(details="s"),
    }
    for _ in range(4):
        task = fixture.get_decision_task(task_list=children)
        name = task.workflow_execution.workflow_id.rpartition("-")[2]
        started = expect_type(task.events[0], e.WorkflowExecutionStarted)
        expect_equal(
            (started.tag_list, started.child_policy),
            (("red",), "REQUEST_CANCEL"),
            "the tags and child policy of a child",
        )
        if name in closes:
            fixture.respond(task, closes[name])
        elif name == "ended":
            fixture.terminate(task.workflow_execution, reason="test")
    failed = fixture.wait_for_event(parent, e.ChildWorkflowExecutionFailed)
    expect_equal((failed.reason, failed.details), ("r", "d"), "the failure of a child")
    canceled = fixture.wait_for_event(parent, e.ChildWorkflowExecutionCanceled)
    expect_equal(canceled.details, "s", "the details of a cancelled child")
    terminated = fixture.wait_for_event(parent, e.ChildWorkflowExecutionTerminated)
    timed_out = fixture.wait_for_event(parent, e.ChildWorkflowExecutionTimedOut)
    expect_equal(timed_out.timeout_type, "START_TO_CLOSE", "the timeout type of a child")
    ends: dict[str, Any] = {"failing": failed, "stopping": canceled, "ended": terminated, "late": timed_out}
    events = backend.get_history(parent)
    for name, end in ends.items():
        expect_equal(end.workflow_execution.workflow_id, f"{fixture.tag}-{name}", f"the child of {type(end).__name__}")
        initiated = expect_type(events[end.initiated_event_id - 1], e.StartChildWorkflowExecutionInitiated)
        started_event = expect_type(events[end.started_event_id - 1], e.ChildWorkflowExecutionStarted)
        expect_equal(started_event.workflow_execution, end.workflow_execution, "the started child")
        expect_equal(end.workflow_type, fixture.workflow_type, "the type of the child")
        requested = (initiated.control, initiated.input, initiated.child_policy)
        expect_equal(requested, ("c", "in", "REQUEST_CANCEL"), "the members of the decision")
        first = expect_type(backend.get_history(end.workflow_execution)[0], e.WorkflowExecutionStarted)
        expect_equal(first.parent_initiated_event_id, initiated.event_id, "the link of a child to its parent")
        fixture.inspect(end.workflow_execution)
    fixture.terminate(parent)


def the_child_policy_is_applied_when_the_parent_closes(backend: Backend) -> None:
    """The policy of the parent, unless the termination overrides it."""
    for own, override in (("ABANDON", None), ("TERMINATE", None), ("ABANDON", "REQUEST_CANCEL")):
        fixture, parent, children = _start_family(backend, "child", policy=own, child_policy="ABANDON")  # type: ignore[arg-type]
        child = fixture.get_decision_task(task_list=children).workflow_execution
        fixture.terminate(parent, child_policy=override)
        closing = expect_type(backend.find_closing_event(parent), e.WorkflowExecutionTerminated)
        policy = override or own
        expect_equal(closing.child_policy, policy, "the policy of the termination")
        if policy == "TERMINATE":
            expect(backend.wait_until_closed(child, LONG), "the child should be terminated with its parent")
            end = expect_type(backend.find_closing_event(child), e.WorkflowExecutionTerminated)
            expect_equal(end.cause, "CHILD_POLICY_APPLIED", "the cause of the child's termination")
            fixture.inspect(child)
            continue
        if policy == "REQUEST_CANCEL":
            requested = fixture.wait_for_event(child, e.WorkflowExecutionCancelRequested)
            expect_equal(requested.cause, "CHILD_POLICY_APPLIED", "the cause of the cancel request")
            expect_equal(requested.external_workflow_execution, parent, "the source of the cancel request")
        expect(backend.find_closing_event(child) is None, f"a child should stay open with the policy {policy}")
        fixture.terminate(child)


def a_child_with_the_id_of_an_open_run_fails_to_start(backend: Backend) -> None:
    """The child is initiated first, so the failure links to that event."""
    fixture, parent = begin(backend, "parent")
    taken = fixture.start("taken", task_list=TaskList(f"{fixture.tag}-elsewhere"))
    taken_id = d.StartChildWorkflowExecution(
        workflow_type=fixture.workflow_type, workflow_id=taken.workflow_id, control="c"
    )
    unknown = d.StartChildWorkflowExecution(
        workflow_type=WorkflowType(fixture.tag, "never"), workflow_id=f"{fixture.tag}-u"
    )
    fixture.decide(unknown, taken_id)

    def look() -> list[e.StartChildWorkflowExecutionFailed] | None:
        events = backend.get_history(parent)
        found = [event for event in events if isinstance(event, e.StartChildWorkflowExecutionFailed)]
        return found if len(found) == 2 else None

    at_once, later = wait_for(look, "two failures")
    seen = (at_once.cause, at_once.workflow_type, bool(at_once.initiated_event_id))
    expect_equal(seen, ("WORKFLOW_TYPE_DOES_NOT_EXIST", unknown.workflow_type, False), "the failure for the type")
    expect_equal((later.cause, later.control), ("WORKFLOW_ALREADY_RUNNING", "c"), "the failure for the workflow id")
    expect_type(backend.get_history(parent)[later.initiated_event_id - 1], e.StartChildWorkflowExecutionInitiated)
    for execution in (parent, taken):
        fixture.terminate(execution)


def signals_and_cancel_requests_name_source_and_target(backend: Backend) -> None:
    """They reach only the run with the run id of the decision."""
    fixture, source = begin(backend, "source")
    target = fixture.start("target", task_list=TaskList(f"{fixture.tag}-elsewhere"))
    named: dict[str, Any] = {"workflow_id": target.workflow_id, "run_id": target.run_id}
    other: dict[str, Any] = {"workflow_id": target.workflow_id, "run_id": "no-such-run", "control": "c"}
    fixture.decide(
        d.SignalExternalWorkflowExecution(signal_name="hello", **named),
        d.RequestCancelExternalWorkflowExecution(**named),
        d.SignalExternalWorkflowExecution(signal_name="hello", **other),
        d.RequestCancelExternalWorkflowExecution(**other),
    )
    failures: tuple[type[Any], ...] = (
        e.SignalExternalWorkflowExecutionFailed,
        e.RequestCancelExternalWorkflowExecutionFailed,
    )
    for kind in failures:
        failed = fixture.wait_for_event(source, kind)
        fields = (failed.cause, failed.workflow_id, failed.run_id, failed.control)
        expected = ("UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION", target.workflow_id, "no-such-run", "c")
        expect_equal(fields, expected, f"the members of {kind.__name__}")
    arrivals: tuple[tuple[type[Any], type[Any]], ...] = (
        (e.ExternalWorkflowExecutionSignaled, e.WorkflowExecutionSignaled),
        (e.ExternalWorkflowExecutionCancelRequested, e.WorkflowExecutionCancelRequested),
    )
    for sent, arrived in arrivals:
        there, here = fixture.wait_for_event(target, arrived), fixture.wait_for_event(source, sent)
        expect_equal(here.workflow_execution, target, f"the run of {sent.__name__}")
        sender = (there.external_workflow_execution, there.external_initiated_event_id)
        expect_equal(sender, (source, here.initiated_event_id), f"the source in {arrived.__name__}")
        expect_equal(fixture.list_types(target).count(arrived.__name__), 1, f"the number of {arrived.__name__} events")
    for execution in (source, target):
        fixture.terminate(execution)


def continue_as_new_takes_settings_from_decision_or_type(backend: Backend) -> None:
    """Nothing is inherited from the old run. The new run may have another version."""
    fixture = Fixture(backend).register()
    fixture.register_workflow_type(version="2")
    own = TaskList(f"{fixture.tag}-own")
    first = fixture.start(input="1", tag_list=("old",), child_policy="ABANDON", task_list=own)
    task = fixture.get_decision_task(task_list=own)
    fixture.respond(task, d.ContinueAsNewWorkflowExecution(workflow_type_version="2", tag_list=("new",)))
    second = fixture.get_decision_task()
    decision = d.ContinueAsNewWorkflowExecution(
        input="3", task_list=own, child_policy="REQUEST_CANCEL", execution_start_to_close_timeout="200"
    )
    fixture.respond(second, decision)
    third = fixture.get_decision_task(task_list=own)
    expected: tuple[tuple[o.DecisionTask, str, tuple[object, ...]], ...] = (
        (second, first.run_id, (None, ("new",), fixture.deciders, "TERMINATE", "300")),
        (third, second.workflow_execution.run_id, ("3", None, own, "REQUEST_CANCEL", "200")),
    )
    for run, before, settings in expected:
        started = expect_type(run.events[0], e.WorkflowExecutionStarted)
        seen = (started.input, started.tag_list, started.task_list, started.child_policy)
        expect_equal((*seen, started.execution_start_to_close_timeout), settings, "the settings of the new run")
        expect_equal(started.workflow_type, WorkflowType(fixture.tag, "2"), "the type of the new run")
        expect_equal(started.continued_execution_run_id, before, "the continued run id")
        closing = expect_type(
            backend.find_closing_event(WorkflowExecution(first.workflow_id, before)), e.WorkflowExecutionContinuedAsNew
        )
        expect_equal(closing.new_execution_run_id, run.workflow_execution.run_id, "the new run id in the old run")
    fixture.terminate(third.workflow_execution)


def the_close_of_a_child_is_recorded_by_its_parent(backend: Backend) -> None:
    """The history of the child names the parent."""
    fixture, parent = begin(backend, "parent")
    child_id, children = f"{fixture.tag}-child", TaskList(f"{fixture.tag}-children")
    fixture.decide(
        d.StartChildWorkflowExecution(
            workflow_type=fixture.workflow_type, workflow_id=child_id, task_list=children, input="in"
        )
    )
    task = fixture.get_decision_task(task_list=children)
    started = expect_type(task.events[0], e.WorkflowExecutionStarted)
    expect_equal(
        (started.input, started.parent_workflow_execution), ("in", parent), "the input and parent of the child"
    )
    fixture.respond(task, d.CompleteWorkflowExecution(result="out"))
    completed = fixture.wait_for_event(parent, e.ChildWorkflowExecutionCompleted)
    expect_equal(
        (completed.result, completed.workflow_execution), ("out", task.workflow_execution), "the close of the child"
    )
    events = backend.get_history(parent)
    expect_type(events[completed.initiated_event_id - 1], e.StartChildWorkflowExecutionInitiated)
    expect_type(events[completed.started_event_id - 1], e.ChildWorkflowExecutionStarted)
    fixture.terminate(parent)


def a_run_signals_and_cancels_another_run(backend: Backend) -> None:
    """A signal to an unknown workflow id fails."""
    fixture, source = begin(backend, "source")
    target = fixture.start("target", task_list=TaskList(f"{fixture.tag}-elsewhere"))
    fixture.decide(
        d.SignalExternalWorkflowExecution(workflow_id=target.workflow_id, signal_name="hello", input="x"),
        d.RequestCancelExternalWorkflowExecution(workflow_id=target.workflow_id),
        d.SignalExternalWorkflowExecution(workflow_id=f"{fixture.tag}-unknown", signal_name="hello"),
    )
    signaled = fixture.wait_for_event(target, e.WorkflowExecutionSignaled)
    expect_equal((signaled.input, signaled.external_workflow_execution), ("x", source), "the signal in the target")
    fixture.wait_for_event(target, e.WorkflowExecutionCancelRequested)
    delivered = fixture.wait_for_event(source, e.ExternalWorkflowExecutionSignaled)
    expect_equal(delivered.workflow_execution, target, "the target of the signal")
    fixture.wait_for_event(source, e.ExternalWorkflowExecutionCancelRequested)
    failed = fixture.wait_for_event(source, e.SignalExternalWorkflowExecutionFailed)
    expect_equal(failed.cause, "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION", "the cause of the failure")
    for execution in (source, target):
        fixture.terminate(execution)


def continue_as_new_starts_a_run_with_the_same_workflow_id(backend: Backend) -> None:
    """The old run names the new one, and the new run the old one."""
    fixture, execution = begin(backend, input="1")
    fixture.decide(d.ContinueAsNewWorkflowExecution(input="2"))
    expect(backend.wait_until_closed(execution, LONG), "the old run should be closed")
    closing = expect_type(backend.find_closing_event(execution), e.WorkflowExecutionContinuedAsNew)
    following = WorkflowExecution(execution.workflow_id, closing.new_execution_run_id)
    started = expect_type(backend.get_history(following)[0], e.WorkflowExecutionStarted)
    expect_equal((started.input, started.continued_execution_run_id), ("2", execution.run_id), "the new run")
    for run in (execution, following):
        fixture.inspect(run)
    fixture.terminate(following)
