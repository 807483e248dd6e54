"""`traction start`: start a workflow whose workers run elsewhere."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import pluggy
import typer

from traction.cli import arguments, loading, output
from traction.cli.documents import Start
from traction.cli.options import CodecName, Json, Payloads, Target, Url
from traction.client.starts import IfClosed, IfRunning
from traction.client.system import WorkerSystem


def start(
    context: typer.Context,
    target: Target,
    workflow_id: Annotated[str | None, typer.Option(help="The workflow id. [default: made from the input]")] = None,
    url: Url = "local:",
    payloads: Payloads = None,
    codec: CodecName = None,
    if_running: Annotated[IfRunning, typer.Option(help="What to do if its id is open.")] = "match",
    if_closed: Annotated[IfClosed, typer.Option(help="What to do if its id was used before.")] = "start",
    json: Json = False,
    *,
    fields: dict[str, Any],
) -> None:
    """Start a workflow, or find the run that the same call started.

    Its workflow id is printed. The fields of the workflow are options. List them with `traction start MODULE:WORKFLOW
    --help`.
    """
    call = arguments.make_call(loading.load_workflow(target), fields)
    plugins = context.find_object(pluggy.PluginManager)
    with WorkerSystem(url, codec=loading.load_codec(codec), payloads=payloads, plugins=plugins) as system:
        handle = system.start(call, workflow_id=workflow_id, if_running=if_running, if_closed=if_closed)
    output.warn_of_memory(url, "the execution ends with this command")
    if json:
        output.show_document(Start(workflow_id=handle.workflow_id, run_id=handle.run_id, new_run=handle.started))
    else:
        found = f"Nothing was started: run {handle.run_id} already has this id"
        module = target.partition(":")[0]
        command = shlex.join(["traction", "worker", module, "--url", url])
        started = f"Started run {handle.run_id}. Its workers: {command}"
        output.show_message(started if handle.started else found)
        output.show_result(handle.workflow_id)
