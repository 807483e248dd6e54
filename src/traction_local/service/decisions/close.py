"""Apply the decisions that close an execution.

Open activities, timers and children do not keep an execution open (recorded history).
"""

from __future__ import annotations

from typing import TypeAlias

from traction.model import decisions as d
from traction.model.events import WorkflowExecutionContinuedAsNew
from traction.model.literals import CloseStatus
from traction.model.names import WorkflowType
from traction_local.service.decisions.batch import Batch, Refused
from traction_local.service.operations.start import find_settings, open_run, to_fields

Close: TypeAlias = d.CompleteWorkflowExecution | d.FailWorkflowExecution | d.CancelWorkflowExecution

_STATUSES: dict[type[Close], CloseStatus] = {
    d.CompleteWorkflowExecution: "COMPLETED",
    d.FailWorkflowExecution: "FAILED",
    d.CancelWorkflowExecution: "CANCELED",
}


def close(batch: Batch, decision: Close) -> None:
    """Close as completed, failed or cancelled. The event has the members of the decision."""
    batch.check_close(decision)
    batch.execution.close(batch.make_accepted(decision), _STATUSES[type(decision)], batch.now)


def continue_as_new(batch: Batch, decision: d.ContinueAsNewWorkflowExecution) -> None:
    """Close and start the next run at once, so that the workflow id always has an open run."""
    domain, execution, completed_event_id, now, _ = batch
    batch.check_close(decision)
    type = execution.type
    if decision.workflow_type_version is not None:
        type = WorkflowType(type.name, decision.workflow_type_version)
    settings = find_settings(domain, type, decision)
    if isinstance(settings, str):
        raise Refused(settings)
    number = execution.region.number_run()
    child = execution.as_child
    event = WorkflowExecutionContinuedAsNew(
        event_id=execution.next_event_id,
        event_timestamp=now,
        decision_task_completed_event_id=completed_event_id,
        new_execution_run_id=number[1],
        workflow_type=type,
        input=decision.input,
        tag_list=decision.tag_list or None,
        **to_fields(settings),
    )
    execution.close(event, "CONTINUED_AS_NEW", now)
    run = open_run(
        execution.region,
        domain,
        execution.workflow_id,
        type,
        settings,
        now,
        input=decision.input,
        tag_list=decision.tag_list,
        as_child=child,
        continued=execution,
        number=number,
    )
    # The parent still waits for the same child, under the same Initiated and Started events.
    if child is not None:
        child.run = run
