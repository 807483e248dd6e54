"""`traction replay`: replay exported histories with the current code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from traction.cli import loading, output
from traction.cli.options import CodecName, Json, Payloads, Target
from traction.errors import DefinitionError, TractionError
from traction.history.export import StoredHistory
from traction.replay import replay


def replay_files(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files that traction history --export wrote.")],
    target: Target,
    payloads: Payloads = None,
    codec: CodecName = None,
    json: Json = False,
) -> None:
    """Replay exported histories with the current code. Exit code 1 if it diverges from one."""
    workflow = loading.load_workflow(target)
    payload_codec = loading.open_codec(codec, payloads, context)
    results = []
    for file in files:
        facts = summarize_replay(file, workflow, codec=payload_codec)
        results.append({"file": str(file), **facts})
        if not json:
            show_summary(str(file), facts)
    if json:
        output.show_json(results)
    if any("error" in facts for facts in results):
        raise typer.Exit(1)


def summarize_replay(history: StoredHistory | Path, workflow: type[Any], **options: Any) -> dict[str, Any]:
    """Replay a history; return its size, or the first divergence, as plain values.

    Raises:
        DefinitionError: the history is of another workflow.
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


def show_summary(name: str, facts: dict[str, Any]) -> None:
    """Print the result of one replay."""
    if "error" in facts:
        output.show_lines(f"✗ {name}  {facts['error']}: {facts['message']}\n")
        return
    output.show_lines(f"✓ {name}  {facts['events']} events, {facts['decision_tasks']} decision tasks")
    for note in facts["notes"]:
        output.show_lines(f"  {note}")
