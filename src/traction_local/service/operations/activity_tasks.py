"""Poll for activity tasks and complete them."""

from __future__ import annotations

from datetime import datetime

from traction.errors import UnknownResourceFault, ValidationException
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import ActivityType, WorkflowExecution
from traction_local.service.state.activity import Activity
from traction_local.service.state.index import unknown_execution
from traction_local.service.state.region import Region
from traction_local.service.tokens import ACTIVITY, make_token

NO_ACTIVITY_TASK = o.ActivityTask(
    task_token="",
    activity_id="",
    started_event_id=0,
    workflow_execution=WorkflowExecution("", ""),
    activity_type=ActivityType("", ""),
)
"""The response to a poll that found no task."""


def poll_for_activity_task(region: Region, request: o.PollForActivityTask, now: datetime) -> o.ActivityTask:
    """Assign the next task of a list. An unused list is not an error."""
    queue = region.get_domain(request.domain).activity_queues.find(request.task_list.name)
    activity = None if queue is None else queue.take()
    if activity is None:
        return NO_ACTIVITY_TASK
    region.revision += 1
    activity.start(request.identity, now)
    execution = activity.execution
    scheduled = activity.scheduled
    return o.ActivityTask(
        task_token=make_token(execution.stem, ACTIVITY, activity.scheduled_event_id),
        activity_id=scheduled.activity_id,
        started_event_id=activity.started_event_id,
        workflow_execution=execution.execution,
        activity_type=scheduled.activity_type,
        input=scheduled.input,
    )


def _get_started(region: Region, token: str) -> Activity:
    """Return the started task of a token, or raise the fault for an invalid token."""
    execution, event_id = region.read_token(token, ACTIVITY)
    scheduled = execution.events[event_id - 1]
    if not isinstance(scheduled, e.ActivityTaskScheduled):
        raise ValidationException("Invalid token")
    if not execution.is_open:
        raise unknown_execution(execution.workflow_id, execution.run_id)
    activity = execution.activities.get(scheduled.activity_id)
    if activity is None or activity.scheduled_event_id != event_id:
        raise UnknownResourceFault(f"Unknown activity, scheduledEventId = {event_id}")
    if activity.started_at is None:
        raise ValidationException("Invalid token")
    return activity


def respond_activity_task_completed(region: Region, request: o.RespondActivityTaskCompleted, now: datetime) -> None:
    """Close a task with its result."""
    _get_started(region, request.task_token).end(e.ActivityTaskCompleted, now, result=request.result)


def respond_activity_task_failed(region: Region, request: o.RespondActivityTaskFailed, now: datetime) -> None:
    """Close a task with its failure."""
    activity = _get_started(region, request.task_token)
    activity.end(e.ActivityTaskFailed, now, reason=request.reason, details=request.details)


def respond_activity_task_canceled(region: Region, request: o.RespondActivityTaskCanceled, now: datetime) -> None:
    """Close a task as cancelled."""
    _get_started(region, request.task_token).cancel(request.details, now)


def record_activity_task_heartbeat(
    region: Region, request: o.RecordActivityTaskHeartbeat, now: datetime
) -> o.ActivityTaskStatus:
    """Restart the heartbeat timeout and store the details. Return whether cancellation was requested."""
    activity = _get_started(region, request.task_token)
    activity.beat_at = now
    if request.details is not None or not region.knobs.heartbeat_keeps_details:
        activity.details = request.details
    activity.set_alarm()
    return o.ActivityTaskStatus(cancel_requested=activity.cancel_requested_event_id != 0)
