"""Apply a batch of decisions, in order.

Takes decisions that are known to be well formed; gives their events. A decision that fails stops nothing: the
next is applied. What a decision does to others happens after the batch, never inside it (recorded history).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from traction.model.decisions import (
    CancelTimer,
    CancelWorkflowExecution,
    CompleteWorkflowExecution,
    ContinueAsNewWorkflowExecution,
    Decision,
    FailWorkflowExecution,
    RecordMarker,
    RequestCancelActivityTask,
    RequestCancelExternalWorkflowExecution,
    ScheduleActivityTask,
    ScheduleLambdaFunction,
    SignalExternalWorkflowExecution,
    StartChildWorkflowExecution,
    StartTimer,
)
from traction_local.service.decisions.activities_timers_markers import (
    cancel_timer,
    record_marker,
    request_cancel_activity_task,
    schedule_activity_task,
    start_timer,
)
from traction_local.service.decisions.batch import Batch
from traction_local.service.decisions.close import close, continue_as_new
from traction_local.service.decisions.external import reach_external, schedule_lambda_function, start_child
from traction_local.service.state.execution import Execution


def apply_decisions(
    execution: Execution, decisions: tuple[Decision, ...], completed_event_id: int, now: datetime
) -> None:
    """Apply a batch; then let the decision task that came meanwhile be handed out, or ask for one if a decision
    failed: one, and last.
    """
    failed = False
    for decision in decisions:
        place = Batch(execution, completed_event_id, now, failed)
        if not APPLY[type(decision)](place, decision):
            failed = True
    if execution.close_status is None:
        if execution.queued is not None:
            execution.offer_queued()
        elif failed:
            execution.ask_decision(now)


APPLY: dict[type[Decision], Callable[[Batch, Any], bool]] = {
    ScheduleActivityTask: schedule_activity_task,
    RequestCancelActivityTask: request_cancel_activity_task,
    CompleteWorkflowExecution: close,
    FailWorkflowExecution: close,
    CancelWorkflowExecution: close,
    ContinueAsNewWorkflowExecution: continue_as_new,
    RecordMarker: record_marker,
    StartTimer: start_timer,
    CancelTimer: cancel_timer,
    SignalExternalWorkflowExecution: reach_external,
    RequestCancelExternalWorkflowExecution: reach_external,
    StartChildWorkflowExecution: start_child,
    ScheduleLambdaFunction: schedule_lambda_function,
}
"""How each decision type is applied; false if it failed."""
