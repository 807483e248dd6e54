"""`traction list`: find executions by filters, newest first, or follow what starts and closes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Annotated, Any, Final

import msgspec
import typer

from traction.backend import Backend
from traction.cli import output
from traction.cli.documents import Count, Execution, to_execution
from traction.cli.filters import FilterOptions
from traction.cli.loading import UsageError, load_workflows, open_codec, open_for
from traction.cli.options import CodecName, Definitions, Json, Payloads, Url
from traction.client.following import follow_executions
from traction.client.listing import RARE, count_executions, list_executions
from traction.client.query import ListedExecution, Query
from traction.client.stuck import explain_stuck
from traction.definitions.classes import Workflow
from traction.errors import BackendError, UnknownResourceFault
from traction.history.closing import describe_closing_event
from traction.model import operations as o
from traction.model.names import WorkflowExecution
from traction.payloads.codec import Codec

RUN_ID_CHARS: Final = 8
"""How much of a run id is shown. Whole ids are shown with `--wide` and in JSON."""

FOLLOW_SECONDS: Final = 2.0
"""How long `--follow` waits between two reads."""


def show_executions(
    context: typer.Context,
    url: Url = "local:",
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="The maximum number of executions to show.")] = 50,
    count_only: Annotated[bool, typer.Option("--count-only", help="Print only how many match.")] = False,
    stuck: Annotated[
        bool,
        typer.Option(
            "--stuck",
            help="Show only open executions whose decision task times out repeatedly, or waits for a worker for over a "
            "minute, and why; reads the history of each open execution that matches.",
        ),
    ] = False,
    definitions: Definitions = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep on printing what starts and closes.")] = False,
    states: Annotated[
        bool,
        typer.Option("--states/--no-states", help="Show the states of open executions; costs one more request each."),
    ] = True,
    reasons: Annotated[
        bool | None,
        typer.Option(
            "--reasons/--no-reasons",
            help="Show why executions closed; costs one more request each. [default: with a --status of failures]",
            show_default=False,
        ),
    ] = None,
    wide: Annotated[bool, typer.Option("--wide", "-w", help="Show whole run ids, seconds and reasons.")] = False,
    payloads: Payloads = None,
    codec: CodecName = None,
    json: Json = False,
    *,
    filters: FilterOptions,
) -> None:
    """Find executions, open and closed, newest first. All filters must match."""
    if count_only + follow + stuck > 1:
        raise UsageError("--count-only, --follow and --stuck exclude each other; write one of them")
    workflows = load_workflows(definitions)
    payload_codec = open_codec(codec, payloads, context)
    with open_for(context, url) as backend:
        query = filters.make_query(backend.now())
        if count_only:
            show_count(Count.of(count_executions(backend, query)), json)
            return
        reader = Reader(backend, payload_codec, states, query.status in RARE if reasons is None else reasons)
        if stuck:
            found = list(islice(find_stuck(backend, query, workflows, payload_codec), count))
            show_found(found, wide, json=json, status="STUCK")
            if not found and not json:
                output.show_message(f"No open execution in {url} is stuck")
            return
        if follow:
            changes = follow_executions(backend, query, lambda: time.sleep(FOLLOW_SECONDS), newest=count)
            for execution in reader.read(changes):
                show_found([execution], wide, json=json, lines=True)
            return
        found = list(reader.read(islice(list_executions(backend, query), count)))
    if not found and not json:
        memory = ", which exists only in the memory of this command" if url == "local:" else ""
        which = "No executions" if filters.is_empty else "No matching executions"
        output.show_message(f"{which} in {url}{memory}")
    show_found(found, wide, json=json)


def find_stuck(
    backend: Backend, query: Query, workflows: Sequence[type[Workflow[Any]]], codec: Codec
) -> Iterator[Execution]:
    """Yield the open executions of a query that are stuck, each with why as its reason.

    Raises:
        UsageError: the query matches only closed executions.
    """
    if not query.includes_open:
        raise UsageError("--stuck finds open executions; leave out the filters for closed ones")
    for one in list_executions(backend, msgspec.structs.replace(query, status="OPEN")):
        reason = explain_stuck(backend, one.execution, workflows=workflows, codec=codec)
        if reason is not None:
            yield to_execution(one, reason=reason)


class Reader:
    """Reads what a list does not contain: the states of open executions, and why closed ones closed."""

    def __init__(self, backend: Backend, codec: Codec, states: bool, reasons: bool) -> None:
        self._backend, self._codec = backend, codec
        self._states, self._reasons = states, reasons

    def read(self, executions: Iterable[ListedExecution]) -> Iterator[Execution]:
        """Yield the documents of executions, reading each when it is needed."""
        for one in executions:
            is_open = one.status == "OPEN"
            state = self._find_state(one.execution) if is_open and self._states else None
            reason = None
            if self._reasons and one.status not in ("OPEN", "COMPLETED", "CONTINUED_AS_NEW"):
                reason = find_reason(self._backend, one.execution, self._codec)
            yield to_execution(one, state=state, reason=reason)

    def _find_state(self, execution: WorkflowExecution) -> str | None:
        """Return the published state of an execution; `None` if it is gone meanwhile, or the service is busy."""
        try:
            detail = self._backend.call(o.DescribeWorkflowExecution(domain=self._backend.domain, execution=execution))
        except BackendError as error:
            if isinstance(error, UnknownResourceFault) or error.retryable:
                return None
            raise
        return detail.latest_execution_context or None


def find_reason(backend: Backend, execution: WorkflowExecution, codec: Codec) -> str | None:
    """Return why an execution closed, from its last event; `None` if that is unknown, or the service is busy."""
    try:
        closing = backend.find_closing_event(execution)
    except BackendError as error:
        if isinstance(error, UnknownResourceFault) or error.retryable:
            return None
        raise
    return None if closing is None else describe_closing_event(closing, codec) or None


def show_count(counted: Count, json: bool) -> None:
    """Print how many executions match."""
    if json:
        output.show_document(counted)
    else:
        output.show_lines(f"{counted.count}{' or more: SWF stopped counting' if counted.truncated else ''}")


def show_found(
    found: list[Execution], wide: bool, *, json: bool, lines: bool = False, status: str | None = None
) -> None:
    """Print executions: as a table, as a JSON array, or with `lines` as one JSON object each.

    `status` is shown in the table for all of them.
    """
    if json and lines:
        for execution in found:
            output.show_document(execution)
    elif json:
        output.show_document(found)
    else:
        output.show_table([format_execution(execution, wide, status) for execution in found], wide=wide)


def format_execution(execution: Execution, wide: bool, status: str | None = None) -> tuple[str, ...]:
    """Return the columns of an execution. The last is its state, or why it closed or is stuck."""
    is_open = execution.status == "OPEN"
    return (
        execution.started_at.strftime("%Y-%m-%d %H:%M:%S" if wide else "%Y-%m-%d %H:%M"),
        status or ("CANCEL_REQUESTED" if execution.cancel_requested and is_open else execution.status),
        f"{execution.workflow} {execution.version}",
        execution.workflow_id,
        execution.run_id if wide else execution.run_id[:RUN_ID_CHARS],
        execution.reason or execution.state or "",
    )
