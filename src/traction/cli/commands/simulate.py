"""`traction simulate`: run a workflow in virtual time, plainly or under a schedule, and show what happened."""

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


def add_to(app: typer.Typer, argv: Sequence[str]) -> None:
    """Add the command, with options for the fields of the workflow that the arguments name."""
    target = arguments.find_target(argv, "simulate")
    workflow = None if target is None else loading.load_workflow(target)
    app.command("simulate")(arguments.with_fields(show_simulation, workflow))


def show_simulation(
    target: Target,
    provide: Provide = None,
    seed: Annotated[int | None, typer.Option(help="Deviate at random, the same for the same seed.")] = None,
    rate: Annotated[float, typer.Option(min=0, max=1, help="How often to deviate, with --seed.")] = 0.1,
    trace: Annotated[
        str | None, typer.Option(metavar="TRACE", help='Deviate so: "4:2 9:1", or a file that says it.')
    ] = None,
    faults: FaultsName = "none",
    workers: Workers = 1,
    step: Annotated[bool, typer.Option("--step", help="Show one move after the other; Enter goes on.")] = False,
    json: Json = False,
    verbose: Verbose = False,
    *,
    said: dict[str, Any],
) -> None:
    """Run a workflow to its end in virtual time: print its result, and what happened move by move.

    Activities do their own work, and workers are told nothing that they would not be told on SWF.
    """
    workflow = loading.load_workflow(target)
    call = arguments.make_call(workflow, said)
    output.set_up_logs(verbose)
    with ExitStack() as stack:
        dependencies = provide_all(provide or (), stack, [workflow])
        schedule = _read_schedule(seed, rate, trace)
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
            again = say_again(target, said, run.deviations, provide, faults, workers)
            output.tell(f"\nDeviations: {run.deviations}\nAgain: {again}")
    if run.error is not None:
        raise run.error
    if not json:
        output.show_result(run.result)


def find_faults(name: str) -> Faults:
    """Find the faults of a name.

    Raises:
        UsageError: there are none of that name.
    """
    known = {"none": Faults.none, "some": Faults.some, "all": Faults.all}
    if name not in known:
        raise loading.UsageError(f"--faults {name}: faults are {', '.join(known)}")
    return known[name]()


def say_again(
    target: str, said: dict[str, Any], trace: str, provide: Sequence[str] | None, faults: str, workers: int
) -> str:
    """Say the command that makes a run again: the same call, in the same world, under the deviations of the run."""
    words = ["traction", "simulate", target]
    for name, word in said.items():
        words += arguments.write_option(name, word)
    for item in provide or ():
        words += ["--provide", item]
    if faults != "none":
        words += ["--faults", faults]
    if workers != 1:
        words += ["--workers", str(workers)]
    return shlex.join([*words, "--trace", trace])


def show_story(story: str, *, step: bool = False) -> None:
    """Show a story, line by line if asked."""
    for line in story.splitlines():
        output.tell(line)
        if step and sys.stdin.readline() == "":
            step = False


def _read_schedule(seed: int | None, rate: float, trace: str | None) -> Schedule:
    if seed is not None and trace is not None:
        raise loading.UsageError("--seed and --trace: a schedule comes from one of them")
    if seed is not None:
        return Seeded(seed, rate)
    if trace is None:
        return Deviations()  # the plain run, but told move by move
    path = Path(trace)
    return Deviations(path.read_text(encoding="utf-8") if path.is_file() else trace)
