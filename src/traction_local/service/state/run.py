"""The history of one run, and its decision tasks.

Theory of operation: the coalescing rule. A run has at most one decision task that is *queued* and at most one that is
*running*, and may have both. An event that a decider should see needs a decision task: if none is queued, one is
scheduled at once, in the same millisecond, even while another is running; pollers only get it when that one has closed.
Sources: recorded histories, and the deciders chapter of the developer guide ("at most one additional task").
"""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from typing import Literal

import msgspec

from traction.model.events import (
    DecisionTaskCompleted,
    DecisionTaskScheduled,
    DecisionTaskStarted,
    DecisionTaskTimedOut,
    Event,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionTerminated,
)
from traction.model.literals import ChildPolicy, CloseStatus, Duration
from traction.model.names import TaskList, WorkflowExecution, WorkflowType
from traction.model.operations import WorkflowExecutionConfiguration
from traction_local.service.state.alarms import EXECUTION, Alarm
from traction_local.service.state.environment import Environment, parse_duration
from traction_local.service.state.task_list import Task, TaskQueue, TaskQueues
from traction_local.service.tokens import make_stem


class Sticky(msgspec.Struct, frozen=True):
    """An override of the decision task list. With a `timeout`, it ends when a task was not started in time."""

    task_list: TaskList
    timeout: Duration | None


class PendingDecision(Task):
    """A decision task, queued or running. As an alarm: its current timeout."""

    __slots__ = ("arrival", "execution", "queue", "started_event_id")

    def __init__(self, execution: Run, scheduled_event_id: int, queue: TaskQueue[PendingDecision]) -> None:
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


class Run(Alarm):
    """The part of an execution that its activities, timers, children and Lambda tasks use."""

    __slots__ = (
        "cancel_requested",
        "close_status",
        "context",
        "decision_queues",
        "events",
        "execution",
        "latest_activity_at",
        "number",
        "previous_started_event_id",
        "priority",
        "queued",
        "region",
        "run_id",
        "running",
        "settings",
        "stem",
        "sticky",
        "type",
        "workflow_id",
    )

    rank = EXECUTION

    def __init__(
        self,
        region: Environment,
        decision_queues: TaskQueues[PendingDecision],
        identity: tuple[int, WorkflowExecution],
        type: WorkflowType,
        settings: WorkflowExecutionConfiguration,
    ) -> None:
        super().__init__()
        self.region = region
        self.decision_queues = decision_queues
        self.number, self.execution = identity
        self.workflow_id = self.execution.workflow_id
        self.run_id = self.execution.run_id
        self.type = type
        self.settings = settings
        self.priority = int(settings.task_priority or 0)
        self.stem = make_stem(self.run_id)
        self.events: list[Event] = []
        self.close_status: CloseStatus | None = None
        self.queued: PendingDecision | None = None
        self.running: PendingDecision | None = None
        self.previous_started_event_id = 0
        self.sticky: Sticky | None = None
        self.context: str | None = None
        self.cancel_requested = False
        self.latest_activity_at: datetime | None = None

    @abstractmethod
    def close(self, event: Event, status: CloseStatus, now: datetime, *, policy: ChildPolicy | None = None) -> None:
        """Append the last event. Open tasks and timers get no further event.

        The child policy is the run's own, unless `policy` overrides it.
        """

    @property
    def next_event_id(self) -> int:
        """The id of the next event: ids are dense from 1."""
        return len(self.events) + 1

    @property
    def is_open(self) -> bool:
        """Whether events may still be appended."""
        return self.close_status is None

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
        self.queued = PendingDecision(self, event_id, self.decision_queues.get(task_list.name))
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
