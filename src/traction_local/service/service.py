"""Answer the 39 operations of Amazon SWF, as a pure state machine.

Takes a request and a time; gives the answer, or raises SWF's fault. Never waits, rolls dice, or looks at a
clock: the same calls give the same answers, byte for byte, in any process.

The state follows from the calls alone. `call` first brings the state up to its time, so whether and how often
`advance` ran in between makes no difference: a journal of what changed the state is a list of (time, request),
where the time is `clock`, the service's own, which never goes backwards. A poll is answered at once, with a task
or empty; who wants to wait asks again when `take_ready` names the list.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from traction.errors import OperationNotPermittedFault, ThrottlingException, UnknownOperationException
from traction.model import operations as o
from traction.model.limits import Limits
from traction_local.service.knobs import Knobs, LambdaCall, LambdaOutcome
from traction_local.service.operations import (
    activity_tasks,
    decision_tasks,
    registration,
    signal_cancel_terminate,
    start,
    visibility,
)
from traction_local.service.state.region import Region
from traction_local.service.state.task_list import Ready

T = TypeVar("T")

_LIMITS = Limits()
_KNOBS = Knobs()


class Service:
    """One region of one account, simulated."""

    def __init__(
        self,
        *,
        seed: str = "",
        limits: Limits = _LIMITS,
        knobs: Knobs = _KNOBS,
        lambdas: Callable[[LambdaCall], LambdaOutcome] | None = None,
    ) -> None:
        """Begin with nothing registered.

        Args:
            seed: What the ids are made from.
            limits: The quotas.
            knobs: What SWF leaves open.
            lambdas: What Lambda functions answer. Without it there are none. It must be a function of its argument.
        """
        self._region = Region(seed, limits, knobs, lambdas)
        self._guarded = limits.throttling or bool(knobs.denied)

    @property
    def revision(self) -> int:
        """How many calls changed the state. All of them do if rates are enforced."""
        return self._region.revision

    @property
    def clock(self) -> datetime:
        """The time as the service knows it: the latest it was told, in whole milliseconds."""
        return self._region.clock

    def call(self, request: o.Request[T], now: datetime) -> T:
        """Answer a request, after all that is due by then has happened.

        Raises:
            ServiceFault: SWF's fault; the request changed nothing.
        """
        region = self._region
        now = region.advance(now)
        kind = type(request)
        operation = OPERATIONS.get(kind)
        if operation is None:
            raise UnknownOperationException(kind.__name__)
        if self._guarded:
            _guard(region, request, now)
        region.validator.check(request)
        answer: T = operation(region, request, now)
        if kind in CHANGING:
            region.revision += 1
        return answer

    def advance(self, now: datetime) -> None:
        """Let happen what is due at or before `now`, each at its own time, in order."""
        self._region.advance(now)

    def next_alarm(self) -> datetime | None:
        """When there is next something for `advance` to do."""
        return self._region.alarms.find_next()

    def may_be_due(self, by: datetime) -> bool:
        """Whether an alarm may be due by then: cheaper than `next_alarm`, and at times too hopeful."""
        return self._region.alarms.is_due(by)

    def next_rank(self) -> int | None:
        """What the next alarm is: the rank of an effect or a timer, of a task's timeout, or of an execution's."""
        return self._region.alarms.find_rank()

    def has_ready(self) -> bool:
        """Whether `take_ready` would name a queue."""
        return bool(self._region.ready)

    def take_ready(self) -> list[Ready]:
        """Which queues got a task to hand out since last asked: one entry per task."""
        ready = self._region.ready
        if not ready:
            return []
        taken = ready.copy()
        ready.clear()
        return taken

    def take_closed(self) -> list[str]:
        """Which runs closed since last asked, by run id."""
        closed = self._region.closed
        if not closed:
            return []
        taken = closed.copy()
        closed.clear()
        return taken

    def drop_news(self) -> None:
        """Forget what `take_ready` and `take_closed` would give."""
        self._region.ready.clear()
        self._region.closed.clear()


def _guard(region: Region, request: Any, now: datetime) -> None:
    """Refuse a request that is asked for too often, of all executions or of one, or that the caller may not make."""
    name = type(request).__name__
    if region.buckets.active:
        # Even a refused call took a token, so each one changes the state.
        region.revision += 1
        whose = getattr(request, "execution", None) or getattr(request, "workflow_id", None)
        whose = whose or getattr(request, "task_token", "")
        take = region.buckets.take
        if not (take("call", name, now) and take("run", name, now, str(whose))):
            raise ThrottlingException("Rate exceeded")
    if name in region.knobs.denied:
        raise OperationNotPermittedFault(f"User is not authorized to perform: swf:{name}")


OPERATIONS: dict[type, Callable[[Region, Any, datetime], Any]] = {
    o.CountClosedWorkflowExecutions: visibility.count_closed_workflow_executions,
    o.CountOpenWorkflowExecutions: visibility.count_open_workflow_executions,
    o.CountPendingActivityTasks: visibility.count_pending_activity_tasks,
    o.CountPendingDecisionTasks: visibility.count_pending_decision_tasks,
    o.DeleteActivityType: registration.delete_activity_type,
    o.DeleteWorkflowType: registration.delete_workflow_type,
    o.DeprecateActivityType: registration.deprecate_activity_type,
    o.DeprecateDomain: registration.deprecate_domain,
    o.DeprecateWorkflowType: registration.deprecate_workflow_type,
    o.DescribeActivityType: registration.describe_activity_type,
    o.DescribeDomain: registration.describe_domain,
    o.DescribeWorkflowExecution: visibility.describe_workflow_execution,
    o.DescribeWorkflowType: registration.describe_workflow_type,
    o.GetWorkflowExecutionHistory: decision_tasks.get_workflow_execution_history,
    o.ListActivityTypes: registration.list_activity_types,
    o.ListClosedWorkflowExecutions: visibility.list_closed_workflow_executions,
    o.ListDomains: registration.list_domains,
    o.ListOpenWorkflowExecutions: visibility.list_open_workflow_executions,
    o.ListTagsForResource: registration.list_tags_for_resource,
    o.ListWorkflowTypes: registration.list_workflow_types,
    o.PollForActivityTask: activity_tasks.poll_for_activity_task,
    o.PollForDecisionTask: decision_tasks.poll_for_decision_task,
    o.RecordActivityTaskHeartbeat: activity_tasks.record_activity_task_heartbeat,
    o.RegisterActivityType: registration.register_activity_type,
    o.RegisterDomain: registration.register_domain,
    o.RegisterWorkflowType: registration.register_workflow_type,
    o.RequestCancelWorkflowExecution: signal_cancel_terminate.request_cancel_workflow_execution,
    o.RespondActivityTaskCanceled: activity_tasks.respond_activity_task_canceled,
    o.RespondActivityTaskCompleted: activity_tasks.respond_activity_task_completed,
    o.RespondActivityTaskFailed: activity_tasks.respond_activity_task_failed,
    o.RespondDecisionTaskCompleted: decision_tasks.respond_decision_task_completed,
    o.SignalWorkflowExecution: signal_cancel_terminate.signal_workflow_execution,
    o.StartWorkflowExecution: start.start_workflow_execution,
    o.TagResource: registration.tag_resource,
    o.TerminateWorkflowExecution: signal_cancel_terminate.terminate_workflow_execution,
    o.UndeprecateActivityType: registration.undeprecate_activity_type,
    o.UndeprecateDomain: registration.undeprecate_domain,
    o.UndeprecateWorkflowType: registration.undeprecate_workflow_type,
    o.UntagResource: registration.untag_resource,
}
"""How each operation is answered."""

READING = (
    o.CountClosedWorkflowExecutions,
    o.CountOpenWorkflowExecutions,
    o.CountPendingActivityTasks,
    o.CountPendingDecisionTasks,
    o.DescribeActivityType,
    o.DescribeDomain,
    o.DescribeWorkflowExecution,
    o.DescribeWorkflowType,
    o.GetWorkflowExecutionHistory,
    o.ListActivityTypes,
    o.ListClosedWorkflowExecutions,
    o.ListDomains,
    o.ListOpenWorkflowExecutions,
    o.ListTagsForResource,
    o.ListWorkflowTypes,
)
POLLS = (o.PollForActivityTask, o.PollForDecisionTask)
"""They change the state if they hand out a task, and count that themselves."""

CHANGING = frozenset(OPERATIONS) - frozenset(READING) - frozenset(POLLS)
"""The operations whose success is a change."""
