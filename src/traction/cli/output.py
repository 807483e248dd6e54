"""Print results, timelines, messages and errors to a terminal. Sends no requests to a backend."""

from __future__ import annotations

import json
import logging
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import msgspec
import typer

from traction.cli.documents import Action
from traction.cli.loading import UsageError
from traction.cli.logs import make_handler
from traction.errors import (
    DefinitionError,
    MissingDependencyError,
    MissingExtraError,
    TractionError,
    UnknownSchemeError,
    WorkflowAlreadyRunning,
)
from traction.history.escaping import escape, escape_lines
from traction.history.rendering import lay_out
from traction.history.text import cut, measure
from traction.history.views import ExecutionView
from traction.model.names import WorkflowExecution
from traction.payloads.codec import JSON, Codec

STYLES = {"Open": "cyan", "Done": "green", "Failed": "red", "Cancelled": "yellow", "TimedOut": "red"}

LAST_COLUMN_MIN = 10
"""The fewest columns of a terminal in which the last column of a table is shown."""

BRANCHES_MAX = 12
"""How many branches of one group are shown. Of larger groups, those that are done share one line."""


def find_width() -> int:
    """Return the width of the terminal, or 100 columns without one."""
    return shutil.get_terminal_size((100, 24)).columns


def show_timeline(view: ExecutionView, stream: TextIO) -> None:
    """Print the timeline of a run, in colour where the stream is a terminal."""
    from rich.console import Console

    console = Console(file=stream, width=find_width(), highlight=False)
    console.print(draw_timeline(view, stream, find_width()), end="", soft_wrap=True)


def draw_timeline(view: ExecutionView, stream: TextIO, width: int, lines_max: int | None = None) -> Any:
    """Return the timeline of a run as coloured text: its first line, and the last ones up to `lines_max` in all."""
    from rich.text import Text

    lines = lay_out(view, width=width, branches_max=BRANCHES_MAX, ascii=not _takes_unicode(stream))
    if lines_max is not None and len(lines) > lines_max:
        lines = [lines[0], *lines[1 - lines_max :]]
    text = Text()
    for n, line in enumerate(lines):
        style = "bold" if n == 0 else STYLES.get(line.state or "", "dim" if line.state is None else "")
        text.append(f"{line.text}\n", style=style)
    return text


def _takes_unicode(stream: TextIO) -> bool:
    try:
        "✓█".encode(getattr(stream, "encoding", None) or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def show_result(value: object) -> None:
    """Print a result: a string as it is, other values as JSON. `--json` is for exact values: control characters are
    escaped here.
    """
    show_lines(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def show_document(document: msgspec.Struct | Sequence[msgspec.Struct]) -> None:
    """Print a document, or a list of documents, as one line of JSON in ASCII."""
    typer.echo(json.dumps(msgspec.to_builtins(document)))


def to_plain(value: object, codec: Codec = JSON) -> Any:
    """Return a value of a workflow as its payload would be read as plain JSON.

    Raises:
        PayloadError: the value cannot be written.
    """
    return json.loads(codec.write(value))


def show_table(rows: Sequence[Sequence[str]], *, wide: bool = False) -> None:
    """Print rows of text in columns, as `format_table` returns them."""
    for line in format_table(rows, wide=wide):
        show_lines(line)


def format_table(rows: Sequence[Sequence[str]], *, wide: bool = False) -> list[str]:
    """Return rows of text in columns, each row on one line, with control characters escaped.

    Unless `wide`, the last column is cut to the width of the terminal, and left out where less than ten columns remain.
    """
    lines = [[escape(" ".join(word.split())) for word in row] for row in rows]
    table: list[str] = []
    widths = [max(map(measure, column)) for column in zip(*lines, strict=True)]
    free = find_width() - sum(widths[:-1]) - 2 * len(widths[:-1])
    for *words, last in lines:
        padded = [word + " " * (width - measure(word)) for word, width in zip(words, widths, strict=False)]
        if not wide:
            last = cut(last, free) if free >= LAST_COLUMN_MIN else ""
        table.append("  ".join([*padded, last]).rstrip())
    return table


def show_action(action: str, execution: WorkflowExecution, text: str, *, json: bool) -> None:
    """Print that an action on one execution is done."""
    if json:
        ids = {"workflow_id": execution.workflow_id, "run_id": execution.run_id}
        show_document(Action(action=action, outcome="done", **ids))
    else:
        show_message(text)


def warn_of_memory(url: str, effect: str) -> None:
    """Print what a backend in memory means for a command that works with other processes."""
    if url == "local:":
        show_message(f"{url} is the memory of this process: {effect}. Processes can share a file: --url local:work.db")


def show_lines(text: str) -> None:
    """Print lines to standard output, with control characters escaped."""
    typer.echo(escape_lines(text))


def show_message(text: str) -> None:
    """Print a message to standard error, with control characters escaped."""
    typer.echo(escape_lines(text), err=True)


def set_up_logs(verbose: bool, *, quiet: bool = True) -> None:
    """Print log records: all with `verbose`, else warnings and errors, or none if `quiet`, as beside a timeline."""
    logger = logging.getLogger("traction")
    if verbose or not quiet:
        level = logging.INFO if verbose else logging.WARNING
        logging.basicConfig(level=level, handlers=[make_handler()])
    else:
        logger.addHandler(logging.NullHandler())
        logger.propagate = False


_ARGUMENT = re.compile(r'\b(workflow_id|if_running|if_closed)="?([\w.]+)"?')
"""An argument of `start` in an error text, which is an option of the command."""


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Print an error of Traction in one paragraph and exit with its code."""
    try:
        yield
    except (TractionError, TimeoutError) as error:
        text = str(error)
        if isinstance(error, MissingDependencyError):
            text = (
                f"{error.activity} needs {error.needs}, and there is none. Write --provide "
                f"{error.activity}=module:factory, where factory() returns it"
            )
        if isinstance(error, WorkflowAlreadyRunning):
            text = _ARGUMENT.sub(lambda found: f"--{found[1].replace('_', '-')} {found[2]}", text)
        show_message(f"traction: {text}")
        sys.exit(2 if isinstance(error, (UsageError, DefinitionError, MissingExtraError, UnknownSchemeError)) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
