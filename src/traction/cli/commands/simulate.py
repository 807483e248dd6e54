"""`traction simulate`: run a workflow in virtual time under a schedule, and print its story."""

from __future__ import annotations

import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from traction.cli import arguments, loading, output
from traction.cli.documents import Simulated, to_failure
from traction.cli.options import FaultsName, Json, Provide, Save, SignalAfter, Stub, Target, Verbose, Workers
from traction.cli.worlds import WorldOptions, save_history
from traction.testing import Deviations, Schedule, Seeded, simulate


def show_simulation(
    target: Target,
    provide: Provide = None,
    stub: Stub = None,
    signal: SignalAfter = None,
    seed: Annotated[int | None, typer.Option(help="The seed of a random schedule.")] = None,
    rate: Annotated[float, typer.Option(min=0, max=1, help="How often the random schedule deviates.")] = 0.1,
    deviations: Annotated[
        str | None, typer.Option(metavar="DEVIATIONS", help='The schedule, such as "4:2 9:1", or a file with it.')
    ] = None,
    faults: FaultsName = "none",
    workers: Workers = 1,
    save: Save = None,
    step: Annotated[bool, typer.Option("--step", help="Print the story line by line; Enter continues.")] = False,
    json: Json = False,
    verbose: Verbose = False,
    *,
    fields: dict[str, Any],
) -> None:
    """Run a workflow to its end in virtual time.

    Its result is printed to standard output, its story to standard error. Activities run their own bodies, on a
    simulation of SWF.
    """
    workflow = loading.load_workflow(target)
    call = arguments.make_call(workflow, fields)
    output.set_up_logs(verbose)
    options = WorldOptions(provide=provide or (), stub=stub or (), signal=signal or (), faults=faults, workers=workers)
    with ExitStack() as stack:
        run = simulate(call, schedule=_read_schedule(seed, rate, deviations), **options.make_world(workflow, stack))
    if save is not None:
        save_history(run, save)
    if json:
        output.show_document(
            Simulated(
                result=None if run.error else output.to_plain(run.result),
                error=None if run.error is None else to_failure(run.error),
                seconds=run.elapsed.total_seconds(),
                deviations=run.deviations,
                story=tuple(run.story.splitlines()),
            )
        )
    else:
        show_story(run.story, step=step)
        if run.deviations:
            again = make_rerun_command(target, fields, run.deviations, options)
            output.show_message(f"\nDeviations: {run.deviations}\nAgain: {again}")
    if run.error is not None:
        raise run.error
    if not json:
        output.show_result(run.result)


def make_rerun_command(target: str, fields: dict[str, Any], deviations: str, options: WorldOptions) -> str:
    """Return the command that repeats a run: the same call, world and deviations."""
    words = ["traction", "simulate", target]
    for name, word in fields.items():
        words += arguments.write_option(name, word)
    return shlex.join([*words, *options.write_words(), "--deviations", deviations])


def show_story(story: str, *, step: bool = False) -> None:
    """Print a story. With `step`, wait for Enter after each line."""
    for line in story.splitlines():
        output.show_message(line)
        if step and sys.stdin.readline() == "":
            step = False


def _read_schedule(seed: int | None, rate: float, deviations: str | None) -> Schedule:
    if seed is not None and deviations is not None:
        raise loading.UsageError("--seed and --deviations exclude each other; remove one")
    if seed is not None:
        return Seeded(seed, rate)
    if deviations is None:
        return Deviations()  # the plain run, but with a story
    path = Path(deviations)
    return Deviations(path.read_text(encoding="utf-8") if path.is_file() else deviations)
