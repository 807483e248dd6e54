"""Section 7 of docs/swf-semantics.md, "Activity tasks"."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.conformance.service.conftest import ACTIVITY, MakeSwf, Swf
from traction.model import operations as o
from traction.model.decisions import CompleteWorkflowExecution, RequestCancelActivityTask, ScheduleActivityTask
from traction.model.names import WorkflowExecution
from traction_local.service.knobs import Knobs

NEVER = {
    "schedule_to_start_timeout": "NONE",
    "schedule_to_close_timeout": "NONE",
    "start_to_close_timeout": "NONE",
    "heartbeat_timeout": "NONE",
}


def schedule(swf: Swf, **timeouts: str) -> WorkflowExecution:
    execution = swf.start()
    given: dict[str, Any] = NEVER | timeouts
    swf.decide(ScheduleActivityTask(activity_type=ACTIVITY, activity_id="a", input="in", **given))
    return execution


def beat(swf: Swf, task: o.ActivityTask, details: str | None = None) -> bool:
    return swf.call(o.RecordActivityTaskHeartbeat(task_token=task.task_token, details=details)).cancel_requested


@pytest.mark.parametrize(
    ("timeouts", "start_at", "timeout_type", "started_event_id", "at"),
    [
        ({"schedule_to_start_timeout": "10"}, None, "SCHEDULE_TO_START", 0, 10),
        ({"schedule_to_close_timeout": "10"}, None, "SCHEDULE_TO_CLOSE", 0, 10),
        ({"schedule_to_close_timeout": "10"}, 4, "SCHEDULE_TO_CLOSE", 6, 10),
        ({"start_to_close_timeout": "10"}, 4, "START_TO_CLOSE", 6, 14),
        ({"heartbeat_timeout": "10"}, 4, "HEARTBEAT", 6, 14),
        ({"schedule_to_start_timeout": "10", "schedule_to_close_timeout": "10"}, None, "SCHEDULE_TO_CLOSE", 0, 10),
        ({"schedule_to_start_timeout": "5", "start_to_close_timeout": "10"}, 4, "START_TO_CLOSE", 6, 14),
        ({"schedule_to_close_timeout": "20", "start_to_close_timeout": "5"}, 4, "START_TO_CLOSE", 6, 9),
        ({"schedule_to_close_timeout": "14", "start_to_close_timeout": "10"}, 4, "SCHEDULE_TO_CLOSE", 6, 14),
        ({"start_to_close_timeout": "10", "heartbeat_timeout": "10"}, 4, "START_TO_CLOSE", 6, 14),
        ({"schedule_to_start_timeout": "0"}, None, "SCHEDULE_TO_START", 0, 0),
        ({"start_to_close_timeout": "0"}, 0.5, "START_TO_CLOSE", 6, 0.5),
    ],
)
def test_s7_1_the_earliest_clock_closes_the_task(
    swf: Swf, timeouts: dict[str, str], start_at: float | None, timeout_type: str, started_event_id: int, at: float
) -> None:
    execution = schedule(swf, **timeouts)
    if start_at is not None:
        swf.advance(start_at)
        assert swf.work().task_token
    swf.advance(100)
    timed_out = swf.find(execution, "ActivityTaskTimedOut")
    assert timed_out == {
        "timeout_type": timeout_type,
        "scheduled_event_id": 5,
        "started_event_id": started_event_id,
    }
    assert swf.types(execution)[-2:] == ["ActivityTaskTimedOut", "DecisionTaskScheduled"]
    assert swf.seconds(execution)[-2:] == [at, at]
    assert swf.work().task_token == ""


def test_s7_1_a_task_without_clocks_stays_open(swf: Swf) -> None:
    execution = schedule(swf)
    swf.advance(1000)
    swf.work()
    swf.advance(1000)
    assert len(swf.history(execution)) == 6


def test_s7_1_a_task_that_was_started_in_time_waits_for_its_worker(swf: Swf) -> None:
    execution = schedule(swf, schedule_to_start_timeout="10")
    swf.advance(9)
    swf.work()
    swf.advance(1000)
    assert len(swf.history(execution)) == 6


def test_s7_1_an_activity_task_has_only_the_fields_that_a_worker_needs(swf: Swf) -> None:
    execution = schedule(swf)
    task = swf.work()
    assert (task.activity_id, task.activity_type, task.input) == ("a", ACTIVITY, "in")
    assert (task.started_event_id, task.workflow_execution) == (6, execution)


@pytest.mark.parametrize("clock", ["start_to_close", "schedule_to_close"])
def test_s7_2_a_heartbeat_restarts_its_clock_and_no_other(swf: Swf, clock: str) -> None:
    execution = schedule(swf, heartbeat_timeout="10", **{f"{clock}_timeout": "25"})
    task = swf.work()
    for _ in range(3):
        swf.advance(8)
        assert beat(swf, task) is False
    assert len(swf.history(execution)) == 6
    swf.advance(8)
    assert swf.find(execution, "ActivityTaskTimedOut")["timeout_type"] == clock.upper()
    assert swf.seconds(execution)[-1] == 25


@pytest.mark.parametrize(("keeps", "details"), [(True, "42 %"), (False, None)])
def test_s7_2_details_of_the_last_heartbeat_come_with_the_timeout(
    make_swf: MakeSwf, keeps: bool, details: str | None
) -> None:
    swf = make_swf(knobs=Knobs(heartbeat_keeps_details=keeps))
    execution = schedule(swf, start_to_close_timeout="10")
    task = swf.work()
    beat(swf, task, "21 %")
    beat(swf, task, "42 %")
    beat(swf, task)
    swf.advance(10)
    assert swf.find(execution, "ActivityTaskTimedOut").get("details") == details


def test_s7_2_empty_details_are_details(swf: Swf) -> None:
    execution = schedule(swf, start_to_close_timeout="10")
    task = swf.work()
    beat(swf, task, "42 %")
    beat(swf, task, "")
    swf.advance(10)
    assert swf.find(execution, "ActivityTaskTimedOut")["details"] == ""


def test_s7_2_a_cancel_request_for_the_run_is_not_one_for_its_activities(swf: Swf) -> None:
    schedule(swf)
    task = swf.work()
    swf.call(o.RequestCancelWorkflowExecution(domain="d", workflow_id="w"))
    assert beat(swf, task) is False


def test_s7_3_the_next_heartbeat_reports_a_cancel_request_which_can_be_ignored(swf: Swf) -> None:
    execution = schedule(swf, start_to_close_timeout="100")
    task = swf.work()
    swf.signal(execution)
    swf.decide(RequestCancelActivityTask(activity_id="a"), RequestCancelActivityTask(activity_id="a"))
    assert swf.types(execution, 11) == ["ActivityTaskCancelRequested"] * 2
    assert beat(swf, task) is True
    swf.call(o.RespondActivityTaskCompleted(task_token=task.task_token, result="done anyway"))
    assert swf.types(execution, 13) == ["ActivityTaskCompleted", "DecisionTaskScheduled"]


def test_s7_3_a_confirmed_cancel_names_the_latest_request(swf: Swf) -> None:
    execution = schedule(swf)
    task = swf.work()
    swf.signal(execution)
    swf.decide(RequestCancelActivityTask(activity_id="a"), RequestCancelActivityTask(activity_id="a"))
    swf.call(o.RespondActivityTaskCanceled(task_token=task.task_token))
    assert swf.find(execution, "ActivityTaskCanceled") == {
        "scheduled_event_id": 5,
        "started_event_id": 6,
        "latest_cancel_requested_event_id": 12,
    }


def test_s7_3_a_task_may_be_cancelled_unasked(swf: Swf) -> None:
    execution = schedule(swf)
    swf.call(o.RespondActivityTaskCanceled(task_token=swf.work().task_token, details="x"))
    assert swf.find(execution, "ActivityTaskCanceled") == {
        "scheduled_event_id": 5,
        "started_event_id": 6,
        "details": "x",
        "latest_cancel_requested_event_id": 0,
    }


def test_s7_3_a_batch_that_closes_the_run_cancels_nothing_more(swf: Swf) -> None:
    execution = schedule(swf)
    swf.signal(execution)
    swf.decide(RequestCancelActivityTask(activity_id="a"), CompleteWorkflowExecution())
    swf.advance(10)
    assert swf.types(execution, 10) == ["ActivityTaskCancelRequested", "WorkflowExecutionCompleted"]


def test_s7_3_a_task_scheduled_and_cancelled_in_one_batch_never_starts(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(
        ScheduleActivityTask(activity_type=ACTIVITY, activity_id="a"), RequestCancelActivityTask(activity_id="a")
    )
    swf.advance()
    assert swf.work().task_token == ""
    assert swf.types(execution, 5) == [
        "ActivityTaskScheduled",
        "ActivityTaskCancelRequested",
        "ActivityTaskCanceled",
        "DecisionTaskScheduled",
    ]


LATE = [
    o.RespondActivityTaskCompleted,
    o.RespondActivityTaskFailed,
    o.RespondActivityTaskCanceled,
    o.RecordActivityTaskHeartbeat,
]


def test_s7_3_only_its_worker_stops_a_task_started_before_the_cancel(make_swf: MakeSwf) -> None:
    swf = make_swf(knobs=Knobs(effect_latency=timedelta(seconds=10)))
    execution = schedule(swf)
    swf.signal(execution)
    swf.decide(RequestCancelActivityTask(activity_id="a"))
    swf.advance(5)
    task = swf.work()
    swf.advance(10)
    assert swf.last(execution)[1] == "ActivityTaskStarted"
    assert beat(swf, task) is True


def test_s7_3_a_cancellation_does_not_reach_a_later_task_of_the_same_id(make_swf: MakeSwf) -> None:
    swf = make_swf(knobs=Knobs(effect_latency=timedelta(seconds=10)))
    execution = schedule(swf, schedule_to_start_timeout="5")
    swf.signal(execution)
    swf.decide(RequestCancelActivityTask(activity_id="a"))
    swf.advance(6)
    swf.decide(ScheduleActivityTask(activity_type=ACTIVITY, activity_id="a"))
    swf.advance(10)
    assert swf.last(execution)[1] == "ActivityTaskScheduled"
    assert swf.work().activity_id == "a"


@pytest.mark.parametrize("end", ["completed", "failed", "canceled", "timed out"])
@pytest.mark.parametrize("late", LATE)
def test_s7_4_a_closed_task_is_unknown_to_every_request(swf: Swf, end: str, late: type) -> None:
    execution = schedule(swf, start_to_close_timeout="10")
    token = swf.work().task_token
    if end == "timed out":
        swf.advance(10)
    else:
        ends = {
            "completed": o.RespondActivityTaskCompleted,
            "failed": o.RespondActivityTaskFailed,
            "canceled": o.RespondActivityTaskCanceled,
        }
        swf.call(ends[end](task_token=token))
    before = len(swf.history(execution))
    assert swf.refuse(late(task_token=token)) == ("UnknownResourceFault", "Unknown activity, scheduledEventId = 5")
    assert len(swf.history(execution)) == before


@pytest.mark.parametrize("late", LATE)
def test_s7_4_a_late_response_does_not_close_a_newer_task_of_the_same_id(swf: Swf, late: type) -> None:
    execution = schedule(swf, start_to_close_timeout="10")
    token = swf.work().task_token
    swf.advance(10)
    swf.decide(ScheduleActivityTask(activity_type=ACTIVITY, activity_id="a"))
    unknown = ("UnknownResourceFault", "Unknown activity, scheduledEventId = 5")
    assert swf.refuse(late(task_token=token)) == unknown
    assert swf.work().activity_id == "a"
    assert swf.refuse(late(task_token=token)) == unknown
    assert swf.last(execution)[1] == "ActivityTaskStarted"


def test_s7_4_a_run_that_has_closed_is_unknown_to_its_workers(swf: Swf) -> None:
    execution = schedule(swf)
    token = swf.work().task_token
    swf.signal(execution)
    swf.decide(CompleteWorkflowExecution())
    gone = ("UnknownResourceFault", f"Unknown execution: WorkflowExecution=[workflowId=w, runId={execution.run_id}]")
    assert swf.refuse(o.RespondActivityTaskCompleted(task_token=token)) == gone
    assert swf.refuse(o.RecordActivityTaskHeartbeat(task_token=token)) == gone
