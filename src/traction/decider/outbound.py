"""Map steps to what they request: decisions, markers, or an outcome that is known at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from traction.decider.activities import PendingActivity, adjust_activity
from traction.decider.children import PendingChild, request_start_child
from traction.decider.context import DecisionContext
from traction.decider.diagnostics import to_failure
from traction.decider.external import PendingCancelRequest, PendingSignal
from traction.decider.frames import Leaf
from traction.decider.immediate import (
    continue_as_new,
    get_execution_info,
    get_history_length,
    get_run_deadline,
    publish_state,
)
from traction.decider.lambdas import PendingLambda
from traction.decider.local_activities import request_local
from traction.decider.outcomes import Outcome
from traction.decider.side_effects import request_patched, request_side_effect
from traction.decider.timers import PendingTimer
from traction.errors import PayloadError
from traction.flow.effects import (
    ChildResult,
    ContinueAsNew,
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


def request(context: DecisionContext, leaf: Leaf) -> Outcome | None:
    """Request what a leaf waits for, or return its outcome if that is known at once.

    A value that cannot be sent, such as one that is too long, fails the step.
    """
    node: Any = leaf.node
    try:
        if isinstance(node, ActivityStep):
            return PendingActivity(context, leaf, node).request()
        if isinstance(node, WorkflowStep):
            return PendingChild(context, leaf, node).request()
        return REQUESTS[type(node)](context, leaf)
    except PayloadError as error:
        return to_failure(error)


REQUESTS: dict[type, Callable[[DecisionContext, Leaf], Outcome | None]] = {
    Adjusted: lambda context, leaf: adjust_activity(context, leaf).request(),
    AdjustedChild: lambda context, leaf: PendingChild(context, leaf, leaf.node).request(),
    ChildResult: lambda context, leaf: context.children.receive_result(leaf),
    ContinueAsNew: continue_as_new,
    GetExecutionInfo: get_execution_info,
    HistoryLength: get_history_length,
    InvokeLambda: lambda context, leaf: PendingLambda(context, leaf).request(),
    Local: request_local,
    Patched: request_patched,
    Receive: lambda context, leaf: context.mailbox.receive(leaf),
    RequestCancel: lambda context, leaf: PendingCancelRequest(context, leaf).request(),
    RunDeadline: get_run_deadline,
    Send: lambda context, leaf: PendingSignal(context, leaf).request(),
    SetState: publish_state,
    SideEffect: request_side_effect,
    Sleep: lambda context, leaf: PendingTimer(context, leaf).request(),
    StartChild: request_start_child,
}
"""The request function of each type of step, but for calls of definitions."""
