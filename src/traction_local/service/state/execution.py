"""The history of one execution: append events, schedule decision tasks, close.

An execution changes others only through effects that happen after the batch.

Theory of operation: the coalescing rule. An execution has at most one decision task that is *queued* and at
most one that is *running*, and may have both. An event that a decider should see needs a decision task:
if none is queued, one is scheduled at once, in the same millisecond, even while another is running; pollers
only get it when that one has closed. Sources: recorded histories, and the deciders chapter of the developer
guide ("at most one additional task").
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from traction.model.events import (
    DecisionTaskCompleted,
    DecisionTaskScheduled,
    DecisionTaskStarted,
    DecisionTaskTimedOut,
    Event,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionStarted,
    WorkflowExecutionTerminated,
    WorkflowExecutionTimedOut,
)
from traction.model.literals import ChildPolicy, CloseStatus, Duration
from traction.model.names import TaskList, WorkflowExecution, WorkflowType
from traction.model.operations import WorkflowExecutionConfiguration, WorkflowExecutionOpenCounts
from traction_local.service.state import child
from traction_local.service.state.alarms import EXECUTION, Alarm
from traction_local.service.state.domain import Domain
from traction_local.service.state.region import Region, parse_duration
from traction_local.service.state.task_list import Task, TaskQueue
from traction_local.service.tokens import make_stem

if TYPE_CHECKING:
    from traction_local.service.state.activity import Activity
    from traction_local.service.state.child import Child
    from traction_local.service.state.lambda_task import LambdaTask
    from traction_local.service.state.timer import Timer


class Sticky(msgspec.Struct, frozen=True):
    """An override of the decision task list. With a `timeout`, it ends when a task was not started in time."""

    task_list: TaskList
    timeout: Duration | None


class PendingDecision(Task):
    """A decision task, queued or running. As an alarm: its current timeout."""

    __slots__ = ("arrival", "queue", "started_event_id")

    def __init__(self, execution: Execution, scheduled_event_id: int, queue: TaskQueue[PendingDecision]) -> None:
        self.due = self.entry = None
        self.execution = execution
        self.scheduled_event_id = scheduled_event_id
        self.started_event_id = 0
        self.queue = queue
        self.arrival = queue.arrive(self)

    def withdraw(self) -> None:
        self.queue.withdraw(self)

    def start(self, identity: str | None, now: datetime) -> None:
        """Assign the task to a poller."""
        execution = self.execution
        region = execution.region
        region.alarms.clear(self)
        self.started_event_id = started_event_id = len(execution.events) + 1
        execution.append(
            DecisionTaskStarted(
                event_id=started_event_id,
                event_timestamp=now,
                scheduled_event_id=self.scheduled_event_id,
                identity=identity,
            )
        )
        execution.queued = None
        execution.running = self
        region.limit(self, parse_duration(execution.settings.task_start_to_close_timeout), now)

    def fire(self, now: datetime) -> None:
        """Time out: the task was not started in time on a sticky list, or not completed in time.

        The task is scheduled again, on the original list if the override had a timeout.
        """
        execution = self.execution
        started = execution.running is self
        execution.append(
            DecisionTaskTimedOut(
                event_id=execution.next_event_id,
                event_timestamp=now,
                timeout_type="START_TO_CLOSE" if started else "SCHEDULE_TO_START",
                scheduled_event_id=self.scheduled_event_id,
                started_event_id=self.started_event_id,
            )
        )
        if execution.sticky is not None and execution.sticky.timeout is not None:
            # An override with a timeout ends here.
            execution.sticky = None
        if started:
            execution.running = None
            if execution.region.knobs.previous_counts_timed_out:
                execution.previous_started_event_id = self.started_event_id
            execution.offer_queued()
        else:
            self.withdraw()
            execution.queued = None
        execution.schedule_decision(now)


class Execution(Alarm):
    """One run. As an alarm: its own timeout while it is open, the end of its retention afterwards."""

    __slots__ = (
        "_open_counts",
        "activities",
        "cancel_requested",
        "children",
        "close_number",
        "close_status",
        "closed_at",
        "context",
        "domain",
        "events",
        "execution",
        "forgotten",
        "lambdas",
        "latest_activity_at",
        "number",
        "parent",
        "previous_started_event_id",
        "priority",
        "queued",
        "region",
        "run_id",
        "running",
        "settings",
        "started_at",
        "stem",
        "sticky",
        "timers",
        "type",
        "workflow_id",
    )

    rank = EXECUTION

    def __init__(
        self,
        region: Region,
        domain: Domain,
        identity: tuple[int, WorkflowExecution],
        type: WorkflowType,
        settings: WorkflowExecutionConfiguration,
        parent: tuple[Execution, int] | None,
        now: datetime,
    ) -> None:
        super().__init__()
        self.region = region
        self.domain = domain
        self.number, self.execution = identity
        self.workflow_id = self.execution.workflow_id
        self.run_id = self.execution.run_id
        self.type = type
        self.settings = settings
        self.parent = parent
        """The run that started this one and the Initiated event there, while this one is open."""
        self.priority = int(settings.task_priority or 0)
        self.stem = make_stem(self.run_id)
        self.events: list[Event] = []
        self.started_at = now
        self.closed_at: datetime | None = None
        self.close_number = 0
        self.close_status: CloseStatus | None = None
        self.forgotten = False
        self.queued: PendingDecision | None = None
        self.running: PendingDecision | None = None
        self.previous_started_event_id = 0
        self.sticky: Sticky | None = None
        self.context: str | None = None
        self.cancel_requested = False
        self.latest_activity_at: datetime | None = None
        self.activities: dict[str, Activity] = {}
        """The open ones, by activity id."""
        self.timers: dict[str, Timer] = {}
        """The open ones, by timer id."""
        self.children: dict[int, Child] = {}
        """The open ones, by Initiated event."""
        self.lambdas: dict[int, LambdaTask] = {}
        """The open ones, by Scheduled event."""
        self._open_counts: WorkflowExecutionOpenCounts | None = None

    @property
    def next_event_id(self) -> int:
        """The id of the next event: ids are dense from 1."""
        return len(self.events) + 1

    @property
    def is_open(self) -> bool:
        """Whether events may still be appended."""
        return self.close_status is None

    @property
    def started(self) -> WorkflowExecutionStarted:
        """The first event."""
        event = self.events[0]
        assert isinstance(event, WorkflowExecutionStarted)
        return event

    def was_open(self, when: datetime) -> bool:
        """Whether it was open at that time."""
        return self.started_at <= when and (self.closed_at is None or self.closed_at > when)

    def had_closed(self, when: datetime) -> bool:
        """Whether it was closed at that time."""
        return self.closed_at is not None and self.closed_at <= when

    def get_time(self, of_close: bool) -> datetime:
        """Return the start time or the close time."""
        if not of_close:
            return self.started_at
        assert self.closed_at is not None
        return self.closed_at

    def append(self, event: Event) -> None:
        """Append an event to the history."""
        assert self.close_status is None, "an event after the close"
        events = self.events
        events.append(event)
        if len(events) == self.region.limits.history_events_max + 1:
            self.region.follow(self._end_history, event.event_timestamp)

    def append_trigger(self, event: Event) -> None:
        """Append an event, and schedule a decision task for it."""
        self.append(event)
        self.schedule_decision(event.event_timestamp)

    def schedule_decision(self, now: datetime) -> None:
        """Schedule a decision task, unless one is queued."""
        if self.queued is not None:
            return
        sticky = self.sticky
        settings = self.settings
        task_list = settings.task_list if sticky is None else sticky.task_list
        wait = None if sticky is None else sticky.timeout
        event_id = len(self.events) + 1
        self.append(
            DecisionTaskScheduled(
                event_id=event_id,
                event_timestamp=now,
                task_list=task_list,
                task_priority=settings.task_priority,
                start_to_close_timeout=settings.task_start_to_close_timeout,
                schedule_to_start_timeout=wait or "NONE",
            )
        )
        self.queued = PendingDecision(self, event_id, self.domain.get_decision_queue(task_list.name))
        self.region.limit(self.queued, parse_duration(wait), now)
        if self.running is None:
            self.offer_queued()

    def offer_queued(self) -> None:
        """Make the queued decision task available to pollers, now that none is running."""
        if (task := self.queued) is not None:
            task.queue.offer(task, self.priority, task.arrival)

    def complete_decision(
        self, context: str | None, task_list: TaskList | None, wait: Duration | None, now: datetime
    ) -> int:
        """Close the running decision task as completed. The caller then applies its decisions."""
        task = self.running
        assert task is not None
        self.region.alarms.clear(task)
        event_id = len(self.events) + 1
        self.append(
            DecisionTaskCompleted(
                event_id=event_id,
                event_timestamp=now,
                scheduled_event_id=task.scheduled_event_id,
                started_event_id=task.started_event_id,
                execution_context=context,
                task_list=task_list,
                task_list_schedule_to_start_timeout=wait,
            )
        )
        self.running = None
        self.previous_started_event_id = task.started_event_id
        if context is not None:
            self.context = context
        if task_list is not None:
            self.sticky = Sticky(task_list, wait)
        elif not self.region.knobs.sticky_persists:
            self.sticky = None
        return event_id

    def close(self, event: Event, status: CloseStatus, now: datetime, *, policy: ChildPolicy | None = None) -> None:
        """Append the last event. Open tasks and timers get no further event.

        The child policy is the run's own, unless `policy` overrides it.
        """
        self.append(event)
        # Frozen, except that queued decision tasks are not counted (recorded responses).
        self._open_counts = msgspec.structs.replace(self.count_open(), open_decision_tasks=0)
        self.close_status, self.closed_at = status, now
        region = self.region
        region.closed.append(self.run_id)
        for task in (*self.activities.values(), *filter(None, (self.queued, self.running))):
            task.withdraw()
            region.alarms.clear(task)
        for alarm in (*self.timers.values(), *self.lambdas.values()):
            region.alarms.clear(alarm)
        self.queued = self.running = None
        self.activities, self.timers, self.lambdas = {}, {}, {}
        self.domain.close(self)
        region.alarms.fix(self, now + self.domain.retention)
        child.follow_close(self, event, policy or self.settings.child_policy, now)

    def count_open(self) -> WorkflowExecutionOpenCounts:
        """Count what is open, or was open at the close.

        By default a started decision task is not counted (recorded responses).
        """
        if self._open_counts is not None:
            return self._open_counts
        started = self.running is not None and self.region.knobs.openings_count_started_decision
        return WorkflowExecutionOpenCounts(
            open_activity_tasks=len(self.activities),
            open_decision_tasks=int(self.queued is not None or started),
            open_timers=len(self.timers),
            open_child_workflow_executions=len(self.children),
            open_lambda_functions=len(self.lambdas),
        )

    def request_cancel(
        self,
        now: datetime,
        *,
        source: WorkflowExecution | None = None,
        initiated_event_id: int = 0,
        cause: Literal["CHILD_POLICY_APPLIED"] | None = None,
    ) -> None:
        """Record a cancel request, from another execution or from the API."""
        self.cancel_requested = True
        self.append_trigger(
            WorkflowExecutionCancelRequested(
                event_id=self.next_event_id,
                event_timestamp=now,
                external_workflow_execution=source,
                external_initiated_event_id=initiated_event_id,
                cause=cause,
            )
        )

    def terminate(
        self, event: WorkflowExecutionTerminated, now: datetime, *, policy: ChildPolicy | None = None
    ) -> None:
        """Close at once, whatever is running."""
        self.close(event, "TERMINATED", now, policy=policy)

    def fire(self, now: datetime) -> None:
        """Time out. After the close: delete the execution, its retention is over."""
        if not self.is_open:
            del self.region.by_stem[self.stem]
            self.domain.forget(self)
            return
        policy = self.settings.child_policy
        self.close(
            WorkflowExecutionTimedOut(
                event_id=self.next_event_id,
                event_timestamp=now,
                timeout_type="START_TO_CLOSE",
                child_policy=policy,
            ),
            "TIMED_OUT",
            now,
        )

    def _end_history(self, now: datetime) -> None:
        """Terminate, because the history exceeded its limit."""
        if self.is_open:
            self.terminate(
                WorkflowExecutionTerminated(
                    event_id=self.next_event_id,
                    event_timestamp=now,
                    child_policy=self.settings.child_policy,
                    cause="EVENT_LIMIT_EXCEEDED",
                ),
                now,
            )
