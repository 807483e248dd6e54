"""Map SWF events to step outcomes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from traction.decider.children import (
    TRANSIENT_DELAY_MAX,
    hear_child,
    hear_child_started,
    hear_sent,
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


def ask_again(desk: DecisionContext, leaf: Leaf) -> None:
    """Ask for a leaf once more; where that is answered at once, let the flow run."""
    if (answer := ask(desk, leaf)) is not None:
        desk.flow.resume(leaf, *answer)


def resume_deferred(desk: DecisionContext, leaf: Leaf) -> None:
    """Run a side effect for which the decision tasks before this one had no room, if it is still wanted."""
    if isinstance(leaf.node, SideEffect) and desk.local.get(leaf.task_id) is leaf:
        del desk.local[leaf.task_id]
        ask_again(desk, leaf)


# What an event means.


def _hear_cancel_request(desk: DecisionContext, *_: object) -> None:
    desk.flow.cancel()


def _hear_activity(desk: DecisionContext, event: Any, leaf: Leaf | None) -> None:
    if leaf is None or desk.forget(leaf):
        return
    kind = type(event)
    if kind is e.ActivityTaskCompleted:
        desk.flow.resume(leaf, *read_result(desk, leaf, leaf.node, event.result))
        return
    error: Exception
    if kind is e.ActivityTaskFailed:
        leaf.details = read_failure(event.reason, event.details, desk.codec).heartbeat or leaf.details
        if event.reason == UNREADABLE:
            # The worker could not read the input. The work was not begun: wait for a worker that can.
            desk.ask_later(leaf, UNREADABLE_DELAY_MAX)
            return
        if event.reason == HANDED_BACK:
            # Its worker was stopped, which is no failure of the work, and no attempt of it that counts.
            desk.ask_later(leaf, TRANSIENT_DELAY_MAX)
            return
        error = _read_activity_failure(desk, leaf, event)
        if event.reason == INVALID:
            desk.flow.resume(leaf, ERROR, error)
            return
    elif kind is e.ActivityTaskTimedOut:
        leaf.details = event.details or leaf.details
        error = ActivityTimedOut(leaf.id, timeout_type=event.timeout_type, details=event.details)
    else:
        desk.flow.resume(leaf, ERROR, ActivityCancelled(leaf.id, details=event.details))
        return
    _try_again(desk, leaf, error)


def hear_local(desk: DecisionContext, leaf: Leaf, details: str | None) -> None:
    """A local activity was done, now or by a decider before: its record is told as any activity's end is."""
    record = take_record(desk, leaf, details)
    if record.reason is None:
        desk.flow.resume(leaf, *read_result(desk, leaf, leaf.node, record.details))
    else:
        _try_again(desk, leaf, _read_activity_failure(desk, leaf, record))


def _try_again(desk: DecisionContext, leaf: Leaf, error: Exception) -> None:
    """An attempt failed: ask for the next, now or after a pause, or fail the step."""
    retry = leaf.retry or leaf.node.spec.retry
    pause = None
    if retry is not None:
        elapsed = desk.flow.now - leaf.began if leaf.began is not None else timedelta(0)
        pause = retry.find_pause(leaf.attempt, error, elapsed=elapsed, chance=desk.flow.draw(leaf.id, leaf.attempt))
    if pause is None:
        desk.flow.resume(leaf, ERROR, error)
        return
    leaf.attempt += 1
    if pause:
        desk.ask_pause(leaf, f"{leaf.id}~retry-{leaf.attempt - 1}", pause)
    else:
        ask_again(desk, leaf)


def _read_activity_failure(desk: DecisionContext, leaf: Leaf, event: e.ActivityTaskFailed | Record) -> Exception:
    said = read_failure(event.reason, event.details, desk.codec)
    failed = ActivityFailed(leaf.id, **make_known(said), reason=event.reason or "", details=event.details or "")
    return revive(failed, said, leaf.node.spec.raises, desk.codec)


def _hear_timer(desk: DecisionContext, _: Any, leaf: Leaf | None) -> None:
    desk.unpark()
    if leaf is None or desk.forget(leaf):
        return
    if isinstance(leaf.node, Sleep):
        desk.flow.resume(leaf, VALUE, None)
    else:
        ask_again(desk, leaf)


def _hear_signal(desk: DecisionContext, event: e.WorkflowExecutionSignaled, _: object) -> None:
    event = desk.keep_signal(event)
    # Who waits has taken all that came before, so only this one is there to take: the first to wait takes it.
    leaf = next((leaf for leaf in desk.receivers if _takes(leaf, event)), None)
    if leaf is not None and (taken := _take_signal(desk, leaf)) is not None:
        desk.receivers.remove(leaf)
        desk.flow.resume(leaf, *taken)


def _hear_lambda(desk: DecisionContext, event: Any, leaf: Leaf | None) -> None:
    if leaf is None or desk.forget(leaf):
        return
    node: InvokeLambda[Any] = leaf.node
    if isinstance(event, e.LambdaFunctionCompleted):
        what = f"the result of Lambda function {node.name} ({leaf.id})"
        try:
            outcome: Given = VALUE, desk.codec.decode(event.result, node.type, what)
        except PayloadUnavailableError:
            raise
        except PayloadError as invalid:
            kind = type(invalid).__name__
            outcome = ERROR, UnreadableLambdaResult(leaf.id, name=node.name, reason=kind, details=str(invalid))
        desk.flow.resume(leaf, *outcome)
        return
    reason = getattr(event, "reason", None) or getattr(event, "cause", None) or getattr(event, "timeout_type", None)
    details = getattr(event, "details", None) or getattr(event, "message", None)
    desk.flow.resume(leaf, ERROR, LambdaFailed(leaf.id, name=node.name, reason=reason or "unknown", details=details))


def _hear_refusal(desk: DecisionContext, event: Any, leaf: Leaf | None) -> None:
    """SWF refused a decision: ask again what passes by itself, fail the step for the rest."""
    decision = ANSWERS[type(event)][0].__name__
    if type(event) in CLOSE_REFUSALS:
        # If news came while the close was on its way, they are applied by now, and the turn ends with the same close.
        # Anything else somebody must mend: this decision task fails, and the next asks for the same close.
        passes = event.cause == "UNHANDLED_DECISION" or event.cause.endswith("RATE_EXCEEDED")
        if not passes and not desk.looking:
            denied = event.cause == "OPERATION_NOT_PERMITTED"
            mend = f"Allow swf:{decision} to the role that decides" if denied else "Register the type that it names"
            raise FlowError(
                f"the execution cannot be closed: SWF refused {decision} with {event.cause} (event {event.event_id}). "
                f"{mend}; the same is asked for again in a while"
            )
    elif leaf is None or desk.forget(leaf):
        return
    elif event.cause == "OPEN_TIMERS_LIMIT_EXCEEDED":
        desk.park(leaf)
    elif event.cause == "TIMER_CREATION_RATE_EXCEEDED":
        desk.ask(leaf, leaf.ask.decision)
    elif event.cause in TRANSIENT:
        desk.ask_later(leaf, TRANSIENT_DELAY_MAX)
    elif event.cause in UNKNOWN_TYPE and leaf.unknown < UNKNOWN_TYPE_PAUSES_MAX:
        # It may have been registered a moment ago, on this machine or another, and be unknown for a while (SWF).
        leaf.unknown += 1
        desk.ask_later(leaf, TRANSIENT_DELAY_MAX)
    elif event.cause == "WORKFLOW_ALREADY_RUNNING":
        failed = ChildAlreadyRunning(leaf.id, decision=decision, cause=event.cause, workflow_id=event.workflow_id)
        desk.flow.resume(leaf, ERROR, failed)
    else:
        desk.flow.resume(leaf, ERROR, DecisionFailed(leaf.id, decision=decision, cause=event.cause))


def _hear_stray(_: DecisionContext, event: Any, __: object) -> None:
    """SWF writes what a decision causes right after the decision task that made it, and once (recorded histories)."""
    raise HistoryError(
        f"event {event.event_id}, {type(event).__name__}, says that the decision task completed at event "
        f"{event.decision_task_completed_event_id} caused it, and stands apart from it: no execution has such a history"
    )


_STRAYS: dict[type, Callable[[DecisionContext, Any, Leaf | None], None]] = dict.fromkeys(ANSWERS, _hear_stray)


NEWS: dict[type, Callable[[DecisionContext, Any, Leaf | None], None]] = (
    _STRAYS
    | {
        e.WorkflowExecutionCancelRequested: _hear_cancel_request,
        e.WorkflowExecutionSignaled: _hear_signal,
        e.ActivityTaskCompleted: _hear_activity,
        e.ActivityTaskFailed: _hear_activity,
        e.ActivityTaskTimedOut: _hear_activity,
        e.ActivityTaskCanceled: _hear_activity,
        e.TimerFired: _hear_timer,
        e.TimerCanceled: _hear_timer,
        e.ChildWorkflowExecutionStarted: hear_child_started,
        e.ChildWorkflowExecutionCompleted: hear_child,
        e.ChildWorkflowExecutionFailed: hear_child,
        e.ChildWorkflowExecutionTimedOut: hear_child,
        e.ChildWorkflowExecutionCanceled: hear_child,
        e.ChildWorkflowExecutionTerminated: hear_child,
        e.ExternalWorkflowExecutionSignaled: hear_sent,
        e.SignalExternalWorkflowExecutionFailed: hear_sent,
        e.ExternalWorkflowExecutionCancelRequested: hear_sent,
        e.RequestCancelExternalWorkflowExecutionFailed: hear_sent,
        e.LambdaFunctionCompleted: _hear_lambda,
        e.LambdaFunctionFailed: _hear_lambda,
        e.LambdaFunctionTimedOut: _hear_lambda,
        e.StartLambdaFunctionFailed: _hear_lambda,
    }
    | dict.fromkeys(REFUSALS, _hear_refusal)
)
"""What the flow is told. A refusal is news as well as an answer; events in no table say nothing to a flow."""
