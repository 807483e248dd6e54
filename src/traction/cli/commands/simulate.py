"""`traction simulate`: run a workflow in virtual time under a schedule, and print its story."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from traction.cli import arguments, loading, output
from traction.cli.dependencies import provide_all
from traction.cli.options import FaultsName, Json, Provide, Target, Verbose, Workers
from traction.testing import Deviations, Faults, Schedule, Seeded, simulate


def show_simulation(
    target: Target,
    provide: Provide = None,
    seed: Annotated[int | None, typer.Option(help="The seed of a random schedule.")] = None,
    rate: Annotated[float, typer.Option(min=0, max=1, help="How often the random schedule deviates.")] = 0.1,
    deviations: Annotated[
        str | None, typer.Option(metavar="DEVIATIONS", help='The schedule, such as "4:2 9:1", or a file with it.')
    ] = None,
    faults: FaultsName = "none",
    workers: Workers = 1,
    step: Annotated[bool, typer.Option("--step", help="Print the story line by line; Enter continues.")] = False,
    json: Json = False,
    verbose: Verbose = False,
    *,
    fields: dict[str, Any],
) -> None:
    """Run a workflow to its end in virtual time, and print its result and its story.

    Activities run their own bodies, on a simulation of SWF.
    """
    workflow = loading.load_workflow(target)
    call = arguments.make_call(workflow, fields)
    output.set_up_logs(verbose)
    with ExitStack() as stack:
        dependencies = provide_all(provide or (), stack, [workflow])
        schedule = _read_schedule(seed, rate, deviations)
        run = simulate(call, provide=dependencies, schedule=schedule, faults=find_faults(faults), workers=workers)
    if json:
        output.show_json(
            {
                "result": None if run.error else run.result,
                "error": run.error and str(run.error),
                "elapsed": run.elapsed.total_seconds(),
                "deviations": run.deviations,
                "story": run.story.splitlines(),
            }
        )
    else:
        show_story(run.story, step=step)
        if run.deviations:
            again = make_rerun_command(target, fields, run.deviations, provide, faults, workers)
            output.show_message(f"\nDeviations: {run.deviations}\nAgain: {again}")
    if run.error is not None:
        raise run.error
    if not json:
        output.show_result(run.result)


def find_faults(name: str) -> Faults:
    """Return the faults with a name.

    Raises:
        UsageError: there are no such faults.
    """
    known = {"none": Faults.none, "some": Faults.some, "all": Faults.all}
    if name not in known:
        raise loading.UsageError(f"--faults {name}: expected one of {', '.join(known)}")
    return known[name]()


def make_rerun_command(
    target: str, fields: dict[str, Any], deviations: str, provide: Sequence[str] | None, faults: str, workers: int
) -> str:
    """Return the command that repeats a run: the same call, faults, workers and deviations."""
    words = ["traction", "simulate", target]
    for name, word in fields.items():
        words += arguments.write_option(name, word)
    for item in provide or ():
        words += ["--provide", item]
    if faults != "none":
        words += ["--faults", faults]
    if workers != 1:
        words += ["--workers", str(workers)]
    return shlex.join([*words, "--deviations", deviations])


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
