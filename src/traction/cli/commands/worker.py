"""`traction worker`: run workers of workflows and activities until stopped."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

import pluggy
import typer

from traction.cli import loading, output
from traction.cli.dependencies import provide_all
from traction.cli.options import CodecName, Payloads, Provide, Url, Verbose
from traction.client.system import WorkerSystem
from traction.definitions.classes import Workflow
from traction.worker.executors import Executor
from traction.worker.shutdown import StopSignals


def work(
    context: typer.Context,
    targets: Annotated[
        list[str],
        typer.Argument(metavar="MODULE:DEFINITION...", help="Workflows and activities; a MODULE for all of its own."),
    ],
    provide: Provide = None,
    instances: Annotated[int, typer.Option(min=1, help="The number of concurrent tasks of each.")] = 4,
    executor: Annotated[Executor, typer.Option(help="Where activities run.")] = "thread",
    grace: Annotated[float, typer.Option(min=0, help="How many seconds running tasks may take after a stop.")] = 90,
    url: Url = "local:",
    payloads: Payloads = None,
    codec: CodecName = None,
    verbose: Verbose = False,
) -> None:
    """Run workers until SIGINT or SIGTERM.

    Running tasks are finished first. Exit code 1 if tasks had to be handed back after the grace period. A second signal
    exits at once.
    """
    definitions = [definition for target in targets for definition in loading.load_definitions(target)]
    output.set_up_logs(verbose, quiet=False)
    output.warn_of_memory(url, "nothing can start executions for these workers")
    with ExitStack() as stack:
        dependencies = provide_all(provide or (), stack, definitions)
        # Before the workers start, so that no signal is missed.
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
            output.show_message(f"Workers for {names} started; stop with Ctrl-C")
            signals.wait(system.stopped)
            output.show_message("Stopping: waiting for running tasks. A second Ctrl-C exits at once, and they time out")
            code = system.close(grace)
            if system.mistake is not None:
                raise system.mistake
    if code:
        raise typer.Exit(code)
