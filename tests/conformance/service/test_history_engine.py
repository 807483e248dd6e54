"""Section 4 of docs/swf-semantics.md, "History and decision tasks"."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.conformance.service.conftest import ACTIVITY, WORKFLOW, MakeSwf, Swf, line
from traction.model import decisions as d
from traction.model import operations as o
from traction.model.names import ActivityType, TaskList, WorkflowType
from traction_local.service.knobs import Knobs

MARK = d.RecordMarker(marker_name="m")
BOOK = d.ScheduleActivityTask(activity_type=ACTIVITY, activity_id="a")


def tick(seconds: int = 0, id: str = "t") -> d.StartTimer:
    return d.StartTimer(timer_id=id, start_to_fire_timeout=str(seconds))


def test_s4_1_a_history_begins_with_a_start_and_a_decision_task_at_once(swf: Swf) -> None:
    execution = swf.start()
    assert swf.types(execution) == ["WorkflowExecutionStarted", "DecisionTaskScheduled"]
    assert swf.seconds(execution) == [0, 0]


def test_s4_1_ids_are_dense_and_times_never_go_back(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(BOOK, tick(5), tick(7, "u"))
    swf.advance(6)
    swf.advance(-5)
    swf.signal(execution)
    assert [event.event_id for event in swf.history(execution)] == list(range(1, 11))
    assert swf.seconds(execution) == sorted(swf.seconds(execution))


def test_s4_1_a_batch_shares_the_time_of_its_completion(swf: Swf) -> None:
    execution = swf.start()
    swf.advance(1)
    task = swf.poll()
    swf.advance(1)
    swf.respond(task, BOOK, tick(9), MARK)
    assert swf.seconds(execution) == [0, 0, 1, 2, 2, 2, 2]


def test_s4_1_times_are_whole_milliseconds_however_long_effects_take(make_swf: MakeSwf) -> None:
    swf = make_swf(knobs=Knobs(effect_latency=timedelta(microseconds=12_345)))
    execution = swf.start()
    swf.decide(
        tick(0), d.StartChildWorkflowExecution(workflow_type=WORKFLOW, workflow_id="c", task_list=TaskList("elsewhere"))
    )
    swf.advance(1)
    assert swf.seconds(execution)[6:] == [0.012] * 3


def test_s4_1_nothing_follows_a_close(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(BOOK, tick(5), d.ScheduleLambdaFunction(id="l", name="f"))
    swf.work()
    swf.signal(execution)
    swf.poll()
    swf.signal(execution)
    swf.call(o.TerminateWorkflowExecution(domain="d", workflow_id="w"))
    closed = swf.lines(execution)
    swf.advance(100_000)
    assert swf.lines(execution) == closed
    assert closed[-1][1] == "WorkflowExecutionTerminated"


def test_s4_2_triggers_are_coalesced_into_the_task_that_waits(swf: Swf) -> None:
    execution = swf.start()
    swf.signal(execution)
    swf.signal(execution)
    assert swf.types(execution, 2) == ["DecisionTaskScheduled"] + ["WorkflowExecutionSignaled"] * 2


def test_s4_2_only_the_first_trigger_during_a_decision_schedules_a_task(swf: Swf) -> None:
    execution = swf.start()
    task = swf.poll()
    swf.signal(execution)
    swf.signal(execution)
    assert swf.types(execution, 4) == [
        "WorkflowExecutionSignaled",
        "DecisionTaskScheduled",
        "WorkflowExecutionSignaled",
    ]
    assert swf.poll().task_token == ""
    swf.respond(task)
    assert swf.types(execution, 7) == ["DecisionTaskCompleted"]
    assert [event.event_id for event in swf.poll().events] == list(range(1, 9))


def test_s4_2_a_task_that_times_out_lets_the_queued_one_go_without_scheduling_another(swf: Swf) -> None:
    execution = swf.start()
    swf.poll()
    swf.signal(execution)
    swf.advance(60)
    assert swf.types(execution, 4) == ["WorkflowExecutionSignaled", "DecisionTaskScheduled", "DecisionTaskTimedOut"]
    assert swf.poll().started_event_id == 7


def test_s4_2_a_task_that_times_out_alone_is_scheduled_again_at_once(swf: Swf) -> None:
    execution = swf.start()
    late = swf.poll()
    swf.advance(60)
    assert swf.lines(execution, 4) == [
        line(4, "DecisionTaskTimedOut", timeout_type="START_TO_CLOSE", scheduled_event_id=2, started_event_id=3),
        (5, *swf.lines(execution, 2)[0][1:]),
    ]
    assert swf.seconds(execution)[3:] == [60, 60]
    refused = swf.refuse(o.RespondDecisionTaskCompleted(task_token=late.task_token))
    assert refused == ("UnknownResourceFault", "Unknown decision task, scheduledEventId = 2")


@pytest.mark.parametrize(
    ("decision", "failure"),
    [
        (d.ScheduleActivityTask(activity_type=ActivityType("x", "1"), activity_id="x"), "ScheduleActivityTaskFailed"),
        (d.RequestCancelActivityTask(activity_id="x"), "RequestCancelActivityTaskFailed"),
        (d.CancelTimer(timer_id="x"), "CancelTimerFailed"),
        (tick(9), "StartTimerFailed"),
        (
            d.StartChildWorkflowExecution(workflow_type=WorkflowType("x", "1"), workflow_id="c"),
            "StartChildWorkflowExecutionFailed",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_s4_3_a_decision_that_fails_triggers_a_decision_task(swf: Swf, decision: d.Decision, failure: str) -> None:
    execution = swf.start()
    swf.decide(tick(9))
    swf.signal(execution)
    swf.decide(decision, MARK)
    assert swf.types(execution, 10) == [failure, "MarkerRecorded", "DecisionTaskScheduled"]


def test_s4_4_several_failures_ask_for_one_decision_task_last(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(d.CancelTimer(timer_id="x"), BOOK, d.RequestCancelActivityTask(activity_id="y"), MARK)
    assert swf.types(execution, 5) == [
        "CancelTimerFailed",
        "ActivityTaskScheduled",
        "RequestCancelActivityTaskFailed",
        "MarkerRecorded",
        "DecisionTaskScheduled",
    ]


def test_s4_4_a_failure_asks_for_none_if_one_is_queued(swf: Swf) -> None:
    execution = swf.start()
    task = swf.poll()
    swf.signal(execution)
    swf.respond(task, d.CancelTimer(timer_id="x"))
    assert swf.types(execution, 4) == [
        "WorkflowExecutionSignaled",
        "DecisionTaskScheduled",
        "DecisionTaskCompleted",
        "CancelTimerFailed",
    ]


def test_s4_3_what_triggers_nothing(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(BOOK, tick(100), MARK)
    task = swf.work()
    swf.call(o.RecordActivityTaskHeartbeat(task_token=task.task_token, details="x"))
    assert swf.types(execution, 5) == ["ActivityTaskScheduled", "TimerStarted", "MarkerRecorded", "ActivityTaskStarted"]


@pytest.mark.parametrize(
    "respond", [o.RespondActivityTaskCompleted, o.RespondActivityTaskFailed, o.RespondActivityTaskCanceled]
)
def test_s4_3_an_activity_that_ends_triggers_in_the_same_millisecond(swf: Swf, respond: type) -> None:
    execution = swf.start()
    swf.decide(BOOK)
    task = swf.work()
    swf.advance(1.5)
    swf.call(respond(task_token=task.task_token))
    assert swf.types(execution, 8) == ["DecisionTaskScheduled"]
    assert swf.seconds(execution)[6:] == [1.5, 1.5]


def test_s4_3_a_cancel_request_triggers(swf: Swf) -> None:
    execution = swf.start()
    swf.decide()
    swf.call(o.RequestCancelWorkflowExecution(domain="d", workflow_id="w"))
    assert swf.types(execution, 5) == ["WorkflowExecutionCancelRequested", "DecisionTaskScheduled"]


def test_s4_4_an_invalid_batch_applies_nothing_and_keeps_the_token_valid(swf: Swf) -> None:
    execution = swf.start()
    task = swf.poll()
    bad = o.RespondDecisionTaskCompleted(
        task_token=task.task_token, decisions=(MARK, d.RecordMarker(marker_name="")), execution_context="x"
    )
    assert swf.refuse(bad)[0] == "ValidationException"
    assert len(swf.history(execution)) == 3
    assert swf.describe(execution).latest_execution_context is None
    swf.respond(task, MARK)
    assert swf.types(execution, 4) == ["DecisionTaskCompleted", "MarkerRecorded"]


def test_s4_4_the_token_is_judged_before_the_batch(swf: Swf) -> None:
    swf.start()
    task = swf.decide()
    bad = o.RespondDecisionTaskCompleted(task_token=task.task_token, decisions=(d.RecordMarker(marker_name=""),))
    assert swf.refuse(bad)[0] == "UnknownResourceFault"


def test_s4_4_an_empty_answer_is_legal_and_the_run_sits_idle(swf: Swf) -> None:
    execution = swf.start()
    task = swf.poll()
    swf.call(o.RespondDecisionTaskCompleted(task_token=task.task_token))
    swf.advance(3599)
    assert swf.types(execution, 4) == ["DecisionTaskCompleted"]
    swf.advance(1)
    assert swf.types(execution, 5) == ["WorkflowExecutionTimedOut"]


def test_s4_4_effects_come_after_the_batch_in_its_order(swf: Swf) -> None:
    execution = swf.start()
    target = swf.start("target", task_list=TaskList("t"))
    swf.decide(BOOK)
    swf.signal(execution)
    swf.decide(
        tick(0),
        d.RequestCancelActivityTask(activity_id="a"),
        d.SignalExternalWorkflowExecution(workflow_id="target", signal_name="s"),
        d.ScheduleLambdaFunction(id="l", name="f"),
        MARK,
    )
    swf.advance()
    assert swf.types(execution, 10) == [
        "TimerStarted",
        "ActivityTaskCancelRequested",
        "SignalExternalWorkflowExecutionInitiated",
        "LambdaFunctionScheduled",
        "MarkerRecorded",
        "TimerFired",
        "DecisionTaskScheduled",
        "ActivityTaskCanceled",
        "ExternalWorkflowExecutionSignaled",
        "StartLambdaFunctionFailed",
    ]
    assert swf.last(target)[1] == "WorkflowExecutionSignaled"


def test_s4_4_effects_may_take_their_time(make_swf: MakeSwf) -> None:
    swf = make_swf(knobs=Knobs(effect_latency=timedelta(milliseconds=40)))
    execution = swf.start()
    swf.decide(tick(0), tick(2, "u"), d.SignalExternalWorkflowExecution(workflow_id="nobody", signal_name="s"))
    swf.advance(0.039)
    assert len(swf.history(execution)) == 7
    swf.advance(5)
    assert swf.seconds(execution)[7:] == [0.04, 0.04, 0.04, 2]


def test_s4_4_a_context_stays_until_another_is_given(swf: Swf) -> None:
    execution = swf.start()
    assert swf.describe(execution).latest_execution_context is None
    for given, kept in (("x", "x"), (None, "x"), ("", "")):
        swf.decide(execution_context=given)
        swf.signal(execution)
        assert swf.describe(execution).latest_execution_context == kept


def test_s4_5_a_decider_is_given_all_up_to_its_own_start(swf: Swf) -> None:
    execution = swf.start()
    first = swf.poll()
    assert (first.previous_started_event_id, first.started_event_id, len(first.events)) == (0, 3, 3)
    assert first.workflow_execution == execution
    swf.signal(execution)
    swf.respond(first)
    second = swf.poll()
    assert (second.previous_started_event_id, second.started_event_id, len(second.events)) == (3, 7, 7)


@pytest.mark.parametrize(("counts", "previous"), [(False, 0), (True, 3)])
def test_s6_3_a_task_that_timed_out_was_not_processed(make_swf: MakeSwf, counts: bool, previous: int) -> None:
    swf = make_swf(knobs=Knobs(previous_counts_timed_out=counts))
    swf.start()
    swf.poll()
    swf.advance(60)
    assert swf.poll().previous_started_event_id == previous


def test_s4_6_a_timer_of_0_s_forces_a_decision(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(tick(0))
    swf.advance()
    assert swf.types(execution, 5) == ["TimerStarted", "TimerFired", "DecisionTaskScheduled"]


def test_s4_4_there_is_no_cap_of_100_decisions(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(*[MARK] * 250, d.CompleteWorkflowExecution())
    assert len(swf.history(execution)) == 255
