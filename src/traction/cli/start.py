"""`traction start`: start a workflow, and leave the work to workers that run elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import pluggy
import typer

from traction.cli import calls, screen
from traction.cli.words import CodecName, Json, Payloads, Target, Url
from traction.client import WorkerSystem
from traction.visibility import walk


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
    json: Json = False,
    *,
    said: dict[str, Any],
) -> None:
    """Start a workflow, or find its execution that is open: print its id, and do no work.

    The fields of the workflow are options: see them with `traction start MODULE:WORKFLOW --help`.
    """
    call = calls.make_call(calls.load_workflow(target), said)
    plugins = context.find_object(pluggy.PluginManager)
    with WorkerSystem(url, codec=calls.load_codec(codec), payloads=payloads, plugins=plugins) as system:
        id = call.workflow_id() if workflow_id is None else workflow_id
        before = [info.execution for info in walk(system.backend, closed=False, workflow_id=id)]
        handle = system.run(call, workflow_id=workflow_id)
    screen.warn_of_memory(url, "what is started here ends with this command")
    if json:
        screen.show_json(handle.execution)
    else:
        found = f"Run {handle.run_id} is open already, with the input that it was started with: nothing was started"
        module = target.partition(":")[0]
        started = f"Started run {handle.run_id}. Workers go on with it: traction worker {module} --url {url}"
        screen.tell(found if handle.execution in before else started)
        screen.show_result(handle.workflow_id)
