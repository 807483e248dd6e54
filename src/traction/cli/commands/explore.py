"""`traction explore`: run a workflow in virtual time under every schedule with up to so many deviations."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated, Any

import typer

from traction.cli import arguments, loading, output
from traction.cli.commands.simulate import find_faults, say_again, show_story
from traction.cli.dependencies import provide_all
from traction.cli.options import FaultsName, Json, Provide, Target, Verbose, Workers
from traction.errors import TractionError
from traction.testing.exploration import RUNS_MAX, Explored


def add_to(app: typer.Typer, argv: Sequence[str]) -> None:
    """Add the command, with options for the fields of the workflow that the arguments name."""
    target = arguments.find_target(argv, "explore")
    workflow = None if target is None else loading.load_workflow(target)
    app.command("explore")(arguments.with_fields(show_exploration, workflow))


def show_exploration(
    target: Target,
    provide: Provide = None,
    deviations: Annotated[int, typer.Option(min=0, help="Up to how many deviations from the plain run.")] = 1,
    runs: Annotated[int, typer.Option(min=1, help="After how many runs to stop.")] = RUNS_MAX,
    faults: FaultsName = "none",
    workers: Workers = 1,
    fails: Annotated[bool, typer.Option("--fails/--no-fails", help="Whether a workflow may fail.")] = False,
    json: Json = False,
    verbose: Verbose = False,
    *,
    said: dict[str, Any],
) -> None:
    """Run a workflow under all schedules with few deviations: say what was covered, or tell the story that breaks it.

    A run breaks it that does not close, whose flow does what no flow may do, or that fails, unless it may.
    """
    workflow = loading.load_workflow(target)
    call = arguments.make_call(workflow, said)
    output.set_up_logs(verbose)

    def judge(run: Any) -> None:
        if run.error is not None and not fails:
            raise run.error

    with ExitStack() as stack:
        dependencies = provide_all(provide or (), stack, [workflow])
        world = {"provide": dependencies, "faults": find_faults(faults), "workers": workers}
        explored = Explored(call, judge, world, closes=True)
        try:
            coverage = explored.cover(deviations, runs)
        except Exception as error:
            show_story(getattr(error, "story", ""))
            trace = getattr(error, "deviations", "")
            output.tell(f"\nAgain: {say_again(target, said, trace, provide, faults, workers)}")
            if isinstance(error, TractionError):
                raise
            raise TractionError(f"{type(error).__name__}: {error}") from error
    if json:
        output.show_json(coverage)
    else:
        output.show_result(str(coverage))
