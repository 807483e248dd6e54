"""Run workflows in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypedDict, TypeVar, Unpack

from traction.definitions.classes import Activity, Workflow
from traction.errors import DefinitionError
from traction.flow.durations import Span
from traction.model.limits import Limits
from traction.payloads.codec import JSON, Codec
from traction_local.service.knobs import Knobs
from traction_local.service.lambda_handlers import Handler
from traction_local.simulation.faults import Faults
from traction_local.simulation.run import SimulatedRun
from traction_local.simulation.schedule import PLAIN, Schedule
from traction_local.simulation.simulation import Simulation
from traction_local.simulation.stubs import Stub

R = TypeVar("R")


R_co = TypeVar("R_co", covariant=True)


A = TypeVar("A", bound=Activity[Any, Any])


class World(TypedDict, total=False):
    """The options that `simulate`, `simulate_all` and `explore` have in common; `simulate` documents each."""

    # The key of a mapping is invariant, so a narrower type than Any would refuse a dictionary of several definitions.
    provide: Mapping[Any, object] | Callable[[Any], Mapping[Any, object]] | None
    stub: Mapping[Any, Stub] | Callable[[Any], Mapping[Any, Stub]] | None
    signals: Iterable[Any]
    cancels: Iterable[Span | None]
    world: Callable[[], Any] | None
    faults: Faults
    workers: int
    deploy: Mapping[Any, Any] | None
    sticky: Span | None
    lambdas: Mapping[str, Handler] | None
    limits: Limits
    knobs: Knobs
    start: datetime
    codec: Codec
    check_determinism: bool
    max_moves: int


class SimulateOptions(World, total=False):
    """The options of `simulate` and `simulate_all`."""

    schedule: Schedule
    on_error: Callable[[Exception, str, str], None] | None


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
    _check_options(options)
    make_place, on_error, codec = options.get("world"), options.get("on_error"), options.get("codec", JSON)
    signals, cancels = list(options.get("signals", ())), list(options.get("cancels", ()))
    place = make_place() if make_place is not None else None
    rest: dict[str, Any] = {name: value for name, value in options.items() if name not in _OF_THE_RUNS}
    simulation = Simulation(
        provide=_make(options.get("provide"), place),
        stub=_make(options.get("stub"), place),
        **rest,
    )
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
            on_error(error, simulation.trace, simulation.story)
        raise
    finally:
        simulation.close()
    return [SimulatedRun(handle, codec, simulation, place) for handle in handles]


_OF_THE_RUNS = frozenset({"provide", "stub", "signals", "cancels", "world", "on_error"})
"""The options that `Simulation` does not take as they are."""


def _check_options(options: SimulateOptions) -> None:
    known = SimulateOptions.__optional_keys__
    for name in options.keys() - known:
        raise TypeError(f"simulate() has no option {name!r}. It has {', '.join(sorted(known))}")
    schedule: Any = options.get("schedule", PLAIN)
    faults: Any = options.get("faults", Faults.none())
    if not callable(getattr(schedule, "choose", None)):
        raise DefinitionError(
            f"schedule={schedule!r:.100}: a schedule chooses; write Deviations('4:2 9:1'), or Seeded(7)"
        )
    if not isinstance(faults, Faults):
        raise DefinitionError(f"faults={faults!r:.100}: write Faults.some(), Faults.all(), or Faults(crashes=1)")


def _make(option: Any, world: Any) -> Any:
    return option(world) if callable(option) else option
