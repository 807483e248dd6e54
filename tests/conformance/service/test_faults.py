"""Section 2 of docs/swf-semantics.md, "Protocol and faults"."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.service.conftest import ACTIVITY, WORKFLOW, MakeSwf, Swf
from traction.model import decisions as d
from traction.model import operations as o
from traction.model.limits import Limits
from traction.model.names import TaskList, WorkflowExecution, WorkflowType

ALL_DECISIONS = (
    "[CompleteWorkflowExecution, StartTimer, RequestCancelExternalWorkflowExecution, SignalExternalWorkflowExecution, "
    "CancelTimer, RecordMarker, ScheduleActivityTask, ContinueAsNewWorkflowExecution, ScheduleLambdaFunction, "
    "FailWorkflowExecution, RequestCancelActivityTask, StartChildWorkflowExecution, CancelWorkflowExecution]"
)


def at(path: str, value: object, constraint: str) -> str:
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: Member must {constraint}"


def one(path: str, value: object, constraint: str) -> tuple[str, str]:
    return "ValidationException", f"1 validation error detected: {at(path, value, constraint)}"


def start(**given: Any) -> o.StartWorkflowExecution:
    members: dict[str, Any] = {"domain": "d", "workflow_id": "w", "workflow_type": WORKFLOW} | given
    return o.StartWorkflowExecution(**members)


def test_s2_2_an_empty_poll_has_an_empty_token(swf: Swf) -> None:
    decision, activity = swf.poll(), swf.work()
    assert (decision.task_token, decision.started_event_id, decision.previous_started_event_id) == ("", 0, 0)
    assert (activity.task_token, activity.started_event_id) == ("", 0)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (o.DescribeDomain(name="x"), "Unknown domain: x"),
        (start(domain="x"), "Unknown domain: x"),
        (o.PollForDecisionTask(domain="x", task_list=TaskList("l")), "Unknown domain: x"),
        (o.PollForActivityTask(domain="x", task_list=TaskList("l")), "Unknown domain: x"),
        (start(workflow_type=WorkflowType("n", "v")), "Unknown type: WorkflowType=[name=n, version=v]"),
        (o.SignalWorkflowExecution(domain="d", workflow_id="w", signal_name="s"), "Unknown execution, workflowId = w"),
        (o.TerminateWorkflowExecution(domain="d", workflow_id="w"), "Unknown execution, workflowId = w"),
        (
            o.SignalWorkflowExecution(domain="d", workflow_id="w", signal_name="s", run_id="r"),
            "Unknown execution: WorkflowExecution=[workflowId=w, runId=r]",
        ),
        (
            o.DescribeWorkflowExecution(domain="d", execution=WorkflowExecution("w", "r")),
            "Unknown execution: WorkflowExecution=[workflowId=w, runId=r]",
        ),
        (
            o.GetWorkflowExecutionHistory(domain="d", execution=WorkflowExecution("w", "r")),
            "Unknown execution: WorkflowExecution=[workflowId=w, runId=r]",
        ),
    ],
)
def test_s2_4_what_is_unknown_is_named(swf: Swf, request_: o.Request[Any], message: str) -> None:
    assert swf.refuse(request_) == ("UnknownResourceFault", message)


def test_s2_4_an_open_run_is_not_started_again_and_not_disclosed(swf: Swf) -> None:
    swf.start()
    assert swf.refuse(start()) == ("WorkflowExecutionAlreadyStartedFault", "")


def test_s2_5_a_missing_member(swf: Swf) -> None:
    missing: Any = None
    assert swf.refuse(start(workflow_id=missing)) == one("workflowId", None, "not be null")
    assert swf.refuse(start(workflow_type=WorkflowType(missing, "1"))) == one("workflowType.name", None, "not be null")


@pytest.mark.parametrize("operation", [o.DescribeWorkflowExecution, o.GetWorkflowExecutionHistory])
def test_s2_5_missing_settings_of_a_start_are_reported_in_this_order(swf: Swf, operation: Any) -> None:
    """Measured in us-east-1 in September 2026: moto, pull request 10262."""
    missing: Any = None
    nothing = f"{at('execution', None, 'not be null')}; {at('domain', None, 'not be null')}"
    ids = f"{at('execution.runId', None, 'not be null')}; {at('execution.workflowId', None, 'not be null')}"
    for asked, messages in (
        (operation(domain=missing, execution=missing), nothing),
        (operation(domain="d", execution=WorkflowExecution(missing, missing)), ids),
    ):
        assert swf.refuse(asked) == ("ValidationException", f"2 validation errors detected: {messages}")


def test_s2_5_several_invalid_members_are_reported_together(swf: Swf) -> None:
    code, message = swf.refuse(start(workflow_id="", input="x" * 32769, child_policy="X"))
    assert code == "ValidationException"
    assert message.startswith("3 validation errors detected: Value '' at 'workflowId' failed")
    assert message.count("; Value '") == 2
    assert message.endswith(at("childPolicy", "X", "satisfy enum value set: [TERMINATE, REQUEST_CANCEL, ABANDON]"))


def test_s2_5_a_member_of_the_wrong_type_is_not_serialisable(swf: Swf) -> None:
    wrong: Any = 7
    assert swf.refuse(start(workflow_id=wrong))[0] == "SerializationException"


@pytest.mark.parametrize("size", [-1, 1001])
@pytest.mark.parametrize("polled", [True, False])
def test_s2_5_a_page_size_is_never_clamped(swf: Swf, size: int, polled: bool) -> None:
    constraint = f"have value {'greater than or equal to 0' if size < 0 else 'less than or equal to 1000'}"
    request: o.Request[Any] = (
        o.PollForDecisionTask(domain="d", task_list=TaskList("l"), maximum_page_size=size)
        if polled
        else o.ListWorkflowTypes(domain="d", registration_status="REGISTERED", maximum_page_size=size)
    )
    assert swf.refuse(request) == one("maximumPageSize", size, constraint)


@pytest.mark.parametrize(
    ("request_", "path", "value", "constraint"),
    [
        (start(workflow_id=""), "workflowId", "", "have length greater than or equal to 1"),
        (start(workflow_id="x" * 257), "workflowId", "x" * 257, "have length less than or equal to 256"),
        (start(input="x" * 32769), "input", "x" * 32769, "have length less than or equal to 32768"),
        (
            start(workflow_type=WorkflowType("n", "v" * 65)),
            "workflowType.version",
            "v" * 65,
            "have length less than or equal to 64",
        ),
        (start(task_list=TaskList("")), "taskList.name", "", "have length greater than or equal to 1"),
        (start(lambda_role=""), "lambdaRole", "", "have length greater than or equal to 1"),
        (
            start(tag_list=("a", "x" * 257)),
            "tagList.2.member",
            "x" * 257,
            "have length less than or equal to 256",
        ),
        (
            start(tag_list=tuple("abcdef")),
            "tagList",
            "[a, b, c, d, e, f]",
            "have length less than or equal to 5",
        ),
        (
            start(task_start_to_close_timeout="123456789"),
            "taskStartToCloseTimeout",
            "123456789",
            "have length less than or equal to 8",
        ),
        (
            start(execution_start_to_close_timeout="31536001"),
            "executionStartToCloseTimeout",
            "31536001",
            "have value less than or equal to 31536000",
        ),
        (
            start(task_priority="2147483648"),
            "taskPriority",
            "2147483648",
            "have value less than or equal to 2147483647",
        ),
        (
            o.RecordActivityTaskHeartbeat(task_token="t", details="x" * 2049),
            "details",
            "x" * 2049,
            "have length less than or equal to 2048",
        ),
        (
            o.RespondActivityTaskFailed(task_token="t", reason="x" * 257),
            "reason",
            "x" * 257,
            "have length less than or equal to 256",
        ),
        (
            o.RespondActivityTaskCompleted(task_token="t" * 1025),
            "taskToken",
            "t" * 1025,
            "have length less than or equal to 1024",
        ),
        (
            o.PollForActivityTask(domain="d", task_list=TaskList("l"), identity="x" * 257),
            "identity",
            "x" * 257,
            "have length less than or equal to 256",
        ),
        (
            o.TerminateWorkflowExecution(domain="d", workflow_id="w", reason="x" * 257),
            "reason",
            "x" * 257,
            "have length less than or equal to 256",
        ),
        (
            o.DescribeWorkflowExecution(domain="d", execution=WorkflowExecution("w", "")),
            "execution.runId",
            "",
            "have length greater than or equal to 1",
        ),
        (
            o.RegisterDomain(name="n", workflow_execution_retention_period_in_days="1", description="x" * 1025),
            "description",
            "x" * 1025,
            "have length less than or equal to 1024",
        ),
    ],
)
def test_s2_6_a_field_has_its_limits(
    swf: Swf, request_: o.Request[Any], path: str, value: str, constraint: str
) -> None:
    assert swf.refuse(request_) == one(path, value, constraint)


@pytest.mark.parametrize("duration", ["", "-1", "1.5", "ten", "none", "+1", "1e3", " 1"])
def test_s2_6_a_duration_is_digits_or_none(swf: Swf, duration: str) -> None:
    assert swf.refuse(start(task_start_to_close_timeout=duration))[0] == "ValidationException"


def test_s3_2_an_execution_timeout_cannot_be_none_and_a_task_timeout_can(swf: Swf) -> None:
    assert swf.refuse(start(execution_start_to_close_timeout="NONE"))[0] == "ValidationException"
    execution = swf.start(task_start_to_close_timeout="NONE")
    assert swf.lines(execution, 2)[0][2]["start_to_close_timeout"] == "NONE"


@pytest.mark.parametrize(
    ("decision", "path", "value", "constraint"),
    [
        (
            d.StartTimer(timer_id=None, start_to_fire_timeout="1"),  # type: ignore[arg-type]
            "startTimerDecisionAttributes.timerId",
            None,
            "not be null",
        ),
        (
            d.ScheduleActivityTask(activity_type=ACTIVITY, activity_id=""),
            "scheduleActivityTaskDecisionAttributes.activityId",
            "",
            "have length greater than or equal to 1",
        ),
        (
            d.FailWorkflowExecution(reason="x" * 257),
            "failWorkflowExecutionDecisionAttributes.reason",
            "x" * 257,
            "have length less than or equal to 256",
        ),
        (
            d.ScheduleLambdaFunction(id="l", name="x" * 65),
            "scheduleLambdaFunctionDecisionAttributes.name",
            "x" * 65,
            "have length less than or equal to 64",
        ),
        (
            d.ScheduleLambdaFunction(id="l", name="f", start_to_close_timeout="901"),
            "scheduleLambdaFunctionDecisionAttributes.startToCloseTimeout",
            "901",
            "have value less than or equal to 900",
        ),
        (
            d.SignalExternalWorkflowExecution(workflow_id="w", signal_name=""),
            "signalExternalWorkflowExecutionDecisionAttributes.signalName",
            "",
            "have length greater than or equal to 1",
        ),
    ],
)
def test_s2_5_a_bad_decision_is_named_by_its_place_from_1(
    swf: Swf, decision: d.Decision, path: str, value: object, constraint: str
) -> None:
    swf.start()
    token = swf.poll().task_token
    refused = swf.refuse(
        o.RespondDecisionTaskCompleted(task_token=token, decisions=(d.RecordMarker(marker_name="m"), decision))
    )
    assert refused == one(f"decisions.2.member.{path}", value, constraint)


def test_s2_5_an_unknown_decision_type_is_answered_with_all_there_are(swf: Swf) -> None:
    class Undo(d.RecordMarker, tag="Undo"):
        pass

    swf.start()
    token = swf.poll().task_token
    unknown: Any = Undo(marker_name="m")
    refused = swf.refuse(o.RespondDecisionTaskCompleted(task_token=token, decisions=(unknown,)))
    assert refused == one("decisions.1.member.decisionType", "Undo", f"satisfy enum value set: {ALL_DECISIONS}")


def test_s2_6_a_timer_has_no_none(swf: Swf) -> None:
    swf.start()
    token = swf.poll().task_token
    timer = d.StartTimer(timer_id="t", start_to_fire_timeout="NONE")
    assert swf.refuse(o.RespondDecisionTaskCompleted(task_token=token, decisions=(timer,)))[0] == "ValidationException"


@pytest.mark.parametrize(
    "decisions",
    [
        (d.CompleteWorkflowExecution(), d.RecordMarker(marker_name="m")),
        (d.CompleteWorkflowExecution(), d.CompleteWorkflowExecution()),
        (d.ContinueAsNewWorkflowExecution(), d.FailWorkflowExecution()),
    ],
)
def test_s2_5_a_close_must_be_last(swf: Swf, decisions: tuple[d.Decision, ...]) -> None:
    swf.start()
    token = swf.poll().task_token
    refused = swf.refuse(o.RespondDecisionTaskCompleted(task_token=token, decisions=decisions))
    assert refused == ("ValidationException", "Close must be last decision in list")


@pytest.mark.parametrize("token", ["garbage", "AAAAKgAAAA", "AAAAKgAAAAIAAAAA" + "x" * 64 + "D0000000002"])
def test_s2_5_a_garbage_token_is_invalid(swf: Swf, token: str) -> None:
    swf.start()
    invalid = ("ValidationException", "Invalid token")
    assert swf.refuse(o.RespondDecisionTaskCompleted(task_token=token)) == invalid
    assert swf.refuse(o.RespondActivityTaskCompleted(task_token=token)) == invalid
    assert swf.refuse(o.RecordActivityTaskHeartbeat(task_token=token)) == invalid


def test_s2_5_a_token_of_a_task_that_never_was_is_invalid_at_once(swf: Swf) -> None:
    swf.start()
    token = swf.poll().task_token
    for forged in (token[:-1] + "9", token[:-1] + "1", token[:-1], token + "0"):
        assert swf.refuse(o.RespondDecisionTaskCompleted(task_token=forged)) == ("ValidationException", "Invalid token")


def test_s2_5_the_token_of_an_unassigned_task_is_invalid(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(*(d.ScheduleActivityTask(activity_type=ACTIVITY, activity_id=id) for id in "ab"))
    token = swf.work().task_token
    swf.signal(execution)
    swf.decide(d.ScheduleActivityTask(activity_type=ACTIVITY, activity_id="c"))
    for event_id in "01267":
        for late in (o.RespondActivityTaskCompleted, o.RecordActivityTaskHeartbeat):
            assert swf.refuse(late(task_token=token[:-1] + event_id)) == ("ValidationException", "Invalid token")
    assert swf.types(execution)[-1] == "ActivityTaskScheduled"


def test_s7_4_a_decision_token_is_not_an_activity_token(swf: Swf) -> None:
    swf.start()
    token = swf.poll().task_token
    assert swf.refuse(o.RespondActivityTaskCompleted(task_token=token)) == ("ValidationException", "Invalid token")


def test_s2_5_a_time_filter_is_needed_where_there_is_a_choice(swf: Swf) -> None:
    page = o.ListOpenWorkflowExecutions(domain="d", start_time_filter=None)  # type: ignore[arg-type]
    assert swf.refuse(page) == one("startTimeFilter", None, "not be null")


def test_s2_1_empty_strings_are_kept(swf: Swf) -> None:
    execution = swf.start(input="")
    swf.decide(d.ScheduleActivityTask(activity_type=ACTIVITY, activity_id="a", input=""), execution_context="")
    task = swf.work()
    swf.call(o.RespondActivityTaskCompleted(task_token=task.task_token, result=""))
    assert task.input == ""
    assert swf.find(execution, "WorkflowExecutionStarted")["input"] == ""
    assert swf.find(execution, "DecisionTaskCompleted")["execution_context"] == ""
    assert swf.find(execution, "ActivityTaskCompleted")["result"] == ""
    swf.decide(d.CompleteWorkflowExecution(result=""))
    assert swf.find(execution, "WorkflowExecutionCompleted")["result"] == ""


def test_s2_5_a_valid_time_is_not_reported_beside_invalid_members(swf: Swf) -> None:
    ever = o.ExecutionTimeFilter(oldest_date=swf.now, latest_date=swf.now)
    listing = o.ListOpenWorkflowExecutions(domain="d", start_time_filter=ever, maximum_page_size=1001)
    assert swf.refuse(listing) == one("maximumPageSize", 1001, "have value less than or equal to 1000")


def test_s2_6_a_tag_may_be_empty_and_be_looked_for(swf: Swf) -> None:
    swf.start("plain")
    swf.start("tagged", tag_list=("",))
    ever = o.ExecutionTimeFilter(oldest_date=swf.now)
    listing = o.ListOpenWorkflowExecutions(domain="d", start_time_filter=ever, tag_filter=o.TagFilter(tag=""))
    assert [info.execution.workflow_id for info in swf.call(listing).execution_infos] == ["tagged"]


def test_s2_1_a_null_tag_is_accepted_and_echoed(swf: Swf) -> None:
    null: Any = None
    execution = swf.start(tag_list=(null,))
    assert swf.find(execution, "WorkflowExecutionStarted")["tag_list"] == (null,)
    assert swf.describe(execution).execution_info.tag_list == (null,)
    child = d.StartChildWorkflowExecution(workflow_type=WORKFLOW, workflow_id="child", tag_list=("t", null))
    swf.decide(d.RecordMarker(marker_name="m"), child)
    assert swf.find(execution, "StartChildWorkflowExecutionInitiated")["tag_list"] == ("t", null)


def test_s2_6_limits_are_a_record_that_a_test_may_make_smaller(make_swf: MakeSwf) -> None:
    swf = make_swf(limits=Limits(payload_chars_max=3))
    assert swf.refuse(start(input="1234")) == one("input", "1234", "have length less than or equal to 3")


def test_s11_a_default_execution_timeout_cannot_be_none(swf: Swf) -> None:
    register = o.RegisterWorkflowType(
        domain="d",
        name="n",
        version="1",
        default_execution_start_to_close_timeout="NONE",
        default_child_policy="NO",  # type: ignore[arg-type]
    )
    code, message = swf.refuse(register)
    assert (code, message[:2]) == ("ValidationException", "2 ")
