"""Map steps to SWF decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from traction.decider.children import (
    ask_cancel,
    ask_child,
    ask_child_result,
    ask_send,
    ask_start_child,
    leave_child,
)
from traction.decider.context import DecisionContext
from traction.decider.diagnostics import encode_call, forget_origin, must_wait
from traction.decider.frames import ERROR, Given, Leaf
from traction.decider.mailbox import _take_signal
from traction.decider.markers import (
    ask_execution_info,
    ask_history_events,
    ask_local,
    ask_patched,
    ask_report,
    ask_run_ends,
    ask_side_effect,
)
from traction.errors import (
    PayloadError,
)
from traction.flow.durations import NO_TIMEOUT, to_duration
from traction.flow.effects import (
    ChildResult,
    ContinueAsNew,
    ContinuedAsNew,
    GetExecutionInfo,
    HistoryLength,
    InvokeLambda,
    Local,
    Patched,
    RequestCancel,
    RunDeadline,
    SetState,
    SideEffect,
    StartChild,
)
from traction.flow.signals import Receive, Send
from traction.flow.step import ActivityStep, Adjusted, AdjustedChild, Sleep, WorkflowStep
from traction.model import decisions as d
from traction.model.literals import Duration
from traction.payloads.codec import JSON, PAYLOAD_CHARS_MAX, write_attempt

# Requests of leaves. A returned outcome ends the wait at once.


def ask(context: DecisionContext, leaf: Leaf) -> Given | None:
    """Queue the decision of a leaf. A value that cannot be sent, such as one that is too long, fails the step."""
    try:
        return _ask(context, leaf)
    except PayloadError as error:
        if must_wait(error):
            raise
        return ERROR, forget_origin(error)


def _ask(context: DecisionContext, leaf: Leaf) -> Given | None:
    node = leaf.node
    if isinstance(node, ActivityStep):
        context.met.add(type(node))
        payload = encode_call(context.codec, node, leaf.fiber)
        heartbeat = leaf.overrides.get("heartbeat_timeout")
        limit = _find_limit(leaf.overrides) if leaf.overrides else None
        if leaf.attempt > 1 or heartbeat is not None or limit is not None or leaf.details is not None:
            payload = write_attempt(payload, leaf.attempt, leaf.details, heartbeat, limit)
        type_, id = node.spec.type, leaf.task_id
        if leaf.overrides:
            decision = d.ScheduleActivityTask(activity_type=type_, activity_id=id, input=payload, **leaf.overrides)
        else:
            decision = d.ScheduleActivityTask(activity_type=type_, activity_id=id, input=payload)
        context.ask(leaf, decision)
        return None
    if isinstance(node, WorkflowStep):
        ask_child(context, leaf, node)
        return None
    return REQUESTS[type(node)](context, leaf)


def _find_limit(overrides: Mapping[str, Any]) -> Duration | None:
    """Return the shorter of the timeouts of a call within which its body must end, or `None` if it has neither."""
    given = [overrides.get(f"{name}_to_close_timeout") for name in ("start", "schedule")]
    return min((limit for limit in given if limit not in (None, NO_TIMEOUT)), key=int, default=None)


def _ask_adjusted(context: DecisionContext, leaf: Leaf) -> Given | None:
    node = leaf.node
    leaf.node, leaf.overrides = node.call, node.overrides
    leaf.retry = node.policy
    return _ask(context, leaf)


def _ask_continue_as_new(context: DecisionContext, leaf: Leaf) -> Given:
    # Only a check: `finally` blocks may take more decision tasks before the run closes.
    encode_call(context.codec, leaf.node.call, leaf.fiber)
    return ERROR, ContinuedAsNew(leaf.node.call)


def _ask_adjusted_child(context: DecisionContext, leaf: Leaf) -> Given | None:
    leaf.cancellation = leaf.node.cancellation
    return _ask_adjusted(context, leaf)


def _ask_sleep(context: DecisionContext, leaf: Leaf) -> None:
    context.ask(leaf, d.StartTimer(timer_id=leaf.id, start_to_fire_timeout=to_duration(leaf.node.span)))


def _ask_receive(context: DecisionContext, leaf: Leaf) -> Given | None:
    taken = _take_signal(context, leaf)
    if taken is None:
        context.receivers.append(leaf)
    return taken


def _write_lambda_input(context: DecisionContext, node: InvokeLambda[Any]) -> str:
    # The function is not Traction's, and reads JSON alone. Errors hide the value all the same, if the codec does.
    return JSON.pack(context.codec.write(node.input), PAYLOAD_CHARS_MAX, f"the input of Lambda function {node.name}")


def _ask_lambda(context: DecisionContext, leaf: Leaf) -> None:
    node = leaf.node
    context.ask(
        leaf,
        d.ScheduleLambdaFunction(
            id=leaf.id,
            name=node.name,
            input=None if node.input is None else _write_lambda_input(context, node),
            start_to_close_timeout=None if node.limit is None else to_duration(node.limit),
        ),
    )


REQUESTS: dict[type, Callable[[DecisionContext, Leaf], Given | None]] = {
    Adjusted: _ask_adjusted,
    AdjustedChild: _ask_adjusted_child,
    ChildResult: ask_child_result,
    GetExecutionInfo: ask_execution_info,
    ContinueAsNew: _ask_continue_as_new,
    HistoryLength: ask_history_events,
    InvokeLambda: _ask_lambda,
    Local: ask_local,
    Patched: ask_patched,
    Receive: _ask_receive,
    SetState: ask_report,
    RequestCancel: ask_cancel,
    RunDeadline: ask_run_ends,
    Send: ask_send,
    SideEffect: ask_side_effect,
    Sleep: _ask_sleep,
    StartChild: ask_start_child,
}
"""The request function of each leaf type other than calls of definitions."""


def withdraw(context: DecisionContext, leaf: Leaf) -> tuple[d.Decision | None, bool]:
    """Remove or cancel the request of a leaf that the flow has cancelled.

    Returns:
        The decision that cancels what the history shows as open, if one can; and whether the fiber that waits for the
        leaf must wait until it has closed.
    """
    decision = None if leaf.ask is None else leaf.ask.decision
    if leaf.opened_event_id and isinstance(decision, d.StartChildWorkflowExecution):
        return None, leave_child(context, leaf)
    return _withdraw(context, leaf), False


def _withdraw(context: DecisionContext, leaf: Leaf) -> d.Decision | None:
    if context.local.get(leaf.task_id) is leaf:
        del context.local[leaf.task_id]
        return None
    if leaf.ask is None:
        if isinstance(leaf.node, Receive):
            context.receivers.remove(leaf)
        else:
            context.beside[leaf.node.child].waiting.remove(leaf)
        return None
    decision = leaf.ask.decision
    if not leaf.opened_event_id:
        context.withdraw(leaf.ask)
        return None
    if isinstance(decision, d.ScheduleActivityTask):
        return d.RequestCancelActivityTask(activity_id=decision.activity_id)
    if isinstance(decision, d.StartTimer):
        return d.CancelTimer(timer_id=decision.timer_id)
    return None
