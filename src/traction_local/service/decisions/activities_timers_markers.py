"""Apply the decisions that concern an execution alone: activities, timers, markers.

Takes one decision; gives its event, or the event that says why not. Never waits for anyone.
"""

from __future__ import annotations

from datetime import datetime

from traction.model.decisions import (
    CancelTimer,
    RecordMarker,
    RequestCancelActivityTask,
    ScheduleActivityTask,
    StartTimer,
)
from traction.model.events import (
    ActivityTaskCancelRequested,
    ActivityTaskScheduled,
    CancelTimerFailed,
    MarkerRecorded,
    RecordMarkerFailed,
    RequestCancelActivityTaskFailed,
    ScheduleActivityTaskFailed,
    StartTimerFailed,
    TimerCanceled,
    TimerStarted,
)
from traction.model.literals import ScheduleActivityTaskFailedCause, StartTimerFailedCause
from traction_local.service.decisions.batch import Batch
from traction_local.service.state.activity import Activity
from traction_local.service.state.execution import Execution
from traction_local.service.state.timer import Timer


def schedule_activity_task(place: Batch, decision: ScheduleActivityTask) -> bool:
    """Put a task on its list. The causes are looked for in SWF's order."""
    execution, completed_event_id, now, _ = place
    event_id = len(execution.events) + 1
    registered = execution.domain.activity_types.get(decision.activity_type)
    cause: ScheduleActivityTaskFailedCause | None = None
    if registered is None:
        cause = "ACTIVITY_TYPE_DOES_NOT_EXIST"
    elif registered.deprecated_at is not None:
        cause = "ACTIVITY_TYPE_DEPRECATED"
    elif decision.activity_id in execution.activities:
        cause = "ACTIVITY_ID_ALREADY_IN_USE"
    else:
        defaults = registered.configuration
        task_list = decision.task_list or defaults.default_task_list
        to_start = decision.schedule_to_start_timeout or defaults.default_task_schedule_to_start_timeout
        to_close = decision.schedule_to_close_timeout or defaults.default_task_schedule_to_close_timeout
        start_to_close = decision.start_to_close_timeout or defaults.default_task_start_to_close_timeout
        heartbeat = decision.heartbeat_timeout or defaults.default_task_heartbeat_timeout
        if task_list is None:
            cause = "DEFAULT_TASK_LIST_UNDEFINED"
        elif to_start is None:
            cause = "DEFAULT_SCHEDULE_TO_START_TIMEOUT_UNDEFINED"
        elif to_close is None:
            cause = "DEFAULT_SCHEDULE_TO_CLOSE_TIMEOUT_UNDEFINED"
        elif start_to_close is None:
            cause = "DEFAULT_START_TO_CLOSE_TIMEOUT_UNDEFINED"
        elif heartbeat is None:
            cause = "DEFAULT_HEARTBEAT_TIMEOUT_UNDEFINED"
        elif len(execution.activities) >= execution.region.limits.open_activities_max:
            cause = "OPEN_ACTIVITIES_LIMIT_EXCEEDED"
        elif place.is_denied(decision):
            cause = "OPERATION_NOT_PERMITTED"
        elif not (place.has_rate(decision) and _has_list_rate(execution, task_list.name, now)):
            cause = "ACTIVITY_CREATION_RATE_EXCEEDED"
        else:
            scheduled = ActivityTaskScheduled(
                event_id=event_id,
                event_timestamp=now,
                activity_type=decision.activity_type,
                activity_id=decision.activity_id,
                task_list=task_list,
                decision_task_completed_event_id=completed_event_id,
                input=decision.input,
                control=decision.control,
                schedule_to_start_timeout=to_start,
                schedule_to_close_timeout=to_close,
                start_to_close_timeout=start_to_close,
                task_priority=decision.task_priority or defaults.default_task_priority,
                heartbeat_timeout=heartbeat,
            )
            execution.append(scheduled)
            execution.latest_activity_at = now
            queue = execution.domain.get_activity_queue(task_list.name)
            execution.activities[decision.activity_id] = Activity(execution, scheduled, queue)
            return True
    execution.append(
        ScheduleActivityTaskFailed(
            event_id=event_id,
            event_timestamp=now,
            activity_type=decision.activity_type,
            activity_id=decision.activity_id,
            cause=cause,
            decision_task_completed_event_id=completed_event_id,
        )
    )
    return False


def _has_list_rate(execution: Execution, task_list: str, now: datetime) -> bool:
    whose = f"{execution.domain.name}/{task_list}"
    return execution.region.buckets.take("task list", "task list", now, whose)


def request_cancel_activity_task(place: Batch, decision: RequestCancelActivityTask) -> bool:
    """Cancel a task that nobody has started, after the batch; leave word for the worker of one that is."""
    execution, completed_event_id, now, _ = place
    event_id = execution.next_event_id
    activity = execution.activities.get(decision.activity_id)
    if activity is None or place.is_denied(decision):
        execution.append(
            RequestCancelActivityTaskFailed(
                event_id=event_id,
                event_timestamp=now,
                activity_id=decision.activity_id,
                cause="ACTIVITY_ID_UNKNOWN" if activity is None else "OPERATION_NOT_PERMITTED",
                decision_task_completed_event_id=completed_event_id,
            )
        )
        return False
    execution.append(
        ActivityTaskCancelRequested(
            event_id=event_id,
            event_timestamp=now,
            decision_task_completed_event_id=completed_event_id,
            activity_id=decision.activity_id,
        )
    )
    activity.cancel_requested_event_id = event_id
    if activity.started_at is None:
        execution.region.follow(activity.cancel_unstarted, now)
    return True


def record_marker(place: Batch, decision: RecordMarker) -> bool:
    """Write a note. It can only be refused by permission."""
    execution, completed_event_id, now, _ = place
    event_id = execution.next_event_id
    if place.is_denied(decision):
        execution.append(
            RecordMarkerFailed(
                event_id=event_id,
                event_timestamp=now,
                marker_name=decision.marker_name,
                cause="OPERATION_NOT_PERMITTED",
                decision_task_completed_event_id=completed_event_id,
            )
        )
        return False
    execution.append(
        MarkerRecorded(
            event_id=event_id,
            event_timestamp=now,
            marker_name=decision.marker_name,
            decision_task_completed_event_id=completed_event_id,
            details=decision.details,
        )
    )
    return True


def start_timer(place: Batch, decision: StartTimer) -> bool:
    """Start a timer. Its id is free again once it fired or was cancelled."""
    execution, completed_event_id, now, _ = place
    event_id = execution.next_event_id
    region = execution.region
    cause: StartTimerFailedCause | None = None
    if decision.timer_id in execution.timers:
        cause = "TIMER_ID_ALREADY_IN_USE"
    elif len(execution.timers) >= region.limits.open_timers_max:
        cause = "OPEN_TIMERS_LIMIT_EXCEEDED"
    elif place.is_denied(decision):
        cause = "OPERATION_NOT_PERMITTED"
    elif not place.has_rate(decision):
        cause = "TIMER_CREATION_RATE_EXCEEDED"
    if cause is not None:
        execution.append(
            StartTimerFailed(
                event_id=event_id,
                event_timestamp=now,
                timer_id=decision.timer_id,
                cause=cause,
                decision_task_completed_event_id=completed_event_id,
            )
        )
        return False
    execution.append(
        TimerStarted(
            event_id=event_id,
            event_timestamp=now,
            timer_id=decision.timer_id,
            start_to_fire_timeout=decision.start_to_fire_timeout,
            decision_task_completed_event_id=completed_event_id,
            control=decision.control,
        )
    )
    execution.timers[decision.timer_id] = timer = Timer(execution, decision.timer_id, event_id)
    timer.start(decision.start_to_fire_timeout, now)
    return True


def cancel_timer(place: Batch, decision: CancelTimer) -> bool:
    """Cancel a timer that has not fired."""
    execution, completed_event_id, now, _ = place
    event_id = execution.next_event_id
    timer = execution.timers.get(decision.timer_id)
    # A timer that fired while the decider was at work is as unknown as one that never was.
    if timer is None or place.is_denied(decision):
        execution.append(
            CancelTimerFailed(
                event_id=event_id,
                event_timestamp=now,
                timer_id=decision.timer_id,
                cause="TIMER_ID_UNKNOWN" if timer is None else "OPERATION_NOT_PERMITTED",
                decision_task_completed_event_id=completed_event_id,
            )
        )
        return False
    execution.append(
        TimerCanceled(
            event_id=event_id,
            event_timestamp=now,
            timer_id=decision.timer_id,
            started_event_id=timer.started_event_id,
            decision_task_completed_event_id=completed_event_id,
        )
    )
    del execution.timers[decision.timer_id]
    execution.region.alarms.clear(timer)
    return True
