"""The options of simulations: their names and types, their defaults, and the checks of their values.

`simulate` documents each option.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypedDict

import msgspec

from traction.definitions.classes import Activity
from traction.errors import DefinitionError
from traction.flow.durations import Span
from traction.model.limits import Limits
from traction.payloads.codec import JSON, Codec
from traction_local.service.knobs import Knobs
from traction_local.service.lambda_handlers import Handler
from traction_local.simulation.faults import Faults
from traction_local.simulation.schedule import PLAIN, Schedule
from traction_local.simulation.stubs import Stub

MOVES_MAX: Final = 100_000
"""The default number of moves after which an open execution counts as stuck."""


class _Environment(TypedDict, total=False):
    """The options that all simulations have."""

    workers: int
    deploy: Mapping[Any, Any] | None
    faults: Faults
    sticky: Span | None
    lambdas: Mapping[str, Handler] | None
    limits: Limits
    knobs: Knobs
    start: datetime
    codec: Codec
    check_determinism: bool
    max_moves: int


class SimulationOptions(_Environment, total=False):
    """The options of `Simulation`."""

    # The key of a mapping is invariant, so a narrower type than Any would refuse a dictionary of several definitions.
    provide: Mapping[Any, object] | None
    stub: Mapping[Any, Stub] | None
    schedule: Schedule


class World(_Environment, total=False):
    """The options that `simulate`, `simulate_all`, `explore` and `executions` have in common."""

    provide: Mapping[Any, object] | Callable[[Any], Mapping[Any, object]] | None
    stub: Mapping[Any, Stub] | Callable[[Any], Mapping[Any, Stub]] | None
    signals: Iterable[Any]
    cancels: Iterable[Span | None]
    world: Callable[[], Any] | None


class SimulateOptions(World, total=False):
    """The options of `simulate` and `simulate_all`."""

    schedule: Schedule
    on_error: Callable[[Exception, str, str], None] | None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one simulation, with their defaults.

    Raises:
        DefinitionError: a key of `provide` or `stub` is not an activity, or another value is not valid.
    """

    provide: Mapping[Any, object] | None = None
    stub: Mapping[Any, Any] | None = None
    schedule: Schedule = PLAIN
    faults: Faults = Faults.none()
    workers: int = 1
    deploy: Mapping[Any, Any] | None = None
    sticky: Span | None = None
    lambdas: Mapping[str, Handler] | None = None
    limits: Limits = Limits()
    knobs: Knobs = Knobs()
    start: datetime = datetime(2030, 1, 1, tzinfo=UTC)
    codec: Codec = JSON
    check_determinism: bool = True
    max_moves: int = MOVES_MAX

    def __post_init__(self) -> None:
        if not callable(getattr(self.schedule, "choose", None)):
            raise DefinitionError(
                f"schedule={self.schedule!r:.100}: expected a schedule; write Deviations('4:2 9:1'), or Seeded(7)"
            )
        if not isinstance(self.faults, Faults):
            raise DefinitionError(
                f"faults={self.faults!r:.100}: write Faults.some(), Faults.all(), or Faults(crashes=1)"
            )
        for activity in (*(self.provide or ()), *(self.stub or ())):
            if not (isinstance(activity, type) and issubclass(activity, Activity)):
                raise DefinitionError(f"the keys of provide and stub must be activities, and {activity!r:.100} is not")
        if self.workers < 1:
            raise DefinitionError(f"workers={self.workers}: a simulation needs at least one worker")
