"""Section 8 of docs/swf-semantics.md, "Timers, signals and cancellation"."""

from __future__ import annotations

from tests.conformance.service.conftest import ACTIVITY, WORKFLOW, Swf, line
from traction.model import decisions as d
from traction.model.names import TaskList
from traction.model.operations import RequestCancelWorkflowExecution, SignalWorkflowExecution, StartWorkflowExecution


def tick(id: str, seconds: int) -> d.StartTimer:
    return d.StartTimer(timer_id=id, start_to_fire_timeout=str(seconds))


def test_s8_1_a_timer_fires_on_time_and_triggers(swf: Swf) -> None:
    execution = swf.start(execution_start_to_close_timeout="31536000")
    swf.decide(tick("t", 8640000))
    swf.advance(8639999.999)
    assert len(swf.history(execution)) == 5
    swf.advance(0.001)
    assert swf.types(execution, 6) == ["TimerFired", "DecisionTaskScheduled"]


def test_s8_1_each_timer_has_its_event_and_they_share_a_decision_task(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(tick("c", 3), tick("a", 2), tick("b", 2), tick("d", 1))
    swf.advance(10)
    fired = [line for line in swf.lines(execution, 9) if line[1] == "TimerFired"]
    assert [line[2]["timer_id"] for line in fired] == ["d", "a", "b", "c"]
    assert swf.types(execution).count("DecisionTaskScheduled") == 2
    assert swf.seconds(execution)[8:] == [1, 1, 2, 2, 3]


def test_s8_1_a_timer_of_0_s_fires_among_the_effects_of_its_batch(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(
        d.ScheduleActivityTask(activity_type=ACTIVITY, activity_id="a", schedule_to_start_timeout="0"),
        d.ScheduleActivityTask(activity_type=ACTIVITY, activity_id="b"),
        tick("t", 0),
        d.RequestCancelActivityTask(activity_id="b"),
        tick("u", 0),
    )
    swf.advance()
    effects = ["TimerFired", "DecisionTaskScheduled", "ActivityTaskCanceled", "TimerFired", "ActivityTaskTimedOut"]
    assert swf.types(execution, 10) == effects


def test_s8_1_a_timer_cancelled_does_not_fire_and_triggers_nothing(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(tick("t", 5), d.CancelTimer(timer_id="t"))
    swf.advance(10)
    assert swf.types(execution, 5) == ["TimerStarted", "TimerCanceled"]


def test_s8_1_a_timer_may_be_restarted_in_one_batch(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(tick("t", 5))
    swf.signal(execution)
    swf.decide(d.CancelTimer(timer_id="t"), tick("t", 7))
    swf.advance(7)
    assert swf.types(execution, 10) == ["TimerCanceled", "TimerStarted", "TimerFired", "DecisionTaskScheduled"]
    assert swf.find(execution, "TimerFired") == {"timer_id": "t", "started_event_id": 11}


def test_s8_1_timers_die_with_their_run(swf: Swf) -> None:
    first = swf.start()
    swf.decide(tick("t", 5))
    swf.signal(first)
    swf.decide(d.ContinueAsNewWorkflowExecution())
    swf.advance(10)
    assert "TimerFired" not in swf.types(first)
    assert len(swf.history(swf.poll().workflow_execution)) == 3


def test_s8_2_a_signal_is_an_event_and_a_trigger(swf: Swf) -> None:
    execution = swf.start()
    swf.decide()
    swf.signal(execution, "s", input="i")
    assert swf.lines(execution, 5)[0][2] == {"signal_name": "s", "input": "i", "external_initiated_event_id": 0}
    assert swf.last(execution)[1] == "DecisionTaskScheduled"


def test_s8_2_signals_keep_their_order(swf: Swf) -> None:
    execution = swf.start()
    for name in "abc":
        swf.signal(execution, name)
    assert [line[2]["signal_name"] for line in swf.lines(execution, 3)] == ["a", "b", "c"]


def test_s8_2_a_signal_may_name_the_run_and_then_reaches_no_other(swf: Swf) -> None:
    first = swf.start()
    swf.decide(d.ContinueAsNewWorkflowExecution())
    second = swf.poll().workflow_execution
    to_first = SignalWorkflowExecution(domain="d", workflow_id="w", run_id=first.run_id, signal_name="s")
    gone = f"Unknown execution: WorkflowExecution=[workflowId=w, runId={first.run_id}]"
    assert swf.refuse(to_first) == ("UnknownResourceFault", gone)
    swf.call(SignalWorkflowExecution(domain="d", workflow_id="w", run_id=second.run_id, signal_name="s"))
    swf.signal(first)
    assert swf.types(second, 4) == [
        "WorkflowExecutionSignaled",
        "DecisionTaskScheduled",
        "WorkflowExecutionSignaled",
    ]


def test_s8_2_a_closed_run_takes_no_signal(swf: Swf) -> None:
    swf.start()
    swf.decide(d.CompleteWorkflowExecution())
    refused = swf.refuse(SignalWorkflowExecution(domain="d", workflow_id="w", signal_name="s"))
    assert refused == ("UnknownResourceFault", "Unknown execution, workflowId = w")


def test_s8_3_a_cancel_request_is_a_notice_that_may_be_ignored(swf: Swf) -> None:
    execution = swf.start()
    assert swf.describe(execution).execution_info.cancel_requested is False
    swf.call(RequestCancelWorkflowExecution(domain="d", workflow_id="w"))
    assert swf.describe(execution).execution_info.cancel_requested is True
    swf.decide(d.CompleteWorkflowExecution())
    info = swf.describe(execution).execution_info
    assert (info.close_status, info.cancel_requested) == ("COMPLETED", False)


def test_s8_4_a_signal_to_another_run_is_recorded_on_both_sides(swf: Swf) -> None:
    target = swf.start("target", task_list=TaskList("t"))
    source = swf.start()
    swf.decide(d.SignalExternalWorkflowExecution(workflow_id="target", signal_name="s", input="i", control="c"))
    swf.advance()
    assert swf.lines(source, 5)[:2] == [
        line(
            5,
            "SignalExternalWorkflowExecutionInitiated",
            workflow_id="target",
            signal_name="s",
            decision_task_completed_event_id=4,
            input="i",
            control="c",
        ),
        (6, "ExternalWorkflowExecutionSignaled", {"workflow_execution": target, "initiated_event_id": 5}),
    ]
    assert swf.last(target) == line(
        3,
        "WorkflowExecutionSignaled",
        signal_name="s",
        input="i",
        external_workflow_execution=source,
        external_initiated_event_id=5,
    )


def test_s8_4_a_named_run_that_has_closed_is_unknown(swf: Swf) -> None:
    old = swf.start("target")
    swf.decide(d.CompleteWorkflowExecution())
    swf.start("target", task_list=TaskList("t"))
    source = swf.start()
    swf.decide(
        d.SignalExternalWorkflowExecution(workflow_id="target", run_id=old.run_id, signal_name="s"),
        d.RequestCancelExternalWorkflowExecution(workflow_id="target", run_id=old.run_id),
    )
    swf.advance()
    for kind in ("Signal", "RequestCancel"):
        failed = swf.find(source, f"{kind}ExternalWorkflowExecutionFailed")
        assert failed["cause"] == "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION"
        assert (failed["run_id"], failed["decision_task_completed_event_id"]) == (old.run_id, 4)


def test_s8_4_a_run_may_signal_itself(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(d.SignalExternalWorkflowExecution(workflow_id="w", signal_name="s"))
    swf.advance()
    assert swf.types(execution, 6) == [
        "WorkflowExecutionSignaled",
        "DecisionTaskScheduled",
        "ExternalWorkflowExecutionSignaled",
    ]
    assert swf.lines(execution, 6)[0][2]["external_workflow_execution"] == execution


def test_s9_3_there_is_no_moment_without_an_open_run(swf: Swf) -> None:
    swf.start()
    swf.decide(d.ContinueAsNewWorkflowExecution())
    again = StartWorkflowExecution(domain="d", workflow_id="w", workflow_type=WORKFLOW)
    assert swf.refuse(again) == ("WorkflowExecutionAlreadyStartedFault", "")
