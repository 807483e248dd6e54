"""The command line `traction`: its commands, and how it runs one.

Exit codes: 0 for success, 1 if the work failed or does not exist, 2 if the command line is wrong. Each command is a
function of a module of `commands`.

Results go to standard output, messages to standard error. A command that calls a workflow has the workflow's fields as
options, so the arguments are inspected before the commands are built.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pluggy
import typer

from traction.cli import arguments
from traction.cli.commands.cancel import cancel
from traction.cli.commands.check import check
from traction.cli.commands.describe import describe
from traction.cli.commands.explore import show_exploration
from traction.cli.commands.history import show_history
from traction.cli.commands.list import show_executions
from traction.cli.commands.replay import replay_files
from traction.cli.commands.run import run
from traction.cli.commands.signal import send
from traction.cli.commands.simulate import show_simulation
from traction.cli.commands.start import start
from traction.cli.commands.state import state
from traction.cli.commands.terminate import terminate
from traction.cli.commands.worker import work
from traction.cli.loading import load_signal, load_workflow
from traction.cli.output import exit_on_error
from traction.plugins.loading import load_plugins

COMMANDS: Mapping[str, Callable[..., None]] = {
    "run": run,
    "start": start,
    "worker": work,
    "list": show_executions,
    "describe": describe,
    "history": show_history,
    "state": state,
    "signal": send,
    "cancel": cancel,
    "terminate": terminate,
    "replay": replay_files,
    "check": check,
    "simulate": show_simulation,
    "explore": show_exploration,
}
"""The commands by name, in the order of `traction --help`."""

_LOADERS: Mapping[str, Callable[[str], Any]] = {
    "run": load_workflow,
    "start": load_workflow,
    "signal": load_signal,
    "simulate": load_workflow,
    "explore": load_workflow,
}
"""What loads the definition whose fields are options of a command."""


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
    for name, command in COMMANDS.items():
        if (load := _LOADERS.get(name)) is not None:
            target = arguments.find_target(argv, name, first=load is load_workflow)
            command = arguments.with_fields(command, None if target is None else load(target))
        app.command(name)(command)
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
