"""`traction check`: hold the executions of a backend against the code at hand, and name those that it would break."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Annotated, Any

import typer

from traction.backend import Backend
from traction.cli import loading, output
from traction.cli.commands.replay import judge
from traction.cli.executions import opened
from traction.cli.options import CodecName, Json, Payloads, Url
from traction.client.visibility import walk
from traction.definitions.checks import index_by_type
from traction.history.export import make_stored
from traction.model.names import WorkflowExecution, WorkflowType


def add_to(app: typer.Typer, _: Sequence[str]) -> None:
    """Add the command."""
    app.command("check")(check)


def check(
    context: typer.Context,
    targets: Annotated[
        list[str], typer.Argument(metavar="MODULE:WORKFLOW...", help="The workflows whose executions are replayed.")
    ],
    url: Url = "local:",
    open: Annotated[bool, typer.Option("--open/--no-open", help="All that are open.")] = True,
    closed: Annotated[int, typer.Option(min=0, help="So many of those that closed, of each workflow.")] = 20,
    payloads: Payloads = None,
    codec: CodecName = None,
    json: Json = False,
) -> None:
    """Replay open and recent executions: exit code 1 if the code at hand would break one.

    It reads the whole history of each, and changes nothing.
    """
    workflows = index_by_type(loading.load_workflow(target) for target in targets)
    reads = loading.open_codec(codec, payloads, context)
    broken: list[dict[str, Any]] = []
    replayed = 0
    with opened(url, context) as backend:
        for type, workflow in workflows.items():
            for execution in list_executions(backend, type, open=open, closed=closed):
                history = make_stored(backend.get_history(execution), execution)
                facts = judge(history, workflow, codec=reads)
                replayed += 1
                if "error" not in facts:
                    continue
                broken.append({"workflow_id": execution.workflow_id, "run_id": execution.run_id, **facts})
                if not json:
                    typer.echo(tell(execution, facts))
    if json:
        output.show_json({"replayed": replayed, "broken": broken})
    else:
        output.tell(f"{replayed} executions replayed, {len(broken)} would break")
    if broken:
        raise typer.Exit(1)


def list_executions(backend: Backend, type: WorkflowType, *, open: bool, closed: int) -> Iterator[WorkflowExecution]:
    """Give the executions of a type: all that are open, then those that closed, newest start first."""
    found = chain(
        walk(backend, closed=False, type=type) if open else (),
        islice(walk(backend, closed=True, type=type), closed),
    )
    return (info.execution for info in found)


def tell(execution: WorkflowExecution, facts: dict[str, Any]) -> str:
    """Say in one line where an execution would break."""
    who = f"{execution.workflow_id}  {execution.run_id}  {facts['error']}"
    if "step" not in facts:
        return f"{who}  {facts['message']}"
    at = f"{facts['step']}  event {facts['event_id']} {facts['event']}"
    return f"{who}  {at}  {facts['expected']} -> {facts['actual']}"
