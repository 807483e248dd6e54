"""`traction list`: show the executions of a backend, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer

from traction.backend import Backend
from traction.cli import output
from traction.cli.executions import list_executions, opened
from traction.cli.options import Json, Url
from traction.errors import BackendError, UnknownResourceFault
from traction.model import operations as o
from traction.model.names import WorkflowExecution


def add_to(app: typer.Typer, _: Sequence[str]) -> None:
    """Add the command."""
    app.command("list")(show_executions)


def show_executions(
    context: typer.Context,
    url: Url = "local:",
    closed: Annotated[
        bool, typer.Option("--closed/--open", help="Those that have closed, or those that are open.")
    ] = False,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many at the most.")] = 50,
    reports: Annotated[
        bool, typer.Option(help="Show what the flows that are open report, for one more call each.")
    ] = True,
    json: Json = False,
) -> None:
    """Show the executions of a backend, newest first."""
    with opened(url, context) as backend:
        found = list_executions(backend, closed=closed, count=count)
        said = [_ask_report(backend, info.execution) if reports and not closed else None for info in found]
    if json:
        output.show_json([_to_json(*row) for row in zip(found, said, strict=True)])
        return
    if not found:
        memory = ", which is in memory: it is empty for each command" if url == "local:" else ""
        output.tell(f"No {'closed' if closed else 'open'} executions in {url}{memory}")
    rows = [_tell(*row) for row in zip(found, said, strict=True)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())


def _ask_report(backend: Backend, execution: WorkflowExecution) -> str | None:
    """Ask what a flow reported last; one that has closed meanwhile may not be kept, and a busy service not answer."""
    try:
        detail = backend.call(o.DescribeWorkflowExecution(domain=backend.domain, execution=execution))
    except BackendError as error:
        if isinstance(error, UnknownResourceFault) or error.retryable:
            return None
        raise
    return detail.latest_execution_context


def _to_json(info: o.WorkflowExecutionInfo, report: str | None) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(info)
    return told if report is None else {**told, "latestExecutionContext": report}


def _tell(info: o.WorkflowExecutionInfo, report: str | None) -> tuple[str, ...]:
    type = info.workflow_type
    status = info.close_status or ("CANCEL_REQUESTED" if info.cancel_requested else info.execution_status)
    began = info.start_timestamp.strftime("%Y-%m-%d %H:%M:%S")
    id, run_id = info.execution.workflow_id, info.execution.run_id
    return (began, status, f"{type.name} {type.version}", id, run_id, output.shorten(report or ""))
