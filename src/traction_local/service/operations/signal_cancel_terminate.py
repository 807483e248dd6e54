"""Signal, cancel and terminate open runs, for a request or for another run.

The result of a signal or cancel request from another run is an event in the history of that run.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, TypeAlias

from traction.model import events as e
from traction.model import operations as o
from traction.model.correlation import CORRELATIONS
from traction.model.literals import CloseStatus
from traction.model.names import WorkflowExecution
from traction_local.service.state.execution import Execution
from traction_local.service.state.region import Region


def signal_workflow_execution(region: Region, request: o.SignalWorkflowExecution, now: datetime) -> None:
    """Signal an open run. The event names no source."""
    _signal(region.get_domain(request.domain).index.get_open(request.workflow_id, request.run_id), request, now)


def request_cancel_workflow_execution(region: Region, request: o.RequestCancelWorkflowExecution, now: datetime) -> None:
    """Request cancellation of an open run. Its decider chooses what to do."""
    region.get_domain(request.domain).index.get_open(request.workflow_id, request.run_id).request_cancel(now)


def terminate_workflow_execution(region: Region, request: o.TerminateWorkflowExecution, now: datetime) -> None:
    """Close an open run at once, even while a decision task is running."""
    target = region.get_domain(request.domain).index.get_open(request.workflow_id, request.run_id)
    target.terminate(
        now, "OPERATOR_INITIATED", policy=request.child_policy, reason=request.reason, details=request.details
    )


Initiated: TypeAlias = e.SignalExternalWorkflowExecutionInitiated | e.RequestCancelExternalWorkflowExecutionInitiated

_RESULTS: dict[tuple[type, CloseStatus], Callable[..., e.Event]] = {
    (row.accepted, status): event for row in CORRELATIONS for event, status in row.closed.items()
}
"""The event that reports the result of an initiated event to its run."""


def follow_external(source: Execution, initiated: Initiated, now: datetime) -> None:
    """Schedule the delivery after the batch, even if its source closes in that batch."""
    source.region.follow(partial(_deliver, source, initiated), now)


def _deliver(source: Execution, initiated: Initiated, now: datetime) -> None:
    target = source.index.find_open(initiated.workflow_id, initiated.run_id)
    if target is not None:
        if isinstance(initiated, e.SignalExternalWorkflowExecutionInitiated):
            _signal(target, initiated, now, source.execution, initiated.event_id)
        else:
            target.request_cancel(now, source=source.execution, initiated_event_id=initiated.event_id)
    if not source.is_open:
        return
    fields: dict[str, Any] = {
        "event_id": source.next_event_id,
        "event_timestamp": now,
        "initiated_event_id": initiated.event_id,
    }
    if target is not None:
        event = _RESULTS[type(initiated), "COMPLETED"](**fields, workflow_execution=target.execution)
    else:
        event = _RESULTS[type(initiated), "FAILED"](
            **fields,
            workflow_id=initiated.workflow_id,
            cause="UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION",
            decision_task_completed_event_id=initiated.decision_task_completed_event_id,
            run_id=initiated.run_id,
            control=initiated.control,
        )
    source.append_trigger(event)


def _signal(
    target: Execution,
    signal: o.SignalWorkflowExecution | e.SignalExternalWorkflowExecutionInitiated,
    now: datetime,
    source: WorkflowExecution | None = None,
    initiated_event_id: int = 0,
) -> None:
    target.append_trigger(
        e.WorkflowExecutionSignaled(
            event_id=target.next_event_id,
            event_timestamp=now,
            signal_name=signal.signal_name,
            input=signal.input,
            external_workflow_execution=source,
            external_initiated_event_id=initiated_event_id,
        )
    )
