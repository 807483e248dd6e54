"""Let runs be signalled, asked to cancel, and terminated: by request, or by another run.

Takes the target's name; gives the events in the target's history and, for another run, the answer in that
one's. Only open runs can be reached.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial

from traction.events import (
    ExternalWorkflowExecutionCancelRequested,
    ExternalWorkflowExecutionSignaled,
    RequestCancelExternalWorkflowExecutionFailed,
    RequestCancelExternalWorkflowExecutionInitiated,
    SignalExternalWorkflowExecutionFailed,
    SignalExternalWorkflowExecutionInitiated,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionSignaled,
    WorkflowExecutionTerminated,
)
from traction.operations import RequestCancelWorkflowExecution, SignalWorkflowExecution, TerminateWorkflowExecution
from traction_local.executions import Execution
from traction_local.region import Region


def signal_workflow_execution(region: Region, request: SignalWorkflowExecution, now: datetime) -> None:
    """Signal an open run. The link to a signalling run is 0: there is none."""
    target = region.get_domain(request.domain).get_open(request.workflow_id, request.run_id)
    target.append_trigger(
        WorkflowExecutionSignaled(
            event_id=target.next_event_id,
            event_timestamp=now,
            signal_name=request.signal_name,
            input=request.input,
            external_initiated_event_id=0,
        )
    )


def request_cancel_workflow_execution(region: Region, request: RequestCancelWorkflowExecution, now: datetime) -> None:
    """Ask an open run to cancel. It is a notice: what to do is for the decider."""
    target = region.get_domain(request.domain).get_open(request.workflow_id, request.run_id)
    target.cancel_requested = True
    target.append_trigger(
        WorkflowExecutionCancelRequested(
            event_id=target.next_event_id, event_timestamp=now, external_initiated_event_id=0
        )
    )


def terminate_workflow_execution(region: Region, request: TerminateWorkflowExecution, now: datetime) -> None:
    """Close an open run at once, even while a decider is at work on it."""
    target = region.get_domain(request.domain).get_open(request.workflow_id, request.run_id)
    policy = request.child_policy or target.settings.child_policy
    target.terminate(
        WorkflowExecutionTerminated(
            event_id=target.next_event_id,
            event_timestamp=now,
            child_policy=policy,
            reason=request.reason,
            details=request.details,
            cause="OPERATOR_INITIATED",
        ),
        now,
        policy=policy,
    )


def follow_signal(source: Execution, initiated: SignalExternalWorkflowExecutionInitiated, now: datetime) -> None:
    """Arrange for a signal to be delivered after the batch, even if its source closes with it."""
    source.region.follow(partial(_deliver_signal, source, initiated), now)


def _deliver_signal(source: Execution, initiated: SignalExternalWorkflowExecutionInitiated, now: datetime) -> None:
    target = source.domain.find_open(initiated.workflow_id, initiated.run_id)
    if target is None:
        if source.is_open:
            source.append_trigger(
                SignalExternalWorkflowExecutionFailed(
                    event_id=source.next_event_id,
                    event_timestamp=now,
                    workflow_id=initiated.workflow_id,
                    cause="UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION",
                    initiated_event_id=initiated.event_id,
                    decision_task_completed_event_id=initiated.decision_task_completed_event_id,
                    run_id=initiated.run_id,
                    control=initiated.control,
                )
            )
        return
    target.append_trigger(
        WorkflowExecutionSignaled(
            event_id=target.next_event_id,
            event_timestamp=now,
            signal_name=initiated.signal_name,
            input=initiated.input,
            external_workflow_execution=source.execution,
            external_initiated_event_id=initiated.event_id,
        )
    )
    if source.is_open:
        source.append_trigger(
            ExternalWorkflowExecutionSignaled(
                event_id=source.next_event_id,
                event_timestamp=now,
                workflow_execution=target.execution,
                initiated_event_id=initiated.event_id,
            )
        )


def follow_cancel(source: Execution, initiated: RequestCancelExternalWorkflowExecutionInitiated, now: datetime) -> None:
    """Arrange for a request to cancel to be delivered after the batch, even if its source closes with it."""
    source.region.follow(partial(_deliver_cancel, source, initiated), now)


def _deliver_cancel(
    source: Execution, initiated: RequestCancelExternalWorkflowExecutionInitiated, now: datetime
) -> None:
    target = source.domain.find_open(initiated.workflow_id, initiated.run_id)
    if target is None:
        if source.is_open:
            source.append_trigger(
                RequestCancelExternalWorkflowExecutionFailed(
                    event_id=source.next_event_id,
                    event_timestamp=now,
                    workflow_id=initiated.workflow_id,
                    cause="UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION",
                    initiated_event_id=initiated.event_id,
                    decision_task_completed_event_id=initiated.decision_task_completed_event_id,
                    run_id=initiated.run_id,
                    control=initiated.control,
                )
            )
        return
    target.cancel_requested = True
    target.append_trigger(
        WorkflowExecutionCancelRequested(
            event_id=target.next_event_id,
            event_timestamp=now,
            external_workflow_execution=source.execution,
            external_initiated_event_id=initiated.event_id,
        )
    )
    if source.is_open:
        source.append_trigger(
            ExternalWorkflowExecutionCancelRequested(
                event_id=source.next_event_id,
                event_timestamp=now,
                workflow_execution=target.execution,
                initiated_event_id=initiated.event_id,
            )
        )
