"""`traction list`: show the executions of a backend, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from traction import operations as o
from traction.cli import screen
from traction.cli.executions import list_executions, opened
from traction.cli.words import Json, Url


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
    json: Json = False,
) -> None:
    """Show the executions of a backend, newest first."""
    with opened(url, context) as backend:
        found = list_executions(backend, closed=closed, count=count)
    if json:
        screen.show_json(found)
        return
    if not found:
        memory = ", which is in memory: it is empty for each command" if url == "local:" else ""
        screen.tell(f"No {'closed' if closed else 'open'} executions in {url}{memory}")
    rows = [_tell(info) for info in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())


def _tell(info: o.WorkflowExecutionInfo) -> tuple[str, ...]:
    type = info.workflow_type
    status = info.close_status or ("CANCEL_REQUESTED" if info.cancel_requested else info.execution_status)
    began = info.start_timestamp.strftime("%Y-%m-%d %H:%M:%S")
    return (began, status, f"{type.name} {type.version}", info.execution.workflow_id, info.execution.run_id)
