"""`traction explore`: run a workflow in virtual time under every schedule with up to some number of deviations."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Any

import typer

from traction.cli import arguments, loading, output
from traction.cli.commands.simulate import find_faults, make_rerun_command, show_story
from traction.cli.dependencies import provide_all
from traction.cli.options import FaultsName, Json, Provide, Target, Verbose, Workers
from traction.errors import TractionError
from traction.testing.explored import Explored
from traction.testing.systematic import RUNS_MAX
from traction_local.simulation.options import World


def show_exploration(
    target: Target,
    provide: Provide = None,
    deviations: Annotated[int, typer.Option(min=0, help="The maximum number of deviations from the plain run.")] = 1,
    runs: Annotated[int, typer.Option(min=1, help="The maximum number of runs.")] = RUNS_MAX,
    faults: FaultsName = "none",
    workers: Workers = 1,
    fails: Annotated[bool, typer.Option("--fails/--no-fails", help="Accept runs in which the workflow fails.")] = False,
    json: Json = False,
    verbose: Verbose = False,
    *,
    fields: dict[str, Any],
) -> None:
    """Run a workflow under all schedules with few deviations. Print the coverage, or the story of a failing run.

    A run fails if it does not close, if the flow breaks a rule of flows, or if the workflow fails (see --fails).
    """
    workflow = loading.load_workflow(target)
    call = arguments.make_call(workflow, fields)
    output.set_up_logs(verbose)

    def judge(run: Any) -> None:
        if run.error is not None and not fails:
            raise run.error

    with ExitStack() as stack:
        dependencies = provide_all(provide or (), stack, [workflow])
        world: World = {"provide": dependencies, "faults": find_faults(faults), "workers": workers}
        explored = Explored(call, judge, world, closes=True)
        try:
            coverage = explored.cover(deviations, runs)
        except Exception as error:
            show_story(getattr(error, "story", ""))
            found = getattr(error, "deviations", "")
            output.show_message(f"\nAgain: {make_rerun_command(target, fields, found, provide, faults, workers)}")
            if isinstance(error, TractionError):
                raise
            raise TractionError(f"{type(error).__name__}: {error}") from error
    if json:
        output.show_json(coverage)
    else:
        output.show_result(str(coverage))
