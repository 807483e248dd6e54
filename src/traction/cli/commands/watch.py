"""`traction watch`: show the open executions, or one of them, and redraw when something changes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Annotated, Any, Final

import typer

from traction.backend import Backend
from traction.cli import output
from traction.cli.commands.list import format_execution
from traction.cli.documents import to_execution
from traction.cli.loading import load_workflows, open_codec, open_for
from traction.cli.options import CodecName, Definitions, Payloads, RunId, Url
from traction.client.listing import count_executions, list_executions
from traction.client.looking import read_view
from traction.client.query import Query
from traction.client.stuck import describe_stuck
from traction.client.visibility import find_execution
from traction.definitions.classes import Workflow
from traction.errors import UnknownResourceFault
from traction.history.explanation import explain
from traction.history.rendering import render
from traction.payloads.codec import Codec

EXECUTIONS_MAX: Final = 20
"""How many open executions are shown. Each costs the reading of its history in every turn."""


def watch(
    context: typer.Context,
    workflow_id: Annotated[
        str | None, typer.Argument(metavar="[WORKFLOW_ID]", help="An execution. [default: all that are open]")
    ] = None,
    run_id: RunId = None,
    every: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="The time between two turns.")] = 2,
    definitions: Definitions = None,
    url: Url = "local:",
    codec: CodecName = None,
    payloads: Payloads = None,
) -> None:
    """Show open executions, or one, as they change.

    Shows what each waits for, or the steps of one until it closes. Ctrl-C ends it.

    On a terminal it redraws the screen; elsewhere it prints what has changed.
    """
    workflows = load_workflows(definitions)
    payload_codec = open_codec(codec, payloads, context)
    with open_for(context, url) as backend:
        if workflow_id is None:
            frames = draw_all(backend, workflows, payload_codec)
        else:
            execution = find_execution(backend, workflow_id, run_id)
            frames = draw_one(lambda: read_view(backend, execution, workflows=workflows, codec=payload_codec))
        show_frames(frames, lambda: time.sleep(every))


def show_frames(frames: Iterator[str], wait: Callable[[], object]) -> None:
    """Print each frame that differs from the last, waiting between two turns; a terminal is cleared before each."""
    last = None
    for n, frame in enumerate(frames):
        if frame != last:
            if sys.stdout.isatty():
                typer.echo("\x1b[2J\x1b[H", nl=False)
            elif n:
                typer.echo()
            output.show_lines(frame)
        last = frame
        wait()


def draw_one(read: Callable[[], Any]) -> Iterator[str]:
    """Yield the explanation and the steps of an execution, the last time when it has closed."""
    while True:
        view = read()
        explanation = explain(view, has_code=view.awaited is not None or view.blocked is not None)
        yield f"{explanation}\n\n{render(view, width=output.find_width(), branches_max=output.BRANCHES_MAX)}".rstrip()
        if view.status != "OPEN":
            return


def draw_all(backend: Backend, workflows: list[type[Workflow[Any]]], codec: Codec) -> Iterator[str]:
    """Yield the open executions, newest first, each with what it waits for; without end."""
    query = Query(status="OPEN")
    while True:
        counted = count_executions(backend, query)
        rows = []
        for one in islice(list_executions(backend, query), EXECUTIONS_MAX):
            try:
                view = read_view(backend, one.execution, workflows=workflows, codec=codec)
            except UnknownResourceFault:
                continue
            stuck = describe_stuck(view)
            reason = stuck or explain(view, has_code=view.awaited is not None).summary.partition(") ")[2]
            rows.append(format_execution(to_execution(one, reason=reason), False, "STUCK" if stuck else None))
        more = f"{counted.count:,}{' or more' if counted.truncated else ''} open"
        yield "\n".join([more, *output.format_table(rows)])
