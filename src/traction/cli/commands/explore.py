"""`traction explore`: run a workflow in virtual time under every schedule with up to some number of deviations."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from traction.cli import arguments, loading, output
from traction.cli.commands.simulate import make_rerun_command, show_story
from traction.cli.documents import Explored as ExploredDocument
from traction.cli.options import FaultsName, Json, Provide, Save, SignalAfter, Stub, Target, Verbose, Workers
from traction.cli.worlds import WorldOptions, save_history
from traction.definitions.classes import Workflow
from traction.errors import TractionError
from traction.testing import Deviations, simulate
from traction.testing.explored import Explored
from traction.testing.systematic import RUNS_MAX
from traction_local.simulation.options import World


def show_exploration(
    target: Target,
    provide: Provide = None,
    stub: Stub = None,
    signal: SignalAfter = None,
    deviations: Annotated[int, typer.Option(min=0, help="The maximum number of deviations from the plain run.")] = 1,
    runs: Annotated[int, typer.Option(min=1, help="The maximum number of runs.")] = RUNS_MAX,
    faults: FaultsName = "none",
    workers: Workers = 1,
    fails: Annotated[bool, typer.Option("--fails/--no-fails", help="Accept runs in which the workflow fails.")] = False,
    save: Save = None,
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

    options = WorldOptions(provide=provide or (), stub=stub or (), signal=signal or (), faults=faults, workers=workers)
    with ExitStack() as stack:
        world = options.make_world(workflow, stack)
        explored = Explored(call, judge, world, closes=True)
        try:
            coverage = explored.cover(deviations, runs)
        except Exception as error:
            show_story(getattr(error, "story", ""))
            found = getattr(error, "deviations", "")
            output.show_message(f"\nAgain: {make_rerun_command(target, fields, found, options)}")
            if save is not None:
                _save_failure(call, world, found, save)
            if isinstance(error, TractionError):
                raise
            raise TractionError(f"{type(error).__name__}: {error}") from error
    if json:
        output.show_document(
            ExploredDocument(
                deviations=coverage.deviations,
                runs=coverage.runs,
                histories=coverage.histories,
                complete=coverage.complete,
            )
        )
    else:
        output.show_result(str(coverage))


def _save_failure(call: Workflow[Any], world: World, deviations: str, file: Path) -> None:
    """Make a failing run again, and write its history."""
    try:
        run = simulate(call, schedule=Deviations(deviations), **world)
    except TractionError as error:
        output.show_message(f"There is no history to save: the simulation itself fails ({type(error).__name__})")
        return
    save_history(run, file)
    output.show_message(f"Wrote the history to {file}")
