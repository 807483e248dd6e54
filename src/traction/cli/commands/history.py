"""`traction history`: show the steps of an execution on a timeline, or show or export its events."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from traction.cli import output
from traction.cli.documents import to_event
from traction.cli.loading import UsageError, load_workflows, open_codec, open_for
from traction.cli.options import CodecName, Definitions, Id, Json, Payloads, RunId, Url
from traction.client.following import follow_events
from traction.client.looking import make_view
from traction.client.visibility import find_execution
from traction.history.escaping import escape
from traction.history.explanation import explain
from traction.history.export import make_stored, write_stored
from traction.history.reading import list_failures
from traction.model import events as e

FOLLOW_SECONDS: Final = 2
"""How long `--follow` waits between two reads."""

SHOWN_APART: Final = frozenset({"eventId", "eventType", "eventTimestamp"})


def show_history(
    context: typer.Context,
    workflow_id: Id,
    run_id: RunId = None,
    events: Annotated[bool, typer.Option("--events", help="Show the events instead of the steps.")] = False,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the events to a file for traction replay; - prints them."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print the events as they are recorded, until the execution closes.")
    ] = False,
    definitions: Definitions = None,
    url: Url = "local:",
    codec: CodecName = None,
    payloads: Payloads = None,
    json: Json = False,
) -> None:
    """Show the steps of an execution on a timeline, or its events."""
    if follow and export is not None:
        raise UsageError("--follow and --export exclude each other; write one of them")
    workflows = load_workflows(definitions)
    payload_codec = open_codec(codec, payloads, context)
    with open_for(context, url) as backend:
        execution = find_execution(backend, workflow_id, run_id)
        if follow:
            show_events(follow_events(backend, execution, lambda: time.sleep(FOLLOW_SECONDS)), json)
            return
        history = backend.get_history(execution)
        view = make_view(history, execution, backend.now(), workflows, payload_codec)
    if export is not None:
        _write(write_stored(make_stored(history, execution)), export)
    elif events and json:
        output.show_document([to_event(event) for event in history])
    elif events:
        show_events(history, json)
    elif json:
        output.show_document(view)
    else:
        output.show_timeline(view, sys.stdout)
        for text in list_failures(view):
            output.show_lines(f"\n{text.rstrip()}")
        if view.status == "OPEN":
            output.show_lines(f"\n{explain(view, has_code=view.awaited is not None)}")


def show_events(events: Iterable[e.Event], json: bool) -> None:
    """Print events as they come, one on each line."""
    began: datetime | None = None
    for event in events:
        began = began or event.event_timestamp
        if json:
            output.show_document(to_event(event))
        else:
            output.show_lines(escape(_format_event(event, began)))


def _write(text: str, file: Path) -> None:
    if str(file) == "-":
        typer.echo(text, nl=False)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--export {file}: cannot write the file: {error.strerror}") from error


def _format_event(event: e.Event, began: datetime) -> str:
    fields = msgspec.to_builtins(event)
    shown = {name: field for name, field in fields.items() if name not in SHOWN_APART}
    span = (event.event_timestamp - began).total_seconds()
    return f"{event.event_id:>5}  {span:>10.3f} s  {type(event).__name__:<36} {msgspec.json.encode(shown).decode()}"
