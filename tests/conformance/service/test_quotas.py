"""Section 12 of docs/swf-semantics.md, "Quotas"."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.service.conftest import ACTIVITY, WORKFLOW, MakeSwf, Swf
from traction.model import operations as o
from traction.model.decisions import ScheduleActivityTask, StartTimer
from traction.model.limits import Bucket, Limits
from traction.model.names import TaskList


@pytest.mark.parametrize(
    ("limits", "request_"),
    [
        (Limits(domains_max=1), o.RegisterDomain(name="e", workflow_execution_retention_period_in_days="1")),
        (Limits(workflow_types_max=1), o.RegisterWorkflowType(domain="d", name="n", version="1")),
        (Limits(activity_types_max=1), o.RegisterActivityType(domain="d", name="n", version="1")),
        (Limits(open_executions_max=0), o.StartWorkflowExecution(domain="d", workflow_id="w", workflow_type=WORKFLOW)),
    ],
)
def test_s12_a_quota_of_the_account_refuses(make_swf: MakeSwf, limits: Limits, request_: o.Request[Any]) -> None:
    assert make_swf(limits=limits).refuse(request_)[0] == "LimitExceededFault"


def test_s12_a_close_gives_room_for_a_start(make_swf: MakeSwf) -> None:
    swf = make_swf(limits=Limits(open_executions_max=1))
    swf.start()
    start = o.StartWorkflowExecution(domain="d", workflow_id="v", workflow_type=WORKFLOW)
    assert swf.refuse(start)[0] == "LimitExceededFault"
    swf.call(o.TerminateWorkflowExecution(domain="d", workflow_id="w"))
    swf.call(start)


def test_s12_a_thousand_timers_and_no_more(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(*(StartTimer(timer_id=str(number), start_to_fire_timeout="9") for number in range(1001)))
    types = swf.types(execution)
    assert (types.count("TimerStarted"), types.count("StartTimerFailed")) == (1000, 1)
    assert swf.find(execution, "StartTimerFailed")["cause"] == "OPEN_TIMERS_LIMIT_EXCEEDED"


def throttled(swf: Swf, request: o.Request[Any], times: int) -> None:
    for _ in range(times):
        swf.call(request)
    assert swf.refuse(request) == ("ThrottlingException", "Rate exceeded")


def test_s12_a_bucket_empties_and_fills_again(make_swf: MakeSwf) -> None:
    swf = make_swf(limits=Limits(throttling=True))
    describe = o.DescribeDomain(name="d")
    throttled(swf, describe, 200)
    swf.advance(0.5)
    throttled(swf, describe, 3)
    swf.advance(3600)
    throttled(swf, describe, 200)


def test_s12_rates_are_off_unless_asked_for(swf: Swf) -> None:
    for _ in range(300):
        swf.call(o.DescribeDomain(name="d"))


def test_s12_an_execution_has_buckets_of_its_own(make_swf: MakeSwf) -> None:
    limits = Limits(
        throttling=True,
        execution_buckets=(Bucket("SignalWorkflowExecution", 2, 1), Bucket("RecordActivityTaskHeartbeat", 1, 1)),
    )
    swf = make_swf(limits=limits)
    swf.start("v")
    swf.start()
    throttled(swf, o.SignalWorkflowExecution(domain="d", workflow_id="w", signal_name="s"), 2)
    throttled(swf, o.SignalWorkflowExecution(domain="d", workflow_id="v", signal_name="s"), 2)
    swf.decide(ScheduleActivityTask(activity_type=ACTIVITY, activity_id="a"))
    throttled(swf, o.RecordActivityTaskHeartbeat(task_token=swf.work().task_token), 1)


def test_s12_a_task_list_accepts_tasks_up_to_a_rate(make_swf: MakeSwf) -> None:
    swf = make_swf(limits=Limits(throttling=True, list_tasks_per_second_max=2))
    execution = swf.start()
    books = [ScheduleActivityTask(activity_type=ACTIVITY, activity_id=id) for id in "abc"]
    elsewhere = ScheduleActivityTask(activity_type=ACTIVITY, activity_id="d", task_list=TaskList("elsewhere"))
    swf.decide(*books, elsewhere)
    assert swf.types(execution, 5)[:4] == [
        "ActivityTaskScheduled",
        "ActivityTaskScheduled",
        "ScheduleActivityTaskFailed",
        "ActivityTaskScheduled",
    ]
    assert swf.find(execution, "ScheduleActivityTaskFailed")["cause"] == "ACTIVITY_CREATION_RATE_EXCEEDED"


def test_s12_a_poll_costs_a_token_too(make_swf: MakeSwf) -> None:
    swf = make_swf(limits=Limits(throttling=True, api_buckets=(Bucket("PollForDecisionTask", 1, 1),)))
    throttled(swf, o.PollForDecisionTask(domain="d", task_list=TaskList("l")), 1)
