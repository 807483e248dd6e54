"""The 39 operations of Amazon SWF as request and response types.

A frozen struct per request, typed by its response (the response to a `Request[Run]` is a `Run`), and one per response,
under SWF's own names, with members in snake_case.
Members that are `None` are left out. Source: the SWF service model 2012-01-25.
"""

from __future__ import annotations

from datetime import datetime
from typing import Generic, TypeAlias, TypeVar, Union

from traction.model.decisions import Decision
from traction.model.events import Event
from traction.model.literals import ChildPolicy, CloseStatus, Duration, ExecutionStatus, RegistrationStatus
from traction.model.names import ActivityType, TaskList, WorkflowExecution, WorkflowType
from traction.model.struct import ModelStruct

T_co = TypeVar("T_co", covariant=True)


class Request(ModelStruct, Generic[T_co]):
    """A call of the operation that the class names, answered by a `T_co`."""


class ActivityTask(ModelStruct):
    """A task handed to a poller. `task_token` is `""` when there was none."""

    task_token: str
    activity_id: str
    started_event_id: int
    workflow_execution: WorkflowExecution
    activity_type: ActivityType
    input: str | None = None


class ActivityTaskStatus(ModelStruct):
    """The answer to a heartbeat."""

    cancel_requested: bool


class ActivityTypeConfiguration(ModelStruct):
    """The defaults that an activity type was registered with."""

    default_task_start_to_close_timeout: Duration | None = None
    default_task_heartbeat_timeout: Duration | None = None
    default_task_list: TaskList | None = None
    default_task_priority: str | None = None
    default_task_schedule_to_start_timeout: Duration | None = None
    default_task_schedule_to_close_timeout: Duration | None = None


class ActivityTypeInfo(ModelStruct):
    """An activity type and its status."""

    activity_type: ActivityType
    status: RegistrationStatus
    creation_date: datetime
    description: str | None = None
    deprecation_date: datetime | None = None


class ActivityTypeDetail(ModelStruct):
    """An activity type and its defaults."""

    type_info: ActivityTypeInfo
    configuration: ActivityTypeConfiguration


class ActivityTypeInfos(ModelStruct):
    """A page of activity types."""

    type_infos: tuple[ActivityTypeInfo, ...]
    next_page_token: str | None = None


class CloseStatusFilter(ModelStruct):
    """Only executions that closed so."""

    status: CloseStatus


class DecisionTask(ModelStruct):
    """A task handed to a poller, with a page of history that ends at `started_event_id`. `task_token` is `""`
    when there was none.
    """

    task_token: str
    started_event_id: int
    workflow_execution: WorkflowExecution
    workflow_type: WorkflowType
    events: tuple[Event, ...]
    next_page_token: str | None = None
    previous_started_event_id: int | None = None


class DomainConfiguration(ModelStruct):
    """A domain's settings."""

    workflow_execution_retention_period_in_days: Duration


class DomainInfo(ModelStruct):
    """A domain and its status."""

    name: str
    status: RegistrationStatus
    description: str | None = None
    arn: str | None = None


class DomainDetail(ModelStruct):
    """A domain and its settings."""

    domain_info: DomainInfo
    configuration: DomainConfiguration


class DomainInfos(ModelStruct):
    """A page of domains."""

    domain_infos: tuple[DomainInfo, ...]
    next_page_token: str | None = None


class ExecutionTimeFilter(ModelStruct):
    """A range of time, both ends included; `latest_date` absent means now."""

    oldest_date: datetime
    latest_date: datetime | None = None


class History(ModelStruct):
    """A page of events."""

    events: tuple[Event, ...]
    next_page_token: str | None = None


class ResourceTag(ModelStruct):
    """A tag of a domain."""

    key: str
    value: str | None = None


class ListTagsForResourceOutput(ModelStruct):
    """A domain's tags."""

    tags: tuple[ResourceTag, ...] | None = None


class PendingTaskCount(ModelStruct):
    """How many tasks wait."""

    count: int
    truncated: bool | None = None


class Run(ModelStruct):
    """The run that was started."""

    run_id: str | None = None


class TagFilter(ModelStruct):
    """Only executions with this tag, exactly."""

    tag: str


class WorkflowExecutionConfiguration(ModelStruct):
    """An execution's resolved settings."""

    task_start_to_close_timeout: Duration
    execution_start_to_close_timeout: Duration
    task_list: TaskList
    child_policy: ChildPolicy
    task_priority: str | None = None
    lambda_role: str | None = None


class WorkflowExecutionCount(ModelStruct):
    """How many executions; a lower bound if `truncated`."""

    count: int
    truncated: bool | None = None


class WorkflowExecutionInfo(ModelStruct):
    """An execution as lists show it."""

    execution: WorkflowExecution
    workflow_type: WorkflowType
    start_timestamp: datetime
    execution_status: ExecutionStatus
    close_timestamp: datetime | None = None
    close_status: CloseStatus | None = None
    parent: WorkflowExecution | None = None
    tag_list: tuple[str, ...] | None = None
    cancel_requested: bool | None = None


class WorkflowExecutionOpenCounts(ModelStruct):
    """How much of an execution is open."""

    open_activity_tasks: int
    open_decision_tasks: int
    open_timers: int
    open_child_workflow_executions: int
    open_lambda_functions: int | None = None


class WorkflowExecutionDetail(ModelStruct):
    """What SWF describes of an execution, without its events."""

    execution_info: WorkflowExecutionInfo
    execution_configuration: WorkflowExecutionConfiguration
    open_counts: WorkflowExecutionOpenCounts
    latest_activity_task_timestamp: datetime | None = None
    latest_execution_context: str | None = None


class WorkflowExecutionFilter(ModelStruct):
    """Only executions with this workflow id."""

    workflow_id: str


class WorkflowExecutionInfos(ModelStruct):
    """A page of executions."""

    execution_infos: tuple[WorkflowExecutionInfo, ...]
    next_page_token: str | None = None


class WorkflowTypeConfiguration(ModelStruct):
    """The defaults that a workflow type was registered with."""

    default_task_start_to_close_timeout: Duration | None = None
    default_execution_start_to_close_timeout: Duration | None = None
    default_task_list: TaskList | None = None
    default_task_priority: str | None = None
    default_child_policy: ChildPolicy | None = None
    default_lambda_role: str | None = None


class WorkflowTypeInfo(ModelStruct):
    """A workflow type and its status."""

    workflow_type: WorkflowType
    status: RegistrationStatus
    creation_date: datetime
    description: str | None = None
    deprecation_date: datetime | None = None


class WorkflowTypeDetail(ModelStruct):
    """A workflow type and its defaults."""

    type_info: WorkflowTypeInfo
    configuration: WorkflowTypeConfiguration


class WorkflowTypeFilter(ModelStruct):
    """Only executions of this type, of any version by default."""

    name: str
    version: str | None = None


class WorkflowTypeInfos(ModelStruct):
    """A page of workflow types."""

    type_infos: tuple[WorkflowTypeInfo, ...]
    next_page_token: str | None = None


class CountClosedWorkflowExecutions(Request[WorkflowExecutionCount]):
    """Count closed executions that pass the filters."""

    domain: str
    start_time_filter: ExecutionTimeFilter | None = None
    close_time_filter: ExecutionTimeFilter | None = None
    execution_filter: WorkflowExecutionFilter | None = None
    type_filter: WorkflowTypeFilter | None = None
    tag_filter: TagFilter | None = None
    close_status_filter: CloseStatusFilter | None = None


class CountOpenWorkflowExecutions(Request[WorkflowExecutionCount]):
    """Count open executions that pass the filters."""

    domain: str
    start_time_filter: ExecutionTimeFilter
    type_filter: WorkflowTypeFilter | None = None
    tag_filter: TagFilter | None = None
    execution_filter: WorkflowExecutionFilter | None = None


class CountPendingActivityTasks(Request[PendingTaskCount]):
    """Count activity tasks that wait on a list; a list never used counts 0."""

    domain: str
    task_list: TaskList


class CountPendingDecisionTasks(Request[PendingTaskCount]):
    """Count decision tasks that wait on a list; a list never used counts 0."""

    domain: str
    task_list: TaskList


class DeleteActivityType(Request[None]):
    """Delete a deprecated activity type; its name and version are unknown afterwards."""

    domain: str
    activity_type: ActivityType


class DeleteWorkflowType(Request[None]):
    """Delete a deprecated workflow type; its name and version are unknown afterwards."""

    domain: str
    workflow_type: WorkflowType


class DeprecateActivityType(Request[None]):
    """Accept no new tasks of this type; those that exist run on."""

    domain: str
    activity_type: ActivityType


class DeprecateDomain(Request[None]):
    """Accept no new executions or types in this domain; deprecates its types too."""

    name: str


class DeprecateWorkflowType(Request[None]):
    """Accept no new executions of this type; those that exist run on."""

    domain: str
    workflow_type: WorkflowType


class DescribeActivityType(Request[ActivityTypeDetail]):
    """Return a type's status and the defaults that it was registered with."""

    domain: str
    activity_type: ActivityType


class DescribeDomain(Request[DomainDetail]):
    """Return a domain's status and retention, deprecated or not."""

    name: str


class DescribeWorkflowExecution(Request[WorkflowExecutionDetail]):
    """Return an execution's status, configuration and open counts; `run_id` is required."""

    domain: str
    execution: WorkflowExecution


class DescribeWorkflowType(Request[WorkflowTypeDetail]):
    """Return a type's status and the defaults that it was registered with."""

    domain: str
    workflow_type: WorkflowType


class GetWorkflowExecutionHistory(Request[History]):
    """Read a page of an execution's events, open or closed within retention."""

    domain: str
    execution: WorkflowExecution
    next_page_token: str | None = None
    maximum_page_size: int | None = None
    reverse_order: bool | None = None


class ListActivityTypes(Request[ActivityTypeInfos]):
    """List activity types of one status, by name."""

    domain: str
    registration_status: RegistrationStatus
    name: str | None = None
    next_page_token: str | None = None
    maximum_page_size: int | None = None
    reverse_order: bool | None = None


class ListClosedWorkflowExecutions(Request[WorkflowExecutionInfos]):
    """List closed executions, newest first by the time of the filter used. Eventually consistent."""

    domain: str
    start_time_filter: ExecutionTimeFilter | None = None
    close_time_filter: ExecutionTimeFilter | None = None
    execution_filter: WorkflowExecutionFilter | None = None
    close_status_filter: CloseStatusFilter | None = None
    type_filter: WorkflowTypeFilter | None = None
    tag_filter: TagFilter | None = None
    next_page_token: str | None = None
    maximum_page_size: int | None = None
    reverse_order: bool | None = None


class ListDomains(Request[DomainInfos]):
    """List domains of one status, by name."""

    registration_status: RegistrationStatus
    next_page_token: str | None = None
    maximum_page_size: int | None = None
    reverse_order: bool | None = None


class ListOpenWorkflowExecutions(Request[WorkflowExecutionInfos]):
    """List open executions, newest first. Eventually consistent."""

    domain: str
    start_time_filter: ExecutionTimeFilter
    type_filter: WorkflowTypeFilter | None = None
    tag_filter: TagFilter | None = None
    next_page_token: str | None = None
    maximum_page_size: int | None = None
    reverse_order: bool | None = None
    execution_filter: WorkflowExecutionFilter | None = None


class ListTagsForResource(Request[ListTagsForResourceOutput]):
    """List the tags of a domain."""

    resource_arn: str


class ListWorkflowTypes(Request[WorkflowTypeInfos]):
    """List workflow types of one status, by name."""

    domain: str
    registration_status: RegistrationStatus
    name: str | None = None
    next_page_token: str | None = None
    maximum_page_size: int | None = None
    reverse_order: bool | None = None


class PollForActivityTask(Request[ActivityTask]):
    """Wait for an activity task. The empty answer has the task token `""`."""

    domain: str
    task_list: TaskList
    identity: str | None = None


class PollForDecisionTask(Request[DecisionTask]):
    """Wait for a decision task, or read on in its history with a page token. The empty answer has the task token
    `""`.
    """

    domain: str
    task_list: TaskList
    identity: str | None = None
    next_page_token: str | None = None
    maximum_page_size: int | None = None
    reverse_order: bool | None = None
    start_at_previous_started_event: bool | None = None


class RecordActivityTaskHeartbeat(Request[ActivityTaskStatus]):
    """Report that a task is alive, and return whether its cancellation was requested. Writes no event."""

    task_token: str
    details: str | None = None


class RegisterActivityType(Request[None]):
    """Register an activity type; immutable afterwards but for its status."""

    domain: str
    name: str
    version: str
    description: str | None = None
    default_task_start_to_close_timeout: Duration | None = None
    default_task_heartbeat_timeout: Duration | None = None
    default_task_list: TaskList | None = None
    default_task_priority: str | None = None
    default_task_schedule_to_start_timeout: Duration | None = None
    default_task_schedule_to_close_timeout: Duration | None = None


class RegisterDomain(Request[None]):
    """Register a domain; its retention is fixed with it."""

    name: str
    workflow_execution_retention_period_in_days: Duration
    description: str | None = None
    tags: tuple[ResourceTag, ...] | None = None


class RegisterWorkflowType(Request[None]):
    """Register a workflow type; immutable afterwards but for its status."""

    domain: str
    name: str
    version: str
    description: str | None = None
    default_task_start_to_close_timeout: Duration | None = None
    default_execution_start_to_close_timeout: Duration | None = None
    default_task_list: TaskList | None = None
    default_task_priority: str | None = None
    default_child_policy: ChildPolicy | None = None
    default_lambda_role: str | None = None


class RequestCancelWorkflowExecution(Request[None]):
    """Request the cancellation of an open execution: SWF writes an event and schedules a decision task."""

    domain: str
    workflow_id: str
    run_id: str | None = None


class RespondActivityTaskCanceled(Request[None]):
    """Answer a task as cancelled; accepted without a request to cancel as well."""

    task_token: str
    details: str | None = None


class RespondActivityTaskCompleted(Request[None]):
    """Answer a task with its result."""

    task_token: str
    result: str | None = None


class RespondActivityTaskFailed(Request[None]):
    """Answer a task with its failure."""

    task_token: str
    reason: str | None = None
    details: str | None = None


class RespondDecisionTaskCompleted(Request[None]):
    """Answer a decision task with decisions, applied in order and all or nothing as to validity."""

    task_token: str
    decisions: tuple[Decision, ...] | None = None
    execution_context: str | None = None
    task_list: TaskList | None = None
    task_list_schedule_to_start_timeout: Duration | None = None


class SignalWorkflowExecution(Request[None]):
    """Signal an open execution. A retry signals twice."""

    domain: str
    workflow_id: str
    signal_name: str
    run_id: str | None = None
    input: str | None = None


class StartWorkflowExecution(Request[Run]):
    """Start an execution; at most one run per workflow id is open."""

    domain: str
    workflow_id: str
    workflow_type: WorkflowType
    task_list: TaskList | None = None
    task_priority: str | None = None
    input: str | None = None
    execution_start_to_close_timeout: Duration | None = None
    tag_list: tuple[str, ...] | None = None
    task_start_to_close_timeout: Duration | None = None
    child_policy: ChildPolicy | None = None
    lambda_role: str | None = None


class TagResource(Request[None]):
    """Add tags to a domain."""

    resource_arn: str
    tags: tuple[ResourceTag, ...]


class TerminateWorkflowExecution(Request[None]):
    """Close an open execution at once."""

    domain: str
    workflow_id: str
    run_id: str | None = None
    reason: str | None = None
    details: str | None = None
    child_policy: ChildPolicy | None = None


class UndeprecateActivityType(Request[None]):
    """Make a deprecated type usable again."""

    domain: str
    activity_type: ActivityType


class UndeprecateDomain(Request[None]):
    """Make a deprecated domain usable again."""

    name: str


class UndeprecateWorkflowType(Request[None]):
    """Make a deprecated type usable again."""

    domain: str
    workflow_type: WorkflowType


class UntagResource(Request[None]):
    """Remove tags from a domain."""

    resource_arn: str
    tag_keys: tuple[str, ...]


Operation: TypeAlias = Union[
    CountClosedWorkflowExecutions,
    CountOpenWorkflowExecutions,
    CountPendingActivityTasks,
    CountPendingDecisionTasks,
    DeleteActivityType,
    DeleteWorkflowType,
    DeprecateActivityType,
    DeprecateDomain,
    DeprecateWorkflowType,
    DescribeActivityType,
    DescribeDomain,
    DescribeWorkflowExecution,
    DescribeWorkflowType,
    GetWorkflowExecutionHistory,
    ListActivityTypes,
    ListClosedWorkflowExecutions,
    ListDomains,
    ListOpenWorkflowExecutions,
    ListTagsForResource,
    ListWorkflowTypes,
    PollForActivityTask,
    PollForDecisionTask,
    RecordActivityTaskHeartbeat,
    RegisterActivityType,
    RegisterDomain,
    RegisterWorkflowType,
    RequestCancelWorkflowExecution,
    RespondActivityTaskCanceled,
    RespondActivityTaskCompleted,
    RespondActivityTaskFailed,
    RespondDecisionTaskCompleted,
    SignalWorkflowExecution,
    StartWorkflowExecution,
    TagResource,
    TerminateWorkflowExecution,
    UndeprecateActivityType,
    UndeprecateDomain,
    UndeprecateWorkflowType,
    UntagResource,
]
"""Any request: 39 operations, closed."""
