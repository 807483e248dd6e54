"""The command line `traction`: its commands, and how it runs one.

Exit codes: 0 for success, 1 if the work failed or does not exist, 2 if the command line is wrong. Each command is a
function of a module of `commands`.

Results go to standard output, messages to standard error. A command that calls a workflow has the workflow's fields as
options, so the arguments are inspected before the commands are built.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import pluggy
import typer

from traction.cli import arguments
from traction.cli.filters import NAMES, with_filters
from traction.cli.groups import CommandGroup, find_group
from traction.cli.loading import load_signal, load_workflow
from traction.cli.options import GRAPH_OPTIONS, Url
from traction.cli.output import exit_on_error
from traction.errors import TractionError
from traction.plugins.loading import load_plugins

COMMANDS: Mapping[str, str] = {
    "run": "run:run",
    "start": "start:start",
    "worker": "worker:work",
    "list": "list:show_executions",
    "describe": "describe:describe",
    "why": "why:why",
    "watch": "watch:watch",
    "history": "history:show_history",
    "debug": "debug:debug",
    "state": "state:state",
    "tasks": "tasks:show_tasks",
    "types": "types:show_types",
    "signal": "signal:send",
    "cancel": "cancel:cancel",
    "terminate": "terminate:terminate",
    "simulate": "simulate:show_simulation",
    "explore": "explore:show_exploration",
    "graph": "graph:show_graph",
    "replay": "replay:replay_files",
    "check": "check:check",
    "ui": "ui:show_page",
}
"""The commands by name: each a module of `commands`, and its function."""

_LOADERS: Mapping[str, Callable[[str], Any]] = {
    "run": load_workflow,
    "start": load_workflow,
    "signal": load_signal,
    "simulate": load_workflow,
    "explore": load_workflow,
    "graph": load_workflow,
}
"""What loads the definition whose fields are options of a command."""


def load_command(name: str) -> Callable[..., None]:
    """Import a command."""
    module, _, function = COMMANDS[name].partition(":")
    command: Callable[..., None] = getattr(importlib.import_module(f"traction.cli.commands.{module}"), function)
    return command


def make_app(argv: Sequence[str], plugins: pluggy.PluginManager | None = None) -> typer.Typer:
    """Return the app with its commands and those of plugins, for these arguments.

    Raises:
        TractionError: the arguments name a workflow that cannot be loaded.
    """
    app = typer.Typer(
        name="traction",
        cls=CommandGroup,
        help="Run and inspect distributed workflows.",
        epilog="Exit codes: 0 success; 1 the work failed or does not exist; 2 the command line is wrong.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_read_common)
    # A command that is named by no word need not be imported; without any, all of them are listed.
    for name in [name for name in COMMANDS if name in argv] or COMMANDS:
        command = load_command(name)
        has_filters = "filters" in inspect.signature(command).parameters
        if (load := _LOADERS.get(name)) is not None:
            draws = name == "graph"
            # A graph of a history alone has no workflow, so other words may be values of options.
            words = argv[:2] if draws else argv
            target = arguments.find_target(words, name, first=load is load_workflow)
            reserved = NAMES if has_filters else GRAPH_OPTIONS if draws else frozenset[str]()
            definition = None if target is None else load(target)
            command = arguments.with_fields(command, definition, reserved, required=not draws)
        if has_filters:
            command = with_filters(command)
        app.command(name, rich_help_panel=find_group(name))(command)
    (plugins or load_plugins()).hook.traction_commands(app=app)
    return app


def _read_common(
    url: Url = "local:",
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=lambda shown: _show_version() if shown else None)
    ] = False,
) -> None:
    # The values are used elsewhere: `move_url` moves a URL behind the command, and the version is printed at once.
    """Run and inspect distributed workflows."""


def _show_version() -> None:
    typer.echo(f"traction {importlib.metadata.version('traction')}")
    raise typer.Exit


def move_url(argv: Sequence[str]) -> list[str]:
    """Return the arguments with a `--url` that stands before the command behind its name.

    Example:
        >>> move_url(["--url", "local:work.db", "list", "--json"])
        ['list', '--url', 'local:work.db', '--json']
    """
    words, moved = [*argv], []
    while words:
        if words[0] == "--url" and len(words) > 1:
            moved += words[:2]
            words = words[2:]
        elif words[0].startswith("--url="):
            moved.append(words.pop(0))
        else:
            break
    # Before another option there is no command, and the options are those of `traction` itself.
    return [words[0], *moved, *words[1:]] if words and not words[0].startswith("-") else [*argv]


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
        argv = move_url(argv)
        app = _make_app_to_complete(plugins) if COMPLETE in os.environ else make_app(argv, plugins)
        app(args=argv, prog_name="traction", obj=plugins)
    sys.exit(0)


COMPLETE = "_TRACTION_COMPLETE"
"""Set by a shell that asks for completions; typer names it after the program."""


def _make_app_to_complete(plugins: pluggy.PluginManager) -> typer.Typer:
    """Return the app for the words that a shell completes, with the fields of the workflow that they name."""
    words = (os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS", "")).split()[1:]
    try:
        return make_app(move_url(words), plugins)
    except TractionError:
        return make_app((), plugins)
