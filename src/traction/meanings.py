"""Say what each leaf asks of the service, and what each event means to the flow.

Takes leaves and events, and the decider that they belong to; gives asks to it, and outcomes to the flow. `ask` and
`withdraw` are for leaves, `NEWS` for events, by type. The decider calls them in decision order; they keep nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from msgspec import structs

from traction import decisions as d
from traction import events as e
from traction.answers import ANSWERS, CHILD_STATUS, CLOSE_REFUSALS, REFUSALS, TRANSIENT, UNKNOWN_TYPE
from traction.codec import JSON, write_attempt
from traction.desk import Beside, Desk
from traction.errors import (
    ActivityCanceled,
    ActivityFailed,
    ActivityTimedOut,
    CancelFailed,
    ChildAlreadyRunning,
    ChildFailed,
    DecisionFailed,
    FlowError,
    HistoryError,
    LambdaFailed,
    PayloadError,
    PayloadUnavailable,
    SignalFailed,
    UnreadableActivityResult,
    UnreadableChildResult,
    UnreadableLambdaResult,
)
from traction.failures import HANDED_BACK, INVALID, UNREADABLE, make_known, read_failure, revive
from traction.frames import ERROR, VALUE, Given, Leaf
from traction.leaves import (
    Child,
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
from traction.names import make_child_id
from traction.options import NO_TIMEOUT, to_duration
from traction.records import Record
from traction.signals import Receive, Send
from traction.step import ActivityStep, Adjusted, AdjustedChild, Sleep, WorkflowStep
from traction.values import Duration

TRANSIENT_DELAY_MAX: Final = timedelta(minutes=1)
"""The longest pause before a decision is asked again that SWF refused for a limit or a rate."""

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
        _ask_child(desk, leaf, node)
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


def _ask_child(desk: Desk, leaf: Leaf, call: WorkflowStep[Any]) -> None:
    desk.met.add(type(call))
    settings: dict[str, Any] = {"workflow_id": None, "tag_list": call.spec.tags or None} | dict(leaf.overrides)
    if settings["workflow_id"] is None:
        named = call.spec.names_itself
        settings["workflow_id"] = call.workflow_id() if named else make_child_id(desk.execution.run_id, leaf.id)
    desk.ask(
        leaf,
        d.StartChildWorkflowExecution(
            workflow_type=call.spec.type, input=encode_call(desk.codec, call, leaf.fiber), control=leaf.id, **settings
        ),
    )


def adopt_child(asked: d.StartChildWorkflowExecution, event: Any) -> d.StartChildWorkflowExecution:
    """Take the id of a child from the event that answers its step, where the id of its parent's run is not known."""
    answers = (e.StartChildWorkflowExecutionInitiated, e.StartChildWorkflowExecutionFailed)
    by_place = asked.control is not None and asked.workflow_id == make_child_id("", asked.control)
    if not by_place or not isinstance(event, answers) or event.control != asked.control:
        return asked
    return structs.replace(asked, workflow_id=event.workflow_id)


def _ask_start_child(desk: Desk, leaf: Leaf) -> None:
    call = leaf.node.call
    if isinstance(call, AdjustedChild):
        leaf.overrides, leaf.cancellation, call = call.overrides, call.cancellation, call.call
    desk.beside[leaf.id] = Beside()
    _ask_child(desk, leaf, call)


def _ask_child_result(desk: Desk, leaf: Leaf) -> Given | None:
    beside = desk.beside[leaf.node.child]
    if beside.outcome is None:
        beside.waiting.append(leaf)
    return beside.outcome


def _ask_receive(desk: Desk, leaf: Leaf) -> Given | None:
    taken = _take_signal(desk, leaf)
    if taken is None:
        desk.receivers.append(leaf)
    return taken


def _ask_send(desk: Desk, leaf: Leaf) -> None:
    node = leaf.node
    desk.ask(
        leaf,
        d.SignalExternalWorkflowExecution(
            workflow_id=node.workflow_id,
            run_id=node.run_id,
            signal_name=node.signal.spec.name,
            input=encode_call(desk.codec, node.signal, leaf.fiber),
            control=leaf.id,
        ),
    )


def _ask_cancel(desk: Desk, leaf: Leaf) -> Given | None:
    node = leaf.node
    if leaf.target is None and node.child and desk.beside[node.child].outcome is not None:
        return VALUE, None
    desk.ask(
        leaf,
        d.RequestCancelExternalWorkflowExecution(workflow_id=node.workflow_id, run_id=node.run_id, control=leaf.id),
    )
    return None


def _cancel_child(desk: Desk, leaf: Leaf) -> None:
    """Ask a child to cancel that the flow no longer wants."""
    if leaf.canceller is not None:
        desk.withdraw_leaf(leaf.canceller)
        leaf.canceller.target = None
    workflow_id = leaf.ask.decision.workflow_id
    leaf.canceller = Leaf(f"{leaf.id}~cancel", RequestCancel(workflow_id, leaf.run_id, leaf.id), None)
    leaf.canceller.target = leaf
    ask(desk, leaf.canceller)


def _ask_lambda(desk: Desk, leaf: Leaf) -> None:
    node = leaf.node
    desk.ask(
        leaf,
        d.ScheduleLambdaFunction(
            id=leaf.id,
            name=node.name,
            # The function is not Traction's, and reads JSON alone.
            input=None if node.input is None else JSON.encode(node.input),
            start_to_close_timeout=None if node.limit is None else to_duration(node.limit),
        ),
    )


ASKS: dict[type, Callable[[Desk, Leaf], Given | None]] = {
    Adjusted: _ask_adjusted,
    AdjustedChild: _ask_adjusted_child,
    ChildResult: _ask_child_result,
    GetExecutionInfo: ask_execution_info,
    ContinueAsNew: _ask_continue_as_new,
    HistoryEvents: ask_history_events,
    InvokeLambda: _ask_lambda,
    Local: ask_local,
    Patched: ask_patched,
    Receive: _ask_receive,
    Report: ask_report,
    RequestCancel: _ask_cancel,
    RunEnds: ask_run_ends,
    Send: _ask_send,
    SideEffect: ask_side_effect,
    Sleep: _ask_sleep,
    StartChild: _ask_start_child,
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
        # The flow has no handle of a child that was not known to have started, so nobody can ask for its result.
        desk.beside.pop(leaf.id, None)
        leaf.cancelling = leaf.cancellation != "abandon"
        # A child that has not started may not be found: it is asked when it has. With "request", this run may have
        # closed by then, so it is asked now as well.
        if leaf.cancelling and (leaf.run_id is not None or leaf.cancellation == "request"):
            _cancel_child(desk, leaf)
        return None, leaf.cancellation == "wait"
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
        desk.flow.resume(leaf, *_read_result(desk, leaf, leaf.node, event.result))
        return
    error: Exception
    if kind is e.ActivityTaskFailed:
        leaf.details = read_failure(event.reason, event.details).heartbeat or leaf.details
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
        desk.flow.resume(leaf, *_read_result(desk, leaf, leaf.node, record.details))
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
    said = read_failure(event.reason, event.details)
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


def _hear_child_started(desk: Desk, event: e.ChildWorkflowExecutionStarted, leaf: Leaf | None) -> None:
    if leaf is None:
        return
    leaf.run_id = event.workflow_execution.run_id
    if leaf.cancelling:
        # It was to be cancelled before it had started, when such a request may have found nobody.
        _cancel_child(desk, leaf)
    elif leaf.id in desk.beside and leaf.fiber is not None:
        desk.flow.resume(leaf, VALUE, Child(leaf.id, event.workflow_execution))


def _hear_child(desk: Desk, event: Any, leaf: Leaf | None) -> None:
    if leaf is None:
        return
    beside = desk.beside.get(leaf.id)
    if desk.forget(leaf) and beside is None:
        return
    call = leaf.node.call if isinstance(leaf.node, StartChild) else leaf.node
    if isinstance(call, Adjusted):
        call = call.call
    outcome: Given
    if isinstance(event, e.ChildWorkflowExecutionCompleted):
        outcome = _read_result(desk, leaf, call, event.result)
    elif isinstance(event, e.ChildWorkflowExecutionFailed):
        said = read_failure(event.reason, event.details)
        failed = ChildFailed(leaf.id, **make_known(said), status="FAILED", details=event.details)
        outcome = ERROR, revive(failed, said, call.spec.raises, desk.codec)
    else:
        details = getattr(event, "details", None)
        outcome = ERROR, ChildFailed(leaf.id, status=CHILD_STATUS[type(event)], details=details)
    if beside is None:
        desk.flow.resume(leaf, *outcome)
        return
    beside.outcome = outcome
    # One after the other: what the first does with it may withdraw those that come after.
    while beside.waiting:
        desk.flow.resume(beside.waiting.pop(0), *outcome)


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


def _hear_sent(desk: Desk, event: Any, leaf: Leaf | None) -> None:
    if type(event) is e.SignalExternalWorkflowExecutionFailed:
        desk.keep_unsent(event.initiated_event_id)
    if leaf is None or desk.forget(leaf):
        return
    kind, node = type(event), leaf.node
    delivered = kind is e.ExternalWorkflowExecutionSignaled or kind is e.ExternalWorkflowExecutionCancelRequested
    if not delivered and event.cause.endswith("RATE_EXCEEDED"):
        desk.ask_later(leaf, TRANSIENT_DELAY_MAX)
        return
    unknown = not delivered and event.cause == "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION"
    closed = leaf.target is None and bool(node.child) and desk.beside[node.child].outcome is not None
    if unknown and node.child and node.run_id is not None and not closed:
        # The child has continued as new, or the event of its close is on its way. After a pause, which lets that event
        # arrive, ask whichever run is open under its id.
        leaf.node = structs.replace(node, run_id=None)
        desk.ask_later(leaf, TRANSIENT_DELAY_MAX)
    elif (child := leaf.target) is not None:
        if not delivered and not unknown and child.leaving is not None and child.fiber is not None:
            desk.notes.append(f"{child.id} could not be asked to cancel ({event.cause}): the flow does not wait for it")
            desk.flow.resume(child, *child.leaving)
    elif delivered or (unknown and node.child and kind is e.RequestCancelExternalWorkflowExecutionFailed):
        desk.flow.resume(leaf, VALUE, None)
    else:
        failed = SignalFailed if kind is e.SignalExternalWorkflowExecutionFailed else CancelFailed
        desk.flow.resume(leaf, ERROR, failed(leaf.id, workflow_id=event.workflow_id, cause=event.cause))


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


def _read_result(desk: Desk, leaf: Leaf, call: Any, payload: str | None) -> Given:
    """Read the result of an activity or a child. One that does not decode fails the step."""
    spec = call.spec
    try:
        return VALUE, desk.codec.decode(payload, spec.result)
    except PayloadError:  # once more, in the reader's names
        what = f"the result of {spec.type.name} {spec.type.version} ({leaf.id})"
    try:
        return VALUE, desk.codec.decode(payload, spec.result, what)
    except PayloadUnavailable:
        raise
    except PayloadError as error:
        kind, message = type(error).__name__, str(error)
    if isinstance(call, WorkflowStep):
        return ERROR, UnreadableChildResult(leaf.id, status="COMPLETED", type=kind, message=message)
    return ERROR, UnreadableActivityResult(leaf.id, type=kind, message=message, reason=INVALID)


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
        e.ChildWorkflowExecutionStarted: _hear_child_started,
        e.ChildWorkflowExecutionCompleted: _hear_child,
        e.ChildWorkflowExecutionFailed: _hear_child,
        e.ChildWorkflowExecutionTimedOut: _hear_child,
        e.ChildWorkflowExecutionCanceled: _hear_child,
        e.ChildWorkflowExecutionTerminated: _hear_child,
        e.ExternalWorkflowExecutionSignaled: _hear_sent,
        e.SignalExternalWorkflowExecutionFailed: _hear_sent,
        e.ExternalWorkflowExecutionCancelRequested: _hear_sent,
        e.RequestCancelExternalWorkflowExecutionFailed: _hear_sent,
        e.LambdaFunctionCompleted: _hear_lambda,
        e.LambdaFunctionFailed: _hear_lambda,
        e.LambdaFunctionTimedOut: _hear_lambda,
        e.StartLambdaFunctionFailed: _hear_lambda,
    }
    | dict.fromkeys(REFUSALS, _hear_refusal)
)
"""What the flow is told. A refusal is news as well as an answer; events in no table say nothing to a flow."""
