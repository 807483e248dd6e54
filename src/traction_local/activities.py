"""Carry an activity task from its schedule to its end.

Takes polls, answers, heartbeats, and the passing of time; gives the events of the task. Never retries one:
that is for the decider.

Theory of operation: four clocks, one alarm. The task's deadlines follow from its Scheduled event, its start
and its last heartbeat, so none is stored; the alarm stands at the earliest, and its type is only looked up
when it fires. If two fall together, the wider clock wins.
"""

from __future__ import annotations

from datetime import datetime

from traction.errors import UnknownResourceFault, ValidationException
from traction.events import (
    ActivityTaskCanceled,
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskScheduled,
    ActivityTaskStarted,
    ActivityTaskTimedOut,
)
from traction.names import ActivityType, WorkflowExecution
from traction.operations import (
    ActivityTask,
    ActivityTaskStatus,
    PollForActivityTask,
    RecordActivityTaskHeartbeat,
    RespondActivityTaskCanceled,
    RespondActivityTaskCompleted,
    RespondActivityTaskFailed,
)
from traction.values import ActivityTaskTimeoutType
from traction_local.domains import unknown_execution
from traction_local.executions import Execution
from traction_local.identities import ACTIVITY, make_token
from traction_local.region import Region, parse_duration
from traction_local.tasklists import Task, TaskQueue

NO_ACTIVITY_TASK = ActivityTask(
    task_token="",
    activity_id="",
    started_event_id=0,
    workflow_execution=WorkflowExecution("", ""),
    activity_type=ActivityType("", ""),
)
"""The answer to a poll that found nothing."""


class Activity(Task):
    """An open activity task. As an alarm: the earliest of its clocks."""

    __slots__ = (
        "beat_at",
        "cancel_requested_event_id",
        "details",
        "queue",
        "scheduled",
        "started_at",
        "started_event_id",
    )

    def __init__(self, execution: Execution, scheduled: ActivityTaskScheduled, queue: TaskQueue[Activity]) -> None:
        self.due = self.entry = None
        self.execution = execution
        self.scheduled = scheduled
        self.scheduled_event_id = scheduled.event_id
        self.queue = queue
        self.started_event_id = 0
        self.started_at: datetime | None = None
        self.beat_at: datetime | None = None
        self.details: str | None = None
        self.cancel_requested_event_id = 0
        priority = scheduled.task_priority
        queue.offer(self, 0 if priority is None else int(priority), queue.arrive(self))
        if not (scheduled.schedule_to_start_timeout == scheduled.schedule_to_close_timeout == "NONE"):
            self.set_alarm()

    def _find_deadlines(self) -> list[tuple[datetime, ActivityTaskTimeoutType]]:
        """The clocks that run, the widest first."""
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
        """Set the alarm to the earliest clock that runs, if any does."""
        deadlines = self._find_deadlines()
        if deadlines:
            self.execution.region.alarms.set(self, min(deadlines)[0])
        else:
            self.execution.region.alarms.clear(self)

    def withdraw(self) -> None:
        self.queue.withdraw(self)

    def start(self, identity: str | None, now: datetime) -> None:
        """Hand the task to a poller."""
        execution = self.execution
        self.started_event_id = event_id = len(execution.events) + 1
        self.started_at = execution.latest_activity_at = now
        execution.append(
            ActivityTaskStarted(
                event_id=event_id,
                event_timestamp=now,
                scheduled_event_id=self.scheduled_event_id,
                identity=identity,
            )
        )
        self.set_alarm()

    def end(
        self,
        event: ActivityTaskCompleted | ActivityTaskFailed | ActivityTaskCanceled | ActivityTaskTimedOut,
    ) -> None:
        """Close the task with its only closing event."""
        execution = self.execution
        execution.region.alarms.clear(self)
        self.withdraw()
        del execution.activities[self.scheduled.activity_id]
        execution.latest_activity_at = event.event_timestamp
        execution.append_trigger(event)

    def fire(self, now: datetime) -> None:
        """Time out, with the details of the last heartbeat, whichever clock it is (API reference)."""
        reached: list[ActivityTaskTimeoutType] = [kind for deadline, kind in self._find_deadlines() if deadline <= now]
        self.end(
            ActivityTaskTimedOut(
                event_id=self.execution.next_event_id,
                event_timestamp=now,
                timeout_type=reached[0],
                scheduled_event_id=self.scheduled_event_id,
                started_event_id=self.started_event_id,
                details=self.details,
            )
        )

    def cancel_unstarted(self, now: datetime) -> None:
        """Cancel the task unless it was started, or has ended, since that was asked."""
        still_open = self.execution.activities.get(self.scheduled.activity_id) is self
        if still_open and self.started_at is None:
            self.end(self._make_canceled(None, now))

    def _make_canceled(self, details: str | None, now: datetime) -> ActivityTaskCanceled:
        return ActivityTaskCanceled(
            event_id=self.execution.next_event_id,
            event_timestamp=now,
            scheduled_event_id=self.scheduled_event_id,
            started_event_id=self.started_event_id,
            details=details,
            latest_cancel_requested_event_id=self.cancel_requested_event_id,
        )

    def cancel(self, details: str | None, now: datetime) -> None:
        """Take a worker's word that it stopped. Nobody need have asked it to (recorded history)."""
        self.end(self._make_canceled(details, now))


def poll_for_activity_task(region: Region, request: PollForActivityTask, now: datetime) -> ActivityTask:
    """Hand out the next task of a list. A list nobody used is not an error."""
    queue = region.get_domain(request.domain).find_activity_queue(request.task_list.name)
    activity = None if queue is None else queue.take()
    if activity is None:
        return NO_ACTIVITY_TASK
    region.revision += 1
    activity.start(request.identity, now)
    execution = activity.execution
    scheduled = activity.scheduled
    return ActivityTask(
        task_token=make_token(execution.stem, ACTIVITY, activity.scheduled_event_id),
        activity_id=scheduled.activity_id,
        started_event_id=activity.started_event_id,
        workflow_execution=execution.execution,
        activity_type=scheduled.activity_type,
        input=scheduled.input,
    )


def _get_started(region: Region, token: str) -> Activity:
    """The started task of a token, or the fault that says why there is none."""
    execution, event_id = region.read_token(token, ACTIVITY)
    scheduled = execution.events[event_id - 1]
    if not isinstance(scheduled, ActivityTaskScheduled):
        raise ValidationException("Invalid token")
    if not execution.is_open:
        raise unknown_execution(execution.workflow_id, execution.run_id)
    activity = execution.activities.get(scheduled.activity_id)
    if activity is None or activity.scheduled_event_id != event_id:
        raise UnknownResourceFault(f"Unknown activity, scheduledEventId = {event_id}")
    if activity.started_at is None:
        raise ValidationException("Invalid token")
    return activity


def respond_activity_task_completed(region: Region, request: RespondActivityTaskCompleted, now: datetime) -> None:
    """Close a task with its result."""
    activity = _get_started(region, request.task_token)
    activity.end(
        ActivityTaskCompleted(
            event_id=len(activity.execution.events) + 1,
            event_timestamp=now,
            scheduled_event_id=activity.scheduled_event_id,
            started_event_id=activity.started_event_id,
            result=request.result,
        )
    )


def respond_activity_task_failed(region: Region, request: RespondActivityTaskFailed, now: datetime) -> None:
    """Close a task with its failure."""
    activity = _get_started(region, request.task_token)
    activity.end(
        ActivityTaskFailed(
            event_id=activity.execution.next_event_id,
            event_timestamp=now,
            scheduled_event_id=activity.scheduled_event_id,
            started_event_id=activity.started_event_id,
            reason=request.reason,
            details=request.details,
        )
    )


def respond_activity_task_canceled(region: Region, request: RespondActivityTaskCanceled, now: datetime) -> None:
    """Close a task as cancelled."""
    _get_started(region, request.task_token).cancel(request.details, now)


def record_activity_task_heartbeat(
    region: Region, request: RecordActivityTaskHeartbeat, now: datetime
) -> ActivityTaskStatus:
    """Restart the heartbeat clock, keep the details, and tell whether the decider asked the task to stop."""
    activity = _get_started(region, request.task_token)
    activity.beat_at = now
    if request.details is not None or not region.knobs.heartbeat_keeps_details:
        activity.details = request.details
    activity.set_alarm()
    return ActivityTaskStatus(cancel_requested=activity.cancel_requested_event_id != 0)
