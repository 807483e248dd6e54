"""`traction debug`: visit the flow at any event of a history, step by step, in both directions."""

from __future__ import annotations

import os
import pdb
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from traction.cli import output
from traction.cli.loading import UsageError, load_workflows, open_codec, open_for
from traction.cli.moments import format_moment, to_document
from traction.cli.options import CodecName, Definitions, Json, Payloads, RunId, Url
from traction.client.visibility import find_execution
from traction.definitions.classes import Workflow
from traction.errors import HistoryError
from traction.history.export import StoredHistory, make_stored
from traction.inspection import Inspector
from traction.model import events as e
from traction.payloads.codec import Codec
from traction.replay import load_history

PROMPT: Final = "(n)ext (p)revious (N)ext decision (P)revious decision, number, (d)ebugger [STEP], (q)uit: "


def debug(
    context: typer.Context,
    history: Annotated[
        str,
        typer.Argument(
            metavar="WORKFLOW_ID|FILE", help="An execution, or a file that traction history --export wrote."
        ),
    ],
    run_id: RunId = None,
    definitions: Definitions = None,
    at: Annotated[int | None, typer.Option(min=1, metavar="EVENT", help="The event. [default: the last]")] = None,
    pdb: Annotated[bool, typer.Option("--pdb", help="Open Python's debugger in the flow at this event.")] = False,
    step: Annotated[str | None, typer.Option(metavar="STEP", help="With --pdb, the branch that waits for it.")] = None,
    url: Url = "local:",
    codec: CodecName = None,
    payloads: Payloads = None,
    json: Json = False,
) -> None:
    """Show the flow at any event of a history, step by step.

    Shown are the line of each branch, its variables, and what it decides. The flow is replayed here with the code of
    --definitions. No activity runs, and nothing is sent.
    """
    inspector = load_inspector(context, history, run_id, definitions, url, open_codec(codec, payloads, context))
    event_id = len(inspector.events) if at is None else at
    if pdb:
        open_debugger(inspector, event_id, step)
    elif json:
        output.show_document(to_document(inspector.at(event_id)))
    else:
        Session(inspector, event_id).run(read_commands())


def load_inspector(
    context: typer.Context, history: str, run_id: str | None, definitions: list[str] | None, url: str, codec: Codec
) -> Inspector:
    """Return the inspector of a file or an execution, with the definition of its type.

    Raises:
        UsageError: no definition of that type was named.
        HistoryError, UnknownResourceFault: there is no such history.
    """
    workflows = load_workflows(definitions)
    if history.endswith(".json") or Path(history).is_file():
        stored = load_history(Path(history))
    else:
        with open_for(context, url) as backend:
            execution = find_execution(backend, history, run_id)
            stored = make_stored(backend.get_history(execution), execution)
    workflow = next((each for each in workflows if each.spec.type == stored.workflow_type), None)
    if workflow is None:
        raise explain_missing(stored, workflows)
    return Inspector(stored, workflow, codec=codec)


def explain_missing(stored: StoredHistory, workflows: Sequence[type[Workflow[Any]]]) -> UsageError:
    """Return the error for a history whose definition was not named."""
    of = stored.workflow_type
    names = ", ".join(f"{each.spec.type.name} {each.spec.type.version}" for each in workflows)
    given = f"--definitions has {names}" if names else "there is no --definitions"
    return UsageError(
        f"the history is of {of.name} {of.version}, and {given}: name the module of its workflow, --definitions MODULE"
    )


def open_debugger(inspector: Inspector, event_id: int, step: str | None) -> None:
    """Open Python's debugger in the frames of a branch.

    Raises:
        HistoryError: no branch waits for that step, or the flow has no function to show.
    """
    trace = inspector.make_traceback(event_id, step)
    if trace is None:
        raise HistoryError(f"no function of the flow waits at event {event_id}: it has ended, or it uses no await")
    pdb.post_mortem(trace)


def read_commands() -> Iterator[str]:
    """Yield the lines of standard input, with a prompt on a terminal."""
    while True:
        if sys.stdin.isatty():
            typer.echo(PROMPT, nl=False, err=True)
        line = sys.stdin.readline()
        if not line:
            return
        yield line.strip()


class Session:
    """Steps through the events of a history."""

    def __init__(self, inspector: Inspector, event_id: int) -> None:
        self._inspector = inspector
        self._event_id = event_id
        self._decisions = [event.event_id for event in inspector.events if isinstance(event, e.DecisionTaskStarted)]

    def run(self, commands: Iterator[str]) -> None:
        """Show the moment, and after each command the one that it moves to."""
        self._show()
        for command in commands:
            word, _, argument = command.partition(" ")
            if word in ("q", "quit"):
                return
            if word == "d":
                try:
                    open_debugger(self._inspector, self._event_id, argument.strip() or None)
                except HistoryError as error:
                    output.show_message(str(error))
                continue
            target = self._find(word)
            if target is None:
                output.show_message(f"{command!r} is no command. {PROMPT.removesuffix(': ')}")
            elif not 1 <= target <= len(self._inspector.events):
                output.show_message(f"the history has the events 1 to {len(self._inspector.events):,}")
            else:
                self._event_id = target
                self._show()

    def _find(self, word: str) -> int | None:
        moves: dict[str, Callable[[], int]] = {
            "": lambda: self._event_id + 1,
            "n": lambda: self._event_id + 1,
            "p": lambda: self._event_id - 1,
            "N": lambda: next((id for id in self._decisions if id > self._event_id), len(self._inspector.events)),
            "P": lambda: next((id for id in reversed(self._decisions) if id < self._event_id), 1),
        }
        if word in moves:
            return moves[word]()
        return int(word) if word.isdecimal() else None

    def _show(self) -> None:
        events = self._inspector.events
        moment = self._inspector.at(self._event_id)
        lines = format_moment(moment, len(events), events[0].event_timestamp, os.getcwd())
        output.show_lines("\n".join(lines) + "\n")
