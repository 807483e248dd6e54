"""Check what runs do to one another: children and how they end, policies, signals and requests to cancel, next runs."""

from __future__ import annotations

from typing import Any

from traction.backend import Backend
from traction.model import decisions as d
from traction.model import events as e
from traction.model import operations as o
from traction.model.literals import ChildPolicy
from traction.model.names import TaskList, WorkflowExecution, WorkflowType
from traction.testing.conformance.expect import expect, expect_equal
from traction.testing.conformance.fixture import LONG, Fixture, wait_for


def _bear(
    desk: Fixture, *ids: str, policy: ChildPolicy = "TERMINATE", **given: Any
) -> tuple[WorkflowExecution, TaskList]:
    """Start a parent with children; give it, and the list on which their decision tasks are."""
    desk.register()
    children = TaskList(f"{desk.tag}-children")
    parent = desk.start("parent", child_policy=policy)
    desk.decide(
        *(
            d.StartChildWorkflowExecution(
                workflow_type=desk.workflow_type, workflow_id=f"{desk.tag}-{id}", task_list=children, **given
            )
            for id in ids
        )
    )
    return parent, children


def each_end_of_a_child_is_told_to_its_parent(backend: Backend) -> None:
    """With what was said of it, and in the words of how it ended."""
    desk = Fixture(backend)
    given: dict[str, Any] = {
        "control": "c",
        "input": "in",
        "tag_list": (desk.tag,),
        "execution_start_to_close_timeout": "5",
    }
    parent, children = _bear(desk, "failing", "stopping", "ended", "late", child_policy="REQUEST_CANCEL", **given)
    closes: dict[str, d.Decision] = {
        "failing": d.FailWorkflowExecution(reason="r", details="d"),
        "stopping": d.CancelWorkflowExecution(details="s"),
    }
    for _ in range(4):
        task = desk.get_decision_task(task_list=children)
        name = task.workflow_execution.workflow_id.rpartition("-")[2]
        started = task.events[0]
        assert isinstance(started, e.WorkflowExecutionStarted), started
        expect_equal(
            (started.tag_list, started.child_policy), ((desk.tag,), "REQUEST_CANCEL"), "what was given to a child"
        )
        if name in closes:
            desk.respond(task, closes[name])
        elif name == "ended":
            desk.terminate(task.workflow_execution, reason="unsaid")
    failed = desk.wait_for_event(parent, e.ChildWorkflowExecutionFailed)
    expect_equal((failed.reason, failed.details), ("r", "d"), "what is told of a child that failed")
    canceled = desk.wait_for_event(parent, e.ChildWorkflowExecutionCanceled)
    expect_equal(canceled.details, "s", "what is told of a child that was cancelled")
    terminated = desk.wait_for_event(parent, e.ChildWorkflowExecutionTerminated)
    timed_out = desk.wait_for_event(parent, e.ChildWorkflowExecutionTimedOut)
    expect_equal(timed_out.timeout_type, "START_TO_CLOSE", "the clock of a child that timed out")
    ends: dict[str, Any] = {"failing": failed, "stopping": canceled, "ended": terminated, "late": timed_out}
    events = backend.get_history(parent)
    for name, end in ends.items():
        expect_equal(end.workflow_execution.workflow_id, f"{desk.tag}-{name}", f"the child of {type(end).__name__}")
        initiated, begun = events[end.initiated_event_id - 1], events[end.started_event_id - 1]
        assert isinstance(initiated, e.StartChildWorkflowExecutionInitiated), initiated
        assert isinstance(begun, e.ChildWorkflowExecutionStarted), begun
        expect_equal(begun.workflow_execution, end.workflow_execution, "the child that was started")
        expect_equal(end.workflow_type, desk.workflow_type, "the type of the child")
        asked = (initiated.control, initiated.input, initiated.child_policy)
        expect_equal(asked, ("c", "in", "REQUEST_CANCEL"), "what was asked for")
        first = backend.get_history(end.workflow_execution)[0]
        assert isinstance(first, e.WorkflowExecutionStarted), first
        expect_equal(first.parent_initiated_event_id, initiated.event_id, "the link of a child to its parent")
        desk.inspect(end.workflow_execution)
    desk.terminate(parent)


def the_end_of_a_parent_meets_its_children_as_the_policy_says(backend: Backend) -> None:
    """The policy is that of the parent, unless who terminates it brings another."""
    for own, brought in (("ABANDON", None), ("TERMINATE", None), ("ABANDON", "REQUEST_CANCEL")):
        desk = Fixture(backend)
        parent, children = _bear(desk, "child", policy=own, child_policy="ABANDON")  # type: ignore[arg-type]
        child = desk.get_decision_task(task_list=children).workflow_execution
        desk.terminate(parent, child_policy=brought)
        closing = backend.find_closing_event(parent)
        assert isinstance(closing, e.WorkflowExecutionTerminated), closing
        policy = brought or own
        expect_equal(closing.child_policy, policy, "the policy of the termination")
        if policy == "TERMINATE":
            expect(backend.wait_until_closed(child, LONG), "the child should have been terminated with its parent")
            end = backend.find_closing_event(child)
            assert isinstance(end, e.WorkflowExecutionTerminated), end
            expect_equal(end.cause, "CHILD_POLICY_APPLIED", "the cause of the child's termination")
            desk.inspect(child)
            continue
        if policy == "REQUEST_CANCEL":
            asked = desk.wait_for_event(child, e.WorkflowExecutionCancelRequested)
            expect_equal(asked.cause, "CHILD_POLICY_APPLIED", "the cause of the request to cancel")
            expect_equal(asked.external_workflow_execution, parent, "the parent that the request names")
        expect(backend.find_closing_event(child) is None, f"a child should go on after its parent by {policy}")
        desk.terminate(child)


def a_child_whose_id_is_taken_is_refused_to_its_parent(backend: Backend) -> None:
    """After it was taken note of; so the refusal names what was asked for."""
    desk = Fixture(backend)
    desk.register()
    taken = desk.start("taken", task_list=TaskList(f"{desk.tag}-elsewhere"))
    parent = desk.start("parent")
    ask = d.StartChildWorkflowExecution(workflow_type=desk.workflow_type, workflow_id=taken.workflow_id, control="c")
    unknown = d.StartChildWorkflowExecution(workflow_type=WorkflowType(desk.tag, "never"), workflow_id=f"{desk.tag}-u")
    desk.decide(unknown, ask)

    def look() -> list[e.StartChildWorkflowExecutionFailed] | None:
        events = backend.get_history(parent)
        found = [event for event in events if isinstance(event, e.StartChildWorkflowExecutionFailed)]
        return found if len(found) == 2 else None

    at_once, later = wait_for(look, "two refusals")
    seen = (at_once.cause, at_once.workflow_type, bool(at_once.initiated_event_id))
    expect_equal(seen, ("WORKFLOW_TYPE_DOES_NOT_EXIST", unknown.workflow_type, False), "the refusal of a type")
    expect_equal((later.cause, later.control), ("WORKFLOW_ALREADY_RUNNING", "c"), "the refusal of an id")
    initiated = backend.get_history(parent)[later.initiated_event_id - 1]
    expect(isinstance(initiated, e.StartChildWorkflowExecutionInitiated), "the refusal of an id should link to its ask")
    for execution in (parent, taken):
        desk.terminate(execution)


def what_a_run_asks_of_another_names_both_sides(backend: Backend) -> None:
    """A run that is named is reached, and no other run of its id."""
    desk = Fixture(backend)
    desk.register()
    source = desk.start("source")
    target = desk.start("target", task_list=TaskList(f"{desk.tag}-elsewhere"))
    named: dict[str, Any] = {"workflow_id": target.workflow_id, "run_id": target.run_id}
    other: dict[str, Any] = {"workflow_id": target.workflow_id, "run_id": "no-such-run", "control": "c"}
    desk.decide(
        d.SignalExternalWorkflowExecution(signal_name="hello", **named),
        d.RequestCancelExternalWorkflowExecution(**named),
        d.SignalExternalWorkflowExecution(signal_name="hello", **other),
        d.RequestCancelExternalWorkflowExecution(**other),
    )
    refusals: tuple[type[Any], ...] = (
        e.SignalExternalWorkflowExecutionFailed,
        e.RequestCancelExternalWorkflowExecutionFailed,
    )
    for kind in refusals:
        failed = desk.wait_for_event(source, kind)
        told = (failed.cause, failed.workflow_id, failed.run_id, failed.control)
        wanted = ("UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION", target.workflow_id, "no-such-run", "c")
        expect_equal(told, wanted, f"what {kind.__name__} tells")
    arrivals: tuple[tuple[type[Any], type[Any]], ...] = (
        (e.ExternalWorkflowExecutionSignaled, e.WorkflowExecutionSignaled),
        (e.ExternalWorkflowExecutionCancelRequested, e.WorkflowExecutionCancelRequested),
    )
    for sent, arrived in arrivals:
        there, here = desk.wait_for_event(target, arrived), desk.wait_for_event(source, sent)
        expect_equal(here.workflow_execution, target, f"the run of {sent.__name__}")
        sender = (there.external_workflow_execution, there.external_initiated_event_id)
        expect_equal(sender, (source, here.initiated_event_id), f"the source that {arrived.__name__} names")
        expect_equal(desk.list_types(target).count(arrived.__name__), 1, f"how often {arrived.__name__} is told")
    for execution in (source, target):
        desk.terminate(execution)


def a_new_run_takes_what_it_is_given_and_else_what_its_type_has(backend: Backend) -> None:
    """It may be of another version; it takes nothing from the run before."""
    desk = Fixture(backend)
    desk.register()
    desk.register_workflow_type(version="2")
    own = TaskList(f"{desk.tag}-own")
    first = desk.start(input="1", tag_list=("old",), child_policy="ABANDON", task_list=own)
    task = desk.get_decision_task(task_list=own)
    desk.respond(task, d.ContinueAsNewWorkflowExecution(workflow_type_version="2", tag_list=("new",)))
    second = desk.get_decision_task()
    given = d.ContinueAsNewWorkflowExecution(
        input="3", task_list=own, child_policy="REQUEST_CANCEL", execution_start_to_close_timeout="200"
    )
    desk.respond(second, given)
    third = desk.get_decision_task(task_list=own)
    wanted: tuple[tuple[o.DecisionTask, str, tuple[object, ...]], ...] = (
        (second, first.run_id, (None, ("new",), desk.deciders, "TERMINATE", "300")),
        (third, second.workflow_execution.run_id, ("3", None, own, "REQUEST_CANCEL", "200")),
    )
    for run, before, settings in wanted:
        started = run.events[0]
        assert isinstance(started, e.WorkflowExecutionStarted), started
        seen = (started.input, started.tag_list, started.task_list, started.child_policy)
        expect_equal((*seen, started.execution_start_to_close_timeout), settings, "the settings of the new run")
        expect_equal(started.workflow_type, WorkflowType(desk.tag, "2"), "the type of the new run")
        expect_equal(started.continued_execution_run_id, before, "the run that it continues")
        closing = backend.find_closing_event(WorkflowExecution(first.workflow_id, before))
        assert isinstance(closing, e.WorkflowExecutionContinuedAsNew), closing
        expect_equal(closing.new_execution_run_id, run.workflow_execution.run_id, "the run that the old one names")
    desk.terminate(third.workflow_execution)


CHECKS = (
    each_end_of_a_child_is_told_to_its_parent,
    the_end_of_a_parent_meets_its_children_as_the_policy_says,
    a_child_whose_id_is_taken_is_refused_to_its_parent,
    what_a_run_asks_of_another_names_both_sides,
    a_new_run_takes_what_it_is_given_and_else_what_its_type_has,
)
