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
    """Run a workflow to its end in virtual time, and tell what became of it.

    Args:
        workflow: a call of a workflow, with its input.
        provide: what activities need, by activity.
        stub: what activities do instead of their own body, by activity: a value, a function of the call, or a script.
        signals: what is sent to it: `(days(9), Approve("Ann"))` after so long, `Approve("Ann")` at any time, which is
            plainly when nobody can move for the first time, `(days(9), "Approve", value)` as any sender would.
        cancels: after how long it is asked to cancel; `None` for at any time.
        world: makes what activities work on, anew for each run; then `provide` and `stub` may be functions of it, and
            the run has it as `world`.
        schedule: what makes the choices; the plain one unless given, and then every run is the same, byte for byte.
        faults: what may go wrong, where the schedule deviates to it; nothing unless given.
        workers: how many machines there are; one unless given.
        deploy: new code, by the definition that it replaces.
        sticky: for how long decision tasks wait for the machine that has read their history, as they do on SWF.
        lambdas: what Lambda functions answer, by name, given the input and a context.
        limits: the service's quotas; SWF's own unless given.
        knobs: what SWF leaves open.
        start: when the simulation begins.
        codec: what writes and reads the payloads; plain JSON unless given.
        checked: `False` for flows that are not check_determinism; see `traction_local.simulation.determinism`.
        max_moves: after how many moves it is called stuck, if it is still open.
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
        DefinitionError, FlowError, PayloadError: the flow cannot go on until its author mends it.
        UnsoundFlowError: it would not ask for the same again.
        StuckExecutionError: it goes on without end.
    """
    return simulate_all([workflow], **options)[0]


def simulate_all(workflows: Iterable[Workflow[R]], **options: Unpack[SimulateOptions]) -> list[SimulatedRun[R]]:
    """Run a fleet of workflows side by side in one world, and tell what became of each.

    Args:
        workflows: calls of workflows, each with its input.
        signals: what is sent to each of them; `cancels` likewise.
        options: as for `simulate`, which this is for more than one.

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


def _make(said: Any, world: Any) -> Any:
    """Give what is said, or what a function says of the world."""
    return said(world) if callable(said) else said
