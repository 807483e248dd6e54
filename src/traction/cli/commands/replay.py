"""`traction replay`: hold stored histories against the code at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from traction.cli import loading, output
from traction.cli.options import CodecName, Json, Payloads, Target
from traction.errors import DefinitionError, TractionError
from traction.history.export import StoredHistory
from traction.replay import replay


def add_to(app: typer.Typer, _: Sequence[str]) -> None:
    """Add the command."""
    app.command("replay")(replay_files)


def replay_files(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="What traction history --export wrote.")],
    target: Target,
    payloads: Payloads = None,
    codec: CodecName = None,
    json: Json = False,
) -> None:
    """Hold stored histories against the code at hand: exit code 1 if it would have made another."""
    workflow = loading.load_workflow(target)
    reads = loading.open_codec(codec, payloads, context)
    told = []
    for file in files:
        facts = judge(file, workflow, codec=reads)
        told.append({"file": str(file), **facts})
        if not json:
            tell(str(file), facts)
    if json:
        output.show_json(told)
    if any("error" in facts for facts in told):
        raise typer.Exit(1)


def judge(history: StoredHistory | Path, workflow: type[Any], **options: Any) -> dict[str, Any]:
    """Replay a history; give how much of it was read, or where the code parts with it, in plain values.

    Raises:
        DefinitionError: it is of another workflow.
    """
    try:
        replayed = replay(history, workflow, **options)
    except DefinitionError:
        raise
    except TractionError as error:
        facts = {
            name: getattr(error, name, None) for name in ("step", "event_id", "event", "expected", "actual", "place")
        }
        return {"error": type(error).__name__, "message": str(error)} | {
            k: v for k, v in facts.items() if v is not None
        }
    return {"events": replayed.events, "decision_tasks": replayed.decision_tasks, "notes": list(replayed.notes)}


def tell(what: str, facts: dict[str, Any]) -> None:
    """Print what was found about one history."""
    if "error" in facts:
        typer.echo(f"✗ {what}  {facts['error']}: {facts['message']}\n")
        return
    typer.echo(f"✓ {what}  {facts['events']} events, {facts['decision_tasks']} decision tasks")
    for note in facts["notes"]:
        typer.echo(f"  {note}")
