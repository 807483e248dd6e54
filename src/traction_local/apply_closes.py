"""Apply the decisions that close an execution.

Takes the last decision of a batch; gives the close, or the event that says why the execution stays open. Never
lets open work stand in the way: activities, timers and children do not keep a run open (recorded history).
"""

from __future__ import annotations

from traction.decisions import (
    CancelWorkflowExecution,
    CompleteWorkflowExecution,
    ContinueAsNewWorkflowExecution,
    FailWorkflowExecution,
)
from traction.events import (
    CancelWorkflowExecutionFailed,
    CompleteWorkflowExecutionFailed,
    ContinueAsNewWorkflowExecutionFailed,
    FailWorkflowExecutionFailed,
    WorkflowExecutionCanceled,
    WorkflowExecutionCompleted,
    WorkflowExecutionContinuedAsNew,
    WorkflowExecutionFailed,
)
from traction.names import WorkflowType
from traction_local.batches import Batch
from traction_local.executions import Settings
from traction_local.starting import find_settings, open_run


def complete_workflow_execution(place: Batch, decision: CompleteWorkflowExecution) -> bool:
    """Close with a result."""
    execution, completed_event_id, now, _ = place
    event_id = execution.next_event_id
    if cause := place.find_close_fault(decision):
        execution.append(
            CompleteWorkflowExecutionFailed(
                event_id=event_id,
                event_timestamp=now,
                cause=cause,
                decision_task_completed_event_id=completed_event_id,
            )
        )
        return False
    event = WorkflowExecutionCompleted(
        event_id=event_id,
        event_timestamp=now,
        decision_task_completed_event_id=completed_event_id,
        result=decision.result,
    )
    execution.close(event, "COMPLETED", now)
    return True


def fail_workflow_execution(place: Batch, decision: FailWorkflowExecution) -> bool:
    """Close as failed."""
    execution, completed_event_id, now, _ = place
    event_id = execution.next_event_id
    if cause := place.find_close_fault(decision):
        execution.append(
            FailWorkflowExecutionFailed(
                event_id=event_id,
                event_timestamp=now,
                cause=cause,
                decision_task_completed_event_id=completed_event_id,
            )
        )
        return False
    event = WorkflowExecutionFailed(
        event_id=event_id,
        event_timestamp=now,
        decision_task_completed_event_id=completed_event_id,
        reason=decision.reason,
        details=decision.details,
    )
    execution.close(event, "FAILED", now)
    return True


def cancel_workflow_execution(place: Batch, decision: CancelWorkflowExecution) -> bool:
    """Close as cancelled."""
    execution, completed_event_id, now, _ = place
    event_id = execution.next_event_id
    if cause := place.find_close_fault(decision):
        execution.append(
            CancelWorkflowExecutionFailed(
                event_id=event_id,
                event_timestamp=now,
                cause=cause,
                decision_task_completed_event_id=completed_event_id,
            )
        )
        return False
    event = WorkflowExecutionCanceled(
        event_id=event_id,
        event_timestamp=now,
        decision_task_completed_event_id=completed_event_id,
        details=decision.details,
    )
    execution.close(event, "CANCELED", now)
    return True


def continue_as_new(place: Batch, decision: ContinueAsNewWorkflowExecution) -> bool:
    """Close and start the next run in one step: there is no moment without an open run."""
    execution, completed_event_id, now, _ = place
    event_id = execution.next_event_id
    region, domain = execution.region, execution.domain
    type = execution.type
    if decision.workflow_type_version is not None:
        type = WorkflowType(type.name, decision.workflow_type_version)
    settings = place.find_close_fault(decision) or find_settings(domain, type, decision)
    if not isinstance(settings, Settings):
        execution.append(
            ContinueAsNewWorkflowExecutionFailed(
                event_id=event_id,
                event_timestamp=now,
                cause=settings,
                decision_task_completed_event_id=completed_event_id,
            )
        )
        return False
    number = region.number_run()
    parent = execution.parent
    event = WorkflowExecutionContinuedAsNew(
        event_id=event_id,
        event_timestamp=now,
        decision_task_completed_event_id=completed_event_id,
        new_execution_run_id=number[1],
        task_list=settings.task_list,
        child_policy=settings.child_policy,
        workflow_type=type,
        input=decision.input,
        execution_start_to_close_timeout=settings.execution_timeout,
        task_priority=settings.priority,
        task_start_to_close_timeout=settings.task_timeout,
        tag_list=decision.tag_list or None,
        lambda_role=settings.lambda_role,
    )
    execution.close(event, "CONTINUED_AS_NEW", now)
    run = open_run(
        region,
        domain,
        execution.workflow_id,
        type,
        settings,
        now,
        input=decision.input,
        tag_list=decision.tag_list,
        parent=parent,
        continued=execution,
        number=number,
    )
    # The parent goes on waiting for the same child, under the same Initiated and Started events.
    if parent is not None and (child := parent[0].children.get(parent[1])) is not None:
        child.run = run
    return True
