"""Apply the decisions that affect other executions, children and Lambda functions.

A decision is only accepted here. Its effect on the other side happens after the batch.
"""

from __future__ import annotations

from typing import TypeAlias

from traction.model import decisions as d
from traction_local.service.decisions.batch import Batch, Refused
from traction_local.service.operations.signal_cancel_terminate import follow_external
from traction_local.service.operations.start import find_settings, follow_child, to_fields
from traction_local.service.state.lambda_task import LambdaTask

External: TypeAlias = d.SignalExternalWorkflowExecution | d.RequestCancelExternalWorkflowExecution

_RATE_EXCEEDED: dict[type[External], str] = {
    d.SignalExternalWorkflowExecution: "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED",
    d.RequestCancelExternalWorkflowExecution: "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED",
}


def signal_or_cancel_external(batch: Batch, decision: External) -> None:
    """Accept a signal or a cancel request for another run, whether or not that run exists."""
    batch.check_permission(decision)
    batch.check_rate(decision, _RATE_EXCEEDED[type(decision)])
    follow_external(batch.execution, batch.accept(decision), batch.now)


def start_child(batch: Batch, decision: d.StartChildWorkflowExecution) -> None:
    """Accept a child. Everything is checked now, except whether its workflow id is in use (API reference)."""
    domain, execution, limits = batch.domain, batch.execution, batch.execution.region.limits
    settings = find_settings(domain, decision.workflow_type, decision)
    if isinstance(settings, str):
        raise Refused(settings)
    if len(execution.children) >= limits.open_children_max:
        raise Refused("OPEN_CHILDREN_LIMIT_EXCEEDED")
    if len(domain.index.open) >= limits.open_executions_max:
        raise Refused("OPEN_WORKFLOWS_LIMIT_EXCEEDED")
    batch.check_permission(decision)
    batch.check_rate(decision, "CHILD_CREATION_RATE_EXCEEDED")
    initiated = batch.accept(decision, tag_list=decision.tag_list or None, **to_fields(settings))
    follow_child(domain, execution, initiated, settings, batch.now)


def schedule_lambda_function(batch: Batch, decision: d.ScheduleLambdaFunction) -> None:
    """Accept a Lambda task."""
    execution = batch.execution
    limits, knobs = execution.region.limits, execution.region.knobs
    if not knobs.lambda_available:
        raise Refused("LAMBDA_SERVICE_NOT_AVAILABLE_IN_REGION")
    if knobs.lambda_ids_unique and any(task.scheduled.id == decision.id for task in execution.lambdas.values()):
        raise Refused("ID_ALREADY_IN_USE")
    if len(execution.lambdas) >= limits.open_lambdas_max:
        raise Refused("OPEN_LAMBDA_FUNCTIONS_LIMIT_EXCEEDED")
    batch.check_rate(decision, "LAMBDA_FUNCTION_CREATION_RATE_EXCEEDED")
    task = LambdaTask(execution=execution, scheduled=batch.accept(decision), siblings=execution.lambdas)
    execution.region.follow(task.start, batch.now)
