"""The limits of SWF: sizes, counts, spans, and rates.

A test of a smaller service passes smaller numbers. Sources: the quotas page of the developer guide, the SWF service
model, and, where they are silent, recorded traffic.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import msgspec


class Bucket(msgspec.Struct, frozen=True):
    """A token bucket: `size` calls at once, and `refill` more in each second."""

    name: str
    size: int
    refill: int


def _buckets(text: str) -> tuple[Bucket, ...]:
    """Read lines of `name size/refill`."""
    rows = (line.split() for line in text.split(";"))
    return tuple(Bucket(name, *map(int, rate.split("/"))) for name, rate in rows)


API_BUCKETS = _buckets(
    "CountClosedWorkflowExecutions 2000/6;CountOpenWorkflowExecutions 2000/6;CountPendingActivityTasks 200/6;"
    "CountPendingDecisionTasks 200/6;DeleteActivityType 200/6;DeleteWorkflowType 200/6;DeprecateActivityType 200/6;"
    "DeprecateDomain 100/6;DeprecateWorkflowType 200/6;DescribeActivityType 2000/6;DescribeDomain 200/6;"
    "DescribeWorkflowExecution 2000/6;DescribeWorkflowType 2000/6;GetWorkflowExecutionHistory 2000/60;"
    "ListActivityTypes 200/6;ListClosedWorkflowExecutions 200/6;ListDomains 100/6;ListOpenWorkflowExecutions 200/48;"
    "ListTagsForResource 50/30;ListWorkflowTypes 200/6;PollForActivityTask 2000/200;PollForDecisionTask 2000/200;"
    "RecordActivityTaskHeartbeat 2000/160;RegisterActivityType 200/60;RegisterDomain 100/6;RegisterWorkflowType 200/60;"
    "RequestCancelWorkflowExecution 2000/30;RespondActivityTaskCanceled 2000/200;"
    "RespondActivityTaskCompleted 2000/200;RespondActivityTaskFailed 2000/200;RespondDecisionTaskCompleted 2000/200;"
    "SignalWorkflowExecution 2000/30;StartWorkflowExecution 2000/200;TagResource 50/30;"
    "TerminateWorkflowExecution 2000/60;UndeprecateActivityType 200/6;UndeprecateDomain 100/6;"
    "UndeprecateWorkflowType 200/6;UntagResource 50/30"
)
"""One bucket per operation, for the whole account."""

EXECUTION_BUCKETS = _buckets(
    "GetWorkflowExecutionHistory 400/200;SignalWorkflowExecution 1000/1000;RecordActivityTaskHeartbeat 1000/1000;"
    "RequestCancelWorkflowExecution 200/200"
)
"""One bucket per operation and execution, besides the account's."""

DECISION_BUCKETS = _buckets(
    "RequestCancelExternalWorkflowExecution 1200/120;ScheduleActivityTask 1000/200;"
    "SignalExternalWorkflowExecution 1200/120;StartChildWorkflowExecution 500/12;StartTimer 2000/200"
)
"""One bucket per decision type; an empty one fails the decision with its `..._RATE_EXCEEDED` cause."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Every quota, under SWF's default."""

    domains_max: int = 100
    """Domains of an account, deprecated ones included."""

    workflow_types_max: int = 10_000
    """Workflow types of a domain, deprecated ones included."""

    activity_types_max: int = 10_000
    """Activity types of a domain, deprecated ones included."""

    open_executions_max: int = 100_000
    """Open executions of a domain, children included."""

    execution_seconds_max: int = 31_536_000
    """The longest execution timeout, in seconds: one year."""

    history_events_max: int = 25_000
    """Events of a run; one that grows beyond is terminated."""

    open_activities_max: int = 1_000
    """Open activity tasks of a run, scheduled or started."""

    open_timers_max: int = 1_000
    """Open timers of a run."""

    open_children_max: int = 1_000
    """Open child executions of a run, those about to start included."""

    open_lambdas_max: int = 1_000
    """Open Lambda tasks of a run. SWF has such a limit, and does not publish it."""

    pollers_max: int = 1_000
    """Polls that may wait on one task list at once. The server that holds the connections enforces it."""

    list_tasks_per_second_max: int = 2_000
    """Activity tasks per second that one task list takes; enforced when `throttling`."""

    request_bytes_max: int = 1_048_576
    """Bytes of one request's body, as boto3 writes it. Enforced by the backends, and by the server as it reads them."""

    page_items_max: int = 1_000
    """The most items of a page, and the number returned by default."""

    page_token_lifetime: timedelta = timedelta(hours=24)
    """How long a page token is good."""

    payload_chars_max: int = 32_768
    """Characters of an input, result, control, marker, context, or details of a failure."""

    heartbeat_chars_max: int = 2_048
    """Characters of a heartbeat's details."""

    reason_chars_max: int = 256
    """Characters of a failure's or a termination's reason."""

    identity_chars_max: int = 256
    """Characters by which a poller may name itself."""

    name_chars_max: int = 256
    """Characters of a name or an id."""

    version_chars_max: int = 64
    """Characters of a type's version."""

    run_id_chars_max: int = 64
    """Characters of a run id."""

    lambda_name_chars_max: int = 64
    """Characters of a Lambda function's name."""

    role_chars_max: int = 1_600
    """Characters of a role or another ARN."""

    description_chars_max: int = 1_024
    """Characters of a description."""

    duration_chars_max: int = 8
    """Characters of a duration."""

    task_token_chars_max: int = 1_024
    """Characters of a task token."""

    page_token_chars_max: int = 2_048
    """Characters of a page token."""

    execution_tags_max: int = 5
    """Tags of an execution."""

    execution_tag_chars_max: int = 256
    """Characters of an execution's tag."""

    resource_tags_max: int = 50
    """Tags of a domain."""

    resource_tag_key_chars_max: int = 128
    """Characters of the key of a domain's tag."""

    resource_tag_value_chars_max: int = 256
    """Characters of the value of a domain's tag."""

    retention_days_max: int = 90
    """Days that a domain may keep closed executions."""

    lambda_seconds_max: int = 900
    """The longest timeout of a Lambda task, in seconds, which is also the default."""

    throttling: bool = False
    """Whether the rates below are enforced."""

    api_buckets: tuple[Bucket, ...] = API_BUCKETS
    """Calls per operation."""

    execution_buckets: tuple[Bucket, ...] = EXECUTION_BUCKETS
    """Calls per operation and execution."""

    decision_buckets: tuple[Bucket, ...] = DECISION_BUCKETS
    """Decisions per type."""


SWF: Final = Limits()
"""SWF's own limits."""
