"""Say what each leaf asks of the service, and what each event means to the flow.

Takes leaves and events, and the decider that they belong to; gives asks to it, and outcomes to the flow. `ask` and
`withdraw` are for leaves, `NEWS` for events, by type. The decider calls them in decision order; they keep nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from traction import decisions as d
from traction import events as e
from traction.answers import ANSWERS, CLOSE_REFUSALS, REFUSALS, TRANSIENT, UNKNOWN_TYPE
from traction.children import (
    TRANSIENT_DELAY_MAX,
    ask_cancel,
    ask_child,
    ask_child_result,
    ask_send,
    ask_start_child,
    hear_child,
    hear_child_started,
    hear_sent,
    leave_child,
    read_result,
)
from traction.codec import JSON, PAYLOAD_CHARS_MAX, write_attempt
from traction.desk import Desk
from traction.errors import (
    ActivityCanceled,
    ActivityFailed,
    ActivityTimedOut,
    ChildAlreadyRunning,
    DecisionFailed,
    FlowError,
    HistoryError,
    LambdaFailed,
    PayloadError,
    PayloadUnavailable,
    UnreadableLambdaResult,
)
from traction.failures import HANDED_BACK, INVALID, UNREADABLE, make_known, read_failure, revive
from traction.frames import ERROR, VALUE, Given, Leaf
from traction.leaves import (
    ChildResult,
    ContinueAsNew,
    ContinuedAsNew,
    GetExecutionInfo,
    HistoryEvents,
    InvokeLambda,
    Local,
    Patched,
    Report,
    RequestCancel,
    RunEnds,
    SideEffect,
    StartChild,
)
from traction.markers import (
    ask_execution_info,
    ask_history_events,
    ask_local,
    ask_patched,
    ask_report,
    ask_run_ends,
    ask_side_effect,
    take_record,
)
from traction.mistakes import encode_call, forget_origin, must_wait
from traction.options import NO_TIMEOUT, to_duration
from traction.records import Record
from traction.signals import Receive, Send
from traction.step import ActivityStep, Adjusted, AdjustedChild, Sleep, WorkflowStep
from traction.values import Duration

UNKNOWN_TYPE_PAUSES_MAX: Final = 6
"""How often a step is asked for again whose type is not registered: over 63 s, if nothing else held it up."""

UNREADABLE_DELAY_MAX: Final = timedelta(hours=1)
"""The longest pause before an activity is scheduled again whose worker could not read its input."""


# What a leaf asks. An answer ends its wait at once.


def ask(desk: Desk, leaf: Leaf) -> Given | None:
    """Ask for what a leaf is. A value that cannot be sent, such as one that is too long, fails the step."""
    try:
        return _ask(desk, leaf)
    except PayloadError as error:
        if must_wait(error):
            raise
        return ERROR, forget_origin(error)


def _ask(desk: Desk, leaf: Leaf) -> Given | None:
    node = leaf.node
    if isinstance(node, ActivityStep):
        desk.met.add(type(node))
        payload = encode_call(desk.codec, node, leaf.fiber)
        heartbeat = leaf.overrides.get("heartbeat_timeout")
        limit = _find_limit(leaf.overrides) if leaf.overrides else None
        if leaf.attempt > 1 or heartbeat is not None or limit is not None or leaf.details is not None:
            payload = write_attempt(payload, leaf.attempt, leaf.details, heartbeat, limit)
        type_, id = node.spec.type, leaf.task_id
        if leaf.overrides:
            decision = d.ScheduleActivityTask(activity_type=type_, activity_id=id, input=payload, **leaf.overrides)
        else:
            decision = d.ScheduleActivityTask(activity_type=type_, activity_id=id, input=payload)
        desk.ask(leaf, decision)
        return None
    if isinstance(node, WorkflowStep):
        ask_child(desk, leaf, node)
        return None
    return ASKS[type(node)](desk, leaf)


def ask_again(desk: Desk, leaf: Leaf) -> None:
    """Ask for a leaf once more; where that is answered at once, let the flow run."""
    if (answer := ask(desk, leaf)) is not None:
        desk.flow.resume(leaf, *answer)


def resume_deferred(desk: Desk, leaf: Leaf) -> None:
    """Run a side effect for which the decision tasks before this one had no room, if it is still wanted."""
    if isinstance(leaf.node, SideEffect) and desk.local.get(leaf.task_id) is leaf:
        del desk.local[leaf.task_id]
        ask_again(desk, leaf)


def _find_limit(overrides: Mapping[str, Any]) -> Duration | None:
    """Return the shorter of the timeouts of a call within which its body must end, or `None` if it has neither."""
    given = [overrides.get(f"{name}_to_close_timeout") for name in ("start", "schedule")]
    return min((limit for limit in given if limit not in (None, NO_TIMEOUT)), key=int, default=None)


def _ask_adjusted(desk: Desk, leaf: Leaf) -> Given | None:
    node = leaf.node
    leaf.node, leaf.overrides = node.call, node.overrides
    leaf.retry = node.policy
    return _ask(desk, leaf)


def _ask_continue_as_new(desk: Desk, leaf: Leaf) -> Given:
    # Only a check: `finally` blocks may take more decision tasks before the run closes.
    encode_call(desk.codec, leaf.node.call, leaf.fiber)
    return ERROR, ContinuedAsNew(leaf.node.call)


def _ask_adjusted_child(desk: Desk, leaf: Leaf) -> Given | None:
    leaf.cancellation = leaf.node.cancellation
    return _ask_adjusted(desk, leaf)


def _ask_sleep(desk: Desk, leaf: Leaf) -> None:
    desk.ask(leaf, d.StartTimer(timer_id=leaf.id, start_to_fire_timeout=to_duration(leaf.node.span)))


def _ask_receive(desk: Desk, leaf: Leaf) -> Given | None:
    taken = _take_signal(desk, leaf)
    if taken is None:
        desk.receivers.append(leaf)
    return taken


def _write_lambda_input(desk: Desk, node: InvokeLambda[Any]) -> str:
    # The function is not Traction's, and reads JSON alone. Errors hide the value all the same, if the codec does.
    return JSON.pack(desk.codec.write(node.input), PAYLOAD_CHARS_MAX, f"the input of Lambda function {node.name}")


def _ask_lambda(desk: Desk, leaf: Leaf) -> None:
    node = leaf.node
    desk.ask(
        leaf,
        d.ScheduleLambdaFunction(
            id=leaf.id,
            name=node.name,
            input=None if node.input is None else _write_lambda_input(desk, node),
            start_to_close_timeout=None if node.limit is None else to_duration(node.limit),
        ),
    )


ASKS: dict[type, Callable[[Desk, Leaf], Given | None]] = {
    Adjusted: _ask_adjusted,
    AdjustedChild: _ask_adjusted_child,
    ChildResult: ask_child_result,
    GetExecutionInfo: ask_execution_info,
    ContinueAsNew: _ask_continue_as_new,
    HistoryEvents: ask_history_events,
    InvokeLambda: _ask_lambda,
    Local: ask_local,
    Patched: ask_patched,
    Receive: _ask_receive,
    Report: ask_report,
    RequestCancel: ask_cancel,
    RunEnds: ask_run_ends,
    Send: ask_send,
    SideEffect: ask_side_effect,
    Sleep: _ask_sleep,
    StartChild: ask_start_child,
}
"""How each leaf asks that is not a definition's call."""


def withdraw(desk: Desk, leaf: Leaf) -> tuple[d.Decision | None, bool]:
    """Take back what a leaf asks for, now that the flow no longer wants it.

    Returns:
        The decision that cancels what the history shows as open, if one can; and whether the fiber that waits for the
        leaf must wait until it has closed.
    """
    decision = None if leaf.ask is None else leaf.ask.decision
    if leaf.opened_event_id and isinstance(decision, d.StartChildWorkflowExecution):
        return None, leave_child(desk, leaf)
    return _withdraw(desk, leaf), False


def _withdraw(desk: Desk, leaf: Leaf) -> d.Decision | None:
    if desk.local.get(leaf.task_id) is leaf:
        del desk.local[leaf.task_id]
        return None
    if leaf.ask is None:
        if isinstance(leaf.node, Receive):
            desk.receivers.remove(leaf)
        else:
            desk.beside[leaf.node.child].waiting.remove(leaf)
        return None
    decision = leaf.ask.decision
    if not leaf.opened_event_id:
        desk.withdraw(leaf.ask)
        return None
    if isinstance(decision, d.ScheduleActivityTask):
        return d.RequestCancelActivityTask(activity_id=decision.activity_id)
    if isinstance(decision, d.StartTimer):
        return d.CancelTimer(timer_id=decision.timer_id)
    return None


# What an event means.


def _hear_cancel_request(desk: Desk, *_: object) -> None:
    desk.flow.cancel()


def _hear_activity(desk: Desk, event: Any, leaf: Leaf | None) -> None:
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
        desk.flow.resume(leaf, ERROR, ActivityCanceled(leaf.id, details=event.details))
        return
    _try_again(desk, leaf, error)


def hear_local(desk: Desk, leaf: Leaf, details: str | None) -> None:
    """A local activity was done, now or by a decider before: its record is told as any activity's end is."""
    record = take_record(desk, leaf, details)
    if record.reason is None:
        desk.flow.resume(leaf, *read_result(desk, leaf, leaf.node, record.details))
    else:
        _try_again(desk, leaf, _read_activity_failure(desk, leaf, record))


def _try_again(desk: Desk, leaf: Leaf, error: Exception) -> None:
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


def _read_activity_failure(desk: Desk, leaf: Leaf, event: e.ActivityTaskFailed | Record) -> Exception:
    said = read_failure(event.reason, event.details, desk.codec)
    failed = ActivityFailed(leaf.id, **make_known(said), reason=event.reason or "", details=event.details or "")
    return revive(failed, said, leaf.node.spec.raises, desk.codec)


def _hear_timer(desk: Desk, _: Any, leaf: Leaf | None) -> None:
    desk.unpark()
    if leaf is None or desk.forget(leaf):
        return
    if isinstance(leaf.node, Sleep):
        desk.flow.resume(leaf, VALUE, None)
    else:
        ask_again(desk, leaf)


def _hear_signal(desk: Desk, event: e.WorkflowExecutionSignaled, _: object) -> None:
    event = desk.keep_signal(event)
    # Who waits has taken all that came before, so only this one is there to take: the first to wait takes it.
    leaf = next((leaf for leaf in desk.receivers if _takes(leaf, event)), None)
    if leaf is not None and (taken := _take_signal(desk, leaf)) is not None:
        desk.receivers.remove(leaf)
        desk.flow.resume(leaf, *taken)


def _takes(leaf: Leaf, event: e.WorkflowExecutionSignaled) -> bool:
    return any(signal.spec.name == event.signal_name for signal in leaf.node.signals)


def _take_signal(desk: Desk, leaf: Leaf) -> Given | None:
    """Take the first signal that a leaf receives; one that does not decode is put aside, and told of."""
    kinds = {signal.spec.name: signal for signal in leaf.node.signals}
    for event in list(desk.signals):
        kind = kinds.get(event.signal_name)
        if kind is None:
            continue
        desk.signals.remove(event)
        try:
            return VALUE, desk.codec.decode_call(
                event.input, kind, f"the signal {event.signal_name} (event {event.event_id})"
            )
        except PayloadUnavailable:
            raise  # another decider may read it, and must not find that this one has passed it over
        except PayloadError as error:
            desk.notes.append(str(error))
    return None


def _hear_lambda(desk: Desk, event: Any, leaf: Leaf | None) -> None:
    if leaf is None or desk.forget(leaf):
        return
    node: InvokeLambda[Any] = leaf.node
    if isinstance(event, e.LambdaFunctionCompleted):
        what = f"the result of Lambda function {node.name} ({leaf.id})"
        try:
            outcome: Given = VALUE, desk.codec.decode(event.result, node.type, what)
        except PayloadUnavailable:
            raise
        except PayloadError as invalid:
            kind = type(invalid).__name__
            outcome = ERROR, UnreadableLambdaResult(leaf.id, name=node.name, reason=kind, details=str(invalid))
        desk.flow.resume(leaf, *outcome)
        return
    reason = getattr(event, "reason", None) or getattr(event, "cause", None) or getattr(event, "timeout_type", None)
    details = getattr(event, "details", None) or getattr(event, "message", None)
    desk.flow.resume(leaf, ERROR, LambdaFailed(leaf.id, name=node.name, reason=reason or "unknown", details=details))


def _hear_refusal(desk: Desk, event: Any, leaf: Leaf | None) -> None:
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


def _hear_stray(_: Desk, event: Any, __: object) -> None:
    """SWF writes what a decision causes right after the decision task that made it, and once (recorded histories)."""
    raise HistoryError(
        f"event {event.event_id}, {type(event).__name__}, says that the decision task completed at event "
        f"{event.decision_task_completed_event_id} caused it, and stands apart from it: no execution has such a history"
    )


_STRAYS: dict[type, Callable[[Desk, Any, Leaf | None], None]] = dict.fromkeys(ANSWERS, _hear_stray)

NEWS: dict[type, Callable[[Desk, Any, Leaf | None], None]] = (
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
