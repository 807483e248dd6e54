"""Apply the decisions that reach beyond an execution: to others, to children, to Lambda.

Takes one decision; gives the event that says it was accepted, and the effect that comes after the batch. Never
reaches the other side itself.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from traction.model.decisions import (
    RequestCancelExternalWorkflowExecution,
    ScheduleLambdaFunction,
    SignalExternalWorkflowExecution,
    StartChildWorkflowExecution,
)
from traction.model.events import (
    LambdaFunctionScheduled,
    RequestCancelExternalWorkflowExecutionInitiated,
    ScheduleLambdaFunctionFailed,
    SignalExternalWorkflowExecutionInitiated,
    StartChildWorkflowExecutionFailed,
    StartChildWorkflowExecutionInitiated,
)
from traction.model.literals import ScheduleLambdaFunctionFailedCause, StartChildWorkflowExecutionFailedCause
from traction.model.operations import WorkflowExecutionConfiguration
from traction_local.service.decisions.batch import Batch
from traction_local.service.operations.signal_cancel_terminate import FAILED, Initiated, follow_external
from traction_local.service.operations.start import find_settings, follow_child, tell_settings
from traction_local.service.state.lambda_task import follow_lambda

External: TypeAlias = SignalExternalWorkflowExecution | RequestCancelExternalWorkflowExecution

_EXTERNAL: dict[type[External], tuple[type[Initiated], str]] = {
    SignalExternalWorkflowExecution: (
        SignalExternalWorkflowExecutionInitiated,
        "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED",
    ),
    RequestCancelExternalWorkflowExecution: (
        RequestCancelExternalWorkflowExecutionInitiated,
        "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED",
    ),
}


def reach_external(place: Batch, decision: External) -> bool:
    """Accept a signal for another run, or a request that it cancel, whether or not that run exists."""
    execution, completed_event_id, now, _ = place
    kind, rate_exceeded = _EXTERNAL[type(decision)]
    told: dict[str, Any] = {
        "event_id": execution.next_event_id,
        "event_timestamp": now,
        "decision_task_completed_event_id": completed_event_id,
    }
    denied = place.is_denied(decision)
    if denied or not place.has_rate(decision):
        failed = FAILED[kind](
            **told,
            workflow_id=decision.workflow_id,
            cause="OPERATION_NOT_PERMITTED" if denied else rate_exceeded,
            initiated_event_id=0,
            run_id=decision.run_id,
            control=decision.control,
        )
        execution.append(failed)
        return False
    initiated = kind(**told, **msgspec.structs.asdict(decision))
    execution.append(initiated)
    follow_external(execution, initiated, now)
    return True


def start_child(place: Batch, decision: StartChildWorkflowExecution) -> bool:
    """Accept a child. All but a workflow id that is taken is found out now (API reference)."""
    execution, completed_event_id, now, _ = place
    event_id = execution.next_event_id
    limits, domain = execution.region.limits, execution.domain
    settings = find_settings(domain, decision.workflow_type, decision)
    cause: StartChildWorkflowExecutionFailedCause | None = None
    if not isinstance(settings, WorkflowExecutionConfiguration):
        cause = settings
    elif len(execution.children) >= limits.open_children_max:
        cause = "OPEN_CHILDREN_LIMIT_EXCEEDED"
    elif len(domain.open) >= limits.open_executions_max:
        cause = "OPEN_WORKFLOWS_LIMIT_EXCEEDED"
    elif place.is_denied(decision):
        cause = "OPERATION_NOT_PERMITTED"
    elif not place.has_rate(decision):
        cause = "CHILD_CREATION_RATE_EXCEEDED"
    else:
        initiated = StartChildWorkflowExecutionInitiated(
            event_id=event_id,
            event_timestamp=now,
            workflow_id=decision.workflow_id,
            workflow_type=decision.workflow_type,
            decision_task_completed_event_id=completed_event_id,
            control=decision.control,
            input=decision.input,
            tag_list=decision.tag_list or None,
            **tell_settings(settings),
        )
        execution.append(initiated)
        follow_child(execution, initiated, settings, now)
        return True
    execution.append(
        StartChildWorkflowExecutionFailed(
            event_id=event_id,
            event_timestamp=now,
            workflow_type=decision.workflow_type,
            cause=cause,
            workflow_id=decision.workflow_id,
            initiated_event_id=0,
            decision_task_completed_event_id=completed_event_id,
            control=decision.control,
        )
    )
    return False


def schedule_lambda_function(place: Batch, decision: ScheduleLambdaFunction) -> bool:
    """Accept a Lambda task."""
    execution, completed_event_id, now, _ = place
    event_id = execution.next_event_id
    limits, knobs = execution.region.limits, execution.region.knobs
    cause: ScheduleLambdaFunctionFailedCause | None = None
    if not knobs.lambda_available:
        cause = "LAMBDA_SERVICE_NOT_AVAILABLE_IN_REGION"
    elif knobs.lambda_ids_unique and any(task.scheduled.id == decision.id for task in execution.lambdas.values()):
        cause = "ID_ALREADY_IN_USE"
    elif len(execution.lambdas) >= limits.open_lambdas_max:
        cause = "OPEN_LAMBDA_FUNCTIONS_LIMIT_EXCEEDED"
    elif not place.has_rate(decision):
        cause = "LAMBDA_FUNCTION_CREATION_RATE_EXCEEDED"
    if cause is not None:
        execution.append(
            ScheduleLambdaFunctionFailed(
                event_id=event_id,
                event_timestamp=now,
                id=decision.id,
                name=decision.name,
                cause=cause,
                decision_task_completed_event_id=completed_event_id,
            )
        )
        return False
    scheduled = LambdaFunctionScheduled(
        event_id=event_id,
        event_timestamp=now,
        id=decision.id,
        name=decision.name,
        decision_task_completed_event_id=completed_event_id,
        control=decision.control,
        input=decision.input,
        start_to_close_timeout=decision.start_to_close_timeout,
    )
    execution.append(scheduled)
    follow_lambda(execution, scheduled, now)
    return True
