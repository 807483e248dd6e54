"""`traction history`: show the steps of an execution on a timeline, or show or export its events."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from traction.cli import output
from traction.cli.documents import to_event
from traction.cli.loading import UsageError, open_codec, open_for
from traction.cli.options import CodecName, Id, Json, Payloads, RunId, Url
from traction.client.visibility import describe_waiting, find_execution, find_waiting_decision
from traction.history.escaping import escape
from traction.history.export import make_stored, write_stored
from traction.history.reading import list_failures, read_execution
from traction.model import events as e

SHOWN_APART = frozenset({"eventId", "eventType", "eventTimestamp"})


def show_history(
    context: typer.Context,
    workflow_id: Id,
    run_id: RunId = None,
    events: Annotated[bool, typer.Option("--events", help="Show the events instead of the steps.")] = False,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the events to a file for traction replay; - prints them."),
    ] = None,
    url: Url = "local:",
    codec: CodecName = None,
    payloads: Payloads = None,
    json: Json = False,
) -> None:
    """Show the steps of an execution on a timeline, or its events."""
    payload_codec = open_codec(codec, payloads, context)
    with open_for(context, url) as backend:
        execution = find_execution(backend, workflow_id, run_id)
        history = backend.get_history(execution)
        now = backend.now()
    if export is not None:
        _write(write_stored(make_stored(history, execution)), export)
    elif events and json:
        output.show_document([to_event(event) for event in history])
    elif events:
        for line in _format_events(history):
            output.show_lines(escape(line))
    elif json:
        output.show_document(read_execution(history, execution=execution, until=now, codec=payload_codec))
    else:
        view = read_execution(history, execution=execution, until=now, codec=payload_codec)
        output.show_timeline(view, sys.stdout)
        for text in list_failures(view):
            output.show_lines(f"\n{text.rstrip()}")
        if (waiting := find_waiting_decision(history, now)) is not None:
            output.show_lines(f"\n{describe_waiting(*waiting)}")


def _write(text: str, file: Path) -> None:
    if str(file) == "-":
        typer.echo(text, nl=False)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--export {file}: cannot write the file: {error.strerror}") from error


def _format_events(history: Sequence[e.Event]) -> Iterable[str]:
    began = history[0].event_timestamp
    for event in history:
        fields = msgspec.to_builtins(event)
        shown = {name: field for name, field in fields.items() if name not in SHOWN_APART}
        span = (event.event_timestamp - began).total_seconds()
        yield f"{event.event_id:>5}  {span:>10.3f} s  {type(event).__name__:<36} {msgspec.json.encode(shown).decode()}"
