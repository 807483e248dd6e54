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

from traction.model import events as e
from traction.model.literals import ChildPolicy, CloseStatus, Duration, WorkflowExecutionTerminatedCause
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


class PendingDecision(Task, kw_only=True):
    """A decision task, queued or running. As an alarm: its current timeout."""

    execution: Run
    queue: TaskQueue[PendingDecision]
    arrival: int = 0

    def __post_init__(self) -> None:
        self.arrival = self.queue.arrive(self)

    def withdraw(self) -> None:
        self.queue.withdraw(self)

    def start(self, identity: str | None, now: datetime) -> None:
        execution = self.execution
        region = execution.region
        region.alarms.clear(self)
        self.started_event_id = started_event_id = len(execution.events) + 1
        execution.append(
            e.DecisionTaskStarted(
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
            e.DecisionTaskTimedOut(
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


class Run(Alarm, kw_only=True):
    """The part of an execution that its activities, timers, children and Lambda tasks use."""

    rank = EXECUTION

    region: Environment
    decision_queues: TaskQueues[PendingDecision]
    number: int
    execution: WorkflowExecution
    type: WorkflowType
    settings: WorkflowExecutionConfiguration
    workflow_id: str = ""
    run_id: str = ""
    priority: int = 0
    stem: str = ""
    events: list[e.Event] = msgspec.field(default_factory=list)
    close_status: CloseStatus | None = None
    queued: PendingDecision | None = None
    running: PendingDecision | None = None
    previous_started_event_id: int = 0
    sticky: Sticky | None = None
    context: str | None = None
    cancel_requested: bool = False
    latest_activity_at: datetime | None = None

    def __post_init__(self) -> None:
        self.workflow_id, self.run_id = self.execution.workflow_id, self.execution.run_id
        self.priority = int(self.settings.task_priority or 0)
        self.stem = make_stem(self.run_id)

    @abstractmethod
    def close(self, event: e.Event, status: CloseStatus, now: datetime, *, policy: ChildPolicy | None = None) -> None:
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

    def append(self, event: e.Event) -> None:
        assert self.close_status is None, "an event after the close"
        events = self.events
        events.append(event)
        if len(events) == self.region.limits.history_events_max + 1:
            self.region.follow(self._end_history, event.event_timestamp)

    def append_trigger(self, event: e.Event) -> None:
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
            e.DecisionTaskScheduled(
                event_id=event_id,
                event_timestamp=now,
                task_list=task_list,
                task_priority=settings.task_priority,
                start_to_close_timeout=settings.task_start_to_close_timeout,
                schedule_to_start_timeout=wait or "NONE",
            )
        )
        queue = self.decision_queues.get(task_list.name)
        self.queued = PendingDecision(execution=self, scheduled_event_id=event_id, queue=queue)
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
            e.DecisionTaskCompleted(
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
            e.WorkflowExecutionCancelRequested(
                event_id=self.next_event_id,
                event_timestamp=now,
                external_workflow_execution=source,
                external_initiated_event_id=initiated_event_id,
                cause=cause,
            )
        )

    def terminate(
        self,
        now: datetime,
        cause: WorkflowExecutionTerminatedCause,
        *,
        policy: ChildPolicy | None = None,
        reason: str | None = None,
        details: str | None = None,
    ) -> None:
        """Close at once, whatever is running. The child policy is the run's own, unless `policy` overrides it."""
        event = e.WorkflowExecutionTerminated(
            event_id=self.next_event_id,
            event_timestamp=now,
            child_policy=policy or self.settings.child_policy,
            reason=reason,
            details=details,
            cause=cause,
        )
        self.close(event, "TERMINATED", now, policy=policy)

    def _end_history(self, now: datetime) -> None:
        if self.is_open:
            self.terminate(now, "EVENT_LIMIT_EXCEEDED")
