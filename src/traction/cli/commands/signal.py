"""`traction signal`: send a signal to an execution. The fields of the signal are options."""

from __future__ import annotations

from typing import Annotated, Any

import pluggy
import typer

from traction.cli import arguments, loading, output
from traction.cli.options import CodecName, Id, Json, Payloads, Url
from traction.client.system import WorkerSystem


def send(
    context: typer.Context,
    workflow_id: Id,
    target: Annotated[
        str, typer.Argument(metavar="MODULE:SIGNAL", help="A signal class. Its module may be in this folder.")
    ],
    url: Url = "local:",
    payloads: Payloads = None,
    codec: CodecName = None,
    json: Json = False,
    *,
    fields: dict[str, Any],
) -> None:
    """Send a signal to the open execution with a workflow id.

    The fields of the signal are options. List them with `traction signal ID MODULE:SIGNAL --help`.
    """
    signal = arguments.make_call(loading.load_signal(target), fields)
    plugins = context.find_object(pluggy.PluginManager)
    with WorkerSystem(url, codec=loading.load_codec(codec), payloads=payloads, plugins=plugins) as system:
        handle = system.get_handle(workflow_id)
        handle.send(signal)
    output.show_action("signal", handle.execution, f"Sent {signal.spec.name} to {workflow_id}", json=json)
