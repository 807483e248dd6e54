"""The command line `traction`: its commands, and how it runs one.

Exit codes: 0 for success, 1 if the work failed or does not exist, 2 if the command line is wrong. Each command is a
module of `commands` with a function `add_to(app, argv)`.

Results go to standard output, messages to standard error. A command that calls a workflow has the workflow's fields as
options, so the arguments are inspected before the commands are built.
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
from traction.cli.output import exit_on_error
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
    """Return the app with its commands and those of plugins, for these arguments.

    Raises:
        TractionError: the arguments name a workflow that cannot be loaded.
    """
    app = typer.Typer(
        name="traction",
        help="Run and inspect distributed workflows.",
        epilog="Exit codes: 0 success; 1 the work failed or does not exist; 2 the command line is wrong.",
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    # With a callback, an app of a single command still requires its name.
    app.callback()(lambda: None)
    for command in COMMANDS:
        command.add_to(app, argv)
    (plugins or load_plugins()).hook.traction_commands(app=app)
    return app


def main(argv: Sequence[str], plugins: pluggy.PluginManager | None = None) -> None:
    """Run a command.

    Args:
        argv: the arguments, without the name of the program.
        plugins: the plugins that open backends and add commands; by default, the installed ones.

    Raises:
        SystemExit: always.
    """
    with exit_on_error():
        plugins = plugins or load_plugins()
        make_app(argv, plugins)(args=[*argv], prog_name="traction", obj=plugins)
    sys.exit(0)
