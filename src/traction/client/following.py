"""Follow the executions that match a query, those that start and those that close; or the events of one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

import msgspec

from traction.backend import Backend
from traction.client.listing import list_executions
from traction.client.query import ListedExecution, Query, Times
from traction.model import events as e
from traction.model import operations as o
from traction.model.correlation import EXECUTION_CLOSES
from traction.model.names import WorkflowExecution

LAG: Final = timedelta(minutes=1)
"""How far each turn looks back, as lists are eventually consistent (SWF)."""


def follow_executions(
    backend: Backend, query: Query, wait: Callable[[], object], *, newest: int = 50
) -> Iterator[ListedExecution]:
    """Yield the newest executions that match, oldest first, and then each that starts or closes, without end.

    Args:
        backend: where to look.
        query: which executions. One that closes is yielded again if it still matches.
        wait: called before each turn. A turn costs a request for what started in the last minute, and one for what
            closed.
        newest: how many executions are yielded before the first turn.

    Raises:
        BackendError: the service refused, or could not be reached.
    """
    since = backend.now()
    first = list(islice(list_executions(backend, query), newest))
    # What changed just before the first list is not a change to report.
    seen = {one.run_id: one.status for one in (*_list_recent(backend, query, since - LAG), *first)}
    yield from reversed(first)
    while True:
        wait()
        began = backend.now()
        recent = sorted(_list_recent(backend, query, since - LAG), key=lambda one: one.closed_at or one.started_at)
        fresh = [one for one in recent if seen.get(one.run_id) != one.status]
        # Each turn looks back over what the one before has listed, so that no more need be remembered.
        seen = {one.run_id: one.status for one in recent} | ({} if recent else seen)
        since = began
        yield from fresh


def _list_recent(backend: Backend, query: Query, since: datetime) -> Iterator[ListedExecution]:
    """Yield the executions of a query that started or closed at or after an instant."""
    if query.includes_open and (started := _narrow(query.started, since)) is not None:
        yield from list_executions(backend, msgspec.structs.replace(query, started=started, status="OPEN"))
    if query.includes_closed and (closed := _narrow(query.closed, since)) is not None:
        yield from list_executions(backend, msgspec.structs.replace(query, closed=closed))


def _narrow(times: Times, since: datetime) -> Times | None:
    """Return the part of a range from an instant on, `None` if it has passed."""
    first, last = times
    first = since if first is None else max(first, since)
    return None if last is not None and first > last else (first, last)


def follow_events(backend: Backend, execution: WorkflowExecution, wait: Callable[[], object]) -> Iterator[e.Event]:
    """Yield the events of a run, those that exist and then each that follows, until it has closed.

    Args:
        backend: where it is.
        execution: the run.
        wait: called before each turn. A turn reads the newest page of events, and older ones if it has missed some.

    Raises:
        UnknownResourceFault: the run is unknown, or no longer stored.
    """
    last = 0
    while True:
        fresh = list(_read_newest(backend, execution, last))
        yield from reversed(fresh)
        if fresh:
            last = fresh[0].event_id
            if type(fresh[0]) in EXECUTION_CLOSES:
                return
        wait()


def _read_newest(backend: Backend, execution: WorkflowExecution, last: int) -> Iterator[e.Event]:
    """Yield the events after an event id, newest first."""
    token: str | None = None
    while True:
        page = backend.call(
            o.GetWorkflowExecutionHistory(
                domain=backend.domain, execution=execution, reverse_order=True, next_page_token=token
            )
        )
        for event in page.events:
            if event.event_id <= last:
                return
            yield event
        if (token := page.next_page_token) is None:
            return
