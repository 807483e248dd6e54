"""The 39 operations of Amazon SWF, as a pure state machine.

It never waits, uses no randomness and reads no clock: the same calls return the same responses, byte for byte, in any
process.

The state is a function of the calls. `call` first advances the state to its time, so how often `advance` ran in
between makes no difference. A journal of the changes is a list of (time, request), where the time is `clock`, the
service's own, which never goes backwards. A poll returns at once, with a task or empty. To wait for a task, poll again
when `take_ready` returns the list.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from traction.errors import OperationNotPermittedFault, ThrottlingException, UnknownOperationException
from traction.model import operations as o
from traction.model.limits import SWF, Limits
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

_KNOBS = Knobs()


class Service:
    """One region of one account, simulated."""

    def __init__(
        self,
        *,
        seed: str = "",
        limits: Limits = SWF,
        knobs: Knobs = _KNOBS,
        lambdas: Callable[[LambdaCall], LambdaOutcome] | None = None,
    ) -> None:
        """Create a service without domains.

        Args:
            seed: The seed of the run ids.
            limits: The quotas.
            knobs: The behaviour that SWF does not document.
            lambdas: Runs Lambda functions. Without it there are none. It must depend on its argument only.
        """
        self._region = Region(seed, limits, knobs, lambdas)
        self._guarded = limits.throttling or bool(knobs.denied)

    @property
    def revision(self) -> int:
        """How many calls changed the state. All of them do if rates are enforced."""
        return self._region.revision

    @property
    def clock(self) -> datetime:
        """The latest time that the service was called with, in whole milliseconds."""
        return self._region.clock

    def call(self, request: o.Request[T], now: datetime) -> T:
        """Fire all alarms that are due at `now`, then handle a request and return its response.

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
        """Fire the alarms that are due at or before `now`, each at its own time, in order."""
        self._region.advance(now)

    def next_alarm(self) -> datetime | None:
        """Return when the next alarm is due, if any is set."""
        return self._region.alarms.find_next()

    def may_be_due(self, by: datetime) -> bool:
        """Whether an alarm may be due by then. Cheaper than `next_alarm`; may be a false positive."""
        return self._region.alarms.is_due(by)

    def next_rank(self) -> int | None:
        """Return the rank of the next alarm: of an effect or timer, a task's timeout, or an execution's timeout."""
        return self._region.alarms.find_rank()

    def has_ready(self) -> bool:
        """Whether `take_ready` would return a queue."""
        return bool(self._region.ready)

    def take_ready(self) -> list[Ready]:
        """Return the queues that got a task since the last call: one entry per task."""
        ready = self._region.ready
        if not ready:
            return []
        taken = ready.copy()
        ready.clear()
        return taken

    def take_closed(self) -> list[str]:
        """Return the ids of the runs that closed since the last call."""
        closed = self._region.closed
        if not closed:
            return []
        taken = closed.copy()
        closed.clear()
        return taken

    def drop_news(self) -> None:
        """Clear the results of `take_ready` and `take_closed`."""
        self._region.ready.clear()
        self._region.closed.clear()


def _guard(region: Region, request: Any, now: datetime) -> None:
    """Refuse a request that exceeds a rate, in total or for one execution, or that the caller may not make."""
    name = type(request).__name__
    if region.buckets.active:
        # A refused call takes a token too, so every call changes the state.
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
    o.DeleteActivityType: registration.delete_type,
    o.DeleteWorkflowType: registration.delete_type,
    o.DeprecateActivityType: registration.deprecate_type,
    o.DeprecateDomain: registration.deprecate_domain,
    o.DeprecateWorkflowType: registration.deprecate_type,
    o.DescribeActivityType: registration.describe_type,
    o.DescribeDomain: registration.describe_domain,
    o.DescribeWorkflowExecution: visibility.describe_workflow_execution,
    o.DescribeWorkflowType: registration.describe_type,
    o.GetWorkflowExecutionHistory: decision_tasks.get_workflow_execution_history,
    o.ListActivityTypes: registration.list_types,
    o.ListClosedWorkflowExecutions: visibility.list_closed_workflow_executions,
    o.ListDomains: registration.list_domains,
    o.ListOpenWorkflowExecutions: visibility.list_open_workflow_executions,
    o.ListTagsForResource: registration.list_tags_for_resource,
    o.ListWorkflowTypes: registration.list_types,
    o.PollForActivityTask: activity_tasks.poll_for_activity_task,
    o.PollForDecisionTask: decision_tasks.poll_for_decision_task,
    o.RecordActivityTaskHeartbeat: activity_tasks.record_activity_task_heartbeat,
    o.RegisterActivityType: registration.register_type,
    o.RegisterDomain: registration.register_domain,
    o.RegisterWorkflowType: registration.register_type,
    o.RequestCancelWorkflowExecution: signal_cancel_terminate.request_cancel_workflow_execution,
    o.RespondActivityTaskCanceled: activity_tasks.respond_activity_task_canceled,
    o.RespondActivityTaskCompleted: activity_tasks.respond_activity_task_completed,
    o.RespondActivityTaskFailed: activity_tasks.respond_activity_task_failed,
    o.RespondDecisionTaskCompleted: decision_tasks.respond_decision_task_completed,
    o.SignalWorkflowExecution: signal_cancel_terminate.signal_workflow_execution,
    o.StartWorkflowExecution: start.start_workflow_execution,
    o.TagResource: registration.tag_resource,
    o.TerminateWorkflowExecution: signal_cancel_terminate.terminate_workflow_execution,
    o.UndeprecateActivityType: registration.undeprecate_type,
    o.UndeprecateDomain: registration.undeprecate_domain,
    o.UndeprecateWorkflowType: registration.undeprecate_type,
    o.UntagResource: registration.untag_resource,
}
"""The function that handles each operation."""

READING = tuple(kind for kind in OPERATIONS if kind.__name__.startswith(("Count", "Describe", "Get", "List")))
"""The operations that only read."""

POLLS = (o.PollForActivityTask, o.PollForDecisionTask)
"""They change the state if they return a task. They increase `revision` themselves."""

CHANGING = frozenset(OPERATIONS) - frozenset(READING) - frozenset(POLLS)
"""The operations that change the state when they succeed."""
