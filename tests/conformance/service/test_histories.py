"""Section 16 of docs/swf-semantics.md, "Example histories"."""

from __future__ import annotations

from typing import Any

from tests.conformance.service.conftest import ACTIVITY, DECIDERS, WORKERS, WORKFLOW, Line, MakeSwf, Swf, line
from traction.model import decisions as d
from traction.model import operations as o
from traction.model.names import ActivityType, TaskList, WorkflowExecution, WorkflowType
from traction_local.service.knobs import LambdaCall, LambdaOutcome

SETTINGS: dict[str, Any] = {
    "child_policy": "TERMINATE",
    "task_list": DECIDERS,
    "workflow_type": WORKFLOW,
    "execution_start_to_close_timeout": "3600",
    "task_start_to_close_timeout": "60",
}
TIMEOUTS = {
    "schedule_to_start_timeout": "300",
    "schedule_to_close_timeout": "900",
    "start_to_close_timeout": "600",
    "heartbeat_timeout": "NONE",
}


def started(**more: Any) -> Line:
    return 1, "WorkflowExecutionStarted", {**SETTINGS, "parent_initiated_event_id": 0, **more}


def dts(event_id: int, task_list: TaskList = DECIDERS, wait: str = "NONE") -> Line:
    attributes = {"task_list": task_list, "start_to_close_timeout": "60", "schedule_to_start_timeout": wait}
    return event_id, "DecisionTaskScheduled", attributes


def dtst(event_id: int, scheduled: int) -> Line:
    return event_id, "DecisionTaskStarted", {"scheduled_event_id": scheduled}


def dtc(event_id: int, scheduled: int, started: int, **more: Any) -> Line:
    return event_id, "DecisionTaskCompleted", {"scheduled_event_id": scheduled, "started_event_id": started, **more}


def ats(event_id: int, activity_id: str, completed: int, **more: Any) -> Line:
    task = {"activity_type": ACTIVITY, "activity_id": activity_id, "task_list": WORKERS, **TIMEOUTS}
    return event_id, "ActivityTaskScheduled", {**task, "decision_task_completed_event_id": completed, **more}


def atst(event_id: int, scheduled: int) -> Line:
    return event_id, "ActivityTaskStarted", {"scheduled_event_id": scheduled}


def atc(event_id: int, scheduled: int, started: int, **more: Any) -> Line:
    return event_id, "ActivityTaskCompleted", {"scheduled_event_id": scheduled, "started_event_id": started, **more}


def closed(event_id: int, completed: int, **more: Any) -> Line:
    return event_id, "WorkflowExecutionCompleted", {"decision_task_completed_event_id": completed, **more}


def book(activity_id: str, **more: Any) -> d.ScheduleActivityTask:
    return d.ScheduleActivityTask(activity_type=ACTIVITY, activity_id=activity_id, **more)


def finish(swf: Swf, result: str | None = None) -> None:
    swf.call(o.RespondActivityTaskCompleted(task_token=swf.work().task_token, result=result))


def test_h1_two_activities_in_sequence(swf: Swf) -> None:
    execution = swf.start(input="[5]")
    swf.advance(0.052)
    first = swf.poll(identity="{}")
    assert (first.previous_started_event_id, first.started_event_id) == (0, 3)
    swf.advance(0.462)
    swf.respond(first, book("increment-1", input="[5]"))
    swf.advance(0.060)
    task = swf.work(identity="me")
    swf.advance(0.406)
    swf.call(o.RespondActivityTaskCompleted(task_token=task.task_token, result="6"))
    second = swf.poll()
    assert (second.previous_started_event_id, second.started_event_id) == (3, 9)
    swf.respond(second, book("double-1", input="[6]"))
    finish(swf, "12")
    swf.decide(d.CompleteWorkflowExecution(result="[6,12]"))
    assert swf.lines(execution) == [
        started(input="[5]"),
        dts(2),
        (3, "DecisionTaskStarted", {"scheduled_event_id": 2, "identity": "{}"}),
        dtc(4, 2, 3),
        ats(5, "increment-1", 4, input="[5]"),
        (6, "ActivityTaskStarted", {"scheduled_event_id": 5, "identity": "me"}),
        atc(7, 5, 6, result="6"),
        dts(8),
        dtst(9, 8),
        dtc(10, 8, 9),
        ats(11, "double-1", 10, input="[6]"),
        atst(12, 11),
        atc(13, 11, 12, result="12"),
        dts(14),
        dtst(15, 14),
        dtc(16, 14, 15),
        closed(17, 16, result="[6,12]"),
    ]
    assert swf.seconds(execution)[:9] == [0, 0, 0.052, 0.514, 0.514, 0.574, 0.98, 0.98, 0.98]


def test_h2_an_event_that_arrives_while_a_decision_is_running(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(book("a"))
    work = swf.work()
    swf.signal(execution, "unexpected", input="Hi there!")
    a = swf.poll()
    assert [event.event_id for event in a.events] == list(range(1, 10))
    swf.advance(0.5)
    swf.call(o.RespondActivityTaskCompleted(task_token=work.task_token))
    assert swf.poll().task_token == ""
    swf.advance(0.017)
    swf.respond(a)
    b = swf.poll()
    assert (b.previous_started_event_id, b.started_event_id) == (9, 13)
    swf.respond(b, d.CompleteWorkflowExecution())
    assert swf.lines(execution, 4) == [
        dtc(4, 2, 3),
        ats(5, "a", 4),
        atst(6, 5),
        line(
            7, "WorkflowExecutionSignaled", signal_name="unexpected", input="Hi there!", external_initiated_event_id=0
        ),
        dts(8),
        dtst(9, 8),
        atc(10, 5, 6),
        dts(11),
        dtc(12, 8, 9),
        dtst(13, 11),
        dtc(14, 11, 13),
        closed(15, 14),
    ]
    assert swf.seconds(execution)[9:12] == [0.5, 0.5, 0.517]


def test_h3_timers_a_cancel_and_a_forced_decision(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(
        d.StartTimer(timer_id="timer 2", start_to_fire_timeout="120"),
        d.StartTimer(timer_id="timer 1", start_to_fire_timeout="2"),
    )
    swf.advance(1.999)
    assert len(swf.history(execution)) == 6
    swf.advance(0.001)
    swf.decide(d.CancelTimer(timer_id="timer 2"), d.StartTimer(timer_id="wake up", start_to_fire_timeout="0"))
    swf.advance()
    swf.decide(d.CompleteWorkflowExecution(result="null"))
    assert swf.lines(execution, 4) == [
        dtc(4, 2, 3),
        line(5, "TimerStarted", timer_id="timer 2", start_to_fire_timeout="120", decision_task_completed_event_id=4),
        line(6, "TimerStarted", timer_id="timer 1", start_to_fire_timeout="2", decision_task_completed_event_id=4),
        (7, "TimerFired", {"timer_id": "timer 1", "started_event_id": 6}),
        dts(8),
        dtst(9, 8),
        dtc(10, 8, 9),
        (11, "TimerCanceled", {"timer_id": "timer 2", "started_event_id": 5, "decision_task_completed_event_id": 10}),
        line(12, "TimerStarted", timer_id="wake up", start_to_fire_timeout="0", decision_task_completed_event_id=10),
        (13, "TimerFired", {"timer_id": "wake up", "started_event_id": 12}),
        dts(14),
        dtst(15, 14),
        dtc(16, 14, 15),
        closed(17, 16, result="null"),
    ]
    assert swf.seconds(execution)[5:8] == [0, 2, 2]


CHILD = WorkflowType("leg", "1")


def with_child(swf: Swf, **more: Any) -> WorkflowExecution:
    """A parent that has just asked for a child `c`, whose decisions wait on a list of their own."""
    swf.register_workflow_type(CHILD, default_task_list=TaskList("legs"))
    parent = swf.start("p")
    swf.decide(d.StartChildWorkflowExecution(workflow_type=CHILD, workflow_id="c", input="[5]", control="7", **more))
    return parent


def child_of(swf: Swf, parent: WorkflowExecution) -> WorkflowExecution:
    execution = swf.find(parent, "ChildWorkflowExecutionStarted")["workflow_execution"]
    assert isinstance(execution, WorkflowExecution)
    return execution


INITIATED: Line = line(
    5,
    "StartChildWorkflowExecutionInitiated",
    workflow_id="c",
    workflow_type=CHILD,
    task_list=TaskList("legs"),
    decision_task_completed_event_id=4,
    child_policy="TERMINATE",
    control="7",
    input="[5]",
    execution_start_to_close_timeout="3600",
    task_start_to_close_timeout="60",
)


def test_h4_a_child_workflow(swf: Swf) -> None:
    parent = with_child(swf)
    swf.advance(0.5)
    child = child_of(swf, parent)
    swf.decide()
    swf.advance(2)
    swf.decide(d.CompleteWorkflowExecution(result="[5,10]"), task_list="legs")
    swf.advance()
    swf.decide(d.CompleteWorkflowExecution())
    report = {"workflow_execution": child, "workflow_type": CHILD, "initiated_event_id": 5}
    assert swf.lines(parent, 4) == [
        dtc(4, 2, 3),
        INITIATED,
        (6, "ChildWorkflowExecutionStarted", report),
        dts(7),
        dtst(8, 7),
        dtc(9, 7, 8),
        (10, "ChildWorkflowExecutionCompleted", {**report, "started_event_id": 6, "result": "[5,10]"}),
        dts(11),
        dtst(12, 11),
        dtc(13, 11, 12),
        closed(14, 13),
    ]
    legs = {**SETTINGS, "task_list": TaskList("legs"), "workflow_type": CHILD}
    assert swf.lines(child)[:2] == [
        line(
            1,
            "WorkflowExecutionStarted",
            **legs,
            input="[5]",
            parent_workflow_execution=parent,
            parent_initiated_event_id=5,
        ),
        dts(2, TaskList("legs")),
    ]


def test_h4_a_fast_child_is_coalesced(swf: Swf) -> None:
    parent = with_child(swf)
    swf.advance()
    swf.decide(d.CompleteWorkflowExecution(), task_list="legs")
    swf.advance()
    swf.decide()
    assert swf.types(parent, 5) == [
        "StartChildWorkflowExecutionInitiated",
        "ChildWorkflowExecutionStarted",
        "DecisionTaskScheduled",
        "ChildWorkflowExecutionCompleted",
        "DecisionTaskStarted",
        "DecisionTaskCompleted",
    ]


def test_h4_a_parent_that_completes_terminates_its_child(swf: Swf) -> None:
    parent = with_child(swf)
    swf.advance()
    child = child_of(swf, parent)
    swf.decide(d.CompleteWorkflowExecution())
    swf.advance()
    assert swf.types(parent, 9) == ["DecisionTaskCompleted", "WorkflowExecutionCompleted"]
    assert swf.types(child)[:2] == ["WorkflowExecutionStarted", "DecisionTaskScheduled"]
    assert swf.lines(child, 3) == [
        (3, "WorkflowExecutionTerminated", {"child_policy": "TERMINATE", "cause": "CHILD_POLICY_APPLIED"})
    ]


def test_h4_a_parent_that_completes_asks_its_child_to_cancel(swf: Swf) -> None:
    swf.register_workflow_type(CHILD, default_task_list=TaskList("legs"))
    parent = swf.start("p", child_policy="REQUEST_CANCEL")
    # The policy of the run that closes decides, whatever the child's own is.
    swf.decide(d.StartChildWorkflowExecution(workflow_type=CHILD, workflow_id="c", child_policy="TERMINATE"))
    swf.advance()
    child = child_of(swf, parent)
    swf.decide(task_list="legs")
    swf.decide(d.CompleteWorkflowExecution())
    swf.advance()
    assert swf.lines(child, 5) == [
        line(
            5,
            "WorkflowExecutionCancelRequested",
            external_workflow_execution=parent,
            external_initiated_event_id=0,
            cause="CHILD_POLICY_APPLIED",
        ),
        dts(6, TaskList("legs")),
    ]


def test_h4_a_child_terminated_by_an_operator(swf: Swf) -> None:
    parent = with_child(swf)
    swf.advance()
    child = child_of(swf, parent)
    swf.call(o.TerminateWorkflowExecution(domain="d", workflow_id="c", reason="r", details="x"))
    swf.advance()
    terminated = {"child_policy": "TERMINATE", "cause": "OPERATOR_INITIATED", "reason": "r", "details": "x"}
    assert swf.lines(child, 3) == [(3, "WorkflowExecutionTerminated", terminated)]
    assert swf.last(parent) == line(
        8,
        "ChildWorkflowExecutionTerminated",
        workflow_execution=child,
        workflow_type=CHILD,
        initiated_event_id=5,
        started_event_id=6,
    )


def test_h4_a_child_without_pollers_times_out(swf: Swf) -> None:
    parent = with_child(swf, execution_start_to_close_timeout="5")
    swf.advance()
    child = child_of(swf, parent)
    swf.advance(5)
    timed_out = {"timeout_type": "START_TO_CLOSE", "child_policy": "TERMINATE"}
    assert swf.lines(child, 3) == [(3, "WorkflowExecutionTimedOut", timed_out)]
    assert swf.last(parent) == line(
        8,
        "ChildWorkflowExecutionTimedOut",
        workflow_execution=child,
        workflow_type=CHILD,
        timeout_type="START_TO_CLOSE",
        initiated_event_id=5,
        started_event_id=6,
    )


def test_h4_a_child_of_an_unknown_type(swf: Swf) -> None:
    parent = swf.start("p")
    nobody = WorkflowType("nobody", "1")
    swf.decide(d.StartChildWorkflowExecution(workflow_type=nobody, workflow_id="c", control="1"))
    assert swf.lines(parent, 5) == [
        line(
            5,
            "StartChildWorkflowExecutionFailed",
            workflow_type=nobody,
            cause="WORKFLOW_TYPE_DOES_NOT_EXIST",
            workflow_id="c",
            initiated_event_id=0,
            decision_task_completed_event_id=4,
            control="1",
        ),
        dts(6),
    ]


def test_h5_a_cancel_request_honoured_while_an_activity_runs(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(book("a"))
    swf.work()
    swf.call(o.RequestCancelWorkflowExecution(domain="d", workflow_id="w"))
    swf.decide(d.CancelWorkflowExecution())
    assert swf.lines(execution, 5) == [
        ats(5, "a", 4),
        atst(6, 5),
        (7, "WorkflowExecutionCancelRequested", {"external_initiated_event_id": 0}),
        dts(8),
        dtst(9, 8),
        dtc(10, 8, 9),
        (11, "WorkflowExecutionCanceled", {"decision_task_completed_event_id": 10}),
    ]
    detail = swf.describe(execution)
    assert detail.execution_info.close_status == "CANCELED"
    assert detail.open_counts.open_activity_tasks == 1
    assert detail.execution_info.cancel_requested is False


def test_h6_every_timeout_level(swf: Swf) -> None:
    execution = swf.start(task_start_to_close_timeout="600", tag_list=("a", "b"))
    swf.advance(149.554)
    swf.poll()
    swf.advance(600)
    swf.advance(1000)
    swf.decide(book("a", control="x"), execution_context="Black Friday")
    swf.advance(300)
    swf.advance(3600)
    slow = {"task_list": DECIDERS, "start_to_close_timeout": "600", "schedule_to_start_timeout": "NONE"}
    assert swf.lines(execution) == [
        started(task_start_to_close_timeout="600", tag_list=("a", "b")),
        (2, "DecisionTaskScheduled", slow),
        dtst(3, 2),
        line(4, "DecisionTaskTimedOut", timeout_type="START_TO_CLOSE", scheduled_event_id=2, started_event_id=3),
        (5, "DecisionTaskScheduled", slow),
        dtst(6, 5),
        dtc(7, 5, 6, execution_context="Black Friday"),
        ats(8, "a", 7, control="x"),
        line(9, "ActivityTaskTimedOut", timeout_type="SCHEDULE_TO_START", scheduled_event_id=8, started_event_id=0),
        (10, "DecisionTaskScheduled", slow),
        (11, "WorkflowExecutionTimedOut", {"timeout_type": "START_TO_CLOSE", "child_policy": "TERMINATE"}),
    ]
    assert swf.seconds(execution) == [
        0, 0, 149.554, 749.554, 749.554, 1749.554, 1749.554, 1749.554, 2049.554, 2049.554, 3600,
    ]  # fmt: skip


def test_h7a_an_activity_of_an_unregistered_type(swf: Swf) -> None:
    execution = swf.start()
    nobody = ActivityType("nobody", "1")
    swf.decide(d.ScheduleActivityTask(activity_type=nobody, activity_id="a"))
    swf.poll()
    assert swf.lines(execution, 4) == [
        dtc(4, 2, 3),
        line(
            5,
            "ScheduleActivityTaskFailed",
            activity_type=nobody,
            activity_id="a",
            cause="ACTIVITY_TYPE_DOES_NOT_EXIST",
            decision_task_completed_event_id=4,
        ),
        dts(6),
        dtst(7, 6),
    ]


def test_h7b_a_timer_cancelled_that_never_was(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(d.StartTimer(timer_id="real", start_to_fire_timeout="100"))
    swf.signal(execution)
    swf.decide(d.CancelTimer(timer_id="fake"))
    swf.decide(d.CancelTimer(timer_id="real"), d.CompleteWorkflowExecution())
    assert swf.lines(execution, 9) == [
        dtc(9, 7, 8),
        line(10, "CancelTimerFailed", timer_id="fake", cause="TIMER_ID_UNKNOWN", decision_task_completed_event_id=9),
        dts(11),
        dtst(12, 11),
        dtc(13, 11, 12),
        (14, "TimerCanceled", {"timer_id": "real", "started_event_id": 5, "decision_task_completed_event_id": 13}),
        closed(15, 13),
    ]


def test_h7c_an_activity_cancelled_that_never_was(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(d.RequestCancelActivityTask(activity_id="fake"))
    assert swf.lines(execution, 4) == [
        dtc(4, 2, 3),
        line(
            5,
            "RequestCancelActivityTaskFailed",
            activity_id="fake",
            cause="ACTIVITY_ID_UNKNOWN",
            decision_task_completed_event_id=4,
        ),
        dts(6),
    ]


def test_h7d_a_signal_to_an_unknown_execution(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(d.SignalExternalWorkflowExecution(workflow_id="nobody", signal_name="s", input="i", control="1"))
    swf.advance(0.1)
    assert swf.lines(execution, 4) == [
        dtc(4, 2, 3),
        line(
            5,
            "SignalExternalWorkflowExecutionInitiated",
            workflow_id="nobody",
            signal_name="s",
            decision_task_completed_event_id=4,
            input="i",
            control="1",
        ),
        line(
            6,
            "SignalExternalWorkflowExecutionFailed",
            workflow_id="nobody",
            cause="UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION",
            initiated_event_id=5,
            decision_task_completed_event_id=4,
            control="1",
        ),
        dts(7),
    ]


def test_h7e_a_child_asked_to_cancel(swf: Swf) -> None:
    parent = with_child(swf)
    swf.advance()
    child = child_of(swf, parent)
    swf.decide(d.RequestCancelExternalWorkflowExecution(workflow_id="c", run_id=child.run_id, control="2"))
    swf.advance()
    assert swf.lines(parent, 10) == [
        line(
            10,
            "RequestCancelExternalWorkflowExecutionInitiated",
            workflow_id="c",
            decision_task_completed_event_id=9,
            run_id=child.run_id,
            control="2",
        ),
        (11, "ExternalWorkflowExecutionCancelRequested", {"workflow_execution": child, "initiated_event_id": 10}),
        dts(12),
    ]
    assert swf.last(child) == line(
        3, "WorkflowExecutionCancelRequested", external_workflow_execution=parent, external_initiated_event_id=10
    )


def test_h7f_continuing_as_an_unknown_version(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(d.ContinueAsNewWorkflowExecution(workflow_type_version="9"))
    assert swf.lines(execution, 4) == [
        dtc(4, 2, 3),
        line(
            5,
            "ContinueAsNewWorkflowExecutionFailed",
            cause="WORKFLOW_TYPE_DOES_NOT_EXIST",
            decision_task_completed_event_id=4,
        ),
        dts(6),
    ]


def test_h8_a_retry_by_the_decider_reuses_its_ids(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(book("step1"))
    swf.call(o.RespondActivityTaskFailed(task_token=swf.work().task_token, reason="r", details="d"))
    swf.decide(d.StartTimer(timer_id="step1", start_to_fire_timeout="10", control="c"), execution_context="x")
    swf.advance(10)
    swf.decide(book("step1"))
    swf.call(o.RespondActivityTaskFailed(task_token=swf.work().task_token))
    swf.decide(d.StartTimer(timer_id="step1", start_to_fire_timeout="20"))
    swf.advance(20)
    swf.decide(book("step1"))
    finish(swf, "")
    swf.decide(d.CompleteWorkflowExecution())
    assert swf.lines(execution, 5)[:11] == [
        ats(5, "step1", 4),
        atst(6, 5),
        (7, "ActivityTaskFailed", {"scheduled_event_id": 5, "started_event_id": 6, "reason": "r", "details": "d"}),
        dts(8),
        dtst(9, 8),
        dtc(10, 8, 9, execution_context="x"),
        line(
            11,
            "TimerStarted",
            timer_id="step1",
            start_to_fire_timeout="10",
            decision_task_completed_event_id=10,
            control="c",
        ),
        (12, "TimerFired", {"timer_id": "step1", "started_event_id": 11}),
        dts(13),
        dtst(14, 13),
        dtc(15, 13, 14),
    ]
    assert swf.lines(execution, 16)[0] == ats(16, "step1", 15)
    assert swf.find(execution, "ActivityTaskCompleted")["result"] == ""
    assert swf.types(execution)[-1] == "WorkflowExecutionCompleted"


def test_h9a_a_lambda_task(make_swf: MakeSwf) -> None:
    def answer(call: LambdaCall) -> LambdaOutcome:
        return LambdaOutcome(result=f"{call.name}({call.input})")

    swf = make_swf(lambdas=answer)
    execution = swf.start(lambda_role="arn:aws:iam::1:role/r")
    swf.decide(d.ScheduleLambdaFunction(id="l", name="f", input="1", start_to_close_timeout="30"))
    swf.advance()
    assert swf.lines(execution, 5) == [
        line(
            5,
            "LambdaFunctionScheduled",
            id="l",
            name="f",
            decision_task_completed_event_id=4,
            input="1",
            start_to_close_timeout="30",
        ),
        (6, "LambdaFunctionStarted", {"scheduled_event_id": 5}),
        (7, "LambdaFunctionCompleted", {"scheduled_event_id": 5, "started_event_id": 6, "result": "f(1)"}),
        dts(8),
    ]


def test_h9b_a_lambda_task_without_a_role(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(d.ScheduleLambdaFunction(id="l", name="f"))
    swf.advance()
    assert swf.lines(execution, 6) == [
        line(
            6,
            "StartLambdaFunctionFailed",
            scheduled_event_id=5,
            cause="ASSUME_ROLE_FAILED",
            message="No IAM role is attached to the current workflow execution.",
        ),
        dts(7),
    ]


def test_h9c_a_marker_triggers_nothing(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(d.RecordMarker(marker_name="m", details="d"))
    swf.advance(60)
    swf.signal(execution)
    assert swf.lines(execution, 4) == [
        dtc(4, 2, 3),
        (5, "MarkerRecorded", {"marker_name": "m", "decision_task_completed_event_id": 4, "details": "d"}),
        (6, "WorkflowExecutionSignaled", {"signal_name": "poke", "external_initiated_event_id": 0}),
        dts(7),
    ]


def test_h9d_terminated_during_a_decision(swf: Swf) -> None:
    execution = swf.start()
    task = swf.poll()
    swf.call(o.TerminateWorkflowExecution(domain="d", workflow_id="w", reason="r", details="x"))
    assert swf.lines(execution, 2) == [
        dts(2),
        dtst(3, 2),
        line(
            4,
            "WorkflowExecutionTerminated",
            child_policy="TERMINATE",
            cause="OPERATOR_INITIATED",
            reason="r",
            details="x",
        ),
    ]
    assert swf.refuse(o.RespondDecisionTaskCompleted(task_token=task.task_token)) == (
        "UnknownResourceFault",
        f"Unknown execution: WorkflowExecution=[workflowId=w, runId={execution.run_id}]",
    )


def test_h10a_a_close_that_leaves_an_event_unseen(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(d.RecordMarker(marker_name="m"), d.RecordMarker(marker_name="m"))
    swf.signal(execution)
    task = swf.poll()
    swf.signal(execution)
    swf.respond(task, d.RecordMarker(marker_name="m"), d.CompleteWorkflowExecution())
    swf.decide(d.CompleteWorkflowExecution())
    assert swf.lines(execution, 8)[0] == dts(8)
    assert swf.lines(execution, 9) == [
        dtst(9, 8),
        (10, "WorkflowExecutionSignaled", {"signal_name": "poke", "external_initiated_event_id": 0}),
        dts(11),
        dtc(12, 8, 9),
        (13, "MarkerRecorded", {"marker_name": "m", "decision_task_completed_event_id": 12}),
        line(14, "CompleteWorkflowExecutionFailed", cause="UNHANDLED_DECISION", decision_task_completed_event_id=12),
        dtst(15, 11),
        dtc(16, 11, 15),
        closed(17, 16),
    ]


def test_h10b_cancel_of_an_unstarted_activity(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(book("a1"))
    swf.signal(execution)
    swf.decide(d.RequestCancelActivityTask(activity_id="a1"))
    swf.advance()
    assert swf.lines(execution, 9) == [
        dtc(9, 7, 8),
        (10, "ActivityTaskCancelRequested", {"decision_task_completed_event_id": 9, "activity_id": "a1"}),
        line(11, "ActivityTaskCanceled", scheduled_event_id=5, started_event_id=0, latest_cancel_requested_event_id=10),
        dts(12),
    ]
    assert swf.work().task_token == ""


def test_h10c_cancel_of_an_activity_that_runs(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(book("a1"))
    work = swf.work()
    swf.signal(execution)
    swf.decide(d.RequestCancelActivityTask(activity_id="a1"))
    swf.advance()
    assert swf.types(execution)[-1] == "ActivityTaskCancelRequested"
    assert swf.call(o.RecordActivityTaskHeartbeat(task_token=work.task_token)).cancel_requested is True
    swf.call(o.RespondActivityTaskCanceled(task_token=work.task_token, details="stopped"))
    assert swf.lines(execution, 12) == [
        line(
            12,
            "ActivityTaskCanceled",
            scheduled_event_id=5,
            started_event_id=6,
            details="stopped",
            latest_cancel_requested_event_id=11,
        ),
        dts(13),
    ]


def test_h10d_a_heartbeat_that_stays_away(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(book("a", heartbeat_timeout="10"))
    work = swf.work()
    swf.advance(3)
    assert swf.call(o.RecordActivityTaskHeartbeat(task_token=work.task_token, details="42 %")).cancel_requested is False
    swf.advance(9.999)
    assert len(swf.history(execution)) == 6
    swf.advance(0.001)
    assert swf.lines(execution, 5) == [
        ats(5, "a", 4, heartbeat_timeout="10"),
        atst(6, 5),
        line(
            7,
            "ActivityTaskTimedOut",
            timeout_type="HEARTBEAT",
            scheduled_event_id=5,
            started_event_id=6,
            details="42 %",
        ),
        dts(8),
    ]
    assert swf.seconds(execution)[6:] == [13, 13]


def test_h10e_a_sticky_list_without_pollers(swf: Swf) -> None:
    execution = swf.start()
    host = TaskList("host")
    task = swf.poll()
    swf.respond(task, book("a"), task_list=host, task_list_schedule_to_start_timeout="5")
    finish(swf)
    swf.advance(5)
    assert swf.lines(execution, 4) == [
        dtc(4, 2, 3, task_list=host, task_list_schedule_to_start_timeout="5"),
        ats(5, "a", 4),
        atst(6, 5),
        atc(7, 5, 6),
        dts(8, host, "5"),
        line(9, "DecisionTaskTimedOut", timeout_type="SCHEDULE_TO_START", scheduled_event_id=8, started_event_id=0),
        dts(10),
    ]
    assert swf.seconds(execution)[8:] == [5, 5]
    assert swf.poll("host").task_token == ""
    assert swf.poll().started_event_id == 11


def test_h10f_continue_as_new(swf: Swf) -> None:
    first = swf.start(input="1", tag_list=("t",))
    swf.decide(d.ContinueAsNewWorkflowExecution(input="2"))
    event = swf.lines(first, 5)[0]
    second = WorkflowExecution("w", event[2]["new_execution_run_id"])
    assert second.run_id != first.run_id
    assert swf.lines(first, 4) == [
        dtc(4, 2, 3),
        line(
            5,
            "WorkflowExecutionContinuedAsNew",
            **SETTINGS,
            decision_task_completed_event_id=4,
            new_execution_run_id=second.run_id,
            input="2",
        ),
    ]
    assert swf.lines(second) == [started(input="2", continued_execution_run_id=first.run_id), dts(2)]


def test_h10g_a_signal_before_the_first_decision(swf: Swf) -> None:
    execution = swf.start()
    swf.signal(execution)
    task = swf.poll()
    assert task.started_event_id == 4
    assert swf.types(execution) == [
        "WorkflowExecutionStarted",
        "DecisionTaskScheduled",
        "WorkflowExecutionSignaled",
        "DecisionTaskStarted",
    ]
    assert swf.lines(execution)[3] == dtst(4, 2)


def test_h11_a_close_that_an_activity_overtakes(swf: Swf) -> None:
    """Recorded in March 2013, as the answer to a poll, workflow type Sum: the one recording of UNHANDLED_DECISION."""
    execution = swf.start()
    swf.decide(book("ping"), book("sum"))
    ping, sum = swf.work(), swf.work()
    swf.call(o.RespondActivityTaskCompleted(task_token=ping.task_token, result="True"))
    first = swf.poll()
    swf.call(o.RespondActivityTaskCompleted(task_token=sum.task_token, result="22"))
    swf.respond(first, book("sum"))
    second = swf.poll()
    finish(swf, "22")
    swf.respond(second, d.CompleteWorkflowExecution())
    last = swf.poll()
    assert (last.previous_started_event_id, last.started_event_id) == (16, 22)
    assert swf.lines(execution, 5) == [
        ats(5, "ping", 4),
        ats(6, "sum", 4),
        atst(7, 5),
        atst(8, 6),
        atc(9, 5, 7, result="True"),
        dts(10),
        dtst(11, 10),
        atc(12, 6, 8, result="22"),
        dts(13),
        dtc(14, 10, 11),
        ats(15, "sum", 14),
        dtst(16, 13),
        atst(17, 15),
        atc(18, 15, 17, result="22"),
        dts(19),
        dtc(20, 13, 16),
        line(21, "CompleteWorkflowExecutionFailed", cause="UNHANDLED_DECISION", decision_task_completed_event_id=20),
        dtst(22, 19),
    ]
