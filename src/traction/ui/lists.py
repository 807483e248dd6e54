"""Read a page of executions from the filters of a URL.

A page begins where the one before ended: at the start of its last execution. So each costs the same, however many
executions are before it.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, cast

import msgspec

from traction.backend import Backend
from traction.client.listing import count_executions, list_executions, make_plan
from traction.client.query import EVER, STATUSES, ExecutionCount, ListedExecution, Query, Status
from traction.errors import DefinitionError
from traction.ui.links import link

PAGE: Final = 50
"""How many executions a page has."""

WITHIN: Final = {
    "1h": timedelta(hours=1),
    "1d": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}
"""The spans of the filters `started` and `closed`: how long ago at most."""

FILTERS: Final = ("status", "workflow", "version", "tag", "id", "started", "closed")
"""The filters of the URL. The cursor is `before` and `skip`."""


class ListPage(msgspec.Struct, frozen=True):
    """A page of executions."""

    executions: list[ListedExecution]
    next_url: str
    """The URL of the next page; empty if there is none."""
    is_first: bool

    @property
    def digest(self) -> str:
        """A text that differs if the page shows something else."""
        shown = "\n".join(f"{one.run_id} {one.status} {one.cancel_requested}" for one in self.executions)
        return f"{zlib.crc32(shown.encode()):08x}"


def read_filters(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the filters that a URL has, without empty ones."""
    return {name: text for name in FILTERS if (text := parameters.get(name, "").strip())}


def read_query(filters: Mapping[str, str], now: datetime) -> Query:
    """Return the query of filters.

    Raises:
        DefinitionError: a filter is wrong.
    """
    status = filters.get("status")
    if status is not None and status.upper() not in STATUSES:
        raise DefinitionError(f"status={status!r:.100} is not one of {', '.join(STATUSES)} (SWF)")
    return Query(
        workflow=filters.get("workflow"),
        version=filters.get("version") if "workflow" in filters else None,
        status=None if status is None else cast(Status, status.upper()),
        tag=filters.get("tag"),
        workflow_id=filters.get("id"),
        started=(_read_within(filters, "started", now), None),
        closed=(_read_within(filters, "closed", now), None),
    )


def _read_within(filters: Mapping[str, str], name: str, now: datetime) -> datetime | None:
    if (text := filters.get(name)) is None:
        return None
    if text not in WITHIN:
        raise DefinitionError(f"{name}={text!r:.100} is not one of {', '.join(WITHIN)}")
    return now - WITHIN[text]


def read_page(backend: Backend, query: Query, parameters: Mapping[str, str]) -> ListPage:
    """Return the page of a query that begins at the cursor of a URL.

    Raises:
        DefinitionError: the cursor is wrong.
        BackendError: the service refused, or could not be reached.
    """
    before, skip = _read_cursor(parameters)
    by_close = query.closed != EVER
    part = query
    if before is not None:
        since = (query.closed if by_close else query.started)[0]
        # A range that ends before it begins has no executions.
        if since is not None and since > before:
            return ListPage([], "", False)
        times = (since, before)
        part = msgspec.structs.replace(query, **{"closed" if by_close else "started": times})
    found = list(islice(list_executions(backend, part, page_size=PAGE + skip + 1), skip, skip + PAGE + 1))
    shown, more = found[:PAGE], len(found) > PAGE
    next_url = ""
    if more:
        instants = [one.closed_at if by_close else one.started_at for one in shown]
        last = instants[-1]
        assert last is not None
        ties = sum(1 for instant in instants if instant == last)
        # If the whole page is of one instant, those that were skipped before are skipped again.
        ties += skip if ties == len(shown) and last == before else 0
        cursor = {"before": last.astimezone(UTC).isoformat(timespec="milliseconds"), "skip": str(ties)}
        next_url = link("/", **read_filters(parameters), **cursor)
    return ListPage(shown, next_url, before is None)


SKIP_MAX: Final = 900
"""How many executions of one instant a cursor may skip; SWF returns at most 1,000 at once."""


def _read_cursor(parameters: Mapping[str, str]) -> tuple[datetime | None, int]:
    text = parameters.get("before", "")
    if not text:
        return None, 0
    try:
        before, skip = datetime.fromisoformat(text), int(parameters.get("skip") or 0)
    except ValueError:
        raise DefinitionError(f"before={text!r:.100} is not an instant with a number of executions to skip") from None
    if before.tzinfo is None or skip < 0:
        raise DefinitionError(f"before={text!r:.100} is not an instant with a time zone")
    return before, min(skip, SKIP_MAX)


def count_cheaply(backend: Backend, query: Query) -> ExecutionCount | None:
    """Count the executions of a query, if the service applies all its filters; `None` if they had to be listed.

    Raises:
        BackendError: the service refused, or could not be reached.
    """
    for closed, included in ((False, query.includes_open), (True, query.includes_closed)):
        if included and make_plan(query, closed=closed).rest:
            return None
    return count_executions(backend, query)
