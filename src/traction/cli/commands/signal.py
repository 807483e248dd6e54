"""`traction signal`: send a signal to an execution, or to all that match. The fields of the signal are options."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from traction.cli import arguments, loading, output
from traction.cli.batches import BatchOptions
from traction.cli.filters import FilterOptions
from traction.cli.options import AllMatching, CodecName, DryRun, Json, Payloads, Rate, Url, Yes
from traction.client.batch import PER_SECOND, SendSignal
from traction.client.handle import Handle
from traction.client.visibility import find_execution


def send(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[WORKFLOW_ID] MODULE:SIGNAL",
            help="The workflow id of the execution, and a signal class. Its module may be in this folder.",
            show_default=False,
        ),
    ],
    all_matching: AllMatching = False,
    dry_run: DryRun = False,
    rate: Rate = PER_SECOND,
    yes: Yes = False,
    url: Url = "local:",
    payloads: Payloads = None,
    codec: CodecName = None,
    json: Json = False,
    *,
    fields: dict[str, Any],
    filters: FilterOptions,
) -> None:
    """Send a signal to the open execution with a workflow id.

    The fields of the signal are options. List them with `traction signal ID MODULE:SIGNAL --help`. With --all-matching,
    this signals all open executions that match the filters and have not received the same signal.
    """
    *ids, target = words
    batch = BatchOptions(filters=filters, all_matching=all_matching, dry_run=dry_run, rate=rate, yes=yes)
    batch.check(ids)
    if len(ids) != (0 if all_matching else 1):
        raise loading.UsageError("write traction signal WORKFLOW_ID MODULE:SIGNAL, or --all-matching MODULE:SIGNAL")
    signal = arguments.make_call(loading.load_signal(target), fields)
    payload_codec = loading.open_codec(codec, payloads, context)
    with loading.open_for(context, url) as backend:
        if all_matching:
            batch.run(backend, SendSignal(signal), json=json, wait=time.sleep, codec=payload_codec)
            return
        handle: Handle[Any] = Handle(backend, find_execution(backend, ids[0]), codec=payload_codec)
        handle.send(signal)
    output.show_action("signal", handle.execution, f"Sent {signal.spec.name} to {ids[0]}", json=json)
