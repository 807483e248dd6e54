"""Interleave the rules of a test with the moves of a simulation, as Hypothesis' stateful testing does.

Takes the attributes of a subclass, which say what the world is made of; gives a `RuleBasedStateMachine` with the rules
of the simulation: somebody moves, time passes, something goes wrong. Hypothesis draws which rule is next and shrinks
the steps; the simulation's own choices are drawn with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from traction.extras import needed_by
from traction.testing.bodies import check_body, check_returned
from traction_local.simulation.faults import Faults
from traction_local.simulation.schedule import PLAIN

with needed_by("SimulationMachine"):
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, rule

    from traction.testing.strategies import schedules

MOVES_MAX = 100_000
"""After how many moves at the end a simulation is given up."""


class SimulationMachine(RuleBasedStateMachine):
    """A state machine whose world is a simulation; add rules of your own that start, signal, cancel and look.

    Class attributes:
        world: as for `simulate`: `provide`, `stub`, `workers`, `limits` and so on.
        faults: what may go wrong.

    At the end nothing goes wrong any more, and every execution that was started must close; then `check_end` is called.

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

    world: dict[str, Any] = {}  # noqa: RUF012
    faults: Faults = Faults.none()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for hook in (cls.begin, cls.end, cls.check_end):
            check_body(hook, "self")

    def __init__(self) -> None:
        super().__init__()
        from traction.testing import Simulation

        self._choices = _Drawn()
        self.simulation: Any = Simulation(schedule=self._choices, faults=self.faults, **self.world)
        _call(self.begin)

    def begin(self) -> None:
        """Prepare before all rules: start executions."""

    def end(self) -> None:
        """Finish after all rules, before all executions run to their end."""

    def check_end(self) -> None:
        """Assert what holds after every execution has closed."""

    @rule(moves=st.integers(1, 10), schedule=schedules(choices=20, max_deviations=3))
    def somebody_moves(self, moves: int, schedule: Any) -> None:
        """Run a few actions of the simulation."""
        self._choices.choose = schedule.choose
        for _ in range(moves):
            if not (self.simulation.has_open() and self.simulation.can_move()):
                break
            self.simulation.move_once()
        self._choices.choose = PLAIN.choose

    def teardown(self) -> None:
        """Run all executions to their end, without faults."""
        self._choices.choose = PLAIN.choose
        _call(self.end)
        moves = 0
        try:
            while self.simulation.has_open():
                self.simulation.move_once()
                moves += 1
                assert moves < MOVES_MAX, f"after {moves} moves executions are still open:\n{self.simulation.story}"
        finally:
            self.simulation.close()
        assert not self.simulation.stuck, f"an execution waits for what never comes:\n{self.simulation.stuck}"
        _call(self.check_end)


def _call(hook: Callable[[], object]) -> None:
    """Call what a subclass has written, and check that it returns nothing."""
    check_returned(hook, hook())


class _Drawn:
    """A schedule whose choices are drawn rule by rule. A simulation has the very object, and no copy of it."""

    def __init__(self) -> None:
        self.choose = PLAIN.choose

    def __copy__(self) -> _Drawn:
        return self
