"""`traction check`: replay the executions of a backend with the current code, and list those that it would break."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import Annotated

import typer

from traction.backend import Backend
from traction.cli import loading, output
from traction.cli.commands.replay import summarize_replay
from traction.cli.documents import Broken, Check
from traction.cli.loading import open_for
from traction.cli.options import CodecName, Json, Payloads, Url
from traction.client.visibility import walk
from traction.definitions.checks import index_by_type
from traction.history.escaping import escape
from traction.history.export import make_stored
from traction.model.names import WorkflowExecution, WorkflowType


def check(
    context: typer.Context,
    targets: Annotated[
        list[str], typer.Argument(metavar="MODULE:WORKFLOW...", help="The workflows whose executions are replayed.")
    ],
    url: Url = "local:",
    open: Annotated[bool, typer.Option("--open/--no-open", help="Replay all open executions.")] = True,
    closed: Annotated[int, typer.Option(min=0, help="Closed executions to replay, of each workflow.")] = 20,
    payloads: Payloads = None,
    codec: CodecName = None,
    json: Json = False,
) -> None:
    """Replay open and recent executions. Exit code 1 if the current code would break one.

    This reads the whole history of each execution and changes nothing.
    """
    workflows = index_by_type(loading.load_workflow(target) for target in targets)
    payload_codec = loading.open_codec(codec, payloads, context)
    broken: list[Broken] = []
    replayed = 0
    with open_for(context, url) as backend:
        for type, workflow in workflows.items():
            for execution in list_executions(backend, type, open=open, closed=closed):
                history = make_stored(backend.get_history(execution), execution)
                result = summarize_replay(execution.workflow_id, history, workflow, codec=payload_codec)
                replayed += 1
                if result.error is None:
                    continue
                one = Broken(workflow_id=execution.workflow_id, run_id=execution.run_id, error=result.error)
                broken.append(one)
                if not json:
                    output.show_lines(escape(describe_break(one)))
    if json:
        output.show_document(Check(replayed=replayed, broken=tuple(broken)))
    else:
        output.show_message(f"{replayed} executions replayed, {len(broken)} would break")
    if broken:
        raise typer.Exit(1)


def list_executions(backend: Backend, type: WorkflowType, *, open: bool, closed: int) -> Iterator[WorkflowExecution]:
    """Yield the executions of a type: all open ones, then the newest closed ones."""
    found = chain(
        walk(backend, closed=False, type=type) if open else (),
        islice(walk(backend, closed=True, type=type), closed),
    )
    return (info.execution for info in found)


def describe_break(broken: Broken) -> str:
    """Return one line about where an execution would break."""
    error = broken.error
    start = f"{broken.workflow_id}  {broken.run_id}  {error.kind}"
    if error.step is None:
        return f"{start}  {error.message}"
    return f"{start}  {error.step}  event {error.event_id} {error.event}  {error.expected} -> {error.actual}"
