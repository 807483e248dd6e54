"""Choose: the one source of chance in a simulation.

Takes a number of alternatives and the reason of the choice; gives one of them. Zero is always the plain choice:
first in line, no delay, no fault. So a schedule is a short list of deviations from the plain run.
"""

from __future__ import annotations

from typing import Protocol


class Schedule(Protocol):
    """Whatever makes the choices of a simulation."""

    def choose(self, n: int, why: str) -> int:
        """Choose one of `n` alternatives, `0 <= choice < n`; `why` says what for, in words that a story can show."""
        ...


class Plain:
    """Always the plain choice."""

    def choose(self, n: int, why: str) -> int:
        """Give 0."""
        return 0


PLAIN = Plain()
"""The plain schedule: every simulation without another is the same."""
