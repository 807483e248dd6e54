"""Map SWF events to step outcomes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from traction.decider.children import (
    TRANSIENT_DELAY_MAX,
    on_child,
    on_child_started,
    on_sent,
    read_result,
)
from traction.decider.context import DecisionContext
from traction.decider.frames import ERROR, VALUE, Given, Leaf
from traction.decider.mailbox import _take_signal, _takes
from traction.decider.markers import (
    take_record,
)
from traction.decider.outbound import ask
from traction.errors import (
    ActivityCancelled,
    ActivityFailed,
    ActivityTimedOut,
    ChildAlreadyRunning,
    DecisionFailed,
    FlowError,
    HistoryError,
    LambdaFailed,
    PayloadError,
    PayloadUnavailableError,
    UnreadableLambdaResult,
)
from traction.flow.effects import (
    InvokeLambda,
    SideEffect,
)
from traction.flow.step import Sleep
from traction.history.local_records import Record
from traction.model import events as e
from traction.model.correlation import ANSWERS, CLOSE_REFUSALS, REFUSALS, TRANSIENT, UNKNOWN_TYPE
from traction.payloads.failures import HANDED_BACK, INVALID, UNREADABLE, make_known, read_failure, revive

UNKNOWN_TYPE_PAUSES_MAX: Final = 6
"""How often a step is asked for again whose type is not registered: over 63 s, if nothing else held it up."""


UNREADABLE_DELAY_MAX: Final = timedelta(hours=1)
"""The longest pause before an activity is scheduled again whose worker could not read its input."""


def ask_again(context: DecisionContext, leaf: Leaf) -> None:
    """Request a leaf again, and resume the flow if the outcome is known at once."""
    if (answer := ask(context, leaf)) is not None:
        context.flow.resume(leaf, *answer)


def resume_deferred(context: DecisionContext, leaf: Leaf) -> None:
    """Run a side effect for which the decision tasks before this one had no room, if it is still wanted."""
    if isinstance(leaf.node, SideEffect) and context.local.get(leaf.task_id) is leaf:
        del context.local[leaf.task_id]
        ask_again(context, leaf)


# Handlers of events.


def _on_cancel_request(context: DecisionContext, *_: object) -> None:
    context.flow.cancel()


def _on_activity(context: DecisionContext, event: Any, leaf: Leaf | None) -> None:
    if leaf is None or context.forget(leaf):
        return
    kind = type(event)
    if kind is e.ActivityTaskCompleted:
        context.flow.resume(leaf, *read_result(context, leaf, leaf.node, event.result))
        return
    error: Exception
    if kind is e.ActivityTaskFailed:
        leaf.details = read_failure(event.reason, event.details, context.codec).heartbeat or leaf.details
        if event.reason == UNREADABLE:
            # The worker could not read the input. The work was not begun: wait for a worker that can.
            context.ask_later(leaf, UNREADABLE_DELAY_MAX)
            return
        if event.reason == HANDED_BACK:
            # Its worker was stopped: not a failure of the work, so the attempt does not count.
            context.ask_later(leaf, TRANSIENT_DELAY_MAX)
            return
        error = _read_activity_failure(context, leaf, event)
        if event.reason == INVALID:
            context.flow.resume(leaf, ERROR, error)
            return
    elif kind is e.ActivityTaskTimedOut:
        leaf.details = event.details or leaf.details
        error = ActivityTimedOut(leaf.id, timeout_type=event.timeout_type, details=event.details)
    else:
        context.flow.resume(leaf, ERROR, ActivityCancelled(leaf.id, details=event.details))
        return
    _try_again(context, leaf, error)


def on_local(context: DecisionContext, leaf: Leaf, details: str | None) -> None:
    """Handle the record of a local activity that this decider or an earlier one ran."""
    record = take_record(context, leaf, details)
    if record.reason is None:
        context.flow.resume(leaf, *read_result(context, leaf, leaf.node, record.details))
    else:
        _try_again(context, leaf, _read_activity_failure(context, leaf, record))


def _try_again(context: DecisionContext, leaf: Leaf, error: Exception) -> None:
    """An attempt failed: ask for the next, now or after a pause, or fail the step."""
    retry = leaf.retry or leaf.node.spec.retry
    pause = None
    if retry is not None:
        elapsed = context.flow.now - leaf.began if leaf.began is not None else timedelta(0)
        pause = retry.find_pause(leaf.attempt, error, elapsed=elapsed, chance=context.flow.draw(leaf.id, leaf.attempt))
    if pause is None:
        context.flow.resume(leaf, ERROR, error)
        return
    leaf.attempt += 1
    if pause:
        context.ask_pause(leaf, f"{leaf.id}~retry-{leaf.attempt - 1}", pause)
    else:
        ask_again(context, leaf)


def _read_activity_failure(context: DecisionContext, leaf: Leaf, event: e.ActivityTaskFailed | Record) -> Exception:
    failure = read_failure(event.reason, event.details, context.codec)
    failed = ActivityFailed(leaf.id, **make_known(failure), reason=event.reason or "", details=event.details or "")
    return revive(failed, failure, leaf.node.spec.raises, context.codec)


def _on_timer(context: DecisionContext, _: Any, leaf: Leaf | None) -> None:
    context.unpark()
    if leaf is None or context.forget(leaf):
        return
    if isinstance(leaf.node, Sleep):
        context.flow.resume(leaf, VALUE, None)
    else:
        ask_again(context, leaf)


def _on_signal(context: DecisionContext, event: e.WorkflowExecutionSignaled, _: object) -> None:
    event = context.keep_signal(event)
    # Who waits has taken all that came before, so only this one is there to take: the first to wait takes it.
    leaf = next((leaf for leaf in context.receivers if _takes(leaf, event)), None)
    if leaf is not None and (taken := _take_signal(context, leaf)) is not None:
        context.receivers.remove(leaf)
        context.flow.resume(leaf, *taken)


def _on_lambda(context: DecisionContext, event: Any, leaf: Leaf | None) -> None:
    if leaf is None or context.forget(leaf):
        return
    node: InvokeLambda[Any] = leaf.node
    if isinstance(event, e.LambdaFunctionCompleted):
        what = f"the result of Lambda function {node.name} ({leaf.id})"
        try:
            outcome: Given = VALUE, context.codec.decode(event.result, node.type, what)
        except PayloadUnavailableError:
            raise
        except PayloadError as invalid:
            kind = type(invalid).__name__
            outcome = ERROR, UnreadableLambdaResult(leaf.id, name=node.name, reason=kind, details=str(invalid))
        context.flow.resume(leaf, *outcome)
        return
    reason = getattr(event, "reason", None) or getattr(event, "cause", None) or getattr(event, "timeout_type", None)
    details = getattr(event, "details", None) or getattr(event, "message", None)
    context.flow.resume(leaf, ERROR, LambdaFailed(leaf.id, name=node.name, reason=reason or "unknown", details=details))


def _on_refusal(context: DecisionContext, event: Any, leaf: Leaf | None) -> None:
    """Handle a refused decision: retry after transient causes, fail the step for others."""
    decision = ANSWERS[type(event)][0].__name__
    if type(event) in CLOSE_REFUSALS:
        # If news came while the close was on its way, they are applied by now, and the turn ends with the same close.
        # Other causes an operator must fix: this decision task fails, and the next requests the same close.
        passes = event.cause == "UNHANDLED_DECISION" or event.cause.endswith("RATE_EXCEEDED")
        if not passes and not context.looking:
            denied = event.cause == "OPERATION_NOT_PERMITTED"
            hint = f"Allow swf:{decision} to the role that decides" if denied else "Register the type that it names"
            raise FlowError(
                f"the execution cannot be closed: SWF refused {decision} with {event.cause} (event {event.event_id}). "
                f"{hint}; the same is asked for again in a while"
            )
    elif leaf is None or context.forget(leaf):
        return
    elif event.cause == "OPEN_TIMERS_LIMIT_EXCEEDED":
        context.park(leaf)
    elif event.cause == "TIMER_CREATION_RATE_EXCEEDED":
        context.ask(leaf, leaf.ask.decision)
    elif event.cause in TRANSIENT:
        context.ask_later(leaf, TRANSIENT_DELAY_MAX)
    elif event.cause in UNKNOWN_TYPE and leaf.unknown < UNKNOWN_TYPE_PAUSES_MAX:
        # It may have been registered a moment ago, on this machine or another, and be unknown for a while (SWF).
        leaf.unknown += 1
        context.ask_later(leaf, TRANSIENT_DELAY_MAX)
    elif event.cause == "WORKFLOW_ALREADY_RUNNING":
        failed = ChildAlreadyRunning(leaf.id, decision=decision, cause=event.cause, workflow_id=event.workflow_id)
        context.flow.resume(leaf, ERROR, failed)
    else:
        context.flow.resume(leaf, ERROR, DecisionFailed(leaf.id, decision=decision, cause=event.cause))


def _on_stray(_: DecisionContext, event: Any, __: object) -> None:
    """SWF writes what a decision causes right after the decision task that made it, and once (recorded histories)."""
    raise HistoryError(
        f"event {event.event_id}, {type(event).__name__}, says that the decision task completed at event "
        f"{event.decision_task_completed_event_id} caused it, and stands apart from it: no execution has such a history"
    )


_STRAYS: dict[type, Callable[[DecisionContext, Any, Leaf | None], None]] = dict.fromkeys(ANSWERS, _on_stray)


HANDLERS: dict[type, Callable[[DecisionContext, Any, Leaf | None], None]] = (
    _STRAYS
    | {
        e.WorkflowExecutionCancelRequested: _on_cancel_request,
        e.WorkflowExecutionSignaled: _on_signal,
        e.ActivityTaskCompleted: _on_activity,
        e.ActivityTaskFailed: _on_activity,
        e.ActivityTaskTimedOut: _on_activity,
        e.ActivityTaskCanceled: _on_activity,
        e.TimerFired: _on_timer,
        e.TimerCanceled: _on_timer,
        e.ChildWorkflowExecutionStarted: on_child_started,
        e.ChildWorkflowExecutionCompleted: on_child,
        e.ChildWorkflowExecutionFailed: on_child,
        e.ChildWorkflowExecutionTimedOut: on_child,
        e.ChildWorkflowExecutionCanceled: on_child,
        e.ChildWorkflowExecutionTerminated: on_child,
        e.ExternalWorkflowExecutionSignaled: on_sent,
        e.SignalExternalWorkflowExecutionFailed: on_sent,
        e.ExternalWorkflowExecutionCancelRequested: on_sent,
        e.RequestCancelExternalWorkflowExecutionFailed: on_sent,
        e.LambdaFunctionCompleted: _on_lambda,
        e.LambdaFunctionFailed: _on_lambda,
        e.LambdaFunctionTimedOut: _on_lambda,
        e.StartLambdaFunctionFailed: _on_lambda,
    }
    | dict.fromkeys(REFUSALS, _on_refusal)
)
"""The handler of each event type. Events without a handler do not affect a flow."""
