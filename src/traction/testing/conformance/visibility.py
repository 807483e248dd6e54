"""Check lists, counts and descriptions: they agree with the histories, sooner or later, in any order and page size."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from traction.backend import Backend
from traction.model import decisions as d
from traction.model import operations as o
from traction.model.names import TaskList, WorkflowExecution
from traction.testing.conformance.expect import expect, expect_equal
from traction.testing.conformance.fixture import Fixture, wait_for

HOUR = timedelta(hours=1)


def a_description_agrees_with_the_history(backend: Backend) -> None:
    """In all that was given at the start, and in the times of start, close and the latest activity."""
    desk = Fixture(backend)
    desk.register()
    given: dict[str, Any] = {
        "child_policy": "REQUEST_CANCEL",
        "task_start_to_close_timeout": "77",
        "execution_start_to_close_timeout": "250",
        "task_priority": "-3",
        "lambda_role": "arn:aws:iam::000000000000:role/exam",
    }
    execution = desk.start(tag_list=("red", desk.tag), **given)
    child = d.StartChildWorkflowExecution(
        workflow_type=desk.workflow_type, workflow_id=f"{desk.tag}-child", task_list=TaskList(f"{desk.tag}-children")
    )
    activity = d.ScheduleActivityTask(activity_type=desk.activity_type, activity_id="a")
    desk.decide(activity, child, execution_context="half way")
    desk.let_time_pass()
    task = desk.get_activity_task()
    desk.cancel(execution)
    desk.decide(d.RecordMarker(marker_name="m"))
    detail = desk.describe(execution)
    told = detail.execution_configuration
    expect_equal({name: getattr(told, name) for name in given}, given, "the settings described")
    expect_equal(told.task_list, desk.deciders, "the task list described")
    expect_equal(detail.latest_execution_context, "half way", "the context, which the last answer left as it was")
    expect_equal(detail.open_counts.open_child_workflow_executions, 1, "the children that are open")
    events = backend.get_history(execution)
    latest = events[task.started_event_id - 1].event_timestamp
    expect_equal(detail.latest_activity_task_timestamp, latest, "the time of the latest activity")
    info = detail.execution_info
    expect_equal(
        (info.tag_list, info.workflow_type), (("red", desk.tag), desk.workflow_type), "tags and type described"
    )
    expect_equal(info.start_timestamp, events[0].event_timestamp, "the time of the start")
    expect_equal((info.close_timestamp, info.close_status, info.parent), (None, None, None), "what an open run has not")
    expect(info.cancel_requested, "an open run that was asked to cancel should say so")
    child_id = f"{desk.tag}-child"
    (found,) = wait_for(lambda: _list_open(desk, workflow_id=child_id), "the child in a list")
    expect_equal(found.parent, execution, "the parent in a list")
    expect_equal(desk.describe(found.execution).execution_info.parent, execution, "the parent described")
    desk.let_time_pass()
    desk.terminate(execution)
    info = desk.describe(execution).execution_info
    expect_equal(info.close_timestamp, backend.get_history(execution)[-1].event_timestamp, "the time of the close")
    expect_equal(info.start_timestamp, events[0].event_timestamp, "the time of the start, after the close")
    desk.terminate(found.execution)


def _list_open(desk: Fixture, *, workflow_id: str) -> tuple[o.WorkflowExecutionInfo, ...]:
    since = o.ExecutionTimeFilter(oldest_date=desk.backend.now() - HOUR)
    by_id = o.WorkflowExecutionFilter(workflow_id=workflow_id)
    listing = o.ListOpenWorkflowExecutions(domain=desk.domain, start_time_filter=since, execution_filter=by_id)
    return desk.call(listing).execution_infos


def _read(
    desk: Fixture, kind: type[Any], size: int | None, reverse: bool, **given: Any
) -> list[o.WorkflowExecutionInfo]:
    """Read a whole list, page by page."""
    infos: list[o.WorkflowExecutionInfo] = []
    token = None
    while True:
        page = desk.call(
            kind(domain=desk.domain, maximum_page_size=size, reverse_order=reverse, next_page_token=token, **given)
        )
        expect(size is None or len(page.execution_infos) <= size, f"a page of {size} is too long")
        infos += page.execution_infos
        token = page.next_page_token
        if token is None:
            return infos


def _start_apart(desk: Fixture, count: int) -> list[WorkflowExecution]:
    """Start executions, each in a moment of its own."""
    executions = []
    for n in range(count):
        executions.append(desk.start(f"w{n}"))
        desk.let_time_pass()
    return executions


def executions_are_listed_newest_first_in_pages_and_backwards(backend: Backend) -> None:
    """Open ones by their start; closed ones by their start or their close, as the time is given."""
    desk = Fixture(backend)
    desk.register()
    since = o.ExecutionTimeFilter(oldest_date=backend.now() - HOUR)
    mine: dict[str, Any] = {"type_filter": o.WorkflowTypeFilter(name=desk.tag)}
    started = _start_apart(desk, 5)
    closed = [started[index] for index in (2, 0, 4, 1, 3)]

    def check(kind: type[Any], oldest_first: list[WorkflowExecution], **given: Any) -> None:
        wait_for(lambda: len(_read(desk, kind, None, False, **given, **mine)) == 5, f"five runs by {kind.__name__}")
        for size in (None, 1, 2):
            for reverse in (False, True):
                found = [info.execution for info in _read(desk, kind, size, reverse, **given, **mine)]
                wanted = oldest_first if reverse else oldest_first[::-1]
                expect_equal(found, wanted, f"{kind.__name__} by {[*given]} in pages of {size}, backwards: {reverse}")

    check(o.ListOpenWorkflowExecutions, started, start_time_filter=since)
    for execution in closed:
        desk.terminate(execution)
        desk.let_time_pass()
    check(o.ListClosedWorkflowExecutions, closed, close_time_filter=since)
    check(o.ListClosedWorkflowExecutions, started, start_time_filter=since)


def closed_runs_are_found_by_how_and_when_they_closed(backend: Backend) -> None:
    """By status, id, type, version and tag; from one time to another, both included. Counts agree with the lists."""
    desk = Fixture(backend)
    desk.register()
    desk.register_workflow_type(version="2")
    done = desk.start("done")
    desk.decide(d.CompleteWorkflowExecution())
    desk.let_time_pass()
    ended = desk.start("ended", workflow_type=type(desk.workflow_type)(desk.tag, "2"), tag_list=(desk.tag,))
    desk.let_time_pass()
    desk.terminate(ended)
    begin, end = (backend.get_history(ended)[index].event_timestamp for index in (0, -1))
    tick = timedelta(milliseconds=1)
    ever = o.ExecutionTimeFilter(oldest_date=begin - HOUR)
    mine: dict[str, Any] = {"type_filter": o.WorkflowTypeFilter(name=desk.tag)}
    by_id = o.WorkflowExecutionFilter(workflow_id=ended.workflow_id)

    def between(oldest: Any, latest: Any = None) -> o.ExecutionTimeFilter:
        return o.ExecutionTimeFilter(oldest_date=oldest, latest_date=latest)

    wanted: tuple[tuple[dict[str, Any], list[WorkflowExecution]], ...] = (
        ({"close_time_filter": ever, **mine}, [ended, done]),
        ({"close_time_filter": ever, "execution_filter": by_id}, [ended]),
        ({"close_time_filter": ever, "tag_filter": o.TagFilter(tag=desk.tag)}, [ended]),
        ({"close_time_filter": ever, "type_filter": o.WorkflowTypeFilter(name=desk.tag, version="1")}, [done]),
        ({"close_time_filter": between(end), **mine}, [ended]),
        ({"close_time_filter": between(end + tick), **mine}, []),
        ({"close_time_filter": between(end - HOUR, end - tick), **mine}, [done]),
        ({"start_time_filter": between(begin, begin), **mine}, [ended]),
        ({"start_time_filter": between(begin - HOUR, begin - tick), **mine}, [done]),
    )
    closed = o.ListClosedWorkflowExecutions
    wait_for(lambda: len(_read(desk, closed, None, False, **wanted[0][0])) == 2, "two closed runs in a list")
    for given, runs in wanted:
        found = _read(desk, closed, None, False, **given)
        expect_equal([info.execution for info in found], runs, f"the closed runs by {given}")
        counted = desk.call(o.CountClosedWorkflowExecutions(domain=desk.domain, **given))
        expect_equal((counted.count, counted.truncated), (len(runs), False), f"the count of closed runs by {given}")
    for info in _read(desk, closed, None, False, close_time_filter=ever, execution_filter=by_id):
        expect_equal((info.execution_status, info.close_status), ("CLOSED", "TERMINATED"), "the status in a list")
        expect_equal((info.start_timestamp, info.close_timestamp), (begin, end), "the times in a list")
    # A status may also be that of runs of others: those of this desk are among them, or not.
    for status, run, other in (("COMPLETED", done, ended), ("TERMINATED", ended, done)):
        by_status = o.CloseStatusFilter(status=status)  # type: ignore[arg-type]
        since = between(begin - timedelta(minutes=1))
        runs = [
            info.execution
            for info in _read(desk, closed, None, False, close_time_filter=since, close_status_filter=by_status)
        ]
        expect(run in runs and other not in runs, f"of {run} and {other} the first should be listed as {status}")


CHECKS = (
    a_description_agrees_with_the_history,
    executions_are_listed_newest_first_in_pages_and_backwards,
    closed_runs_are_found_by_how_and_when_they_closed,
)
