"""`traction list`: show the executions of a backend, newest first."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

import msgspec
import typer

from traction.backend import Backend
from traction.cli import output
from traction.cli.loading import open_for
from traction.cli.options import Json, Url
from traction.client.visibility import walk
from traction.errors import BackendError, UnknownResourceFault
from traction.history.escaping import escape
from traction.model import operations as o
from traction.model.names import WorkflowExecution


def show_executions(
    context: typer.Context,
    url: Url = "local:",
    closed: Annotated[bool, typer.Option("--closed/--open", help="Show closed executions, or open ones.")] = False,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="The maximum number of executions to show.")] = 50,
    state: Annotated[
        bool,
        typer.Option("--states/--no-states", help="Show the states of open executions; costs one more request each."),
    ] = True,
    json: Json = False,
) -> None:
    """Show the executions of a backend, newest first."""
    with open_for(context, url) as backend:
        found = [*islice(walk(backend, closed=closed), count)]
        states = [_find_state(backend, info.execution) if state and not closed else None for info in found]
    if json:
        output.show_json([_to_json(*row) for row in zip(found, states, strict=True)])
        return
    if not found:
        memory = ", which exists only in the memory of this command" if url == "local:" else ""
        output.show_message(f"No {'closed' if closed else 'open'} executions in {url}{memory}")
    rows = [_format(*row) for row in zip(found, states, strict=True)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        output.show_lines("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())


def _find_state(backend: Backend, execution: WorkflowExecution) -> str | None:
    """Return the published state of an execution; `None` if it is gone meanwhile, or the service is busy."""
    try:
        detail = backend.call(o.DescribeWorkflowExecution(domain=backend.domain, execution=execution))
    except BackendError as error:
        if isinstance(error, UnknownResourceFault) or error.retryable:
            return None
        raise
    return detail.latest_execution_context


def _to_json(info: o.WorkflowExecutionInfo, state: str | None) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(info)
    return fields if state is None else {**fields, "latestExecutionContext": state}


def _format(info: o.WorkflowExecutionInfo, state: str | None) -> tuple[str, ...]:
    type = info.workflow_type
    status = info.close_status or ("CANCEL_REQUESTED" if info.cancel_requested else info.execution_status)
    began = info.start_timestamp.strftime("%Y-%m-%d %H:%M:%S")
    id, run_id = info.execution.workflow_id, info.execution.run_id
    words = (began, status, f"{type.name} {type.version}", id, run_id)
    return (*map(escape, words), output.shorten(state or ""))
