"""An activity task of an execution."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from traction.model import events as e
from traction.model.literals import ActivityTaskTimeoutType
from traction_local.service.state.environment import parse_duration
from traction_local.service.state.run import Run
from traction_local.service.state.task_list import Task, TaskQueue


class Activity(Task, kw_only=True):
    """An open activity task. As an alarm: its earliest timeout."""

    execution: Run
    scheduled: e.ActivityTaskScheduled
    queue: TaskQueue[Activity]
    siblings: dict[str, Activity]
    started_at: datetime | None = None
    beat_at: datetime | None = None
    details: str | None = None
    cancel_requested_event_id: int = 0

    def __post_init__(self) -> None:
        scheduled, queue = self.scheduled, self.queue
        self.siblings[scheduled.activity_id] = self
        priority = scheduled.task_priority
        queue.offer(self, 0 if priority is None else int(priority), queue.arrive(self))
        if not (scheduled.schedule_to_start_timeout == scheduled.schedule_to_close_timeout == "NONE"):
            self.set_alarm()

    def _find_deadlines(self) -> list[tuple[datetime, ActivityTaskTimeoutType]]:
        """Return the deadlines of the running timeouts, the widest first."""
        scheduled, started_at = self.scheduled, self.started_at
        scheduled_at = scheduled.event_timestamp
        deadlines: list[tuple[datetime, ActivityTaskTimeoutType]] = []
        if (timeout := parse_duration(scheduled.schedule_to_close_timeout)) is not None:
            deadlines.append((scheduled_at + timeout, "SCHEDULE_TO_CLOSE"))
        if started_at is None:
            if (timeout := parse_duration(scheduled.schedule_to_start_timeout)) is not None:
                deadlines.append((scheduled_at + timeout, "SCHEDULE_TO_START"))
            return deadlines
        if (timeout := parse_duration(scheduled.start_to_close_timeout)) is not None:
            deadlines.append((started_at + timeout, "START_TO_CLOSE"))
        if (timeout := parse_duration(scheduled.heartbeat_timeout)) is not None:
            deadlines.append(((self.beat_at or started_at) + timeout, "HEARTBEAT"))
        return deadlines

    def set_alarm(self) -> None:
        """Set the alarm to the earliest deadline, if there is one."""
        deadlines = self._find_deadlines()
        if deadlines:
            self.execution.region.alarms.set(self, min(deadlines)[0])
        else:
            self.execution.region.alarms.clear(self)

    def withdraw(self) -> None:
        self.queue.withdraw(self)

    def start(self, identity: str | None, now: datetime) -> None:
        execution = self.execution
        self.started_event_id = event_id = len(execution.events) + 1
        self.started_at = execution.latest_activity_at = now
        execution.append(
            e.ActivityTaskStarted(
                event_id=event_id,
                event_timestamp=now,
                scheduled_event_id=self.scheduled_event_id,
                identity=identity,
            )
        )
        self.set_alarm()

    def end(self, kind: Callable[..., e.Event], now: datetime, **members: str | int | None) -> None:
        """Close the task with its only closing event."""
        execution = self.execution
        execution.region.alarms.clear(self)
        self.withdraw()
        del self.siblings[self.scheduled.activity_id]
        execution.latest_activity_at = now
        event = kind(
            event_id=len(execution.events) + 1,
            event_timestamp=now,
            scheduled_event_id=self.scheduled_event_id,
            started_event_id=self.started_event_id,
            **members,
        )
        execution.append_trigger(event)

    def fire(self, now: datetime) -> None:
        """Time out, with the details of the last heartbeat for every timeout type (API reference)."""
        reached = next(kind for deadline, kind in self._find_deadlines() if deadline <= now)
        self.end(e.ActivityTaskTimedOut, now, timeout_type=reached, details=self.details)

    def cancel_unstarted(self, now: datetime) -> None:
        """Cancel the task, unless it was started or closed since the request."""
        still_open = self.siblings.get(self.scheduled.activity_id) is self
        if still_open and self.started_at is None:
            self.cancel(None, now)

    def cancel(self, details: str | None, now: datetime) -> None:
        """Close the task as cancelled. A cancel request is not required (recorded history)."""
        request = self.cancel_requested_event_id
        self.end(e.ActivityTaskCanceled, now, details=details, latest_cancel_requested_event_id=request)
