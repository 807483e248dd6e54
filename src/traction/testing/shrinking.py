"""Shrinking: find a schedule with fewer deviations under which a test fails in the same way.

Hypothesis shrinks a schedule choice by choice. Leaving out an early deviation changes the numbers of the later choices,
so here deviations are left out with the later ones moved along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice, product
from typing import Final

from traction.testing.systematic import add_deviation
from traction_local.simulation.schedule import Deviations

TRIES_MAX: Final = 300
"""The maximal number of runs in which deviations are left out."""

SINGLES_MAX: Final = 100
"""The maximal number of single deviations from the plain run that are tried first."""

SHIFTS: Final = (0, -1, 1, -2, 2, -3, 3)
"""By how much the numbers of later choices change when an earlier deviation is left out."""


class Shrinker:
    """Shrinks the schedule of a failure.

    Args:
        found: the schedule.
        widths: the number of alternatives of each choice of the plain run.
        reproduces: runs the test under a schedule, and returns whether it fails in the same way.
    """

    def __init__(self, found: Deviations, widths: Sequence[int], reproduces: Callable[[Deviations], bool]) -> None:
        self.shortest = found
        self._widths = widths
        self._reproduces = reproduces
        self._left = TRIES_MAX

    def run(self) -> Deviations:
        """Return the shortest schedule that is found."""
        if not self._try_single_deviations():
            while self._leave_out_one():
                pass
        return self.shortest

    def _try_single_deviations(self) -> bool:
        """Replace the schedule by a single deviation, which need not be one of its own; return whether it is one."""
        singles = add_deviation({}, self._widths) if self.shortest.choices else iter(())
        for choices in islice(singles, SINGLES_MAX):
            if self._reproduces(Deviations(choices)):
                self.shortest = Deviations(choices)
                return True
        return False

    def _leave_out_one(self) -> bool:
        """Leave out one deviation; return whether one was left out."""
        for shorter in self._list_shorter():
            if self._left == 0:
                return False
            self._left -= 1
            if self._reproduces(shorter):
                self.shortest = shorter
                return True
        return False

    def _list_shorter(self) -> Iterator[Deviations]:
        choices = list(self.shortest.choices.items())
        for number, shift in product(range(len(choices)), SHIFTS):
            later = [(later_number + shift, chosen) for later_number, chosen in choices[number + 1 :]]
            shorter = dict(choices[:number] + later)
            if len(shorter) < len(choices) and min(shorter, default=0) >= 0:
                yield Deviations(shorter)


def is_shorter(one: Deviations, other: Deviations) -> bool:
    """Return whether a schedule has fewer deviations, or as many that are earlier or nearer to the plain choice."""
    return (len(one.choices), list(one.choices.items())) < (len(other.choices), list(other.choices.items()))
