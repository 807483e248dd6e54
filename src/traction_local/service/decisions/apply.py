"""Apply a batch of decisions, in order.

A decision that fails does not stop the batch. Effects on other executions happen after the batch, never inside it
(recorded history).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from traction.model import decisions as d
from traction.model import events
from traction.model.correlation import CORRELATIONS
from traction_local.service.decisions.activities_timers_markers import (
    cancel_timer,
    record_marker,
    request_cancel_activity_task,
    schedule_activity_task,
    start_timer,
)
from traction_local.service.decisions.batch import Batch, Refused
from traction_local.service.decisions.close import close, continue_as_new
from traction_local.service.decisions.external import (
    schedule_lambda_function,
    signal_or_cancel_external,
    start_child,
)
from traction_local.service.state.domain import Domain
from traction_local.service.state.execution import Execution


def apply_decisions(
    domain: Domain, execution: Execution, decisions: tuple[d.Decision, ...], completed_event_id: int, now: datetime
) -> None:
    """Apply a batch of decisions, and write a `...Failed` event for each one that is refused.

    Afterwards, a decision task that was queued meanwhile is offered to pollers. If there is none and a decision failed,
    one is scheduled: one for all failures, as the last event.
    """
    failed = False
    for decision in decisions:
        batch = Batch(domain, execution, completed_event_id, now, failed)
        try:
            APPLY[type(decision)](batch, decision)
        except Refused as refused:
            execution.append(_make_failed(batch, decision, refused.cause))
            failed = True
    if execution.close_status is None:
        if execution.queued is not None:
            execution.offer_queued()
        elif failed:
            execution.schedule_decision(now)


APPLY: dict[type[d.Decision], Callable[[Batch, Any], None]] = {
    d.ScheduleActivityTask: schedule_activity_task,
    d.RequestCancelActivityTask: request_cancel_activity_task,
    d.CompleteWorkflowExecution: close,
    d.FailWorkflowExecution: close,
    d.CancelWorkflowExecution: close,
    d.ContinueAsNewWorkflowExecution: continue_as_new,
    d.RecordMarker: record_marker,
    d.StartTimer: start_timer,
    d.CancelTimer: cancel_timer,
    d.SignalExternalWorkflowExecution: signal_or_cancel_external,
    d.RequestCancelExternalWorkflowExecution: signal_or_cancel_external,
    d.StartChildWorkflowExecution: start_child,
    d.ScheduleLambdaFunction: schedule_lambda_function,
}
"""How each decision type is applied. The functions raise `Refused` before they write anything."""

_FAILED: dict[type[d.Decision], Any] = {
    row.decision: row.refused or next(event for event, status in row.closed.items() if status == "FAILED")
    for row in CORRELATIONS
}
"""The event that reports that a decision failed. External requests may also fail later, with it."""


def _make_failed(batch: Batch, decision: d.Decision, cause: str) -> events.Event:
    """Build the event of a refused decision. It repeats the members that it has in common with the decision."""
    kind = _FAILED[type(decision)]
    fields: dict[str, Any] = {
        name: getattr(decision, name) for name in kind.__struct_fields__ if name in decision.__struct_fields__
    }
    if "initiated_event_id" in kind.__struct_fields__:
        fields["initiated_event_id"] = 0
    event: events.Event = kind(
        event_id=batch.execution.next_event_id,
        event_timestamp=batch.now,
        cause=cause,
        decision_task_completed_event_id=batch.completed_event_id,
        **fields,
    )
    return event
