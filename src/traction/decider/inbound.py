"""Map events to their handlers, which resume the flow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

from traction.decider.activities import PendingActivity
from traction.decider.children import PendingChild
from traction.decider.context import DecisionContext
from traction.decider.external import PendingMessage
from traction.decider.lambdas import PendingLambda
from traction.decider.outcomes import Raised
from traction.decider.pending import PendingDecision
from traction.errors import ChildAlreadyRunning, DecisionFailed, FlowError, HistoryError, InvalidPayloadError
from traction.flow.step import Fail
from traction.model import events as e
from traction.model.correlation import CAUSES, CLOSE_REFUSALS, REFUSALS, TRANSIENT, UNKNOWN_TYPE

UNKNOWN_TYPE_PAUSES_MAX: Final = 6
"""How often a step is requested again whose type is not registered: over 63 s, if nothing else delays it."""

Handler: TypeAlias = Callable[[DecisionContext, Any, Any], None]
"""A function of the context, an event, and the `PendingDecision` that the event concerns, or `None`."""


def _on_started(context: DecisionContext, event: e.WorkflowExecutionStarted, _: object) -> None:
    workflow = context.workflow
    type = workflow.spec.type
    context.begun = event
    context.mailbox.previous_run_id = event.continued_execution_run_id
    try:
        call = context.codec.decode_call(event.input, workflow, f"the input of {type.name} {type.version}")
    except InvalidPayloadError as error:
        # No decider can ever read it, so waiting for another one is useless.
        context.flow.start(partial(Fail.of, error))
    else:
        context.flow.start(call.flow)


def _on_cancel_requested(context: DecisionContext, *_: object) -> None:
    context.flow.cancel()


def _on_signaled(context: DecisionContext, event: e.WorkflowExecutionSignaled, _: object) -> None:
    if (delivery := context.mailbox.deliver(event)) is not None:
        context.flow.resume(*delivery)


def _on_activity_completed(_: object, event: e.ActivityTaskCompleted, pending: PendingActivity | None) -> None:
    if pending is not None and pending.close():
        pending.on_completed(event)


def _closing(act: Callable[[Any, Any], None]) -> Handler:
    """Return the handler of an event that closes what is pending. It calls `act` if the flow waits for it."""

    def handle(_: object, event: Any, pending: PendingDecision | None) -> None:
        if pending is not None and pending.close():
            act(pending, event)

    return handle


def _on_timer_closed(context: DecisionContext, _: object, pending: PendingDecision | None) -> None:
    context.queue.unpark()
    if pending is not None and pending.close():
        pending.on_timer_fired()


def _on_child_started(_: object, event: e.ChildWorkflowExecutionStarted, pending: PendingChild | None) -> None:
    if pending is not None:
        pending.on_started(event)


def _on_child_closed(_: object, event: Any, pending: PendingChild | None) -> None:
    if pending is not None:
        pending.on_closed(event)


def _on_delivered(_: object, __: object, pending: PendingMessage | None) -> None:
    if pending is not None and pending.close():
        pending.on_delivered()


def _on_not_delivered(context: DecisionContext, event: Any, pending: Any) -> None:
    if type(event) is e.SignalExternalWorkflowExecutionFailed:
        context.mailbox.keep_unsent(event.initiated_event_id)
    if pending is not None and pending.close():
        pending.on_refused(event)


def _on_refused(context: DecisionContext, event: Any, pending: PendingDecision | None) -> None:
    """Handle a refused decision: retry after transient causes, fail the step for others."""
    if pending is None or not pending.close():
        return
    id, decision = pending.leaf.id, CAUSES[type(event)].decision.__name__
    if event.cause == "OPEN_TIMERS_LIMIT_EXCEEDED":
        context.queue.park(pending.entry)
    elif event.cause == "TIMER_CREATION_RATE_EXCEEDED":
        pending.queue(pending.entry.decision)
    elif event.cause in TRANSIENT:
        pending.retry_later()
    elif event.cause in UNKNOWN_TYPE and pending.unknown_type_refusals < UNKNOWN_TYPE_PAUSES_MAX:
        # It may have been registered a moment ago, on this machine or another, and be unknown for a while (SWF).
        pending.unknown_type_refusals += 1
        pending.retry_later()
    elif event.cause == "WORKFLOW_ALREADY_RUNNING":
        failed = ChildAlreadyRunning(id, decision=decision, cause=event.cause, workflow_id=event.workflow_id)
        pending.resume(Raised(failed))
    else:
        pending.resume(Raised(DecisionFailed(id, decision=decision, cause=event.cause)))


def _on_close_refused(context: DecisionContext, event: Any, _: object) -> None:
    """The turn ends with the same close. Events that arrived before it could be sent are applied by then.

    Raises:
        FlowError: an operator must remove the cause.
    """
    decision = CAUSES[type(event)].decision.__name__
    transient = event.cause == "UNHANDLED_DECISION" or event.cause.endswith("RATE_EXCEEDED")
    if not transient and not context.querying:
        denied = event.cause == "OPERATION_NOT_PERMITTED"
        hint = f"Allow swf:{decision} to the role that decides" if denied else "Register the type that it names"
        raise FlowError(
            f"the execution cannot be closed: SWF refused {decision} with {event.cause} (event {event.event_id}). "
            f"{hint}; the decision is retried later"
        )


def _on_misplaced(_: object, event: Any, __: object) -> None:
    """SWF writes what a decision causes right after the decision task that made it, and once (recorded histories)."""
    raise HistoryError(
        f"event {event.event_id}, {type(event).__name__}, names the decision task completed at event "
        f"{event.decision_task_completed_event_id} as its cause, but does not follow it: no execution "
        "has such a history"
    )


HANDLERS: dict[type, Handler] = {
    **dict.fromkeys(CAUSES, _on_misplaced),
    **dict.fromkeys(REFUSALS, _on_refused),
    **dict.fromkeys(CLOSE_REFUSALS, _on_close_refused),
    e.WorkflowExecutionStarted: _on_started,
    e.WorkflowExecutionCancelRequested: _on_cancel_requested,
    e.WorkflowExecutionSignaled: _on_signaled,
    e.ActivityTaskCompleted: _on_activity_completed,
    e.ActivityTaskFailed: _closing(PendingActivity.on_failed),
    e.ActivityTaskTimedOut: _closing(PendingActivity.on_timed_out),
    e.ActivityTaskCanceled: _closing(PendingActivity.on_cancelled),
    e.TimerFired: _on_timer_closed,
    e.TimerCanceled: _on_timer_closed,
    e.ChildWorkflowExecutionStarted: _on_child_started,
    e.ChildWorkflowExecutionCompleted: _on_child_closed,
    e.ChildWorkflowExecutionFailed: _on_child_closed,
    e.ChildWorkflowExecutionTimedOut: _on_child_closed,
    e.ChildWorkflowExecutionCanceled: _on_child_closed,
    e.ChildWorkflowExecutionTerminated: _on_child_closed,
    e.ExternalWorkflowExecutionSignaled: _on_delivered,
    e.ExternalWorkflowExecutionCancelRequested: _on_delivered,
    e.SignalExternalWorkflowExecutionFailed: _on_not_delivered,
    e.RequestCancelExternalWorkflowExecutionFailed: _on_not_delivered,
    e.LambdaFunctionCompleted: _closing(PendingLambda.on_completed),
    e.LambdaFunctionFailed: _closing(PendingLambda.on_failed),
    e.LambdaFunctionTimedOut: _closing(PendingLambda.on_failed),
    e.StartLambdaFunctionFailed: _closing(PendingLambda.on_failed),
}
"""The handler of each event type. Events without a handler do not affect a flow."""
