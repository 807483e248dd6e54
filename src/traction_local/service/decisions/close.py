"""Apply the decisions that close an execution.

Takes the last decision of a batch; gives the close, or the event that says why the execution stays open. Never
lets open work stand in the way: activities, timers and children do not keep a run open (recorded history).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from traction.model.decisions import (
    CancelWorkflowExecution,
    CompleteWorkflowExecution,
    ContinueAsNewWorkflowExecution,
    FailWorkflowExecution,
)
from traction.model.events import (
    CancelWorkflowExecutionFailed,
    CompleteWorkflowExecutionFailed,
    ContinueAsNewWorkflowExecutionFailed,
    Event,
    FailWorkflowExecutionFailed,
    WorkflowExecutionCanceled,
    WorkflowExecutionCompleted,
    WorkflowExecutionContinuedAsNew,
    WorkflowExecutionFailed,
)
from traction.model.literals import CloseStatus
from traction.model.names import WorkflowType
from traction.model.operations import WorkflowExecutionConfiguration
from traction_local.service.decisions.batch import Batch
from traction_local.service.operations.start import find_settings, open_run, tell_settings

Close: TypeAlias = CompleteWorkflowExecution | FailWorkflowExecution | CancelWorkflowExecution

_CLOSES: dict[type[Close], tuple[Callable[..., Event], Callable[..., Event], CloseStatus]] = {
    CompleteWorkflowExecution: (WorkflowExecutionCompleted, CompleteWorkflowExecutionFailed, "COMPLETED"),
    FailWorkflowExecution: (WorkflowExecutionFailed, FailWorkflowExecutionFailed, "FAILED"),
    CancelWorkflowExecution: (WorkflowExecutionCanceled, CancelWorkflowExecutionFailed, "CANCELED"),
}


def close(place: Batch, decision: Close) -> bool:
    """Close as completed, failed or cancelled. The event has the members of the decision."""
    execution, completed_event_id, now, _ = place
    closed, failed, status = _CLOSES[type(decision)]
    told: dict[str, Any] = {
        "event_id": execution.next_event_id,
        "event_timestamp": now,
        "decision_task_completed_event_id": completed_event_id,
    }
    if cause := place.find_close_fault(decision):
        execution.append(failed(**told, cause=cause))
        return False
    execution.close(closed(**told, **msgspec.structs.asdict(decision)), status, now)
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
    if not isinstance(settings, WorkflowExecutionConfiguration):
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
        workflow_type=type,
        input=decision.input,
        tag_list=decision.tag_list or None,
        **tell_settings(settings),
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
