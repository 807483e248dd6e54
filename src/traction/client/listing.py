"""List and count executions by a query, with as few requests as the service allows.

Theory of operation. SWF lists open and closed executions by different operations, and applies one filter besides a
range of time. `CHOICES` is the table of filters, the most selective first: the first that a query has is sent, and the
rest are applied here. A count is the service's where one filter is the whole query, and is else made by listing.

Open and closed executions are merged by their start. An execution may close while its list is read: it must appear
once. So each page of open executions is read before the closed ones that started in the same span of time: what closes
between the two requests is in both, and the second is dropped. Read the other way round, it would be in neither.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from traction.backend import Backend
from traction.client.query import EVER, ExecutionCount, ListedExecution, Query, Times, to_listed
from traction.model import operations as o

_ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The oldest date of a range without a start. SWF accepts it."""

_MILLISECOND: Final = timedelta(milliseconds=1)
"""The resolution of SWF's times."""

RARE: Final = frozenset({"FAILED", "CANCELED", "TERMINATED", "TIMED_OUT"})
"""Close statuses that fewer executions have than any one type, where work mostly succeeds."""


class Choice(NamedTuple):
    """A filter of the service: the filters of a query that it applies, and how it is made if the query has them."""

    applies: frozenset[str]
    make: Callable[[Query], dict[str, Any] | None]


def _by_id(query: Query) -> dict[str, Any] | None:
    id = query.workflow_id
    return None if id is None else {"execution_filter": o.WorkflowExecutionFilter(workflow_id=id)}


def _by_tag(query: Query) -> dict[str, Any] | None:
    return None if query.tag is None else {"tag_filter": o.TagFilter(tag=query.tag)}


def _by_type(query: Query) -> dict[str, Any] | None:
    if query.workflow is None:
        return None
    return {"type_filter": o.WorkflowTypeFilter(name=query.workflow, version=query.version)}


def _by_status(query: Query) -> dict[str, Any] | None:
    if query.status is None or query.status == "OPEN" or query.status == "CLOSED":
        return None
    return {"close_status_filter": o.CloseStatusFilter(status=query.status)}


def _by_rare_status(query: Query) -> dict[str, Any] | None:
    return _by_status(query) if query.status in RARE else None


CHOICES: Final = (
    Choice(frozenset({"workflow_id"}), _by_id),
    Choice(frozenset({"tag"}), _by_tag),
    Choice(frozenset({"status"}), _by_rare_status),
    Choice(frozenset({"workflow", "version"}), _by_type),
    Choice(frozenset({"status"}), _by_status),
)
"""The filters of the service, the most selective first. SWF applies one of them to a request."""


class Plan(NamedTuple):
    """What a request asks the service, and the filters that are applied to its answer."""

    members: dict[str, Any]
    """The filters of the request, by member."""
    rest: frozenset[str]
    """The filters of the query that the service does not apply."""

    @property
    def is_empty(self) -> bool:
        """Whether no instant is in the range of time, in SWF's whole milliseconds. SWF refuses such a range."""
        (times,) = (value for value in self.members.values() if isinstance(value, o.ExecutionTimeFilter))
        return times.latest_date is not None and times.oldest_date > times.latest_date


def make_plan(query: Query, *, closed: bool) -> Plan:
    """Choose the filters of a request for the open or the closed executions of a query."""
    rest = {name for name in ("workflow", "version", "tag", "workflow_id") if getattr(query, name) is not None}
    if closed and query.status not in (None, "CLOSED"):
        rest.add("status")
    members: dict[str, Any] = {}
    for choice in CHOICES:
        if (found := choice.make(query)) is not None:
            members = found
            rest -= choice.applies
            break
    if query.closed == EVER:
        return Plan(members | {"start_time_filter": _make_range(query.started)}, frozenset(rest))
    # SWF applies one range of time. An execution closes no earlier than it starts.
    if query.started != EVER:
        rest.add("started")
    since = max(filter(None, (query.started[0], query.closed[0])), default=None)
    return Plan(members | {"close_time_filter": _make_range((since, query.closed[1]))}, frozenset(rest))


def list_executions(backend: Backend, query: Query, *, page_size: int | None = None) -> Iterator[ListedExecution]:
    """Yield the executions that match a query, the newest start first; with `closed`, the newest close first.

    Args:
        backend: where to look.
        query: which executions.
        page_size: how many executions a request returns; by default as many as the service puts into a page.

    Raises:
        BackendError: the service refused, or could not be reached.

    Laws:
        Each execution is yielded once, also if it closes meanwhile.
        The first one costs a request, or two if open and closed executions match, if the service applies all filters.
    """
    if not query.includes_open:
        return _list_closed(backend, query, page_size)
    if not query.includes_closed:
        return _list_open(backend, query, page_size)
    return _list_both(backend, query, page_size)


def count_executions(backend: Backend, query: Query) -> ExecutionCount:
    """Count the executions that match a query: by the service if it applies all filters, else by listing them.

    Raises:
        BackendError: the service refused, or could not be reached.
    """
    counts = []
    for closed, included in ((False, query.includes_open), (True, query.includes_closed)):
        if not included:
            continue
        plan = make_plan(query, closed=closed)
        if plan.is_empty:
            continue
        if plan.rest:
            list_them = _list_closed if closed else _list_open
            counts.append(ExecutionCount(sum(1 for _ in list_them(backend, query, None))))
            continue
        kind: Any = o.CountClosedWorkflowExecutions if closed else o.CountOpenWorkflowExecutions
        answer: o.WorkflowExecutionCount = backend.call(kind(domain=backend.domain, **plan.members))
        counts.append(ExecutionCount(answer.count, bool(answer.truncated)))
    return ExecutionCount(sum(one.count for one in counts), any(one.truncated for one in counts))


def _list_open(backend: Backend, query: Query, page_size: int | None) -> Iterator[ListedExecution]:
    pages = _read_pages(backend, o.ListOpenWorkflowExecutions, make_plan(query, closed=False), page_size)
    return (execution for page, _ in pages for execution in page if query.matches(execution))


def _list_closed(backend: Backend, query: Query, page_size: int | None) -> Iterator[ListedExecution]:
    pages = _read_pages(backend, o.ListClosedWorkflowExecutions, make_plan(query, closed=True), page_size)
    return (execution for page, _ in pages for execution in page if query.matches(execution))


def _list_both(backend: Backend, query: Query, page_size: int | None) -> Iterator[ListedExecution]:
    """Merge the open executions, page by page, with the closed ones that started in the span of each page."""
    since, until = query.started
    closed_plan = make_plan(query, closed=True)
    open_plan = make_plan(query, closed=False)
    instant, run_ids = _ALWAYS, set[str]()
    for page, last in _read_pages(backend, o.ListOpenWorkflowExecutions, open_plan, page_size):
        if not page and not last:
            continue
        # The next page may begin with executions of the same millisecond, so that one belongs to the next span.
        oldest = since if last else page[-1].started_at + _MILLISECOND
        span = {"start_time_filter": _make_range((oldest, until))}
        plan = closed_plan._replace(members=closed_plan.members | span)
        closed_pages = _read_pages(backend, o.ListClosedWorkflowExecutions, plan, page_size)
        closed = (execution for closed_page, _ in closed_pages for execution in closed_page)
        for execution in heapq.merge(page, closed, key=lambda execution: execution.started_at, reverse=True):
            if execution.started_at != instant:
                instant, run_ids = execution.started_at, set()
            if execution.run_id not in run_ids and query.matches(execution):
                run_ids.add(execution.run_id)
                yield execution
        if not last:
            until = page[-1].started_at


def _read_pages(
    backend: Backend, kind: Callable[..., Any], plan: Plan, page_size: int | None
) -> Iterator[tuple[list[ListedExecution], bool]]:
    """Yield the pages of a list, each with whether it is the last, reading each when it is needed."""
    token: str | None = None
    while not plan.is_empty:
        answer: o.WorkflowExecutionInfos = backend.call(
            kind(domain=backend.domain, next_page_token=token, maximum_page_size=page_size, **plan.members)
        )
        token = answer.next_page_token
        yield [to_listed(info) for info in answer.execution_infos], token is None
        if token is None:
            return


def _make_range(times: Times) -> o.ExecutionTimeFilter:
    """Return SWF's filter for a range, in its whole milliseconds."""
    since, until = times
    oldest = _ALWAYS if since is None else _ALWAYS - (_ALWAYS - since) // _MILLISECOND * _MILLISECOND
    latest = None if until is None else _ALWAYS + (until - _ALWAYS) // _MILLISECOND * _MILLISECOND
    return o.ExecutionTimeFilter(oldest_date=oldest, latest_date=latest)
