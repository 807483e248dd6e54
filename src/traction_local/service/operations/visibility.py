"""Describe, list and count executions, and count pending tasks.

Lists show the state of `Knobs.visibility_delay` ago. A page token names the last execution of its page, so an execution
that starts or closes between two pages neither repeats nor hides another.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from traction.errors import ValidationException
from traction.model import operations as o
from traction_local.service.paging import fit, get_page_size, make_page_token, read_page_token
from traction_local.service.state.domain import Domain
from traction_local.service.state.execution import Execution
from traction_local.service.state.index import slice_by_time
from traction_local.service.state.region import Region

_COUNTED_MAX = 10_000
"""More do not fit into a megabyte."""

OpenQuery = o.ListOpenWorkflowExecutions | o.CountOpenWorkflowExecutions
ClosedQuery = o.ListClosedWorkflowExecutions | o.CountClosedWorkflowExecutions


def describe_workflow_execution(
    region: Region, request: o.DescribeWorkflowExecution, _now: datetime
) -> o.WorkflowExecutionDetail:
    """Return everything about a run except its events. The task list is the run's own, not the sticky one."""
    target = request.execution
    execution = region.get_domain(request.domain).index.get_execution(target.workflow_id, target.run_id)
    return o.WorkflowExecutionDetail(
        execution_info=_to_info(execution, execution.is_open),
        execution_configuration=execution.settings,
        open_counts=execution.count_open(),
        latest_activity_task_timestamp=execution.latest_activity_at,
        latest_execution_context=execution.context,
    )


def list_open_workflow_executions(
    region: Region, request: o.ListOpenWorkflowExecutions, now: datetime
) -> o.WorkflowExecutionInfos:
    """List open runs by start."""
    domain = region.get_domain(request.domain)
    return _list(region, request, now, _find_open(region, domain, request, now), by_close=False)


def list_closed_workflow_executions(
    region: Region, request: o.ListClosedWorkflowExecutions, now: datetime
) -> o.WorkflowExecutionInfos:
    """List closed runs by start or by close, depending on the time filter."""
    domain = region.get_domain(request.domain)
    by_close = request.close_time_filter is not None
    return _list(region, request, now, _find_closed(region, domain, request, now), by_close=by_close)


def count_open_workflow_executions(
    region: Region, request: o.CountOpenWorkflowExecutions, now: datetime
) -> o.WorkflowExecutionCount:
    """Count open runs."""
    found = _find_open(region, region.get_domain(request.domain), request, now)
    return _count(region, found, still_open=True)


def count_closed_workflow_executions(
    region: Region, request: o.CountClosedWorkflowExecutions, now: datetime
) -> o.WorkflowExecutionCount:
    """Count closed runs."""
    found = _find_closed(region, region.get_domain(request.domain), request, now)
    return _count(region, found, still_open=False)


def count_pending_activity_tasks(
    region: Region, request: o.CountPendingActivityTasks, _now: datetime
) -> o.PendingTaskCount:
    """Count the pending activity tasks of a list."""
    queue = region.get_domain(request.domain).activity_queues.find(request.task_list.name)
    return o.PendingTaskCount(count=0 if queue is None else queue.waiting, truncated=False)


def count_pending_decision_tasks(
    region: Region, request: o.CountPendingDecisionTasks, _now: datetime
) -> o.PendingTaskCount:
    """Count the pending decision tasks of a list, including those that wait for a running one to close."""
    queue = region.get_domain(request.domain).decision_queues.find(request.task_list.name)
    return o.PendingTaskCount(count=0 if queue is None else queue.waiting, truncated=False)


class Window(NamedTuple):
    """Part of a timeline, and a filter. The cost of a page is what it skips and what it contains."""

    executions: list[Execution]
    start: int
    stop: int
    passes: Callable[[Execution], bool]


def _find_open(region: Region, domain: Domain, request: OpenQuery, now: datetime) -> Window:
    """Return the open runs that match the filters, oldest first."""
    chosen = _make_filter(request)
    seen = now - region.knobs.visibility_delay
    if request.execution_filter is not None:
        executions = domain.index.by_workflow_id.get(request.execution_filter.workflow_id, [])
    elif seen == now:
        executions = list(domain.index.open.values())
    else:
        executions = domain.index.started.get_all()
    latest = min(request.start_time_filter.latest_date or now, seen)
    start, stop = slice_by_time(executions, request.start_time_filter.oldest_date, latest, by_close=False)
    return Window(executions, start, stop, lambda run: not run.forgotten and run.was_open(seen) and chosen(run))


def _find_closed(region: Region, domain: Domain, request: ClosedQuery, now: datetime) -> Window:
    """Return the closed runs that match the filters, oldest first."""
    if request.start_time_filter is not None and request.close_time_filter is not None:
        raise ValidationException("Cannot specify both a startTimeFilter and a closeTimeFilter")
    times = request.start_time_filter or request.close_time_filter
    if times is None:
        raise ValidationException("Must specify time filter")
    by_close = request.close_time_filter is not None
    chosen = _make_filter(request)
    seen = now - region.knobs.visibility_delay
    if request.execution_filter is None:
        executions = (domain.index.closed if by_close else domain.index.started).get_all()
    else:
        # Runs of one workflow id close in the order in which they started: only one is ever open.
        runs = domain.index.by_workflow_id.get(request.execution_filter.workflow_id, [])
        executions = [run for run in runs if not run.is_open]
    start, stop = slice_by_time(executions, times.oldest_date, times.latest_date or now, by_close=by_close)
    return Window(executions, start, stop, lambda run: not run.forgotten and run.had_closed(seen) and chosen(run))


def _make_filter(request: OpenQuery | ClosedQuery) -> Callable[[Execution], bool]:
    """Return the filter of a query, without the time and workflow id filters, which are applied elsewhere."""
    status = None if isinstance(request, OpenQuery) else request.close_status_filter
    type, tag = request.type_filter, request.tag_filter
    filters = {
        "executionFilter": request.execution_filter,
        "typeFilter": type,
        "tagFilter": tag,
        "closeStatusFilter": status,
    }
    given = [name for name, value in filters.items() if value is not None]
    if len(given) > 1:
        raise ValidationException(
            f"Cannot specify more than one exclusive filters in the same query: {', '.join(given)}"
        )
    if type is not None:
        name, version = type.name, type.version
        return lambda execution: execution.type.name == name and version in (None, "", execution.type.version)
    if tag is not None:
        wanted = tag.tag
        return lambda execution: wanted in (execution.started.tag_list or ())
    if status is not None:
        close_status = status.status
        return lambda execution: execution.close_status == close_status
    return lambda _: True


def _list(
    region: Region,
    request: o.ListOpenWorkflowExecutions | o.ListClosedWorkflowExecutions,
    now: datetime,
    window: Window,
    *,
    by_close: bool,
) -> o.WorkflowExecutionInfos:
    """Return a page of a window, newest first, or oldest first in reverse order."""

    def number(execution: Execution) -> int:
        return execution.close_number if by_close else execution.number

    executions, start, stop, passes = window
    if request.next_page_token is not None:
        (last,) = read_page_token(region, request, now, 1)
        if request.reverse_order:
            start = bisect_right(executions, last, start, stop, key=number)
        else:
            stop = bisect_left(executions, last, start, stop, key=number)
    places = range(start, stop) if request.reverse_order else reversed(range(start, stop))
    found = (execution for place in places if passes(execution := executions[place]))
    size = get_page_size(region, request.maximum_page_size)
    chosen_page = list(islice(found, size))
    still_open = isinstance(request, o.ListOpenWorkflowExecutions)
    page = fit(region, [_to_info(execution, still_open) for execution in chosen_page])
    more = len(page) < len(chosen_page) or next(found, None) is not None
    return o.WorkflowExecutionInfos(
        execution_infos=tuple(page),
        next_page_token=make_page_token(region, request, now, number(chosen_page[len(page) - 1])) if more else None,
    )


def _count(region: Region, window: Window, *, still_open: bool) -> o.WorkflowExecutionCount:
    """Count the matches that would fit into one page (API reference: "truncated")."""
    executions, start, stop, passes = window
    found = (execution for execution in islice(executions, start, stop) if passes(execution))
    chosen_page = [_to_info(execution, still_open) for execution in islice(found, _COUNTED_MAX)]
    count = len(fit(region, chosen_page))
    return o.WorkflowExecutionCount(count=count, truncated=count < len(chosen_page) or next(found, None) is not None)


def _to_info(execution: Execution, still_open: bool) -> o.WorkflowExecutionInfo:
    """Return the list entry of an execution, shown as open if the list still sees it open."""
    started = execution.started
    keeps = still_open or execution.region.knobs.cancel_requested_after_close
    return o.WorkflowExecutionInfo(
        execution=execution.execution,
        workflow_type=execution.type,
        start_timestamp=execution.started_at,
        execution_status="OPEN" if still_open else "CLOSED",
        close_timestamp=None if still_open else execution.closed_at,
        close_status=None if still_open else execution.close_status,
        parent=started.parent_workflow_execution,
        tag_list=started.tag_list,
        cancel_requested=execution.cancel_requested and keeps,
    )
