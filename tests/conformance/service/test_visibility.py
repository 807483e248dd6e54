"""Section 10 of docs/swf-semantics.md, "Visibility"."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.conformance.service.conftest import ACTIVITY, BEGIN, MakeSwf, Swf
from traction.model import decisions as d
from traction.model import operations as o
from traction.model.names import TaskList, WorkflowExecution, WorkflowType
from traction_local.service.knobs import Knobs

EVER = o.ExecutionTimeFilter(oldest_date=BEGIN - timedelta(days=9))


def since(seconds: float, until: float | None = None) -> o.ExecutionTimeFilter:
    latest = None if until is None else BEGIN + timedelta(seconds=until)
    return o.ExecutionTimeFilter(oldest_date=BEGIN + timedelta(seconds=seconds), latest_date=latest)


def test_s10_1_a_count_stops_where_a_list_would_begin_another_page(make_swf: MakeSwf) -> None:
    swf = make_swf(knobs=Knobs(page_bytes_served_max=2000))
    runs = [swf.start(f"w-{number}") for number in range(100)]
    query: dict[str, Any] = {"domain": "d", "start_time_filter": EVER}
    page = swf.call(o.ListOpenWorkflowExecutions(**query))
    counted = swf.call(o.CountOpenWorkflowExecutions(**query))
    assert 3 < counted.count == len(page.execution_infos) < 20
    assert counted.truncated
    for run in runs[3:]:
        swf.call(o.TerminateWorkflowExecution(domain="d", workflow_id=run.workflow_id))
    counted = swf.call(o.CountOpenWorkflowExecutions(**query))
    assert (counted.count, counted.truncated) == (3, False)
    counted = swf.call(o.CountClosedWorkflowExecutions(**query))
    assert 3 < counted.count < 20
    assert counted.truncated


def list_open(swf: Swf, **given: Any) -> list[str]:
    """The workflow ids that the list and the count of open runs give, every page of them."""
    query: dict[str, Any] = {"domain": "d", "start_time_filter": EVER} | given
    found: list[str] = []
    token = None
    while True:
        page = swf.call(o.ListOpenWorkflowExecutions(**query, next_page_token=token))
        found += [info.execution.workflow_id for info in page.execution_infos]
        if (token := page.next_page_token) is None:
            break
    query = {name: value for name, value in query.items() if name not in ("maximum_page_size", "reverse_order")}
    assert swf.call(o.CountOpenWorkflowExecutions(**query)).count == len(found)
    return found


def list_closed(swf: Swf, **given: Any) -> list[str]:
    """The workflow ids that the list and the count of closed runs give, every page of them."""
    query: dict[str, Any] = {"domain": "d"} | given
    if "start_time_filter" not in query and "close_time_filter" not in query:
        query["close_time_filter"] = EVER
    found: list[str] = []
    token = None
    while True:
        page = swf.call(o.ListClosedWorkflowExecutions(**query, next_page_token=token))
        found += [info.execution.workflow_id for info in page.execution_infos]
        if (token := page.next_page_token) is None:
            break
    query = {name: value for name, value in query.items() if name not in ("maximum_page_size", "reverse_order")}
    assert swf.call(o.CountClosedWorkflowExecutions(**query)).count == len(found)
    return found


@pytest.fixture
def busy(swf: Swf) -> Swf:
    """Runs a to f, started a second apart. Of those c, a and e closed, 10, 11 and 12 s after the first start."""
    swf.register_workflow_type(WorkflowType("trip", "2"))
    for name in "abcdef":
        swf.start(
            name,
            type=WorkflowType("trip", "2" if name in "ef" else "1"),
            tag_list=("red", name) if name in "abc" else None,
            task_list=TaskList(name),
        )
        swf.advance(1)
    swf.advance(4)
    for name, close in (("c", d.CompleteWorkflowExecution()), ("a", d.FailWorkflowExecution())):
        swf.decide(close, task_list=name)
        swf.advance(1)
    swf.call(o.TerminateWorkflowExecution(domain="d", workflow_id="e"))
    swf.advance(8)
    return swf


def test_s10_1_open_runs_come_newest_first(busy: Swf) -> None:
    assert list_open(busy) == ["f", "d", "b"]
    assert list_open(busy, reverse_order=True) == ["b", "d", "f"]


def test_s10_1_closed_runs_come_by_the_time_that_is_asked_for(busy: Swf) -> None:
    assert list_closed(busy) == ["e", "a", "c"]
    assert list_closed(busy, reverse_order=True) == ["c", "a", "e"]
    assert list_closed(busy, start_time_filter=EVER) == ["e", "c", "a"]
    assert list_closed(busy, start_time_filter=EVER, reverse_order=True) == ["a", "c", "e"]


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("reverse", [False, True])
def test_s3_3_lists_have_pages(busy: Swf, size: int, reverse: bool) -> None:
    for listed in (list_open, list_closed):
        whole = listed(busy, reverse_order=reverse)
        assert listed(busy, reverse_order=reverse, maximum_page_size=size) == whole


def test_s3_3_what_closes_between_two_pages_hides_no_other(busy: Swf) -> None:
    query: dict[str, Any] = {"domain": "d", "start_time_filter": EVER, "maximum_page_size": 1}
    first = busy.call(o.ListOpenWorkflowExecutions(**query))
    busy.call(o.TerminateWorkflowExecution(domain="d", workflow_id="f"))
    busy.start("g")
    second = busy.call(o.ListOpenWorkflowExecutions(**query, next_page_token=first.next_page_token))
    assert [info.execution.workflow_id for info in first.execution_infos + second.execution_infos] == ["f", "d"]


def test_s10_1_both_ends_of_a_time_range_are_included(busy: Swf) -> None:
    assert list_open(busy, start_time_filter=since(1, 3)) == ["d", "b"]
    assert list_open(busy, start_time_filter=since(1.001, 2.999)) == []
    assert list_closed(busy, close_time_filter=since(10, 11)) == ["a", "c"]
    assert list_closed(busy, close_time_filter=since(10.001)) == ["e", "a"]
    assert list_closed(busy, start_time_filter=since(2, 4)) == ["e", "c"]


def test_s10_1_filters(busy: Swf) -> None:
    assert list_open(busy, type_filter=o.WorkflowTypeFilter(name="trip")) == ["f", "d", "b"]
    assert list_open(busy, type_filter=o.WorkflowTypeFilter(name="trip", version="")) == ["f", "d", "b"]
    assert list_open(busy, type_filter=o.WorkflowTypeFilter(name="trip", version="2")) == ["f"]
    assert list_open(busy, type_filter=o.WorkflowTypeFilter(name="tri")) == []
    assert list_open(busy, tag_filter=o.TagFilter(tag="red")) == ["b"]
    assert [list_open(busy, tag_filter=o.TagFilter(tag=tag)) for tag in ("Red", "re", "")] == [[], [], []]
    assert list_open(busy, execution_filter=o.WorkflowExecutionFilter(workflow_id="d")) == ["d"]
    assert list_open(busy, execution_filter=o.WorkflowExecutionFilter(workflow_id="a")) == []
    assert list_closed(busy, execution_filter=o.WorkflowExecutionFilter(workflow_id="a")) == ["a"]
    assert list_closed(busy, tag_filter=o.TagFilter(tag="red")) == ["a", "c"]
    assert list_closed(busy, type_filter=o.WorkflowTypeFilter(name="trip", version="1")) == ["a", "c"]
    for status, found in (("COMPLETED", ["c"]), ("FAILED", ["a"]), ("TERMINATED", ["e"]), ("TIMED_OUT", [])):
        assert list_closed(busy, close_status_filter=o.CloseStatusFilter(status=status)) == found  # type: ignore[arg-type]


def test_s10_1_one_workflow_id_has_many_runs(swf: Swf) -> None:
    first = swf.start()
    swf.advance(1)
    swf.decide(d.ContinueAsNewWorkflowExecution())
    swf.advance(1)
    swf.decide(d.CompleteWorkflowExecution())
    only = {"execution_filter": o.WorkflowExecutionFilter(workflow_id="w"), "domain": "d", "close_time_filter": EVER}
    infos = swf.call(o.ListClosedWorkflowExecutions(**only)).execution_infos  # type: ignore[arg-type]
    assert [info.close_status for info in infos] == ["COMPLETED", "CONTINUED_AS_NEW"]
    assert infos[1].execution == first


def test_s10_1_filters_exclude_each_other(swf: Swf) -> None:
    both: dict[str, Any] = {
        "domain": "d",
        "type_filter": o.WorkflowTypeFilter(name="trip"),
        "tag_filter": o.TagFilter(tag="t"),
    }
    exclusive = "Cannot specify more than one exclusive filters in the same query: "
    for request in (
        o.ListOpenWorkflowExecutions(**both, start_time_filter=EVER),
        o.CountOpenWorkflowExecutions(**both, start_time_filter=EVER),
        o.ListClosedWorkflowExecutions(**both, close_time_filter=EVER),
        o.CountClosedWorkflowExecutions(**both, close_time_filter=EVER),
    ):
        code, message = swf.refuse(request)
        assert (code, message[: len(exclusive)]) == ("ValidationException", exclusive)


def test_s10_1_closed_runs_need_exactly_one_time_filter(swf: Swf) -> None:
    neither = o.ListClosedWorkflowExecutions(domain="d")
    assert swf.refuse(neither) == ("ValidationException", "Must specify time filter")
    both = o.CountClosedWorkflowExecutions(domain="d", start_time_filter=EVER, close_time_filter=EVER)
    message = "Cannot specify both a startTimeFilter and a closeTimeFilter"
    assert swf.refuse(both) == ("ValidationException", message)


def test_s10_1_an_entry_describes_a_run_without_its_contents(swf: Swf) -> None:
    parent = swf.start("p", input="secret", tag_list=("t",))
    swf.advance(1)
    swf.decide(d.StartChildWorkflowExecution(workflow_type=WorkflowType("trip", "1"), workflow_id="c"))
    swf.advance(1)
    of_child, of_parent = swf.call(o.ListOpenWorkflowExecutions(domain="d", start_time_filter=EVER)).execution_infos
    assert (of_parent.execution, of_parent.parent, of_parent.tag_list) == (parent, None, ("t",))
    assert (of_parent.execution_status, of_parent.cancel_requested) == ("OPEN", False)
    assert (of_parent.close_status, of_parent.close_timestamp) == (None, None)
    assert (of_child.parent, of_child.tag_list) == (parent, None)
    assert of_child.start_timestamp == BEGIN + timedelta(seconds=1)


def test_s3_4_lists_may_lag_behind(make_swf: MakeSwf) -> None:
    swf = make_swf(knobs=Knobs(visibility_delay=timedelta(seconds=2)))
    swf.start()
    assert list_open(swf) == []
    swf.advance(2)
    assert list_open(swf) == ["w"]
    swf.decide(d.CompleteWorkflowExecution())
    swf.advance(1.999)
    assert (list_open(swf), list_closed(swf)) == (["w"], [])
    swf.advance(0.001)
    assert (list_open(swf), list_closed(swf)) == ([], ["w"])


def test_s10_1_closed_runs_are_forgotten_after_retention(swf: Swf) -> None:
    execution = swf.start()
    swf.start("open", execution_start_to_close_timeout="31536000")
    token = swf.poll().task_token
    assert token
    swf.advance(100)
    swf.call(o.TerminateWorkflowExecution(domain="d", workflow_id="w"))
    swf.advance(7 * 86400 - 0.001)
    assert list_closed(swf) == ["w"]
    assert swf.describe(execution).execution_info.close_status == "TERMINATED"
    swf.advance(0.001)
    assert list_closed(swf) == []
    assert list_closed(swf, start_time_filter=EVER) == []
    assert swf.refuse(o.DescribeWorkflowExecution(domain="d", execution=execution))[0] == "UnknownResourceFault"
    assert list_open(swf) == ["open"]


@pytest.mark.parametrize("retention", ["NONE", "0"])
def test_s10_1_without_retention_a_run_is_forgotten_at_its_close(swf: Swf, retention: str) -> None:
    swf.call(o.RegisterDomain(name="e", workflow_execution_retention_period_in_days=retention))
    swf.call(o.RegisterWorkflowType(domain="e", name="trip", version="1"))
    given: dict[str, Any] = {
        "task_list": TaskList("l"),
        "child_policy": "ABANDON",
        "execution_start_to_close_timeout": "10",
        "task_start_to_close_timeout": "10",
    }
    start = o.StartWorkflowExecution(domain="e", workflow_id="w", workflow_type=WorkflowType("trip", "1"), **given)
    run_id = swf.call(start).run_id
    assert run_id is not None
    swf.call(o.TerminateWorkflowExecution(domain="e", workflow_id="w"))
    swf.advance()
    describe = o.DescribeWorkflowExecution(domain="e", execution=WorkflowExecution("w", run_id))
    assert swf.refuse(describe)[0] == "UnknownResourceFault"
    closed = o.CountClosedWorkflowExecutions(domain="e", close_time_filter=EVER)
    assert swf.call(closed).count == 0


def test_s10_2_a_run_is_known_by_both_of_its_names(swf: Swf) -> None:
    execution = swf.start()
    other = WorkflowExecution("other", execution.run_id)
    message = f"Unknown execution: WorkflowExecution=[workflowId=other, runId={execution.run_id}]"
    for request in (
        o.DescribeWorkflowExecution(domain="d", execution=other),
        o.GetWorkflowExecutionHistory(domain="d", execution=other),
    ):
        assert swf.refuse(request) == ("UnknownResourceFault", message)


def test_s10_2_a_description_has_the_settings_and_open_counts(swf: Swf) -> None:
    execution = swf.start(task_priority="3", lambda_role="r")
    detail = swf.describe(execution)
    configuration = detail.execution_configuration
    assert (configuration.task_priority, configuration.lambda_role) == ("3", "r")
    assert (configuration.execution_start_to_close_timeout, configuration.child_policy) == ("3600", "TERMINATE")
    assert detail.latest_activity_task_timestamp is None
    swf.decide(
        d.ScheduleActivityTask(activity_type=ACTIVITY, activity_id="a"),
        d.ScheduleActivityTask(activity_type=ACTIVITY, activity_id="b"),
        d.StartTimer(timer_id="t", start_to_fire_timeout="99"),
    )
    swf.work()
    counts = swf.describe(execution).open_counts
    assert (counts.open_activity_tasks, counts.open_timers, counts.open_decision_tasks) == (2, 1, 0)
    assert (counts.open_child_workflow_executions, counts.open_lambda_functions) == (0, 0)


@pytest.mark.parametrize(("counts", "started"), [(False, 0), (True, 1)])
def test_s10_2_open_decision_tasks_are_those_that_wait(make_swf: MakeSwf, counts: bool, started: int) -> None:
    swf = make_swf(knobs=Knobs(openings_count_started_decision=counts))
    execution = swf.start()
    assert swf.describe(execution).open_counts.open_decision_tasks == 1
    task = swf.poll()
    assert swf.describe(execution).open_counts.open_decision_tasks == started
    swf.respond(task)
    assert swf.describe(execution).open_counts.open_decision_tasks == 0
    swf.signal(execution)
    task = swf.poll()
    swf.signal(execution)
    assert swf.describe(execution).open_counts.open_decision_tasks == 1
    swf.respond(task)
    assert swf.describe(execution).open_counts.open_decision_tasks == 1
    swf.call(o.TerminateWorkflowExecution(domain="d", workflow_id="w"))
    assert swf.describe(execution).open_counts.open_decision_tasks == 0


def test_s10_2_the_latest_activity_is_that_of_any_activity_event(swf: Swf) -> None:
    execution = swf.start()

    def latest() -> float:
        when = swf.describe(execution).latest_activity_task_timestamp
        assert when is not None
        return (when - BEGIN).total_seconds()

    swf.advance(1)
    swf.decide(d.ScheduleActivityTask(activity_type=ACTIVITY, activity_id="a"))
    assert latest() == 1
    swf.advance(1)
    task = swf.work()
    assert latest() == 2
    swf.advance(1)
    swf.call(o.RespondActivityTaskCompleted(task_token=task.task_token))
    assert latest() == 3
    swf.decide(d.ScheduleActivityTask(activity_type=ACTIVITY, activity_id="a"))
    swf.advance(1000)
    assert latest() == 303
