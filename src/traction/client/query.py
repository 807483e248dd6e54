"""Which executions to find: the filters that lists, counts and batches share, and an execution as lists show it.

Pure: a query is data, and `Query.matches` defines what its filters mean.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias, TypedDict, cast, get_args

import msgspec

from traction.definitions.classes import Workflow
from traction.errors import DefinitionError
from traction.history.views import Link
from traction.model.literals import CloseStatus
from traction.model.names import WorkflowExecution
from traction.model.operations import WorkflowExecutionInfo

Status: TypeAlias = Literal["OPEN", "CLOSED"] | CloseStatus
"""SWF's words for whether an execution is open, or how it closed. `CLOSED` means any close."""

STATUSES: Final[tuple[str, ...]] = ("OPEN", "CLOSED", *get_args(CloseStatus))

Times: TypeAlias = tuple[datetime | None, datetime | None]
"""The first and the last instant of a range, both included and both aware; `None` for no bound."""

EVER: Final[Times] = (None, None)


class Filters(TypedDict, total=False):
    """The filters of a query, as keyword arguments; see `Query`. Absent and `None` filter nothing."""

    workflow: Callable[..., Workflow[Any]] | str | None
    """A definition or the name of a workflow type. A definition stands for its name: all versions match."""
    version: str | None
    """A version of `workflow`."""
    status: str | None
    """One of SWF's words, in lower or upper case: see `Status`."""
    tag: str | None
    """One of the execution's tags."""
    workflow_id: str | None
    started: Times
    """When the execution started: `(since, until)`."""
    closed: Times
    """When the execution closed: `(since, until)`. Open executions do not match."""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Which executions to find. An execution matches if it matches every filter.

    `make_query` makes one from the keyword arguments that users write.

    Raises:
        DefinitionError: the status is unknown, an instant has no time zone, a range ends before it begins, a version
            has no workflow, or open executions are asked for by the time of their close.
    """

    workflow: str | None = None
    version: str | None = None
    status: Status | None = None
    tag: str | None = None
    workflow_id: str | None = None
    started: Times = EVER
    closed: Times = EVER

    def __post_init__(self) -> None:
        if self.status is not None and self.status not in STATUSES:
            raise DefinitionError(f"status={self.status!r:.100} is not one of {', '.join(STATUSES)} (SWF)")
        if self.version is not None and self.workflow is None:
            raise DefinitionError(
                f"version={self.version!r:.100} needs workflow=... as well: a version belongs to a name"
            )
        for name in ("workflow", "version", "tag", "workflow_id"):
            if not isinstance(text := getattr(self, name), str | None) or text == "":
                raise DefinitionError(f"{name}={text!r:.100}: expected a non-empty string or None")
        for name, times in (("started", self.started), ("closed", self.closed)):
            _check_times(name, times)
        if self.status == "OPEN" and self.closed != EVER:
            raise DefinitionError('closed=... matches no open execution; leave out status="open" or closed=...')

    @property
    def includes_open(self) -> bool:
        """Whether an open execution can match."""
        return self.status in (None, "OPEN") and self.closed == EVER

    @property
    def includes_closed(self) -> bool:
        """Whether a closed execution can match."""
        return self.status != "OPEN"

    def matches(self, execution: ListedExecution) -> bool:
        """Return whether an execution matches every filter."""
        status = execution.status
        return (
            self.workflow in (None, execution.workflow)
            and self.version in (None, execution.version)
            and self.workflow_id in (None, execution.workflow_id)
            and (self.tag is None or self.tag in execution.tags)
            and (self.status in (None, status) or (self.status == "CLOSED" and status != "OPEN"))
            and _is_within(execution.started_at, self.started)
            and (
                self.closed == EVER
                or (execution.closed_at is not None and _is_within(execution.closed_at, self.closed))
            )
        )


class ListedExecution(msgspec.Struct, frozen=True, kw_only=True):
    """An execution as lists show it. It is as old as the list: the execution may have closed since."""

    workflow_id: str
    run_id: str
    workflow: str
    """The name of its type."""
    version: str
    """The version of its type."""
    status: Status
    """`OPEN`, or how it closed, in SWF's words; never `CLOSED`."""
    started_at: datetime
    closed_at: datetime | None = None
    cancel_requested: bool = False
    """Whether a cancellation was requested. SWF shows it for open executions only."""
    tags: tuple[str, ...] = ()
    parent: Link | None = None
    """The execution that started it as a child."""

    @property
    def execution(self) -> WorkflowExecution:
        """The workflow id and the run id: the argument of `Client.get_handle`."""
        return WorkflowExecution(self.workflow_id, self.run_id)


class ExecutionCount(msgspec.Struct, frozen=True):
    """How many executions match."""

    count: int
    truncated: bool = False
    """Whether SWF stopped counting: there are more."""


def make_query(filters: Filters) -> Query:
    """Return the query of some filters.

    Raises:
        DefinitionError: a filter is wrong: see `Query`.
    """
    if unknown := filters.keys() - Filters.__annotations__.keys():
        raise DefinitionError(
            f"{min(unknown)}=... is not a filter; the filters are {', '.join(Filters.__annotations__)}"
        )
    workflow, status = filters.get("workflow"), filters.get("status")
    if workflow is not None and not isinstance(workflow, str):
        if not hasattr(workflow, "spec"):
            raise DefinitionError(f"workflow={workflow!r:.100}: expected a workflow or the name of one")
        workflow = cast("type[Workflow[Any]]", workflow).spec.type.name
    if isinstance(status, str):
        status = status.upper()
    return Query(
        workflow=workflow,
        version=filters.get("version"),
        status=cast("Status | None", status),
        tag=filters.get("tag"),
        workflow_id=filters.get("workflow_id"),
        started=filters.get("started") or EVER,
        closed=filters.get("closed") or EVER,
    )


def to_listed(info: WorkflowExecutionInfo) -> ListedExecution:
    """Return an execution of a list of the service."""
    return ListedExecution(
        workflow_id=info.execution.workflow_id,
        run_id=info.execution.run_id,
        workflow=info.workflow_type.name,
        version=info.workflow_type.version,
        status=info.close_status or "OPEN",
        started_at=info.start_timestamp,
        closed_at=info.close_timestamp,
        cancel_requested=bool(info.cancel_requested),
        tags=info.tag_list or (),
        parent=None if info.parent is None else Link(info.parent.workflow_id, info.parent.run_id),
    )


def _check_times(name: str, times: Times) -> None:
    if not isinstance(times, tuple) or len(times) != 2:
        raise DefinitionError(f"{name}={times!r:.100}: expected a pair (since, until) of aware datetimes or None")
    since, until = times
    for instant in times:
        if instant is None:
            continue
        if not isinstance(instant, datetime):
            raise DefinitionError(f"{name}: expected aware datetimes or None, got {instant!r:.100}")
        if instant.tzinfo is None:
            raise DefinitionError(
                f"{name}: {instant} has no time zone, so it is not an instant; write "
                f"{instant.isoformat(' ')}+00:00, or use datetime.now(UTC)"
            )
    if since is not None and until is not None and since > until:
        raise DefinitionError(
            f"{name}: {_write(since)} is after {_write(until)}; write (since, until), the earlier instant first"
        )


def _is_within(instant: datetime, times: Times) -> bool:
    since, until = times
    return (since is None or since <= instant) and (until is None or instant <= until)


def _write(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(" ")
