"""Section 5 of docs/swf-semantics.md, "Events and decisions"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.conformance.service.conftest import ACTIVITY, WORKFLOW, MakeSwf, Swf
from traction.model import decisions as d
from traction.model import events
from traction.model import operations as o
from traction.model.limits import Bucket, Limits
from traction.model.names import TaskList, WorkflowType
from traction_local.service.knobs import Knobs, LambdaOutcome

MARK = d.RecordMarker(marker_name="m")
CLOSES: list[tuple[d.Decision, str, str]] = [
    (d.CompleteWorkflowExecution(result="r"), "WorkflowExecutionCompleted", "COMPLETED"),
    (d.FailWorkflowExecution(reason="r", details="d"), "WorkflowExecutionFailed", "FAILED"),
    (d.CancelWorkflowExecution(details="d"), "WorkflowExecutionCanceled", "CANCELED"),
    (d.ContinueAsNewWorkflowExecution(), "WorkflowExecutionContinuedAsNew", "CONTINUED_AS_NEW"),
]


def book(id: str = "a", **given: Any) -> d.ScheduleActivityTask:
    return d.ScheduleActivityTask(activity_type=ACTIVITY, activity_id=id, **given)


def timer(id: str = "t", seconds: str = "10") -> d.StartTimer:
    return d.StartTimer(timer_id=id, start_to_fire_timeout=seconds)


def child(id: str = "c", **given: Any) -> d.StartChildWorkflowExecution:
    return d.StartChildWorkflowExecution(workflow_type=WORKFLOW, workflow_id=id, **given)


def failure(swf: Swf, *decisions: d.Decision, name: str) -> str:
    """The cause of the last failure of a batch that a new run answers with."""
    execution = swf.start()
    swf.decide(*decisions)
    cause = swf.find(execution, name)["cause"]
    assert isinstance(cause, str)
    return cause


def deprecate_activity(swf: Swf) -> None:
    swf.call(o.DeprecateActivityType(domain="d", activity_type=ACTIVITY))


def delete_activity(swf: Swf) -> None:
    deprecate_activity(swf)
    swf.call(o.DeleteActivityType(domain="d", activity_type=ACTIVITY))


@pytest.mark.parametrize(
    ("prepare", "cause"),
    [(deprecate_activity, "ACTIVITY_TYPE_DEPRECATED"), (delete_activity, "ACTIVITY_TYPE_DOES_NOT_EXIST")],
)
def test_s5_3_an_activity_type_must_be_registered(swf: Swf, prepare: Callable[[Swf], None], cause: str) -> None:
    prepare(swf)
    assert failure(swf, book(), name="ScheduleActivityTaskFailed") == cause


def test_s5_3_an_activity_id_is_taken_while_its_task_is_open_even_within_a_batch(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(book(), book())
    assert swf.types(execution, 5) == ["ActivityTaskScheduled", "ScheduleActivityTaskFailed", "DecisionTaskScheduled"]
    assert swf.find(execution, "ScheduleActivityTaskFailed")["cause"] == "ACTIVITY_ID_ALREADY_IN_USE"
    swf.call(o.RespondActivityTaskCompleted(task_token=swf.work().task_token))
    swf.decide(book())
    assert swf.last(execution)[1] == "ActivityTaskScheduled"


@pytest.mark.parametrize(
    ("forget", "cause"),
    [
        (lambda _: None, "ACTIVITY_ID_ALREADY_IN_USE"),
        (deprecate_activity, "ACTIVITY_TYPE_DEPRECATED"),
        (delete_activity, "ACTIVITY_TYPE_DOES_NOT_EXIST"),
    ],
)
def test_s5_3_the_type_is_looked_for_before_the_id(swf: Swf, forget: Callable[[Swf], None], cause: str) -> None:
    execution = swf.start()
    swf.decide(book())
    swf.signal(execution)
    forget(swf)
    swf.decide(book())
    assert swf.find(execution, "ScheduleActivityTaskFailed")["cause"] == cause


def test_s5_3_an_activity_that_has_closed_cannot_be_cancelled(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(book())
    swf.call(o.RespondActivityTaskCompleted(task_token=swf.work().task_token))
    swf.decide(d.RequestCancelActivityTask(activity_id="a"))
    assert swf.find(execution, "RequestCancelActivityTaskFailed")["cause"] == "ACTIVITY_ID_UNKNOWN"


def test_s5_3_a_timer_id_is_taken_while_its_timer_is_open(swf: Swf) -> None:
    assert failure(swf, timer(), timer(), name="StartTimerFailed") == "TIMER_ID_ALREADY_IN_USE"


def test_s5_3_a_timer_that_fired_during_the_decision_cannot_be_cancelled(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(timer())
    swf.signal(execution)
    task = swf.poll()
    swf.advance(10)
    swf.respond(task, d.CancelTimer(timer_id="t"))
    assert swf.types(execution, 9) == [
        "TimerFired",
        "DecisionTaskScheduled",
        "DecisionTaskCompleted",
        "CancelTimerFailed",
    ]


def test_s5_3_a_child_whose_id_is_taken_fails_after_its_initiated_event(swf: Swf) -> None:
    swf.start("c")
    swf.poll()
    execution = swf.start()
    swf.decide(child(control="x"))
    swf.advance()
    assert swf.types(execution, 5) == [
        "StartChildWorkflowExecutionInitiated",
        "StartChildWorkflowExecutionFailed",
        "DecisionTaskScheduled",
    ]
    failed = swf.find(execution, "StartChildWorkflowExecutionFailed")
    assert (failed["cause"], failed["initiated_event_id"], failed["control"]) == ("WORKFLOW_ALREADY_RUNNING", 5, "x")
    assert swf.describe(execution).open_counts.open_child_workflow_executions == 0


OTHER = WorkflowType("other", "1")


@pytest.mark.parametrize(
    ("delete", "cause"), [(False, "WORKFLOW_TYPE_DEPRECATED"), (True, "WORKFLOW_TYPE_DOES_NOT_EXIST")]
)
def test_s5_3_a_child_and_a_continuation_need_a_registered_type(swf: Swf, delete: bool, cause: str) -> None:
    swf.register_workflow_type(OTHER)
    execution = swf.start(type=OTHER)
    swf.call(o.DeprecateWorkflowType(domain="d", workflow_type=OTHER))
    if delete:
        swf.call(o.DeleteWorkflowType(domain="d", workflow_type=OTHER))
    swf.decide(d.StartChildWorkflowExecution(workflow_type=OTHER, workflow_id="c"), d.ContinueAsNewWorkflowExecution())
    assert swf.find(execution, "StartChildWorkflowExecutionFailed")["cause"] == cause
    assert swf.find(execution, "ContinueAsNewWorkflowExecutionFailed")["cause"] == cause


@pytest.mark.parametrize(
    ("limits", "decisions", "name", "cause"),
    [
        (
            Limits(open_activities_max=1),
            (book("a"), book("b")),
            "ScheduleActivityTaskFailed",
            "OPEN_ACTIVITIES_LIMIT_EXCEEDED",
        ),
        (Limits(open_timers_max=1), (timer("a"), timer("b")), "StartTimerFailed", "OPEN_TIMERS_LIMIT_EXCEEDED"),
        (
            Limits(open_children_max=1),
            (child("a"), child("b")),
            "StartChildWorkflowExecutionFailed",
            "OPEN_CHILDREN_LIMIT_EXCEEDED",
        ),
        (
            Limits(open_executions_max=1),
            (child(),),
            "StartChildWorkflowExecutionFailed",
            "OPEN_WORKFLOWS_LIMIT_EXCEEDED",
        ),
        (
            Limits(open_lambdas_max=0),
            (d.ScheduleLambdaFunction(id="l", name="f"),),
            "ScheduleLambdaFunctionFailed",
            "OPEN_LAMBDA_FUNCTIONS_LIMIT_EXCEEDED",
        ),
    ],
)
def test_s5_3_a_run_has_its_limits(
    make_swf: MakeSwf, limits: Limits, decisions: tuple[d.Decision, ...], name: str, cause: str
) -> None:
    assert failure(make_swf(limits=limits), *decisions, name=name) == cause


@pytest.mark.parametrize(
    ("decision", "name", "cause"),
    [
        (book(), "ScheduleActivityTaskFailed", "ACTIVITY_CREATION_RATE_EXCEEDED"),
        (timer(), "StartTimerFailed", "TIMER_CREATION_RATE_EXCEEDED"),
        (child(), "StartChildWorkflowExecutionFailed", "CHILD_CREATION_RATE_EXCEEDED"),
        (
            d.SignalExternalWorkflowExecution(workflow_id="w", signal_name="s"),
            "SignalExternalWorkflowExecutionFailed",
            "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED",
        ),
        (
            d.RequestCancelExternalWorkflowExecution(workflow_id="w"),
            "RequestCancelExternalWorkflowExecutionFailed",
            "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED",
        ),
        (
            d.ScheduleLambdaFunction(id="l", name="f"),
            "ScheduleLambdaFunctionFailed",
            "LAMBDA_FUNCTION_CREATION_RATE_EXCEEDED",
        ),
    ],
)
def test_s5_3_an_empty_bucket_fails_the_decision(
    make_swf: MakeSwf, decision: d.Decision, name: str, cause: str
) -> None:
    empty = Bucket(type(decision).__name__, 0, 0)
    assert failure(make_swf(limits=Limits(throttling=True, decision_buckets=(empty,))), decision, name=name) == cause


@pytest.mark.parametrize(
    ("decision", "name"),
    [
        (book(), "ScheduleActivityTaskFailed"),
        (timer(), "StartTimerFailed"),
        (MARK, "RecordMarkerFailed"),
        (child(), "StartChildWorkflowExecutionFailed"),
        (
            d.SignalExternalWorkflowExecution(workflow_id="w", signal_name="s"),
            "SignalExternalWorkflowExecutionFailed",
        ),
        (d.RequestCancelExternalWorkflowExecution(workflow_id="w"), "RequestCancelExternalWorkflowExecutionFailed"),
        (d.CompleteWorkflowExecution(), "CompleteWorkflowExecutionFailed"),
        (d.FailWorkflowExecution(), "FailWorkflowExecutionFailed"),
        (d.CancelWorkflowExecution(), "CancelWorkflowExecutionFailed"),
        (d.ContinueAsNewWorkflowExecution(), "ContinueAsNewWorkflowExecutionFailed"),
    ],
)
def test_s13_a_decision_that_is_denied_fails_as_an_event(make_swf: MakeSwf, decision: d.Decision, name: str) -> None:
    swf = make_swf(knobs=Knobs(denied=(type(decision).__name__,)))
    control: dict[str, Any] = {"control": "c"} if hasattr(decision, "control") else {}
    asked = msgspec.structs.replace(decision, **control)
    execution = swf.start()
    swf.decide(asked)
    failed = swf.find(execution, name)
    # It has the members of the decision, and links to no event that was never written.
    fields = getattr(events, name).__struct_fields__
    kept = {field: getattr(asked, field) for field in fields if getattr(asked, field, None) is not None}
    if "initiated_event_id" in fields:
        kept["initiated_event_id"] = 0
    assert failed == {**kept, "cause": "OPERATION_NOT_PERMITTED", "decision_task_completed_event_id": 4}
    assert swf.poll().task_token != ""


def test_s13_a_cancel_that_is_denied_leaves_what_it_would_cancel(make_swf: MakeSwf) -> None:
    swf = make_swf(knobs=Knobs(denied=("CancelTimer", "RequestCancelActivityTask")))
    execution = swf.start()
    swf.decide(book(), timer(), d.CancelTimer(timer_id="t"), d.RequestCancelActivityTask(activity_id="a"))
    assert swf.find(execution, "CancelTimerFailed")["cause"] == "OPERATION_NOT_PERMITTED"
    assert swf.find(execution, "RequestCancelActivityTaskFailed")["cause"] == "OPERATION_NOT_PERMITTED"
    counts = swf.describe(execution).open_counts
    assert (counts.open_activity_tasks, counts.open_timers) == (1, 1)


def test_s13_an_operation_that_is_denied_is_refused(make_swf: MakeSwf) -> None:
    swf = make_swf(knobs=Knobs(denied=("StartWorkflowExecution",)))
    start = o.StartWorkflowExecution(domain="d", workflow_id="w", workflow_type=WORKFLOW)
    assert swf.refuse(start)[0] == "OperationNotPermittedFault"


@pytest.mark.parametrize(("unique", "failed"), [(False, 0), (True, 1)])
def test_s5_3_the_id_of_a_lambda_task_may_be_used_again(make_swf: MakeSwf, unique: bool, failed: int) -> None:
    swf = make_swf(knobs=Knobs(lambda_ids_unique=unique), lambdas=lambda _: LambdaOutcome())
    execution = swf.start(lambda_role="r")
    swf.decide(d.ScheduleLambdaFunction(id="l", name="f"), d.ScheduleLambdaFunction(id="l", name="f"))
    assert swf.types(execution).count("ScheduleLambdaFunctionFailed") == failed
    if failed:
        assert swf.find(execution, "ScheduleLambdaFunctionFailed")["cause"] == "ID_ALREADY_IN_USE"


def test_s5_3_a_region_may_have_no_lambda(make_swf: MakeSwf) -> None:
    swf = make_swf(knobs=Knobs(lambda_available=False))
    execution = swf.start()
    swf.decide(d.ScheduleLambdaFunction(id="l", name="f"))
    assert swf.find(execution, "ScheduleLambdaFunctionFailed") == {
        "id": "l",
        "name": "f",
        "cause": "LAMBDA_SERVICE_NOT_AVAILABLE_IN_REGION",
        "decision_task_completed_event_id": 4,
    }
    assert swf.last(execution)[1] == "DecisionTaskScheduled"


@pytest.mark.parametrize(("close", "event", "status"), CLOSES)
def test_s5_4_a_close_closes_even_over_open_work(swf: Swf, close: d.Decision, event: str, status: str) -> None:
    execution = swf.start()
    swf.decide(book(), timer(), child(task_list=TaskList("elsewhere")))
    swf.advance()
    swf.decide(close)
    assert swf.last(execution)[1] == event
    detail = swf.describe(execution)
    assert detail.execution_info.close_status == status
    counts = detail.open_counts
    assert (counts.open_activity_tasks, counts.open_timers, counts.open_child_workflow_executions) == (1, 1, 1)


@pytest.mark.parametrize("close", [close for close, _, _ in CLOSES])
@pytest.mark.parametrize("decision", [book(), timer()])
def test_s5_4_new_work_is_incompatible_with_a_close(swf: Swf, close: d.Decision, decision: d.Decision) -> None:
    execution = swf.start()
    token = swf.poll().task_token
    refused = swf.refuse(o.RespondDecisionTaskCompleted(task_token=token, decisions=(decision, close)))
    assert refused == ("ValidationException", "Specified decision is incompatible with close decision")
    assert len(swf.history(execution)) == 3


def test_s5_4_what_may_stand_before_a_close(swf: Swf) -> None:
    target = swf.start("target")
    swf.decide()
    execution = swf.start()
    swf.decide(book(), timer())
    swf.signal(execution)
    swf.decide(
        MARK,
        d.CancelTimer(timer_id="t"),
        d.RequestCancelActivityTask(activity_id="a"),
        child(),
        d.SignalExternalWorkflowExecution(workflow_id="target", signal_name="s"),
        d.RequestCancelExternalWorkflowExecution(workflow_id="target"),
        d.ScheduleLambdaFunction(id="l", name="f"),
        d.CompleteWorkflowExecution(),
    )
    swf.advance(1)
    assert swf.types(execution, 11) == [
        "MarkerRecorded",
        "TimerCanceled",
        "ActivityTaskCancelRequested",
        "StartChildWorkflowExecutionInitiated",
        "SignalExternalWorkflowExecutionInitiated",
        "RequestCancelExternalWorkflowExecutionInitiated",
        "LambdaFunctionScheduled",
        "WorkflowExecutionCompleted",
    ]
    # The effects on others take place, though the run that requested them has closed.
    assert swf.types(target, 5) == [
        "WorkflowExecutionSignaled",
        "DecisionTaskScheduled",
        "WorkflowExecutionCancelRequested",
    ]


@pytest.mark.parametrize(("close", "event", "status"), CLOSES)
def test_s5_4_a_close_fails_if_something_came_meanwhile(swf: Swf, close: d.Decision, event: str, status: str) -> None:
    execution = swf.start()
    task = swf.poll()
    swf.signal(execution)
    swf.respond(task, MARK, close)
    assert swf.types(execution, 6) == ["DecisionTaskCompleted", "MarkerRecorded", f"{type(close).__name__}Failed"]
    assert swf.last(execution)[2] == {"cause": "UNHANDLED_DECISION", "decision_task_completed_event_id": 6}
    swf.decide(close)
    assert swf.last(execution)[1] == event
    assert swf.describe(execution).execution_info.close_status == status


def test_s5_4_news_come_before_what_else_is_wrong_with_a_close(swf: Swf) -> None:
    execution = swf.start()
    task = swf.poll()
    swf.signal(execution)
    swf.respond(task, d.ContinueAsNewWorkflowExecution(workflow_type_version="unknown"))
    assert swf.last(execution)[2]["cause"] == "UNHANDLED_DECISION"


@pytest.mark.parametrize(("blocks", "last"), [(False, "WorkflowExecutionCompleted"), (True, "DecisionTaskScheduled")])
def test_s5_4_a_decision_that_failed_does_not_stop_the_close(make_swf: MakeSwf, blocks: bool, last: str) -> None:
    swf = make_swf(knobs=Knobs(failed_decision_blocks_close=blocks))
    execution = swf.start()
    swf.decide(d.CancelTimer(timer_id="x"), d.CompleteWorkflowExecution())
    assert swf.last(execution)[1] == last


def test_s5_4_a_run_may_cancel_itself_unasked(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(d.CancelWorkflowExecution(details="why"))
    assert swf.last(execution)[2] == {"decision_task_completed_event_id": 4, "details": "why"}


def test_s5_1_control_stays_with_the_decider(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(
        book(control="x"),
        d.StartTimer(timer_id="t", start_to_fire_timeout="1", control="y"),
        child(control="z"),
        d.ScheduleLambdaFunction(id="l", name="f", control="v"),
    )
    assert swf.find(execution, "LambdaFunctionScheduled")["control"] == "v"
    assert swf.find(execution, "ActivityTaskScheduled")["control"] == "x"
    assert swf.find(execution, "TimerStarted")["control"] == "y"
    assert swf.find(execution, "StartChildWorkflowExecutionInitiated")["control"] == "z"
