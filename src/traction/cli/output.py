"""Say things on a terminal: results, timelines, errors, and progress while work is done.

Takes values and timelines; gives text on standard output and standard error. Talks to no backend.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TextIO

import msgspec
import typer

from traction.cli.loading import UsageError
from traction.errors import (
    DefinitionError,
    MissingDependencyError,
    MissingExtraError,
    TractionError,
    UnknownSchemeError,
)
from traction.history.rendering import lay_out
from traction.history.timeline import Timeline

STYLES = {"Open": "cyan", "Done": "green", "Failed": "red", "Cancelled": "yellow", "TimedOut": "red"}

BRANCHES_MAX = 12
"""How many branches of one group are told; of more, those that are done are told in one line."""


def find_width() -> int:
    """Say how wide a line may be: as wide as the terminal, or 100 columns where there is none."""
    return shutil.get_terminal_size((100, 24)).columns


def show_timeline(timeline: Timeline, stream: TextIO) -> None:
    """Print a timeline, in colour where the stream is a terminal."""
    from rich.console import Console

    console = Console(file=stream, width=find_width(), highlight=False)
    console.print(draw_timeline(timeline, stream, find_width()), end="", soft_wrap=True)


def draw_timeline(timeline: Timeline, stream: TextIO, width: int, lines_max: int | None = None) -> Any:
    """Make a timeline into coloured text; of more lines than `lines_max` the last."""
    from rich.text import Text

    lines = lay_out(timeline, width=width, branches_max=BRANCHES_MAX, ascii=not _takes_unicode(stream))
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
    """Print a result: a text as it is, anything else as JSON."""
    typer.echo(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def shorten(text: str, chars_max: int = 60) -> str:
    """Cut a text so that it has room in one line."""
    line = " ".join(text.split())
    return line if len(line) <= chars_max else f"{line[: chars_max - 1]}…"


def show_json(value: object) -> None:
    """Print a value for machines: spans are seconds, instants are ISO 8601."""
    typer.echo(json.dumps(msgspec.to_builtins(value, builtin_types=(timedelta,)), default=timedelta.total_seconds))


def warn_of_memory(url: str, what: str) -> None:
    """Say what a backend in memory means for a command that works with other processes."""
    if url == "local:":
        tell(f"{url} is in memory, for this process alone: {what}. --url local:work.db is a file that processes share")


def tell(text: str) -> None:
    """Say something on the way."""
    typer.echo(text, err=True)


def set_up_logs(verbose: bool, *, quiet: bool = True) -> None:
    """Show what workers log: only what went wrong, unless more is wanted; nothing, where a timeline says it."""
    logger = logging.getLogger("traction")
    if verbose or not quiet:
        level = logging.INFO if verbose else logging.WARNING
        logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    else:
        logger.addHandler(logging.NullHandler())
        logger.propagate = False


@contextmanager
def report() -> Iterator[None]:
    """Tell an error of Traction's in one paragraph, and leave with the exit code that it means."""
    try:
        yield
    except (TractionError, TimeoutError) as error:
        text = str(error)
        if isinstance(error, MissingDependencyError):
            text = (
                f"{error.activity} needs {error.needs}, and none is provided. Write --provide "
                f"{error.activity}=module:factory, where factory() makes it"
            )
        tell(f"traction: {text}")
        sys.exit(2 if isinstance(error, (UsageError, DefinitionError, MissingExtraError, UnknownSchemeError)) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
