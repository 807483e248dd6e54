"""Check that lists, counts and descriptions of executions match the histories. Lists and counts may lag behind."""

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


def descriptions_match_the_history(backend: Backend) -> None:
    """The settings, and the times of the start, the close and the latest activity."""
    fixture = Fixture(backend).register()
    settings: dict[str, Any] = {
        "child_policy": "REQUEST_CANCEL",
        "task_start_to_close_timeout": "77",
        "execution_start_to_close_timeout": "250",
        "task_priority": "-3",
        "lambda_role": "arn:aws:iam::000000000000:role/exam",
    }
    execution = fixture.start(tag_list=("red", fixture.tag), **settings)
    child = d.StartChildWorkflowExecution(
        workflow_type=fixture.workflow_type,
        workflow_id=f"{fixture.tag}-child",
        task_list=TaskList(f"{fixture.tag}-children"),
    )
    activity = d.ScheduleActivityTask(activity_type=fixture.activity_type, activity_id="a")
    fixture.decide(activity, child, execution_context="halfway")
    fixture.wait_for_next_timestamp()
    task = fixture.get_activity_task()
    fixture.cancel(execution)
    fixture.decide(d.RecordMarker(marker_name="m"))
    detail = fixture.describe(execution)
    configuration = detail.execution_configuration
    expect_equal({name: getattr(configuration, name) for name in settings}, settings, "the settings described")
    expect_equal(configuration.task_list, fixture.deciders, "the task list described")
    expect_equal(detail.latest_execution_context, "halfway", "the context, which the last completion did not change")
    expect_equal(detail.open_counts.open_child_workflow_executions, 1, "the open children")
    events = backend.get_history(execution)
    latest = events[task.started_event_id - 1].event_timestamp
    expect_equal(detail.latest_activity_task_timestamp, latest, "the time of the latest activity")
    info = detail.execution_info
    expect_equal(
        (info.tag_list, info.workflow_type), (("red", fixture.tag), fixture.workflow_type), "tags and type described"
    )
    expect_equal(info.start_timestamp, events[0].event_timestamp, "the time of the start")
    expect_equal(
        (info.close_timestamp, info.close_status, info.parent),
        (None, None, None),
        "the close and parent of an open run without parent",
    )
    expect(info.cancel_requested, "cancel_requested should be true")
    child_id = f"{fixture.tag}-child"
    (found,) = wait_for(lambda: _list_open(fixture, workflow_id=child_id), "the child in a list")
    expect_equal(found.parent, execution, "the parent in a list")
    expect_equal(fixture.describe(found.execution).execution_info.parent, execution, "the parent described")
    fixture.wait_for_next_timestamp()
    fixture.terminate(execution)
    info = fixture.describe(execution).execution_info
    expect_equal(info.close_timestamp, backend.get_history(execution)[-1].event_timestamp, "the time of the close")
    expect_equal(info.start_timestamp, events[0].event_timestamp, "the time of the start, after the close")
    fixture.terminate(found.execution)


def _list_open(fixture: Fixture, *, workflow_id: str) -> tuple[o.WorkflowExecutionInfo, ...]:
    since = o.ExecutionTimeFilter(oldest_date=fixture.backend.now() - HOUR)
    by_id = o.WorkflowExecutionFilter(workflow_id=workflow_id)
    listing = o.ListOpenWorkflowExecutions(domain=fixture.domain, start_time_filter=since, execution_filter=by_id)
    return fixture.call(listing).execution_infos


def _read(
    fixture: Fixture, kind: type[Any], size: int | None, reverse: bool, **filters: Any
) -> list[o.WorkflowExecutionInfo]:
    """Read a whole list, page by page."""
    infos: list[o.WorkflowExecutionInfo] = []
    request = kind(domain=fixture.domain, maximum_page_size=size, reverse_order=reverse, **filters)
    for page in fixture.read_pages(request):
        expect(size is None or len(page.execution_infos) <= size, f"a page of {size} is too long")
        infos += page.execution_infos
    return infos


def _start_apart(fixture: Fixture, count: int) -> list[WorkflowExecution]:
    """Start executions, each with a timestamp of its own."""
    executions = []
    for n in range(count):
        executions.append(fixture.start(f"w{n}"))
        fixture.wait_for_next_timestamp()
    return executions


def executions_are_listed_by_time_in_any_page_size_and_order(backend: Backend) -> None:
    """Open runs by start, closed runs by start or close, depending on the time filter."""
    fixture = Fixture(backend).register()
    since = o.ExecutionTimeFilter(oldest_date=backend.now() - HOUR)
    mine: dict[str, Any] = {"type_filter": o.WorkflowTypeFilter(name=fixture.tag)}
    started = _start_apart(fixture, 5)
    closed = [started[index] for index in (2, 0, 4, 1, 3)]

    def check(kind: type[Any], oldest_first: list[WorkflowExecution], **filters: Any) -> None:
        wait_for(
            lambda: len(_read(fixture, kind, None, False, **filters, **mine)) == 5, f"five runs by {kind.__name__}"
        )
        for size in (None, 1, 2):
            for reverse in (False, True):
                found = [info.execution for info in _read(fixture, kind, size, reverse, **filters, **mine)]
                expected = oldest_first if reverse else oldest_first[::-1]
                expect_equal(
                    found, expected, f"{kind.__name__} by {[*filters]} in pages of {size}, backwards: {reverse}"
                )

    check(o.ListOpenWorkflowExecutions, started, start_time_filter=since)
    for execution in closed:
        fixture.terminate(execution)
        fixture.wait_for_next_timestamp()
    check(o.ListClosedWorkflowExecutions, closed, close_time_filter=since)
    check(o.ListClosedWorkflowExecutions, started, start_time_filter=since)


def closed_runs_are_found_by_status_and_time(backend: Backend) -> None:
    """Also by id, type, version and tag. Both ends of a time range are included. Counts match the lists."""
    fixture = Fixture(backend).register()
    fixture.register_workflow_type(version="2")
    done = fixture.start("done")
    fixture.decide(d.CompleteWorkflowExecution())
    fixture.wait_for_next_timestamp()
    ended = fixture.start("ended", workflow_type=type(fixture.workflow_type)(fixture.tag, "2"), tag_list=(fixture.tag,))
    fixture.wait_for_next_timestamp()
    fixture.terminate(ended)
    begin, end = (backend.get_history(ended)[index].event_timestamp for index in (0, -1))
    tick = timedelta(milliseconds=1)
    ever = o.ExecutionTimeFilter(oldest_date=begin - HOUR)
    mine: dict[str, Any] = {"type_filter": o.WorkflowTypeFilter(name=fixture.tag)}
    by_id = o.WorkflowExecutionFilter(workflow_id=ended.workflow_id)

    def between(oldest: Any, latest: Any = None) -> o.ExecutionTimeFilter:
        return o.ExecutionTimeFilter(oldest_date=oldest, latest_date=latest)

    expected: tuple[tuple[dict[str, Any], list[WorkflowExecution]], ...] = (
        ({"close_time_filter": ever, **mine}, [ended, done]),
        ({"close_time_filter": ever, "execution_filter": by_id}, [ended]),
        ({"close_time_filter": ever, "tag_filter": o.TagFilter(tag=fixture.tag)}, [ended]),
        ({"close_time_filter": ever, "type_filter": o.WorkflowTypeFilter(name=fixture.tag, version="1")}, [done]),
        ({"close_time_filter": between(end), **mine}, [ended]),
        ({"close_time_filter": between(end + tick), **mine}, []),
        ({"close_time_filter": between(end - HOUR, end - tick), **mine}, [done]),
        ({"start_time_filter": between(begin, begin), **mine}, [ended]),
        ({"start_time_filter": between(begin - HOUR, begin - tick), **mine}, [done]),
    )
    closed = o.ListClosedWorkflowExecutions
    wait_for(lambda: len(_read(fixture, closed, None, False, **expected[0][0])) == 2, "two closed runs in a list")
    for filters, runs in expected:
        found = _read(fixture, closed, None, False, **filters)
        expect_equal([info.execution for info in found], runs, f"the closed runs by {filters}")
        counted = fixture.call(o.CountClosedWorkflowExecutions(domain=fixture.domain, **filters))
        expect_equal((counted.count, counted.truncated), (len(runs), False), f"the count of closed runs by {filters}")
    for info in _read(fixture, closed, None, False, close_time_filter=ever, execution_filter=by_id):
        expect_equal((info.execution_status, info.close_status), ("CLOSED", "TERMINATED"), "the status in a list")
        expect_equal((info.start_timestamp, info.close_timestamp), (begin, end), "the times in a list")
    # Other checks may have closed runs with this status too.
    for status, run, other in (("COMPLETED", done, ended), ("TERMINATED", ended, done)):
        by_status = o.CloseStatusFilter(status=status)  # type: ignore[arg-type]
        since = between(begin - timedelta(minutes=1))
        runs = [
            info.execution
            for info in _read(fixture, closed, None, False, close_time_filter=since, close_status_filter=by_status)
        ]
        expect(run in runs and other not in runs, f"of {run} and {other} the first should be listed as {status}")
