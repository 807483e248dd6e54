"""`traction worker`: decide for workflows and do the work of activities, until asked to stop."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated, Literal

import pluggy
import typer

from traction.cli import loading, output
from traction.cli.dependencies import provide_all
from traction.cli.options import CodecName, Payloads, Provide, Url, Verbose
from traction.client.system import WorkerSystem
from traction.definitions.classes import Workflow
from traction.worker.shutdown import StopSignals


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
    definitions = [definition for target in targets for definition in loading.load_definitions(target)]
    output.set_up_logs(verbose, quiet=False)
    output.warn_of_memory(url, "what it works on is started by this process alone, and nothing is")
    with ExitStack() as stack:
        dependencies = provide_all(provide or (), stack, definitions)
        # From here on, so that a signal that comes early is heard.
        signals = stack.enter_context(StopSignals())
        plugins = context.find_object(pluggy.PluginManager)
        with WorkerSystem(url, codec=loading.load_codec(codec), payloads=payloads, plugins=plugins) as system:
            for definition in definitions:
                if issubclass(definition, Workflow):
                    system.start_workflow_worker(definition, provide=dependencies, instances=instances)
                else:
                    system.start_activity_worker(
                        definition, dependencies.get(definition), instances=instances, executor=executor
                    )
            names = ", ".join(definition.__name__ for definition in definitions)
            output.tell(f"Working on {names}; stop with Ctrl-C")
            signals.wait(system.stopped)
            output.tell("Stopping: finishing what is in hand. A second Ctrl-C ends at once, and leaves it to time out")
            code = system.close(grace)
            if system.mistake is not None:
                raise system.mistake
    if code:
        raise typer.Exit(code)
