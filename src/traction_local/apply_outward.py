"""Apply the decisions that reach beyond an execution: to others, to children, to Lambda.

Takes one decision; gives the event that says it was accepted, and the effect that comes after the batch. Never
reaches the other side itself.
"""

from __future__ import annotations

from traction.decisions import (
    RequestCancelExternalWorkflowExecution,
    ScheduleLambdaFunction,
    SignalExternalWorkflowExecution,
    StartChildWorkflowExecution,
)
from traction.events import (
    LambdaFunctionScheduled,
    RequestCancelExternalWorkflowExecutionFailed,
    RequestCancelExternalWorkflowExecutionInitiated,
    ScheduleLambdaFunctionFailed,
    SignalExternalWorkflowExecutionFailed,
    SignalExternalWorkflowExecutionInitiated,
    StartChildWorkflowExecutionFailed,
    StartChildWorkflowExecutionInitiated,
)
from traction.values import (
    RequestCancelExternalWorkflowExecutionFailedCause,
    ScheduleLambdaFunctionFailedCause,
    SignalExternalWorkflowExecutionFailedCause,
    StartChildWorkflowExecutionFailedCause,
)
from traction_local.batches import Batch
from traction_local.executions import Settings
from traction_local.external import follow_cancel, follow_signal
from traction_local.lambdas import follow_lambda
from traction_local.starting import find_settings, follow_child


def signal_external(place: Batch, decision: SignalExternalWorkflowExecution) -> bool:
    """Accept a signal for another run, whether or not that exists."""
    execution, completed_event_id, now, _ = place
    event_id = execution.next_event_id
    cause: SignalExternalWorkflowExecutionFailedCause | None = None
    if place.is_denied(decision):
        cause = "OPERATION_NOT_PERMITTED"
    elif not place.has_rate(decision):
        cause = "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED"
    if cause is not None:
        execution.append(
            SignalExternalWorkflowExecutionFailed(
                event_id=event_id,
                event_timestamp=now,
                workflow_id=decision.workflow_id,
                cause=cause,
                initiated_event_id=0,
                decision_task_completed_event_id=completed_event_id,
                run_id=decision.run_id,
                control=decision.control,
            )
        )
        return False
    initiated = SignalExternalWorkflowExecutionInitiated(
        event_id=event_id,
        event_timestamp=now,
        workflow_id=decision.workflow_id,
        signal_name=decision.signal_name,
        decision_task_completed_event_id=completed_event_id,
        run_id=decision.run_id,
        input=decision.input,
        control=decision.control,
    )
    execution.append(initiated)
    follow_signal(execution, initiated, now)
    return True


def request_cancel_external(place: Batch, decision: RequestCancelExternalWorkflowExecution) -> bool:
    """Accept a request that another run cancel, whether or not that exists."""
    execution, completed_event_id, now, _ = place
    event_id = execution.next_event_id
    cause: RequestCancelExternalWorkflowExecutionFailedCause | None = None
    if place.is_denied(decision):
        cause = "OPERATION_NOT_PERMITTED"
    elif not place.has_rate(decision):
        cause = "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED"
    if cause is not None:
        execution.append(
            RequestCancelExternalWorkflowExecutionFailed(
                event_id=event_id,
                event_timestamp=now,
                workflow_id=decision.workflow_id,
                cause=cause,
                initiated_event_id=0,
                decision_task_completed_event_id=completed_event_id,
                run_id=decision.run_id,
                control=decision.control,
            )
        )
        return False
    initiated = RequestCancelExternalWorkflowExecutionInitiated(
        event_id=event_id,
        event_timestamp=now,
        workflow_id=decision.workflow_id,
        decision_task_completed_event_id=completed_event_id,
        run_id=decision.run_id,
        control=decision.control,
    )
    execution.append(initiated)
    follow_cancel(execution, initiated, now)
    return True


def start_child(place: Batch, decision: StartChildWorkflowExecution) -> bool:
    """Accept a child. All but a workflow id that is taken is found out now (API reference)."""
    execution, completed_event_id, now, _ = place
    event_id = execution.next_event_id
    limits, domain = execution.region.limits, execution.domain
    settings = find_settings(domain, decision.workflow_type, decision)
    cause: StartChildWorkflowExecutionFailedCause | None = None
    if not isinstance(settings, Settings):
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
            task_list=settings.task_list,
            decision_task_completed_event_id=completed_event_id,
            child_policy=settings.child_policy,
            control=decision.control,
            input=decision.input,
            execution_start_to_close_timeout=settings.execution_timeout,
            task_priority=settings.priority,
            task_start_to_close_timeout=settings.task_timeout,
            tag_list=decision.tag_list or None,
            lambda_role=settings.lambda_role,
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
        start_to_close_timeout=decision.start_to_close_timeout or str(limits.lambda_seconds_max),
    )
    execution.append(scheduled)
    follow_lambda(execution, scheduled, now)
    return True
