"""Run workflows in virtual time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeVar, Unpack

from traction.definitions.classes import Workflow
from traction_local.simulation.options import SimulateOptions, SimulationOptions
from traction_local.simulation.run import SimulatedRun
from traction_local.simulation.simulation import Simulation

R = TypeVar("R")


def simulate(workflow: Workflow[R], **options: Unpack[SimulateOptions]) -> SimulatedRun[R]:
    """Run a workflow in virtual time until it closes, and return the run.

    Args:
        workflow: a call of a workflow, with its input.
        provide: the dependencies of activities, by activity.
        stub: replacements for the bodies of activities, by activity: a value, a function of the call, or a script.
        signals: the signals to send: `(days(9), Approve("Ann"))` after nine days; `Approve("Ann")` at any time, in the
            plain run when nothing else can happen for the first time; `(days(9), "Approve", value)` for any payload.
        cancels: the spans after which cancellation is requested; `None` for at any time.
        world: creates the state that activities work on, once per run; `provide` and `stub` may be functions of it, and
            the run has it as `world`.
        schedule: makes the choices; default: the plain schedule, whose runs are all equal, byte for byte.
        faults: the faults that the schedule may inject; default: none.
        workers: the number of machines; default: 1.
        deploy: new definitions, by the definitions that they replace.
        sticky: for how long decision tasks wait for the machine that has cached their decider.
        lambdas: Lambda functions by name, each called with the input and a context.
        limits: the quotas of the service; default: those of SWF.
        knobs: behaviour that SWF leaves open.
        start: the virtual time at which the simulation starts.
        codec: encodes and decodes payloads; default: plain JSON.
        check_determinism: `False` to skip the checks of purity and of replay.
        max_moves: the number of moves after which an open execution counts as stuck.
        on_error: called with an error that ends the run, its deviations and its story.

    Example:
        >>> from traction import activity, days, sleep, workflow
        >>> @activity
        ... def greet(name: str) -> str:
        ...     return f"Hello, {name}!"
        >>> @workflow
        ... async def greet_later(name: str) -> str:
        ...     await sleep(days(30))
        ...     return await greet(name)
        >>> run = simulate(greet_later("world"), stub={greet: "Hi!"})
        >>> run.result, run.elapsed.days, run.calls(greet)
        ('Hi!', 30, [greet(name='world')])

    Raises:
        DefinitionError, FlowError, PayloadError: the flow has a mistake that its author must fix.
        UnsoundFlowError: the flow decides something else when its history is replayed.
        StuckExecutionError: it is open after `max_moves` moves.
    """
    return simulate_all([workflow], **options)[0]


def simulate_all(workflows: Iterable[Workflow[R]], **options: Unpack[SimulateOptions]) -> list[SimulatedRun[R]]:
    """Run several workflows concurrently in one simulation, and return their runs.

    Args:
        workflows: calls of workflows, each with its input.
        signals: the signals to send to each of them; `cancels` likewise.
        options: as for `simulate`.

    Raises:
        as `simulate`.
    """
    for name in options.keys() - _OPTIONS:
        raise TypeError(f"simulate() has no option {name!r}. It has {', '.join(sorted(_OPTIONS))}")
    make_state, on_error = options.get("world"), options.get("on_error")
    signals, cancels = list(options.get("signals", ())), list(options.get("cancels", ()))
    state = make_state() if make_state is not None else None
    provide, stub = _resolve(options.get("provide"), state), _resolve(options.get("stub"), state)
    rest: Any = {name: value for name, value in options.items() if name not in _OF_RUNS}
    simulation = Simulation(**{"provide": provide, "stub": stub, **rest})
    try:
        handles = [simulation.start(workflow) for workflow in workflows]
        for handle in handles:
            for signal in signals:
                simulation.signal(handle, signal)
            for when in cancels:
                simulation.cancel(handle, when)
        simulation.run(*handles)
    except Exception as error:
        if on_error is not None:
            on_error(error, str(simulation.trace), simulation.story)
        raise
    finally:
        simulation.close()
    return [SimulatedRun(handle, simulation, state) for handle in handles]


_OPTIONS: Final = SimulateOptions.__optional_keys__
_OF_RUNS: Final = (_OPTIONS - SimulationOptions.__optional_keys__) | {"provide", "stub"}
"""The options that `Simulation` does not have, or not as functions."""


def _resolve(option: Any, state: Any) -> Any:
    return option(state) if callable(option) else option
