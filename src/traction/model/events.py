"""The 54 event types of Amazon SWF, as one closed union.

Frozen structs under SWF's own names, with members in snake_case. An event is flat: its id, its time, its attributes.
Times are aware datetimes of whole milliseconds, durations are SWF's strings of seconds (`Duration`), and a link to
another event is that event's id. Source: the SWF service model 2012-01-25.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias, Union

from traction.model.literals import (
    ActivityTaskTimeoutType,
    CancelTimerFailedCause,
    CancelWorkflowExecutionFailedCause,
    ChildPolicy,
    CompleteWorkflowExecutionFailedCause,
    ContinueAsNewWorkflowExecutionFailedCause,
    DecisionTaskTimeoutType,
    Duration,
    FailWorkflowExecutionFailedCause,
    LambdaFunctionTimeoutType,
    RecordMarkerFailedCause,
    RequestCancelActivityTaskFailedCause,
    RequestCancelExternalWorkflowExecutionFailedCause,
    ScheduleActivityTaskFailedCause,
    ScheduleLambdaFunctionFailedCause,
    SignalExternalWorkflowExecutionFailedCause,
    StartChildWorkflowExecutionFailedCause,
    StartLambdaFunctionFailedCause,
    StartTimerFailedCause,
    WorkflowExecutionCancelRequestedCause,
    WorkflowExecutionTerminatedCause,
    WorkflowExecutionTimeoutType,
)
from traction.model.names import ActivityType, TaskList, WorkflowExecution, WorkflowType
from traction.model.struct import ModelStruct


class BaseEvent(ModelStruct, tag=True, tag_field="eventType"):
    """What every event has: a dense id from 1 within its run, and the time that SWF stamped."""

    event_id: int
    event_timestamp: datetime


class WorkflowExecutionStarted(BaseEvent):
    """The execution exists: always event 1. `parent_initiated_event_id` is 0 for a root execution."""

    child_policy: ChildPolicy
    task_list: TaskList
    workflow_type: WorkflowType
    input: str | None = None
    execution_start_to_close_timeout: Duration | None = None
    task_start_to_close_timeout: Duration | None = None
    task_priority: str | None = None
    tag_list: tuple[str, ...] | None = None
    continued_execution_run_id: str | None = None
    parent_workflow_execution: WorkflowExecution | None = None
    parent_initiated_event_id: int | None = None
    lambda_role: str | None = None


class WorkflowExecutionCancelRequested(BaseEvent):
    """Cancellation was requested. The execution continues until its decider acts."""

    external_workflow_execution: WorkflowExecution | None = None
    external_initiated_event_id: int | None = None
    cause: WorkflowExecutionCancelRequestedCause | None = None


class WorkflowExecutionCompleted(BaseEvent):
    """Closed by `CompleteWorkflowExecution`."""

    decision_task_completed_event_id: int
    result: str | None = None


class CompleteWorkflowExecutionFailed(BaseEvent):
    """The close did not happen; the execution is open and the decider must request it again."""

    cause: CompleteWorkflowExecutionFailedCause
    decision_task_completed_event_id: int


class WorkflowExecutionFailed(BaseEvent):
    """Closed by `FailWorkflowExecution`."""

    decision_task_completed_event_id: int
    reason: str | None = None
    details: str | None = None


class FailWorkflowExecutionFailed(BaseEvent):
    """The close did not happen; the execution is open and the decider must request it again."""

    cause: FailWorkflowExecutionFailedCause
    decision_task_completed_event_id: int


class WorkflowExecutionTimedOut(BaseEvent):
    """Closed by SWF: open for longer than `executionStartToCloseTimeout`."""

    timeout_type: WorkflowExecutionTimeoutType
    child_policy: ChildPolicy


class WorkflowExecutionCanceled(BaseEvent):
    """Closed by `CancelWorkflowExecution`."""

    decision_task_completed_event_id: int
    details: str | None = None


class CancelWorkflowExecutionFailed(BaseEvent):
    """The close did not happen; the execution is open and the decider must request it again."""

    cause: CancelWorkflowExecutionFailedCause
    decision_task_completed_event_id: int


class WorkflowExecutionContinuedAsNew(BaseEvent):
    """Closed, and followed by `new_execution_run_id` under the same workflow id."""

    decision_task_completed_event_id: int
    new_execution_run_id: str
    task_list: TaskList
    child_policy: ChildPolicy
    workflow_type: WorkflowType
    input: str | None = None
    execution_start_to_close_timeout: Duration | None = None
    task_priority: str | None = None
    task_start_to_close_timeout: Duration | None = None
    tag_list: tuple[str, ...] | None = None
    lambda_role: str | None = None


class ContinueAsNewWorkflowExecutionFailed(BaseEvent):
    """The close did not happen; the execution is open and the decider must request it again."""

    cause: ContinueAsNewWorkflowExecutionFailedCause
    decision_task_completed_event_id: int


class WorkflowExecutionTerminated(BaseEvent):
    """Closed at once: by an operator, by its parent's child policy, or at the event limit."""

    child_policy: ChildPolicy
    reason: str | None = None
    details: str | None = None
    cause: WorkflowExecutionTerminatedCause | None = None


class DecisionTaskScheduled(BaseEvent):
    """A decision task waits on `task_list`. At most one is queued per execution."""

    task_list: TaskList
    task_priority: str | None = None
    start_to_close_timeout: Duration | None = None
    schedule_to_start_timeout: Duration | None = None


class DecisionTaskStarted(BaseEvent):
    """A poller has the decision task. At most one is started per execution."""

    scheduled_event_id: int
    identity: str | None = None


class DecisionTaskCompleted(BaseEvent):
    """A decider answered. The events of its decisions follow and name this event."""

    scheduled_event_id: int
    started_event_id: int
    execution_context: str | None = None
    task_list: TaskList | None = None
    task_list_schedule_to_start_timeout: Duration | None = None


class DecisionTaskTimedOut(BaseEvent):
    """No response in time (START_TO_CLOSE), or no poll on a sticky list (SCHEDULE_TO_START)."""

    timeout_type: DecisionTaskTimeoutType
    scheduled_event_id: int
    started_event_id: int


class ActivityTaskScheduled(BaseEvent):
    """An activity task waits on `task_list`; timeouts are the resolved ones."""

    activity_type: ActivityType
    activity_id: str
    task_list: TaskList
    decision_task_completed_event_id: int
    input: str | None = None
    control: str | None = None
    schedule_to_start_timeout: Duration | None = None
    schedule_to_close_timeout: Duration | None = None
    start_to_close_timeout: Duration | None = None
    task_priority: str | None = None
    heartbeat_timeout: Duration | None = None


class ScheduleActivityTaskFailed(BaseEvent):
    """The activity was not scheduled."""

    activity_type: ActivityType
    activity_id: str
    cause: ScheduleActivityTaskFailedCause
    decision_task_completed_event_id: int


class ActivityTaskStarted(BaseEvent):
    """A poller has the activity task."""

    scheduled_event_id: int
    identity: str | None = None


class ActivityTaskCompleted(BaseEvent):
    """The worker answered with a result."""

    scheduled_event_id: int
    started_event_id: int
    result: str | None = None


class ActivityTaskFailed(BaseEvent):
    """The worker reported a failure."""

    scheduled_event_id: int
    started_event_id: int
    reason: str | None = None
    details: str | None = None


class ActivityTaskTimedOut(BaseEvent):
    """A clock of the task ran out; `details` are those of its last heartbeat. `started_event_id` is 0 if it
    never started.
    """

    timeout_type: ActivityTaskTimeoutType
    scheduled_event_id: int
    started_event_id: int
    details: str | None = None


class ActivityTaskCanceled(BaseEvent):
    """The worker confirmed the cancellation, or the task had not started. `started_event_id` is 0 then."""

    scheduled_event_id: int
    started_event_id: int
    details: str | None = None
    latest_cancel_requested_event_id: int | None = None


class ActivityTaskCancelRequested(BaseEvent):
    """A started task learns it at its next heartbeat. Names the activity id, not the scheduled event."""

    decision_task_completed_event_id: int
    activity_id: str


class RequestCancelActivityTaskFailed(BaseEvent):
    """No open activity has that id, or the request was refused."""

    activity_id: str
    cause: RequestCancelActivityTaskFailedCause
    decision_task_completed_event_id: int


class WorkflowExecutionSignaled(BaseEvent):
    """A signal arrived. `external_initiated_event_id` is 0 when it came by API."""

    signal_name: str
    input: str | None = None
    external_workflow_execution: WorkflowExecution | None = None
    external_initiated_event_id: int | None = None


class MarkerRecorded(BaseEvent):
    """A note of the decider's, kept in the history."""

    marker_name: str
    decision_task_completed_event_id: int
    details: str | None = None


class RecordMarkerFailed(BaseEvent):
    """The marker was refused."""

    marker_name: str
    cause: RecordMarkerFailedCause
    decision_task_completed_event_id: int


class TimerStarted(BaseEvent):
    """A timer runs."""

    timer_id: str
    start_to_fire_timeout: Duration
    decision_task_completed_event_id: int
    control: str | None = None


class StartTimerFailed(BaseEvent):
    """The timer was not started."""

    timer_id: str
    cause: StartTimerFailedCause
    decision_task_completed_event_id: int


class TimerFired(BaseEvent):
    """The timer's time has come."""

    timer_id: str
    started_event_id: int


class TimerCanceled(BaseEvent):
    """The timer was cancelled before it fired."""

    timer_id: str
    started_event_id: int
    decision_task_completed_event_id: int


class CancelTimerFailed(BaseEvent):
    """No open timer has that id (it may have fired), or the request was refused."""

    timer_id: str
    cause: CancelTimerFailedCause
    decision_task_completed_event_id: int


class StartChildWorkflowExecutionInitiated(BaseEvent):
    """The request to start a child was accepted; the start itself comes later."""

    workflow_id: str
    workflow_type: WorkflowType
    task_list: TaskList
    decision_task_completed_event_id: int
    child_policy: ChildPolicy
    control: str | None = None
    input: str | None = None
    execution_start_to_close_timeout: Duration | None = None
    task_priority: str | None = None
    task_start_to_close_timeout: Duration | None = None
    tag_list: tuple[str, ...] | None = None
    lambda_role: str | None = None


class StartChildWorkflowExecutionFailed(BaseEvent):
    """The child was not started. `initiated_event_id` is 0 unless an Initiated event exists."""

    workflow_type: WorkflowType
    cause: StartChildWorkflowExecutionFailedCause
    workflow_id: str
    initiated_event_id: int
    decision_task_completed_event_id: int
    control: str | None = None


class ChildWorkflowExecutionStarted(BaseEvent):
    """The child runs."""

    workflow_execution: WorkflowExecution
    workflow_type: WorkflowType
    initiated_event_id: int


class ChildWorkflowExecutionCompleted(BaseEvent):
    """The child closed with a result."""

    workflow_execution: WorkflowExecution
    workflow_type: WorkflowType
    initiated_event_id: int
    started_event_id: int
    result: str | None = None


class ChildWorkflowExecutionFailed(BaseEvent):
    """The child closed as failed."""

    workflow_execution: WorkflowExecution
    workflow_type: WorkflowType
    initiated_event_id: int
    started_event_id: int
    reason: str | None = None
    details: str | None = None


class ChildWorkflowExecutionTimedOut(BaseEvent):
    """The child ran out of its execution timeout."""

    workflow_execution: WorkflowExecution
    workflow_type: WorkflowType
    timeout_type: WorkflowExecutionTimeoutType
    initiated_event_id: int
    started_event_id: int


class ChildWorkflowExecutionCanceled(BaseEvent):
    """The child closed as cancelled."""

    workflow_execution: WorkflowExecution
    workflow_type: WorkflowType
    initiated_event_id: int
    started_event_id: int
    details: str | None = None


class ChildWorkflowExecutionTerminated(BaseEvent):
    """The child was terminated."""

    workflow_execution: WorkflowExecution
    workflow_type: WorkflowType
    initiated_event_id: int
    started_event_id: int


class SignalExternalWorkflowExecutionInitiated(BaseEvent):
    """The request to signal another execution was accepted; delivery comes later."""

    workflow_id: str
    signal_name: str
    decision_task_completed_event_id: int
    run_id: str | None = None
    input: str | None = None
    control: str | None = None


class SignalExternalWorkflowExecutionFailed(BaseEvent):
    """The signal found no open execution, or was refused."""

    workflow_id: str
    cause: SignalExternalWorkflowExecutionFailedCause
    initiated_event_id: int
    decision_task_completed_event_id: int
    run_id: str | None = None
    control: str | None = None


class ExternalWorkflowExecutionSignaled(BaseEvent):
    """The signal was delivered."""

    workflow_execution: WorkflowExecution
    initiated_event_id: int


class RequestCancelExternalWorkflowExecutionInitiated(BaseEvent):
    """The request to cancel another execution was accepted; delivery comes later."""

    workflow_id: str
    decision_task_completed_event_id: int
    run_id: str | None = None
    control: str | None = None


class RequestCancelExternalWorkflowExecutionFailed(BaseEvent):
    """The cancel request found no open execution, or was refused."""

    workflow_id: str
    cause: RequestCancelExternalWorkflowExecutionFailedCause
    initiated_event_id: int
    decision_task_completed_event_id: int
    run_id: str | None = None
    control: str | None = None


class ExternalWorkflowExecutionCancelRequested(BaseEvent):
    """The cancel request was delivered (not: obeyed)."""

    workflow_execution: WorkflowExecution
    initiated_event_id: int


class LambdaFunctionScheduled(BaseEvent):
    """A Lambda task was accepted."""

    id: str
    name: str
    decision_task_completed_event_id: int
    control: str | None = None
    input: str | None = None
    start_to_close_timeout: Duration | None = None


class LambdaFunctionStarted(BaseEvent):
    """The function was invoked."""

    scheduled_event_id: int


class LambdaFunctionCompleted(BaseEvent):
    """The function returned; `result` is its payload."""

    scheduled_event_id: int
    started_event_id: int
    result: str | None = None


class LambdaFunctionFailed(BaseEvent):
    """The function raised, or is not there."""

    scheduled_event_id: int
    started_event_id: int
    reason: str | None = None
    details: str | None = None


class LambdaFunctionTimedOut(BaseEvent):
    """The function did not return in time."""

    scheduled_event_id: int
    started_event_id: int
    timeout_type: LambdaFunctionTimeoutType | None = None


class ScheduleLambdaFunctionFailed(BaseEvent):
    """The Lambda task was refused."""

    id: str
    name: str
    cause: ScheduleLambdaFunctionFailedCause
    decision_task_completed_event_id: int


class StartLambdaFunctionFailed(BaseEvent):
    """SWF could not assume the execution's `lambdaRole`; the function was not invoked."""

    scheduled_event_id: int | None = None
    cause: StartLambdaFunctionFailedCause | None = None
    message: str | None = None


Event: TypeAlias = Union[
    WorkflowExecutionStarted,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionCompleted,
    CompleteWorkflowExecutionFailed,
    WorkflowExecutionFailed,
    FailWorkflowExecutionFailed,
    WorkflowExecutionTimedOut,
    WorkflowExecutionCanceled,
    CancelWorkflowExecutionFailed,
    WorkflowExecutionContinuedAsNew,
    ContinueAsNewWorkflowExecutionFailed,
    WorkflowExecutionTerminated,
    DecisionTaskScheduled,
    DecisionTaskStarted,
    DecisionTaskCompleted,
    DecisionTaskTimedOut,
    ActivityTaskScheduled,
    ScheduleActivityTaskFailed,
    ActivityTaskStarted,
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskTimedOut,
    ActivityTaskCanceled,
    ActivityTaskCancelRequested,
    RequestCancelActivityTaskFailed,
    WorkflowExecutionSignaled,
    MarkerRecorded,
    RecordMarkerFailed,
    TimerStarted,
    StartTimerFailed,
    TimerFired,
    TimerCanceled,
    CancelTimerFailed,
    StartChildWorkflowExecutionInitiated,
    StartChildWorkflowExecutionFailed,
    ChildWorkflowExecutionStarted,
    ChildWorkflowExecutionCompleted,
    ChildWorkflowExecutionFailed,
    ChildWorkflowExecutionTimedOut,
    ChildWorkflowExecutionCanceled,
    ChildWorkflowExecutionTerminated,
    SignalExternalWorkflowExecutionInitiated,
    SignalExternalWorkflowExecutionFailed,
    ExternalWorkflowExecutionSignaled,
    RequestCancelExternalWorkflowExecutionInitiated,
    RequestCancelExternalWorkflowExecutionFailed,
    ExternalWorkflowExecutionCancelRequested,
    LambdaFunctionScheduled,
    LambdaFunctionStarted,
    LambdaFunctionCompleted,
    LambdaFunctionFailed,
    LambdaFunctionTimedOut,
    ScheduleLambdaFunctionFailed,
    StartLambdaFunctionFailed,
]
"""Any event: 54 types, closed."""
