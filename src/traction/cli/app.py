"""Let people run and see work from a terminal.

Takes arguments; gives text, and exit codes: 0 if all went well, 1 if the work failed or is not there, 2 if the command
was wrong. Each command is a room of its own, with a function `add_to(app, argv)`.

Results go to standard output, what is told on the way to standard error. A command that calls a workflow has the
workflow's fields as its options, so the arguments are looked at once before the commands are made.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pluggy
import typer

from traction.cli.commands import (
    cancel,
    check,
    describe,
    explore,
    history,
    list,
    replay,
    run,
    signal,
    simulate,
    start,
    state,
    terminate,
    worker,
)
from traction.cli.output import report
from traction.plugins.loading import load_plugins

COMMANDS = (
    run,
    start,
    worker,
    list,
    describe,
    history,
    state,
    signal,
    cancel,
    terminate,
    replay,
    check,
    simulate,
    explore,
)


def make_app(argv: Sequence[str], plugins: pluggy.PluginManager | None = None) -> typer.Typer:
    """Make the commands, for these arguments; and those that plugins add.

    Raises:
        TractionError: the arguments name a workflow that cannot be loaded.
    """
    app = typer.Typer(
        name="traction",
        help="Run distributed workflows, and see what they do.",
        epilog="Exit codes: 0 all went well; 1 the work failed, or is not there; 2 the command was wrong.",
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    # With a callback, an app of a single command still wants its name.
    app.callback()(lambda: None)
    for command in COMMANDS:
        command.add_to(app, argv)
    (plugins or load_plugins()).hook.traction_commands(app=app)
    return app


def main(argv: Sequence[str], plugins: pluggy.PluginManager | None = None) -> None:
    """Run a command.

    Args:
        argv: the arguments, without the name of the program.
        plugins: who opens backends and adds commands; those that are installed unless given.

    Raises:
        SystemExit: always.
    """
    with report():
        plugins = plugins or load_plugins()
        make_app(argv, plugins)(args=[*argv], prog_name="traction", obj=plugins)
    sys.exit(0)
