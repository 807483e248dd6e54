"""The trace of a simulation: its choices, and the moves that they led to."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from datetime import datetime
from typing import NamedTuple

from traction.model import decisions as d
from traction_local.simulation.backend import SimulatedBackend
from traction_local.simulation.schedule import Deviations, Plain, Schedule


class Move(NamedTuple):
    """One line of a trace: when, who and what; for a decision task also its decisions and its execution."""

    when: datetime
    who: str
    what: str
    choices: int = 0
    """The number of choices made so far: those since the move before led to this one."""
    decisions: Sequence[d.Decision] = ()
    workflow_id: str = ""


class Trace:
    """Makes the choices of a simulation by its schedule, and records them and the moves.

    Under the plain schedule nothing is recorded: the history is enough.
    """

    def __init__(self, schedule: Schedule, backend: SimulatedBackend) -> None:
        self.plain = isinstance(schedule, Plain)
        """Whether the schedule is the plain one, which is never called."""
        self.widths: list[int] = []
        """The number of alternatives of each choice."""
        self.deviations: dict[int, int] = {}
        """The choices that were not plain, by their numbers."""
        self.moves: list[Move] = []
        self._choose = copy(schedule).choose
        self._backend = backend

    def choose(self, n: int, why: str) -> int:
        """Return the number of the chosen alternative; 0 without a choice if there is only one."""
        if self.plain or n == 1:
            return 0
        chosen = self._choose(n, why)
        if chosen:
            self.deviations[len(self.widths)] = chosen
        self.widths.append(n)
        return chosen

    def note(self, who: str, what: str, decisions: Sequence[d.Decision] = (), workflow_id: str = "") -> None:
        if not self.plain:
            self.moves.append(Move(self._backend.time, who, what, len(self.widths), decisions, workflow_id))

    def __str__(self) -> str:
        """Return the deviations as a text: `Deviations(text)` is the schedule of this simulation."""
        return str(Deviations(self.deviations))
