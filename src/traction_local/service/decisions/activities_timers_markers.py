"""Apply the decisions that affect one execution only: activities, timers, markers."""

from __future__ import annotations

from traction.model import decisions as d
from traction.model import events as e
from traction_local.service.decisions.batch import Batch, Refused
from traction_local.service.state.activity import Activity
from traction_local.service.state.timer import Timer


def schedule_activity_task(batch: Batch, decision: d.ScheduleActivityTask) -> None:
    """Put a task on its list. The checks are made in SWF's order."""
    domain, execution, completed_event_id, now, _ = batch
    event_id = len(execution.events) + 1
    registered = domain.activity_types.get(decision.activity_type)
    if registered is None:
        raise Refused("ACTIVITY_TYPE_DOES_NOT_EXIST")
    if registered.deprecated_at is not None:
        raise Refused("ACTIVITY_TYPE_DEPRECATED")
    if decision.activity_id in execution.activities:
        raise Refused("ACTIVITY_ID_ALREADY_IN_USE")
    defaults = registered.configuration
    task_list = decision.task_list or defaults.default_task_list
    to_start = decision.schedule_to_start_timeout or defaults.default_task_schedule_to_start_timeout
    to_close = decision.schedule_to_close_timeout or defaults.default_task_schedule_to_close_timeout
    start_to_close = decision.start_to_close_timeout or defaults.default_task_start_to_close_timeout
    heartbeat = decision.heartbeat_timeout or defaults.default_task_heartbeat_timeout
    if task_list is None:
        raise Refused("DEFAULT_TASK_LIST_UNDEFINED")
    if to_start is None:
        raise Refused("DEFAULT_SCHEDULE_TO_START_TIMEOUT_UNDEFINED")
    if to_close is None:
        raise Refused("DEFAULT_SCHEDULE_TO_CLOSE_TIMEOUT_UNDEFINED")
    if start_to_close is None:
        raise Refused("DEFAULT_START_TO_CLOSE_TIMEOUT_UNDEFINED")
    if heartbeat is None:
        raise Refused("DEFAULT_HEARTBEAT_TIMEOUT_UNDEFINED")
    if len(execution.activities) >= execution.region.limits.open_activities_max:
        raise Refused("OPEN_ACTIVITIES_LIMIT_EXCEEDED")
    batch.check_permission(decision)
    batch.check_rate(decision, "ACTIVITY_CREATION_RATE_EXCEEDED")
    owner = f"{domain.name}/{task_list.name}"
    if not execution.region.buckets.take("task list", "task list", now, owner):
        raise Refused("ACTIVITY_CREATION_RATE_EXCEEDED")
    scheduled = e.ActivityTaskScheduled(
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
    Activity(
        execution=execution,
        scheduled=scheduled,
        scheduled_event_id=event_id,
        queue=domain.activity_queues.get(task_list.name),
        siblings=execution.activities,
    )


def request_cancel_activity_task(batch: Batch, decision: d.RequestCancelActivityTask) -> None:
    """Request cancellation of a task. A task that is not started is cancelled after the batch."""
    execution = batch.execution
    activity = execution.activities.get(decision.activity_id)
    if activity is None:
        raise Refused("ACTIVITY_ID_UNKNOWN")
    batch.check_permission(decision)
    activity.cancel_requested_event_id = batch.accept(decision).event_id
    if activity.started_at is None:
        execution.region.follow(activity.cancel_unstarted, batch.now)


def record_marker(batch: Batch, decision: d.RecordMarker) -> None:
    """Record a marker. It is only refused for lack of permission."""
    batch.check_permission(decision)
    batch.accept(decision)


def start_timer(batch: Batch, decision: d.StartTimer) -> None:
    """Start a timer. Its id can be used again once it has fired or was cancelled."""
    execution = batch.execution
    if decision.timer_id in execution.timers:
        raise Refused("TIMER_ID_ALREADY_IN_USE")
    if len(execution.timers) >= execution.region.limits.open_timers_max:
        raise Refused("OPEN_TIMERS_LIMIT_EXCEEDED")
    batch.check_permission(decision)
    batch.check_rate(decision, "TIMER_CREATION_RATE_EXCEEDED")
    event_id = batch.accept(decision).event_id
    timer = Timer(execution=execution, id=decision.timer_id, started_event_id=event_id, siblings=execution.timers)
    timer.start(decision.start_to_fire_timeout, batch.now)


def cancel_timer(batch: Batch, decision: d.CancelTimer) -> None:
    """Cancel an open timer. One that has fired is unknown, even if the decider has not seen it fire."""
    execution = batch.execution
    timer = execution.timers.get(decision.timer_id)
    if timer is None:
        raise Refused("TIMER_ID_UNKNOWN")
    batch.check_permission(decision)
    batch.accept(decision, started_event_id=timer.started_event_id)
    del execution.timers[decision.timer_id]
    execution.region.alarms.clear(timer)
