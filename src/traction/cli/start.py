"""`traction start`: start a workflow, and leave the work to workers that run elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import pluggy
import typer

from traction.cli import calls, screen
from traction.cli.words import CodecName, Json, Payloads, Target, Url
from traction.client import WorkerSystem
from traction.starts import IfClosed, IfRunning


def add_to(app: typer.Typer, argv: Sequence[str]) -> None:
    """Add the command, with options for the fields of the workflow that the arguments name."""
    target = calls.find_target(argv, "start")
    workflow = None if target is None else calls.load_workflow(target)
    app.command("start")(calls.with_fields(start, workflow))


def start(
    context: typer.Context,
    target: Target,
    workflow_id: Annotated[str | None, typer.Option(help="The id to start it under.")] = None,
    url: Url = "local:",
    payloads: Payloads = None,
    codec: CodecName = None,
    if_running: Annotated[IfRunning, typer.Option(help="What to do if an execution of its id is open.")] = "match",
    if_closed: Annotated[IfClosed, typer.Option(help="What to do if the last one of its id has closed.")] = "start",
    json: Json = False,
    *,
    said: dict[str, Any],
) -> None:
    """Start a workflow, or find the execution that the same call started: print its id, and do no work.

    The fields of the workflow are options: see them with `traction start MODULE:WORKFLOW --help`.
    """
    call = calls.make_call(calls.load_workflow(target), said)
    plugins = context.find_object(pluggy.PluginManager)
    with WorkerSystem(url, codec=calls.load_codec(codec), payloads=payloads, plugins=plugins) as system:
        handle = system.run(call, workflow_id=workflow_id, if_running=if_running, if_closed=if_closed)
    screen.warn_of_memory(url, "what is started here ends with this command")
    if json:
        screen.show_json(msgspec.to_builtins(handle.execution) | {"started": handle.started})
    else:
        found = f"Run {handle.run_id} has this id already: nothing was started"
        module = target.partition(":")[0]
        started = f"Started run {handle.run_id}. Workers go on with it: traction worker {module} --url {url}"
        screen.tell(started if handle.started else found)
        screen.show_result(handle.workflow_id)
