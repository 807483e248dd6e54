"""Requests to child and external executions, and handlers of their events."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from msgspec import structs

from traction.decider.context import DecisionContext, StartedChild
from traction.decider.diagnostics import encode_call
from traction.decider.frames import ERROR, VALUE, Given, Leaf
from traction.errors import (
    CancelFailed,
    ChildFailed,
    PayloadError,
    PayloadUnavailableError,
    SignalFailed,
    UnreadableActivityResult,
    UnreadableChildResult,
)
from traction.flow.effects import ChildHandle, RequestCancel, StartChild
from traction.flow.step import Adjusted, AdjustedChild, WorkflowStep
from traction.model import decisions as d
from traction.model import events as e
from traction.model.correlation import CHILD_STATUS
from traction.model.names import make_child_id
from traction.payloads.failures import INVALID, make_known, read_failure, revive

TRANSIENT_DELAY_MAX: Final = timedelta(minutes=1)
"""The longest pause before a decision is asked again that SWF refused for a limit or a rate."""


def ask_child(context: DecisionContext, leaf: Leaf, call: WorkflowStep[Any]) -> None:
    """Queue the start of a child."""
    context.met.add(type(call))
    settings: dict[str, Any] = {"workflow_id": None, "tag_list": call.spec.tags or None} | dict(leaf.overrides)
    if settings["workflow_id"] is None:
        named = call.spec.names_itself
        settings["workflow_id"] = call.workflow_id() if named else make_child_id(context.execution.run_id, leaf.id)
    context.ask(
        leaf,
        d.StartChildWorkflowExecution(
            workflow_type=call.spec.type,
            input=encode_call(context.codec, call, leaf.fiber),
            control=leaf.id,
            **settings,
        ),
    )


def adopt_child(asked: d.StartChildWorkflowExecution, event: Any) -> d.StartChildWorkflowExecution:
    """Take the id of a child from the event that answers its step, where the id of its parent's run is not known."""
    answers = (e.StartChildWorkflowExecutionInitiated, e.StartChildWorkflowExecutionFailed)
    by_place = asked.control is not None and asked.workflow_id == make_child_id("", asked.control)
    if not by_place or not isinstance(event, answers) or event.control != asked.control:
        return asked
    return structs.replace(asked, workflow_id=event.workflow_id)


def ask_start_child(context: DecisionContext, leaf: Leaf) -> None:
    """Ask for a child that runs beside the flow."""
    call = leaf.node.call
    if isinstance(call, AdjustedChild):
        leaf.overrides, leaf.cancellation, call = call.overrides, call.cancellation, call.call
    context.beside[leaf.id] = StartedChild()
    ask_child(context, leaf, call)


def ask_child_result(context: DecisionContext, leaf: Leaf) -> Given | None:
    """Return the outcome of a child that runs beside the flow, or wait for it."""
    beside = context.beside[leaf.node.child]
    if beside.outcome is None:
        beside.waiting.append(leaf)
    return beside.outcome


def ask_send(context: DecisionContext, leaf: Leaf) -> None:
    """Ask to signal another execution."""
    node = leaf.node
    context.ask(
        leaf,
        d.SignalExternalWorkflowExecution(
            workflow_id=node.workflow_id,
            run_id=node.run_id,
            signal_name=node.signal.spec.name,
            input=encode_call(context.codec, node.signal, leaf.fiber),
            control=leaf.id,
        ),
    )


def ask_cancel(context: DecisionContext, leaf: Leaf) -> Given | None:
    """Ask another execution to cancel; a child that has closed need not be asked."""
    node = leaf.node
    if leaf.target is None and node.child and context.beside[node.child].outcome is not None:
        return VALUE, None
    context.ask(
        leaf,
        d.RequestCancelExternalWorkflowExecution(workflow_id=node.workflow_id, run_id=node.run_id, control=leaf.id),
    )
    return None


def _cancel_child(context: DecisionContext, leaf: Leaf) -> None:
    """Ask a child to cancel that the flow no longer wants."""
    if leaf.canceller is not None:
        context.withdraw_leaf(leaf.canceller)
        leaf.canceller.target = None
    workflow_id = leaf.ask.decision.workflow_id
    leaf.canceller = Leaf(f"{leaf.id}~cancel", RequestCancel(workflow_id, leaf.run_id, leaf.id), None)
    leaf.canceller.target = leaf
    ask_cancel(context, leaf.canceller)


def leave_child(context: DecisionContext, leaf: Leaf) -> bool:
    """Cancel an open child that the flow no longer wants, or abandon it; return whether to wait until it has closed."""
    # The flow has no handle of a child that was not known to have started, so its result cannot be requested.
    context.beside.pop(leaf.id, None)
    leaf.cancelling = leaf.cancellation != "abandon"
    # A child that has not started may not be found: it is asked when it has. With "request", this run may have
    # closed by then, so it is asked now as well.
    if leaf.cancelling and (leaf.run_id is not None or leaf.cancellation == "request"):
        _cancel_child(context, leaf)
    return leaf.cancellation == "wait"


def on_child_started(context: DecisionContext, event: e.ChildWorkflowExecutionStarted, leaf: Leaf | None) -> None:
    """A child runs."""
    if leaf is None:
        return
    leaf.run_id = event.workflow_execution.run_id
    if leaf.cancelling:
        # It was to be cancelled before it had started, when such a request might not have found it.
        _cancel_child(context, leaf)
    elif leaf.id in context.beside and leaf.fiber is not None:
        context.flow.resume(leaf, VALUE, ChildHandle(leaf.id, event.workflow_execution))


def on_child(context: DecisionContext, event: Any, leaf: Leaf | None) -> None:
    """A child has closed."""
    if leaf is None:
        return
    beside = context.beside.get(leaf.id)
    if context.forget(leaf) and beside is None:
        return
    call = leaf.node.call if isinstance(leaf.node, StartChild) else leaf.node
    if isinstance(call, Adjusted):
        call = call.call
    outcome: Given
    if isinstance(event, e.ChildWorkflowExecutionCompleted):
        outcome = read_result(context, leaf, call, event.result)
    elif isinstance(event, e.ChildWorkflowExecutionFailed):
        failure = read_failure(event.reason, event.details, context.codec)
        failed = ChildFailed(leaf.id, **make_known(failure), status="FAILED", details=event.details)
        outcome = ERROR, revive(failed, failure, call.spec.raises, context.codec)
    else:
        details = getattr(event, "details", None)
        outcome = ERROR, ChildFailed(leaf.id, status=CHILD_STATUS[type(event)], details=details)
    if beside is None:
        context.flow.resume(leaf, *outcome)
        return
    beside.outcome = outcome
    # One after the other: what the first does with it may withdraw those that come after.
    while beside.waiting:
        context.flow.resume(beside.waiting.pop(0), *outcome)


def on_sent(context: DecisionContext, event: Any, leaf: Leaf | None) -> None:
    """A signal, or a request to cancel, was delivered to another execution, or was not."""
    if type(event) is e.SignalExternalWorkflowExecutionFailed:
        context.keep_unsent(event.initiated_event_id)
    if leaf is None or context.forget(leaf):
        return
    kind, node = type(event), leaf.node
    delivered = kind is e.ExternalWorkflowExecutionSignaled or kind is e.ExternalWorkflowExecutionCancelRequested
    if not delivered and event.cause.endswith("RATE_EXCEEDED"):
        context.ask_later(leaf, TRANSIENT_DELAY_MAX)
        return
    unknown = not delivered and event.cause == "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION"
    closed = leaf.target is None and bool(node.child) and context.beside[node.child].outcome is not None
    if unknown and node.child and node.run_id is not None and not closed:
        # The child has continued as new, or the event of its close is on its way. After a pause, which lets that event
        # arrive, ask whichever run is open under its id.
        leaf.node = structs.replace(node, run_id=None)
        context.ask_later(leaf, TRANSIENT_DELAY_MAX)
    elif (child := leaf.target) is not None:
        if not delivered and not unknown and child.leaving is not None and child.fiber is not None:
            context.notes.append(
                f"{child.id} could not be asked to cancel ({event.cause}): the flow does not wait for it"
            )
            context.flow.resume(child, *child.leaving)
    elif delivered or (unknown and node.child and kind is e.RequestCancelExternalWorkflowExecutionFailed):
        context.flow.resume(leaf, VALUE, None)
    else:
        failed = SignalFailed if kind is e.SignalExternalWorkflowExecutionFailed else CancelFailed
        context.flow.resume(leaf, ERROR, failed(leaf.id, workflow_id=event.workflow_id, cause=event.cause))


def read_result(context: DecisionContext, leaf: Leaf, call: Any, payload: str | None) -> Given:
    """Read the result of an activity or a child. One that does not decode fails the step."""
    spec = call.spec
    try:
        return VALUE, context.codec.decode(payload, spec.result)
    except PayloadError:  # once more, in the reader's names
        what = f"the result of {spec.type.name} {spec.type.version} ({leaf.id})"
    try:
        return VALUE, context.codec.decode(payload, spec.result, what)
    except PayloadUnavailableError:
        raise
    except PayloadError as error:
        kind, message = type(error).__name__, str(error)
    if isinstance(call, WorkflowStep):
        return ERROR, UnreadableChildResult(leaf.id, status="COMPLETED", type=kind, message=message)
    return ERROR, UnreadableActivityResult(leaf.id, type=kind, message=message, reason=INVALID)
