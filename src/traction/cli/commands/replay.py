"""`traction replay`: replay exported histories with the current code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from traction.cli import loading, output
from traction.cli.documents import Replay, to_divergence
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
        result = summarize_replay(str(file), file, workflow, codec=payload_codec)
        results.append(result)
        if not json:
            show_summary(result)
    if json:
        output.show_document(results)
    if any(result.error is not None for result in results):
        raise typer.Exit(1)


def summarize_replay(name: str, history: StoredHistory | Path, workflow: type[Any], **options: Any) -> Replay:
    """Replay a history; return its size, or the first divergence.

    Raises:
        DefinitionError: the history is of another workflow.
    """
    try:
        replayed = replay(history, workflow, **options)
    except DefinitionError:
        raise
    except TractionError as error:
        return Replay(file=name, events=None, decision_tasks=None, notes=(), error=to_divergence(error))
    return Replay(
        file=name, events=replayed.events, decision_tasks=replayed.decision_tasks, notes=replayed.notes, error=None
    )


def show_summary(result: Replay) -> None:
    """Print the result of one replay."""
    if result.error is not None:
        output.show_lines(f"✗ {result.file}  {result.error.kind}: {result.error.message}\n")
        return
    output.show_lines(f"✓ {result.file}  {result.events} events, {result.decision_tasks} decision tasks")
    for note in result.notes:
        output.show_lines(f"  {note}")
