"""`traction worker`: decide for workflows and do the work of activities, until asked to stop."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated, Literal

import pluggy
import typer

from traction.cli import calls, screen
from traction.cli.words import CodecName, Payloads, Provide, Url, Verbose
from traction.client import WorkerSystem
from traction.definition import Workflow
from traction.stopping import Signals


def add_to(app: typer.Typer, _: Sequence[str]) -> None:
    """Add the command."""
    app.command("worker")(work)


def work(
    context: typer.Context,
    targets: Annotated[
        list[str],
        typer.Argument(metavar="MODULE:DEFINITION...", help="Workflows and activities to work on; all of a MODULE."),
    ],
    provide: Provide = None,
    instances: Annotated[int, typer.Option(min=1, help="How many tasks of each are in hand at a time.")] = 4,
    executor: Annotated[Literal["thread", "process", "async"], typer.Option(help="Where activities run.")] = "thread",
    grace: Annotated[float, typer.Option(min=0, help="For how many seconds what is in hand may go on.")] = 90,
    url: Url = "local:",
    payloads: Payloads = None,
    codec: CodecName = None,
    verbose: Verbose = False,
) -> None:
    """Work until SIGINT or SIGTERM; then finish what is in hand, and stop.

    Leaves with 1 if something had to be handed back after the grace, and at once at a second signal.
    """
    definitions = [definition for target in targets for definition in calls.load_definitions(target)]
    screen.set_up_logs(verbose, quiet=False)
    screen.warn_of_memory(url, "what it works on is started by this process alone, and nothing is")
    with ExitStack() as stack:
        dependencies = calls.provide_all(provide or (), stack, definitions)
        # From here on, so that a signal that comes early is heard.
        signals = stack.enter_context(Signals())
        plugins = context.find_object(pluggy.PluginManager)
        with WorkerSystem(url, codec=calls.load_codec(codec), payloads=payloads, plugins=plugins) as system:
            for definition in definitions:
                if issubclass(definition, Workflow):
                    system.start_workflow_worker(definition, provide=dependencies, instances=instances)
                else:
                    system.start_activity_worker(
                        definition, dependencies.get(definition), instances=instances, executor=executor
                    )
            names = ", ".join(definition.__name__ for definition in definitions)
            screen.tell(f"Working on {names}; stop with Ctrl-C")
            signals.wait(system.stopped)
            screen.tell("Stopping: finishing what is in hand. A second Ctrl-C ends at once, and leaves it to time out")
            code = system.close(grace)
            if system.mistake is not None:
                raise system.mistake
    if code:
        raise typer.Exit(code)
