"""Section 9 of docs/swf-semantics.md, "Starting and closing runs"."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.conformance.service.conftest import ACTIVITY, MakeSwf, Swf
from traction.model import decisions as d
from traction.model import operations as o
from traction.model.events import WorkflowExecutionStarted
from traction.model.limits import Limits
from traction.model.names import TaskList, WorkflowExecution, WorkflowType
from traction_local.service.knobs import Knobs, LambdaCall, LambdaOutcome

LEG = WorkflowType("leg", "1")
LEGS = TaskList("legs")


def family(swf: Swf, *ids: str, policy: Any = "TERMINATE", lifetime: str = "60", **given: Any) -> WorkflowExecution:
    """A parent with open children, each with a decision task on the list `legs`."""
    swf.register_workflow_type(LEG, default_task_list=LEGS)
    parent = swf.start("p", child_policy=policy, execution_start_to_close_timeout=lifetime)
    swf.decide(*(d.StartChildWorkflowExecution(workflow_type=LEG, workflow_id=id, **given) for id in ids or ("c",)))
    swf.advance()
    return parent


def child(swf: Swf) -> WorkflowExecution:
    lately = o.ExecutionTimeFilter(oldest_date=swf.now - timedelta(days=1))
    found = swf.call(o.ListOpenWorkflowExecutions(domain="d", start_time_filter=lately)).execution_infos
    return next(info.execution for info in found if info.execution.workflow_id == "c")


def test_s9_1_a_child_may_be_named_after_the_run_of_its_parent(swf: Swf) -> None:
    """So does Amazon's own Flow framework, `runId:n`, and its run ids have slashes. Names may have neither."""
    swf.register_workflow_type(LEG, default_task_list=LEGS)
    parent = swf.start("p")
    id = f"{parent.run_id}/:5"
    swf.decide(d.StartChildWorkflowExecution(workflow_type=LEG, workflow_id=id))
    swf.advance()
    started = swf.find(parent, "ChildWorkflowExecutionStarted")["workflow_execution"]
    assert started.workflow_id == id
    swf.decide(
        d.SignalExternalWorkflowExecution(workflow_id=id, signal_name="s"),
        d.RequestCancelExternalWorkflowExecution(workflow_id=id),
    )
    swf.advance()
    swf.signal(started)
    swf.call(o.RequestCancelWorkflowExecution(domain="d", workflow_id=id))
    lately, it = o.ExecutionTimeFilter(oldest_date=swf.now), o.WorkflowExecutionFilter(workflow_id=id)
    found = swf.call(o.ListOpenWorkflowExecutions(domain="d", start_time_filter=lately, execution_filter=it))
    assert [info.execution for info in found.execution_infos] == [started]
    swf.call(o.TerminateWorkflowExecution(domain="d", workflow_id=id))
    assert swf.describe(started).execution_info.close_status == "TERMINATED"
    assert swf.types(started, 3) == [
        *("WorkflowExecutionSignaled", "WorkflowExecutionCancelRequested") * 2,
        "WorkflowExecutionTerminated",
    ]


def test_s9_1_child_events_have_all_members_also_if_the_id_is_in_use(swf: Swf) -> None:
    swf.register_workflow_type(LEG, default_task_list=LEGS)
    parent = swf.start("p")
    ask = d.StartChildWorkflowExecution(workflow_type=LEG, workflow_id="c", input="in", tag_list=("t",), control="x")
    swf.decide(ask, ask)
    swf.advance()
    started = swf.find(swf.poll("legs").workflow_execution, "WorkflowExecutionStarted")
    assert (started["input"], started["tag_list"]) == ("in", ("t",))
    assert swf.find(parent, "StartChildWorkflowExecutionFailed") == {
        "workflow_type": LEG,
        "cause": "WORKFLOW_ALREADY_RUNNING",
        "workflow_id": "c",
        "initiated_event_id": 6,
        "decision_task_completed_event_id": 4,
        "control": "x",
    }


def test_s9_1_children_of_a_batch_start_each_with_its_own_event(swf: Swf) -> None:
    parent = family(swf, "a", "b")
    assert swf.types(parent, 5) == [
        "StartChildWorkflowExecutionInitiated",
        "StartChildWorkflowExecutionInitiated",
        "ChildWorkflowExecutionStarted",
        "DecisionTaskScheduled",
        "ChildWorkflowExecutionStarted",
    ]
    assert swf.find(parent, "ChildWorkflowExecutionStarted")["initiated_event_id"] == 6
    assert swf.describe(parent).open_counts.open_child_workflow_executions == 2


@pytest.mark.parametrize(
    ("close", "event", "attributes"),
    [
        (d.CompleteWorkflowExecution(result="r"), "ChildWorkflowExecutionCompleted", {"result": "r"}),
        (
            d.FailWorkflowExecution(reason="r", details="d"),
            "ChildWorkflowExecutionFailed",
            {"reason": "r", "details": "d"},
        ),
        (d.CancelWorkflowExecution(details="d"), "ChildWorkflowExecutionCanceled", {"details": "d"}),
    ],
)
def test_s9_1_the_parent_records_how_its_child_closed(
    swf: Swf, close: d.Decision, event: str, attributes: dict[str, str]
) -> None:
    parent = family(swf)
    execution = child(swf)
    swf.decide()
    swf.decide(close, task_list="legs")
    swf.advance()
    assert swf.find(parent, event) == {
        "workflow_execution": execution,
        "workflow_type": LEG,
        "initiated_event_id": 5,
        "started_event_id": 6,
        **attributes,
    }
    assert swf.last(parent)[1] == "DecisionTaskScheduled"
    assert swf.describe(parent).open_counts.open_child_workflow_executions == 0


def test_s9_2_a_policy_meets_the_run_that_a_child_goes_on_as(swf: Swf) -> None:
    family(swf)
    swf.decide(d.ContinueAsNewWorkflowExecution(), task_list="legs")
    second = child(swf)
    swf.call(o.TerminateWorkflowExecution(domain="d", workflow_id="p"))
    swf.advance()
    assert swf.last(second)[1] == "WorkflowExecutionTerminated"


def test_s9_1_a_child_that_continues_as_new_is_still_the_same_child(swf: Swf) -> None:
    parent = family(swf)
    first = child(swf)
    swf.decide(d.ContinueAsNewWorkflowExecution(), task_list="legs")
    swf.advance()
    assert swf.types(parent, 6) == ["ChildWorkflowExecutionStarted", "DecisionTaskScheduled"]
    second = child(swf)
    assert second.run_id != first.run_id
    started = swf.find(second, "WorkflowExecutionStarted")
    assert (started["parent_workflow_execution"], started["parent_initiated_event_id"]) == (parent, 5)
    assert started["continued_execution_run_id"] == first.run_id
    swf.decide(d.CompleteWorkflowExecution(), task_list="legs")
    swf.advance()
    assert swf.find(parent, "ChildWorkflowExecutionCompleted") == {
        "workflow_execution": second,
        "workflow_type": LEG,
        "initiated_event_id": 5,
        "started_event_id": 6,
    }


def test_s9_1_an_abandoned_child_continues_and_reports_nothing(swf: Swf) -> None:
    parent = family(swf, policy="ABANDON")
    swf.decide(d.CompleteWorkflowExecution())
    swf.advance()
    execution = child(swf)
    assert swf.describe(execution).execution_info.parent == parent
    before = swf.lines(parent)
    swf.decide(d.CompleteWorkflowExecution(), task_list="legs")
    swf.advance()
    assert swf.lines(parent) == before


@pytest.mark.parametrize("policy", ["TERMINATE", "REQUEST_CANCEL", "ABANDON"])
@pytest.mark.parametrize("close", ["complete", "fail", "cancel", "terminate", "time out"])
def test_s9_2_the_policy_of_the_run_that_closes_is_applied_however_it_closes(swf: Swf, policy: str, close: str) -> None:
    family(swf, policy=policy, child_policy="TERMINATE" if policy == "REQUEST_CANCEL" else "ABANDON")
    execution = child(swf)
    decisions: dict[str, d.Decision] = {
        "complete": d.CompleteWorkflowExecution(),
        "fail": d.FailWorkflowExecution(),
        "cancel": d.CancelWorkflowExecution(),
    }
    if close in decisions:
        swf.decide(decisions[close])
    elif close == "terminate":
        swf.call(o.TerminateWorkflowExecution(domain="d", workflow_id="p"))
    else:
        swf.advance(60)
    swf.advance()
    found = [line for line in swf.lines(execution) if line[2].get("cause") == "CHILD_POLICY_APPLIED"]
    names = {"TERMINATE": ["WorkflowExecutionTerminated"], "REQUEST_CANCEL": ["WorkflowExecutionCancelRequested"]}
    assert [line[1] for line in found] == names.get(policy, [])


def test_s9_2_a_policy_ignores_a_child_that_has_just_closed(make_swf: MakeSwf) -> None:
    swf = make_swf(knobs=Knobs(effect_latency=timedelta(seconds=1)))
    swf.register_workflow_type(LEG, default_task_list=LEGS)
    parent = swf.start("p", execution_start_to_close_timeout="10")
    swf.decide(
        d.StartChildWorkflowExecution(workflow_type=LEG, workflow_id="c", execution_start_to_close_timeout="9"),
        d.StartChildWorkflowExecution(workflow_type=LEG, workflow_id="d"),
    )
    swf.advance(1)
    children = [swf.poll("legs").workflow_execution for _ in range(2)]
    swf.advance(20)
    ends = [swf.last(execution)[1] for execution in (parent, *children)]
    assert ends == ["WorkflowExecutionTimedOut", "WorkflowExecutionTimedOut", "WorkflowExecutionTerminated"]


def test_s9_2_every_child_is_terminated_and_records_its_own_policy(swf: Swf) -> None:
    family(swf, "a", "b", "c", child_policy="ABANDON")
    children = [swf.poll("legs").workflow_execution for _ in range(3)]
    swf.call(o.TerminateWorkflowExecution(domain="d", workflow_id="p"))
    swf.advance()
    attributes = {"child_policy": "ABANDON", "cause": "CHILD_POLICY_APPLIED"}
    assert [swf.last(execution) for execution in children] == [(4, "WorkflowExecutionTerminated", attributes)] * 3


def test_s5_4_a_child_of_the_closing_batch_is_started_and_abandoned(swf: Swf) -> None:
    swf.register_workflow_type(LEG, default_task_list=LEGS)
    parent = swf.start("p", child_policy="ABANDON")
    ask = d.StartChildWorkflowExecution(workflow_type=LEG, workflow_id="c", tag_list=())
    swf.decide(ask, d.CompleteWorkflowExecution())
    swf.advance()
    assert "tag_list" not in swf.find(parent, "StartChildWorkflowExecutionInitiated")
    first = swf.poll("legs").events[0]
    assert isinstance(first, WorkflowExecutionStarted)
    assert (first.parent_workflow_execution, first.parent_initiated_event_id) == (parent, 5)
    assert swf.last(parent)[1] == "WorkflowExecutionCompleted"


def test_s9_2_a_terminate_may_bring_its_own_policy(swf: Swf) -> None:
    parent = family(swf, policy="TERMINATE")
    execution = child(swf)
    swf.call(o.TerminateWorkflowExecution(domain="d", workflow_id="p", child_policy="REQUEST_CANCEL"))
    swf.advance()
    assert swf.find(parent, "WorkflowExecutionTerminated")["child_policy"] == "REQUEST_CANCEL"
    assert swf.last(execution)[1] == "WorkflowExecutionCancelRequested"


def test_s9_2_a_policy_goes_down_by_each_childs_own(swf: Swf) -> None:
    family(swf, child_policy="REQUEST_CANCEL")
    swf.decide(
        d.StartChildWorkflowExecution(workflow_type=LEG, workflow_id="grandchild", task_list=TaskList("g")),
        task_list="legs",
    )
    swf.advance()
    grandchild = swf.poll("g").workflow_execution
    swf.call(o.TerminateWorkflowExecution(domain="d", workflow_id="p"))
    swf.advance()
    assert swf.types(grandchild, 4) == ["WorkflowExecutionCancelRequested", "DecisionTaskScheduled"]


@pytest.mark.parametrize("applies", [False, True])
def test_s9_2_a_policy_is_not_applied_when_the_run_continues(make_swf: MakeSwf, applies: bool) -> None:
    swf = make_swf(knobs=Knobs(child_policy_applies=("CONTINUED_AS_NEW",) if applies else ()))
    family(swf)
    execution = child(swf)
    swf.decide(d.ContinueAsNewWorkflowExecution())
    swf.advance()
    assert swf.describe(execution).execution_info.execution_status == ("CLOSED" if applies else "OPEN")


def test_s5_4_the_policy_applies_to_a_child_of_the_closing_batch(swf: Swf) -> None:
    swf.register_workflow_type(LEG, default_task_list=LEGS)
    parent = swf.start("p")
    swf.decide(d.StartChildWorkflowExecution(workflow_type=LEG, workflow_id="c"), d.CompleteWorkflowExecution())
    swf.advance()
    assert swf.types(parent, 5) == ["StartChildWorkflowExecutionInitiated", "WorkflowExecutionCompleted"]
    assert swf.poll("legs").task_token == ""


def test_s9_3_a_continuation_takes_nothing_from_the_run_before_but_id_and_type(swf: Swf) -> None:
    swf.register_workflow_type(WorkflowType("trip", "2"), default_task_start_to_close_timeout="99")
    first = swf.start(
        input="1",
        tag_list=("t",),
        task_list=TaskList("own"),
        task_priority="5",
        lambda_role="r",
        child_policy="ABANDON",
        execution_start_to_close_timeout="50",
    )
    swf.decide(d.ContinueAsNewWorkflowExecution(workflow_type_version="2", tag_list=("u",)), task_list="own")
    second = swf.poll().workflow_execution
    common = {
        "child_policy": "TERMINATE",
        "task_list": TaskList("deciders"),
        "workflow_type": WorkflowType("trip", "2"),
        "execution_start_to_close_timeout": "3600",
        "task_start_to_close_timeout": "99",
        "tag_list": ("u",),
    }
    started = {"continued_execution_run_id": first.run_id, "parent_initiated_event_id": 0}
    assert swf.find(second, "WorkflowExecutionStarted") == common | started
    continued = {"new_execution_run_id": second.run_id, "decision_task_completed_event_id": 4}
    assert swf.find(first, "WorkflowExecutionContinuedAsNew") == common | continued


def test_s9_3_a_continuation_records_nothing_of_the_run_before(swf: Swf) -> None:
    swf.start()
    swf.call(o.RequestCancelWorkflowExecution(domain="d", workflow_id="w"))
    book = d.ScheduleActivityTask(activity_type=ACTIVITY, activity_id="a")
    swf.respond(swf.poll(), book, execution_context="half way", task_list=TaskList("host"))
    swf.call(o.SignalWorkflowExecution(domain="d", workflow_id="w", signal_name="s"))
    swf.decide(d.ContinueAsNewWorkflowExecution(), task_list="host")
    task = swf.poll()
    assert (task.started_event_id, task.previous_started_event_id) == (3, 0)
    detail = swf.describe(task.workflow_execution)
    assert (detail.latest_execution_context, detail.latest_activity_task_timestamp) == (None, None)
    assert (detail.execution_info.cancel_requested, detail.open_counts.open_activity_tasks) == (False, 0)
    swf.respond(task)
    swf.signal(task.workflow_execution)
    assert swf.poll().task_token


def test_s9_3_the_execution_timeout_begins_anew(swf: Swf) -> None:
    swf.start(execution_start_to_close_timeout="10")
    swf.advance(8)
    swf.decide(d.ContinueAsNewWorkflowExecution(execution_start_to_close_timeout="10"))
    second = swf.poll().workflow_execution
    swf.advance(9)
    assert swf.describe(second).execution_info.execution_status == "OPEN"
    swf.advance(1)
    assert swf.describe(second).execution_info.close_status == "TIMED_OUT"


def test_s9_4_a_run_times_out_even_while_a_decider_is_at_work(swf: Swf) -> None:
    execution = swf.start(execution_start_to_close_timeout="10", task_start_to_close_timeout="NONE")
    task = swf.poll()
    swf.advance(10)
    assert swf.types(execution, 4) == ["WorkflowExecutionTimedOut"]
    assert swf.refuse(o.RespondDecisionTaskCompleted(task_token=task.task_token))[0] == "UnknownResourceFault"


def test_s9_4_a_task_that_is_due_with_its_run_still_has_its_event(swf: Swf) -> None:
    execution = swf.start(execution_start_to_close_timeout="10", task_start_to_close_timeout="10")
    swf.poll()
    swf.advance(20)
    types = ["DecisionTaskTimedOut", "DecisionTaskScheduled", "WorkflowExecutionTimedOut"]
    assert swf.types(execution, 4) == types
    assert swf.seconds(execution)[3:] == [10, 10, 10]


@pytest.mark.parametrize("policy", ["TERMINATE", "REQUEST_CANCEL", "ABANDON"])
def test_s9_4_a_termination_or_timeout_records_the_policy_of_the_run(make_swf: MakeSwf, policy: str) -> None:
    swf = make_swf(limits=Limits(history_events_max=3))
    ways: dict[str, Callable[[WorkflowExecution], object]] = {
        "timed out": lambda _: swf.advance(3600),
        "terminated": lambda run: swf.call(o.TerminateWorkflowExecution(domain="d", workflow_id=run.workflow_id)),
        "too long": lambda run: (swf.signal(run), swf.signal(run), swf.advance()),
    }
    for id, end in ways.items():
        execution = swf.start(id, child_policy=policy)
        end(execution)
        assert swf.last(execution)[2]["child_policy"] == policy


def test_s9_4_a_history_that_outgrows_its_limit_is_terminated(make_swf: MakeSwf) -> None:
    swf = make_swf(limits=Limits(history_events_max=10))
    execution = swf.start()
    for _ in range(8):
        swf.signal(execution)
    assert swf.describe(execution).execution_info.execution_status == "OPEN"
    swf.signal(execution)
    swf.advance()
    assert swf.lines(execution, 11) == [
        (11, "WorkflowExecutionSignaled", {"signal_name": "poke", "external_initiated_event_id": 0}),
        (12, "WorkflowExecutionTerminated", {"child_policy": "TERMINATE", "cause": "EVENT_LIMIT_EXCEEDED"}),
    ]


def test_s9_4_a_close_that_exceeds_the_event_limit_is_the_last_event(make_swf: MakeSwf) -> None:
    swf = make_swf(limits=Limits(history_events_max=4))
    execution = swf.start()
    swf.decide(d.CompleteWorkflowExecution())
    swf.advance(1)
    assert swf.types(execution, 5) == ["WorkflowExecutionCompleted"]


def invoke(swf: Swf, **given: Any) -> list[tuple[int, str, dict[str, Any]]]:
    """What a Lambda task adds to a history."""
    execution = swf.start(lambda_role="role")
    swf.decide(d.ScheduleLambdaFunction(id="l", name="f", **given))
    swf.advance(1000)
    return swf.lines(execution, 5)


@pytest.mark.parametrize(("seconds", "end"), [(899, "LambdaFunctionCompleted"), (900, "LambdaFunctionTimedOut")])
def test_s9_5_a_lambda_task_has_900_s_and_an_empty_object_by_default(make_swf: MakeSwf, seconds: int, end: str) -> None:
    calls: list[LambdaCall] = []

    def answer(call: LambdaCall) -> LambdaOutcome:
        calls.append(call)
        return LambdaOutcome(result="r", after=timedelta(seconds=seconds))

    scheduled, *rest = invoke(make_swf(lambdas=answer))
    # What no decision gave is not in the event. Recorded: simpleflow, test_lambda, 2017.
    assert scheduled[2] == {"id": "l", "name": "f", "decision_task_completed_event_id": 4}
    assert [line[1] for line in rest] == ["LambdaFunctionStarted", end, "DecisionTaskScheduled"]
    assert [(call.id, call.name, call.input, call.role) for call in calls] == [("l", "f", "{}", "role")]


@pytest.mark.parametrize(("lasts", "ends"), [(2.5, 2.5), (30, 30), (31, 30)])
def test_s9_5_a_lambda_task_is_open_until_it_ends_in_time(make_swf: MakeSwf, lasts: float, ends: float) -> None:
    calls: list[LambdaCall] = []

    def answer(call: LambdaCall) -> LambdaOutcome:
        calls.append(call)
        return LambdaOutcome(after=timedelta(seconds=lasts))

    swf = make_swf(lambdas=answer, limits=Limits(open_lambdas_max=1))
    execution = swf.start(lambda_role="role")
    swf.decide(d.ScheduleLambdaFunction(id="l", name="f", start_to_close_timeout="30"))
    swf.advance(1)
    assert [call.execution for call in calls] == [execution]
    assert swf.describe(execution).open_counts.open_lambda_functions == 1
    swf.advance(100)
    assert swf.seconds(execution)[5:] == [0, ends, ends]
    assert swf.describe(execution).open_counts.open_lambda_functions == 0
    swf.decide(d.ScheduleLambdaFunction(id="l", name="f"))
    swf.advance()
    assert swf.last(execution)[1] == "LambdaFunctionStarted"


def test_s9_5_a_lambda_task_that_could_not_start_is_not_open(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(d.ScheduleLambdaFunction(id="l", name="f"))
    swf.advance()
    assert swf.describe(execution).open_counts.open_lambda_functions == 0


def test_s9_5_a_lambda_task_that_fails(make_swf: MakeSwf) -> None:
    lines = invoke(make_swf(lambdas=lambda _: LambdaOutcome(reason="UnhandledError", details="{}")))
    attributes = {"scheduled_event_id": 5, "started_event_id": 6, "reason": "UnhandledError", "details": "{}"}
    assert lines[2] == (7, "LambdaFunctionFailed", attributes)


def test_s9_5_a_lambda_function_that_is_not_there(make_swf: MakeSwf) -> None:
    assert invoke(make_swf())[2][2]["reason"] == "ResourceNotFoundException"


def test_s9_5_a_lambda_task_that_takes_too_long(make_swf: MakeSwf) -> None:
    swf = make_swf(lambdas=lambda _: LambdaOutcome(result="late", after=timedelta(seconds=30)))
    lines = invoke(swf, start_to_close_timeout="30")
    attributes = {"scheduled_event_id": 5, "started_event_id": 6, "timeout_type": "START_TO_CLOSE"}
    assert lines[2:] == [(7, "LambdaFunctionTimedOut", attributes), (8, "DecisionTaskScheduled", lines[3][2])]


def test_s9_6_tags_are_recorded_and_not_inherited(swf: Swf) -> None:
    execution = swf.start(tag_list=("a", "", "a"))
    assert swf.find(execution, "WorkflowExecutionStarted")["tag_list"] == ("a", "", "a")
    untagged = swf.start("v", tag_list=())
    assert "tag_list" not in swf.find(untagged, "WorkflowExecutionStarted")
    swf.decide(d.ContinueAsNewWorkflowExecution(tag_list=()))
    assert "tag_list" not in swf.find(execution, "WorkflowExecutionContinuedAsNew")
    swf.poll()
    assert "tag_list" not in swf.find(swf.poll().workflow_execution, "WorkflowExecutionStarted")
