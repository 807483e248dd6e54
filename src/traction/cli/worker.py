"""`traction worker`: decide for workflows and do the work of activities, until asked to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Annotated

import pluggy
import typer

from traction.cli import calls, screen
from traction.cli.words import Provide, Url, Verbose
from traction.client import WorkerSystem
from traction.definition import Activity, Workflow


def add_to(app: typer.Typer, _: Sequence[str]) -> None:
    """Add the command."""
    app.command("worker")(work)


def work(
    context: typer.Context,
    targets: Annotated[
        list[str], typer.Argument(metavar="MODULE:DEFINITION...", help="Workflows and activities to work on.")
    ],
    provide: Provide = None,
    instances: Annotated[int, typer.Option(min=1, help="How many threads for each of them.")] = 4,
    url: Url = "local:",
    verbose: Verbose = False,
) -> None:
    """Work until SIGINT or SIGTERM; then finish what is in hand, and stop."""
    definitions = [calls.load(target) for target in targets]
    for target, definition in zip(targets, definitions, strict=True):
        if not (isinstance(definition, type) and issubclass(definition, (Activity, Workflow))):
            raise calls.UsageError(f"{target} is {definition!r:.100}, and neither a workflow nor an activity")
    screen.set_up_logs(verbose)
    with ExitStack() as stack:
        dependencies = calls.provide_all(provide or (), stack, definitions)
        asked = stack.enter_context(_stopped_by_signals())
        with WorkerSystem(url, plugins=context.find_object(pluggy.PluginManager)) as system:
            for definition in definitions:
                if issubclass(definition, Workflow):
                    system.start_workflow_worker(definition, instances=instances)
                else:
                    system.start_activity_worker(definition, dependencies.get(definition), instances=instances)
            screen.tell(f"Working on {', '.join(targets)}; stop with Ctrl-C")
            asked.wait()
            screen.tell("Stopping: finishing what is in hand")


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Give an event that SIGINT and SIGTERM set."""
    asked = threading.Event()
    before = {number: signal.signal(number, lambda *_: asked.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
