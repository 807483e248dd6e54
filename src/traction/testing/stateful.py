"""Interleave the rules of a test with the moves of a simulation, as Hypothesis' stateful testing does.

Hypothesis draws and shrinks a sequence of rules: those of the test, and one that moves the simulation, whose choices
are drawn with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from traction.extras import needed_by
from traction.testing.bodies import check_body, check_returned
from traction_local.simulation.faults import Faults
from traction_local.simulation.options import SimulationOptions
from traction_local.simulation.schedule import PLAIN, Schedule
from traction_local.simulation.simulation import Simulation

with needed_by("SimulationMachine"):
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, rule

    from traction.testing.strategies import schedules

MOVES_MAX = 100_000
"""The maximal number of moves at the end, until all executions must have closed."""


class SimulationMachine(RuleBasedStateMachine):
    """A state machine with a simulation; add rules that start, signal, cancel and inspect executions.

    Class attributes:
        world: the options of the simulation: `provide`, `stub`, `workers`, `limits` and so on.
        faults: the faults that may be injected.

    At the end no faults are injected, and every execution that was started must close; then `check_end` is called.

    Example:
        >>> from hypothesis.stateful import rule, run_state_machine_as_test
        >>> from traction import receive, Signal, workflow
        >>> class Enough(Signal): ...
        >>> class More(Signal): ...
        >>> @workflow
        ... async def count() -> int:
        ...     counted = 0
        ...     while isinstance(await receive(More, Enough), More):
        ...         counted += 1
        ...     return counted
        >>> class Counting(SimulationMachine):
        ...     def begin(self):
        ...         self.sent, self.handle = 0, self.simulation.start(count())
        ...     @rule()
        ...     def more(self):
        ...         self.sent += 1
        ...         self.simulation.send(self.handle, More())
        ...     def end(self):
        ...         self.simulation.send(self.handle, Enough())
        ...     def check_end(self):
        ...         assert self.handle.result() == self.sent
        >>> run_state_machine_as_test(Counting)
    """

    world: ClassVar[SimulationOptions] = {}
    faults: ClassVar[Faults] = Faults.none()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for hook in (cls.begin, cls.end, cls.check_end):
            check_body(hook, "self")

    def __init__(self) -> None:
        super().__init__()
        self._choices = _DrawnSchedule()
        options: SimulationOptions = {**self.world, "schedule": self._choices, "faults": self.faults}
        self.simulation = Simulation(**options)
        _call(self.begin)

    def begin(self) -> None:
        """Prepare before all rules: start executions."""

    def end(self) -> None:
        """Finish after all rules, before all executions run to their end."""

    def check_end(self) -> None:
        """Check the results after every execution has closed."""

    @rule(moves=st.integers(1, 10), schedule=schedules(choices=20, max_deviations=3))
    def somebody_moves(self, moves: int, schedule: Any) -> None:
        """Run a few actions of the simulation."""
        self._choices.current = schedule
        for _ in range(moves):
            if not (self.simulation.has_open() and self.simulation.can_move()):
                break
            self.simulation.move_once()
        self._choices.current = PLAIN

    def teardown(self) -> None:
        """Run all executions to their end, without faults."""
        self._choices.current = PLAIN
        _call(self.end)
        moves = 0
        try:
            while self.simulation.has_open():
                self.simulation.move_once()
                moves += 1
                assert moves < MOVES_MAX, f"after {moves} moves executions are still open:\n{self.simulation.story}"
        finally:
            self.simulation.close()
        assert not self.simulation.stuck, (
            f"an execution waits for something that never happens:\n{self.simulation.stuck}"
        )
        _call(self.check_end)


def _call(hook: Callable[[], object]) -> None:
    """Call a method of a subclass, and check that it returns nothing."""
    check_returned(hook, hook())


class _DrawnSchedule:
    """A schedule whose choices are drawn rule by rule. A simulation uses the object itself, not a copy."""

    def __init__(self) -> None:
        self.current: Schedule = PLAIN

    def choose(self, n: int, why: str) -> int:
        """Return the choice of the schedule that the current rule drew."""
        return self.current.choose(n, why)

    def __copy__(self) -> _DrawnSchedule:
        return self
