"""The 13 decision types of Amazon SWF, as one closed union.

Frozen structs under SWF's own names, with members in snake_case. A member that is `None` is left out, and SWF then uses
the default of the registered type. Source: the SWF service model 2012-01-25.
"""

from __future__ import annotations

from typing import TypeAlias, Union

from traction.model.literals import ChildPolicy, Duration
from traction.model.names import ActivityType, TaskList, WorkflowType
from traction.model.struct import ModelStruct


class BaseDecision(ModelStruct, tag=True, tag_field="decisionType"):
    """The base of all decisions."""


class ScheduleActivityTask(BaseDecision):
    """Put an activity task on its list. Causes ActivityTaskScheduled or ScheduleActivityTaskFailed."""

    activity_type: ActivityType
    activity_id: str
    control: str | None = None
    input: str | None = None
    schedule_to_close_timeout: Duration | None = None
    task_list: TaskList | None = None
    task_priority: str | None = None
    schedule_to_start_timeout: Duration | None = None
    start_to_close_timeout: Duration | None = None
    heartbeat_timeout: Duration | None = None


class RequestCancelActivityTask(BaseDecision):
    """Cancel an open activity. Causes ActivityTaskCancelRequested or RequestCancelActivityTaskFailed."""

    activity_id: str


class CompleteWorkflowExecution(BaseDecision):
    """Close with a result. Must be the last of its batch."""

    result: str | None = None


class FailWorkflowExecution(BaseDecision):
    """Close as failed. Must be the last of its batch."""

    reason: str | None = None
    details: str | None = None


class CancelWorkflowExecution(BaseDecision):
    """Close as cancelled; legal without a request to cancel. Must be the last of its batch."""

    details: str | None = None


class ContinueAsNewWorkflowExecution(BaseDecision):
    """Close and start the next run. Omitted settings come from the type's defaults, never from this run."""

    input: str | None = None
    execution_start_to_close_timeout: Duration | None = None
    task_list: TaskList | None = None
    task_priority: str | None = None
    task_start_to_close_timeout: Duration | None = None
    child_policy: ChildPolicy | None = None
    tag_list: tuple[str, ...] | None = None
    workflow_type_version: str | None = None
    lambda_role: str | None = None


class RecordMarker(BaseDecision):
    """Write a note into the history. Triggers no decision task."""

    marker_name: str
    details: str | None = None


class StartTimer(BaseDecision):
    """Start a timer of whole seconds (0 fires at once)."""

    timer_id: str
    start_to_fire_timeout: Duration
    control: str | None = None


class CancelTimer(BaseDecision):
    """Cancel an open timer. Causes TimerCanceled, or CancelTimerFailed if it has fired."""

    timer_id: str


class SignalExternalWorkflowExecution(BaseDecision):
    """Signal another execution of the domain."""

    workflow_id: str
    signal_name: str
    run_id: str | None = None
    input: str | None = None
    control: str | None = None


class RequestCancelExternalWorkflowExecution(BaseDecision):
    """Request the cancellation of another execution of the domain."""

    workflow_id: str
    run_id: str | None = None
    control: str | None = None


class StartChildWorkflowExecution(BaseDecision):
    """Start a child execution."""

    workflow_type: WorkflowType
    workflow_id: str
    control: str | None = None
    input: str | None = None
    execution_start_to_close_timeout: Duration | None = None
    task_list: TaskList | None = None
    task_priority: str | None = None
    task_start_to_close_timeout: Duration | None = None
    child_policy: ChildPolicy | None = None
    tag_list: tuple[str, ...] | None = None
    lambda_role: str | None = None


class ScheduleLambdaFunction(BaseDecision):
    """Invoke an AWS Lambda function by `name`; `id` names the task."""

    id: str
    name: str
    control: str | None = None
    input: str | None = None
    start_to_close_timeout: Duration | None = None


Decision: TypeAlias = Union[
    ScheduleActivityTask,
    RequestCancelActivityTask,
    CompleteWorkflowExecution,
    FailWorkflowExecution,
    CancelWorkflowExecution,
    ContinueAsNewWorkflowExecution,
    RecordMarker,
    StartTimer,
    CancelTimer,
    SignalExternalWorkflowExecution,
    RequestCancelExternalWorkflowExecution,
    StartChildWorkflowExecution,
    ScheduleLambdaFunction,
]
"""Any decision: 13 types, closed."""
