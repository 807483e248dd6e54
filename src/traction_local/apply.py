"""Apply decisions: one function per type, each in its place in the batch.

Takes decisions that are known to be well formed; gives their events, or the event that says why not. A
decision that fails stops nothing: the next is applied. What a decision does to others happens after the
batch, never inside it (recorded history).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, NamedTuple

from traction.decisions import (
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
from traction.events import (
    ActivityTaskCancelRequested,
    ActivityTaskScheduled,
    CancelTimerFailed,
    CancelWorkflowExecutionFailed,
    CompleteWorkflowExecutionFailed,
    ContinueAsNewWorkflowExecutionFailed,
    FailWorkflowExecutionFailed,
    LambdaFunctionScheduled,
    MarkerRecorded,
    RecordMarkerFailed,
    RequestCancelActivityTaskFailed,
    RequestCancelExternalWorkflowExecutionFailed,
    RequestCancelExternalWorkflowExecutionInitiated,
    ScheduleActivityTaskFailed,
    ScheduleLambdaFunctionFailed,
    SignalExternalWorkflowExecutionFailed,
    SignalExternalWorkflowExecutionInitiated,
    StartChildWorkflowExecutionFailed,
    StartChildWorkflowExecutionInitiated,
    StartTimerFailed,
    TimerCanceled,
    TimerStarted,
    WorkflowExecutionCanceled,
    WorkflowExecutionCompleted,
    WorkflowExecutionContinuedAsNew,
    WorkflowExecutionFailed,
)
from traction.names import WorkflowType
from traction.values import (
    RequestCancelExternalWorkflowExecutionFailedCause,
    ScheduleActivityTaskFailedCause,
    ScheduleLambdaFunctionFailedCause,
    SignalExternalWorkflowExecutionFailedCause,
    StartChildWorkflowExecutionFailedCause,
    StartTimerFailedCause,
)
from traction_local.activities import Activity
from traction_local.executions import Execution, Settings
from traction_local.external import follow_cancel, follow_signal
from traction_local.lambdas import follow_lambda
from traction_local.starting import find_settings, follow_child, open_run
from traction_local.timers import Timer


class Batch(NamedTuple):
    """Where a decision stands: whose it is, the DecisionTaskCompleted that carries it, and when."""

    execution: Execution
    completed_event_id: int
    now: datetime
    failed: bool
    """Whether a decision before it failed."""

    def is_denied(self, decision: Decision) -> bool:
        """Whether the caller may not use this decision."""
        return type(decision).__name__ in self.execution.region.knobs.denied

    def has_rate(self, decision: Decision) -> bool:
        """Take a token for this decision, if there is one left."""
        return self.execution.region.buckets.take("decision", type(decision).__name__, self.now)

    def find_close_fault(self, decision: Decision) -> Literal["UNHANDLED_DECISION", "OPERATION_NOT_PERMITTED"] | None:
        """Why the execution may not close now, if it may not.

        UNHANDLED_DECISION: something happened that the decider has not seen, which is to say that a decision
        task is queued. Source: the API reference, and what clients rely on.
        """
        execution = self.execution
        if self.is_denied(decision):
            return "OPERATION_NOT_PERMITTED"
        if execution.queued is not None:
            return "UNHANDLED_DECISION"
        if self.failed and execution.region.knobs.failed_decision_blocks_close:
            return "UNHANDLED_DECISION"
        return None


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


def _schedule_activity_task(place: Batch, decision: ScheduleActivityTask) -> bool:
    execution, completed_event_id, now, _ = place
    event_id = len(execution.events) + 1
    registered = execution.domain.activity_types.get(decision.activity_type)
    cause: ScheduleActivityTaskFailedCause | None = None
    # In the order in which SWF looks.
    if registered is None:
        cause = "ACTIVITY_TYPE_DOES_NOT_EXIST"
    elif registered.deprecated_at is not None:
        cause = "ACTIVITY_TYPE_DEPRECATED"
    elif decision.activity_id in execution.activities:
        cause = "ACTIVITY_ID_ALREADY_IN_USE"
    else:
        defaults = registered.configuration
        task_list = decision.task_list or defaults.default_task_list
        to_start = decision.schedule_to_start_timeout or defaults.default_task_schedule_to_start_timeout
        to_close = decision.schedule_to_close_timeout or defaults.default_task_schedule_to_close_timeout
        start_to_close = decision.start_to_close_timeout or defaults.default_task_start_to_close_timeout
        heartbeat = decision.heartbeat_timeout or defaults.default_task_heartbeat_timeout
        if task_list is None:
            cause = "DEFAULT_TASK_LIST_UNDEFINED"
        elif to_start is None:
            cause = "DEFAULT_SCHEDULE_TO_START_TIMEOUT_UNDEFINED"
        elif to_close is None:
            cause = "DEFAULT_SCHEDULE_TO_CLOSE_TIMEOUT_UNDEFINED"
        elif start_to_close is None:
            cause = "DEFAULT_START_TO_CLOSE_TIMEOUT_UNDEFINED"
        elif heartbeat is None:
            cause = "DEFAULT_HEARTBEAT_TIMEOUT_UNDEFINED"
        elif len(execution.activities) >= execution.region.limits.open_activities_max:
            cause = "OPEN_ACTIVITIES_LIMIT_EXCEEDED"
        elif place.is_denied(decision):
            cause = "OPERATION_NOT_PERMITTED"
        elif not (place.has_rate(decision) and _has_list_rate(execution, task_list.name, now)):
            cause = "ACTIVITY_CREATION_RATE_EXCEEDED"
        else:
            scheduled = ActivityTaskScheduled(
                event_id=event_id,
                event_timestamp=now,
                activity_type=decision.activity_type,
                activity_id=decision.activity_id,
                task_list=task_list,
                decision_task_completed_event_id=completed_event_id,
                input=decision.input,
                control=decision.control,
                schedule_to_start_timeout=to_start,
                schedule_to_close_timeout=to_close,
                start_to_close_timeout=start_to_close,
                task_priority=decision.task_priority or defaults.default_task_priority,
                heartbeat_timeout=heartbeat,
            )
            execution.append(scheduled)
            execution.latest_activity_at = now
            queue = execution.domain.get_activity_queue(task_list.name)
            execution.activities[decision.activity_id] = Activity(execution, scheduled, queue)
            return True
    execution.append(
        ScheduleActivityTaskFailed(
            event_id=event_id,
            event_timestamp=now,
            activity_type=decision.activity_type,
            activity_id=decision.activity_id,
            cause=cause,
            decision_task_completed_event_id=completed_event_id,
        )
    )
    return False


def _has_list_rate(execution: Execution, task_list: str, now: datetime) -> bool:
    whose = f"{execution.domain.name}/{task_list}"
    return execution.region.buckets.take("task list", "task list", now, whose)


def _request_cancel_activity_task(place: Batch, decision: RequestCancelActivityTask) -> bool:
    execution, completed_event_id, now, _ = place
    event_id = execution.next_event_id
    activity = execution.activities.get(decision.activity_id)
    if activity is None or place.is_denied(decision):
        execution.append(
            RequestCancelActivityTaskFailed(
                event_id=event_id,
                event_timestamp=now,
                activity_id=decision.activity_id,
                cause="ACTIVITY_ID_UNKNOWN" if activity is None else "OPERATION_NOT_PERMITTED",
                decision_task_completed_event_id=completed_event_id,
            )
        )
        return False
    execution.append(
        ActivityTaskCancelRequested(
            event_id=event_id,
            event_timestamp=now,
            decision_task_completed_event_id=completed_event_id,
            activity_id=decision.activity_id,
        )
    )
    activity.cancel_requested_event_id = event_id
    if activity.started_at is None:
        execution.region.follow(activity.cancel_unstarted, now)
    return True


def _complete_workflow_execution(place: Batch, decision: CompleteWorkflowExecution) -> bool:
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


def _fail_workflow_execution(place: Batch, decision: FailWorkflowExecution) -> bool:
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


def _cancel_workflow_execution(place: Batch, decision: CancelWorkflowExecution) -> bool:
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


def _continue_as_new(place: Batch, decision: ContinueAsNewWorkflowExecution) -> bool:
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


def _record_marker(place: Batch, decision: RecordMarker) -> bool:
    execution, completed_event_id, now, _ = place
    event_id = execution.next_event_id
    if place.is_denied(decision):
        execution.append(
            RecordMarkerFailed(
                event_id=event_id,
                event_timestamp=now,
                marker_name=decision.marker_name,
                cause="OPERATION_NOT_PERMITTED",
                decision_task_completed_event_id=completed_event_id,
            )
        )
        return False
    execution.append(
        MarkerRecorded(
            event_id=event_id,
            event_timestamp=now,
            marker_name=decision.marker_name,
            decision_task_completed_event_id=completed_event_id,
            details=decision.details,
        )
    )
    return True


def _start_timer(place: Batch, decision: StartTimer) -> bool:
    execution, completed_event_id, now, _ = place
    event_id = execution.next_event_id
    region = execution.region
    cause: StartTimerFailedCause | None = None
    if decision.timer_id in execution.timers:
        cause = "TIMER_ID_ALREADY_IN_USE"
    elif len(execution.timers) >= region.limits.open_timers_max:
        cause = "OPEN_TIMERS_LIMIT_EXCEEDED"
    elif place.is_denied(decision):
        cause = "OPERATION_NOT_PERMITTED"
    elif not place.has_rate(decision):
        cause = "TIMER_CREATION_RATE_EXCEEDED"
    if cause is not None:
        execution.append(
            StartTimerFailed(
                event_id=event_id,
                event_timestamp=now,
                timer_id=decision.timer_id,
                cause=cause,
                decision_task_completed_event_id=completed_event_id,
            )
        )
        return False
    execution.append(
        TimerStarted(
            event_id=event_id,
            event_timestamp=now,
            timer_id=decision.timer_id,
            start_to_fire_timeout=decision.start_to_fire_timeout,
            decision_task_completed_event_id=completed_event_id,
            control=decision.control,
        )
    )
    execution.timers[decision.timer_id] = timer = Timer(execution, decision.timer_id, event_id)
    timer.start(decision.start_to_fire_timeout, now)
    return True


def _cancel_timer(place: Batch, decision: CancelTimer) -> bool:
    execution, completed_event_id, now, _ = place
    event_id = execution.next_event_id
    timer = execution.timers.get(decision.timer_id)
    # A timer that fired while the decider was at work is as unknown as one that never was.
    if timer is None or place.is_denied(decision):
        execution.append(
            CancelTimerFailed(
                event_id=event_id,
                event_timestamp=now,
                timer_id=decision.timer_id,
                cause="TIMER_ID_UNKNOWN" if timer is None else "OPERATION_NOT_PERMITTED",
                decision_task_completed_event_id=completed_event_id,
            )
        )
        return False
    execution.append(
        TimerCanceled(
            event_id=event_id,
            event_timestamp=now,
            timer_id=decision.timer_id,
            started_event_id=timer.started_event_id,
            decision_task_completed_event_id=completed_event_id,
        )
    )
    del execution.timers[decision.timer_id]
    execution.region.alarms.clear(timer)
    return True


def _signal_external(place: Batch, decision: SignalExternalWorkflowExecution) -> bool:
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


def _request_cancel_external(place: Batch, decision: RequestCancelExternalWorkflowExecution) -> bool:
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


def _start_child(place: Batch, decision: StartChildWorkflowExecution) -> bool:
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


def _schedule_lambda_function(place: Batch, decision: ScheduleLambdaFunction) -> bool:
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


APPLY: dict[type[Decision], Callable[[Batch, Any], bool]] = {
    ScheduleActivityTask: _schedule_activity_task,
    RequestCancelActivityTask: _request_cancel_activity_task,
    CompleteWorkflowExecution: _complete_workflow_execution,
    FailWorkflowExecution: _fail_workflow_execution,
    CancelWorkflowExecution: _cancel_workflow_execution,
    ContinueAsNewWorkflowExecution: _continue_as_new,
    RecordMarker: _record_marker,
    StartTimer: _start_timer,
    CancelTimer: _cancel_timer,
    SignalExternalWorkflowExecution: _signal_external,
    RequestCancelExternalWorkflowExecution: _request_cancel_external,
    StartChildWorkflowExecution: _start_child,
    ScheduleLambdaFunction: _schedule_lambda_function,
}
"""How each decision type is applied; false if it failed."""
