"""The event queue of a simulation: actions that can happen now, at any time, or at a planned time.

It returns actions in the order in which they became possible, or as the schedule chooses. It runs none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from heapq import heappop, heappush
from typing import NamedTuple

from traction_local.simulation.machine import Machine


class PendingAction(NamedTuple):
    """An action that can happen, with its description, and its machine if that is fixed."""

    machine: Machine | None
    why: str
    act: Callable[[], object]

    @property
    def dead(self) -> bool:
        """Whether its machine has crashed."""
        return self.machine is not None and not self.machine.alive


JUMPS = (2, 4)
"""For how many time jumps an action may be delayed: else late moments in a long run need many deviations."""

JUMPS_MAX = 50
"""Delayed actions happen after this many jumps of time at the latest: a flow that polls with timers may never idle."""


class EventQueue:
    """The pending actions.

    The line holds actions that can happen now. Actions that may happen at any time happen in the plain run when the
    line is empty. A delayed action of the line waits until no other action is possible. A delayed action that may
    happen at any time waits until nothing else is pending, until time has jumped often, or for a few jumps.
    """

    def __init__(self) -> None:
        self._line: list[PendingAction] = []
        self._delayed: list[PendingAction] = []
        self._anytime: list[PendingAction] = []
        self._later: list[tuple[int, PendingAction]] = []
        self._last: list[PendingAction] = []
        self._planned: list[tuple[datetime, int, PendingAction]] = []
        self._plans = 0
        self._jumps = 0

    def add(self, action: PendingAction, *, first: bool = False) -> None:
        """Add an action that can happen now, at the end of the line or at its head."""
        self._line.insert(0 if first else len(self._line), action)

    def allow(self, action: PendingAction) -> None:
        """Add an action that may happen at any time."""
        self._anytime.append(action)

    def plan(self, when: datetime, action: PendingAction) -> None:
        self._plans += 1
        heappush(self._planned, (when, self._plans, action))

    def drop_dead(self) -> None:
        """Remove the actions of crashed machines from the line."""
        self._line = [action for action in self._line if not action.dead]
        self._delayed = [action for action in self._delayed if not action.dead]

    def take_first(self) -> PendingAction | None:
        """Remove and return the next action of the plain run; `None` to advance time."""
        if self._line:
            return self._line.pop(0)
        return self._anytime.pop(0) if self._anytime else None

    def count(self) -> tuple[int, int]:
        """Return the length of the line, and the number of all actions that are possible now."""
        if not self._line and self._delayed:
            self._line, self._delayed = self._delayed, []
        return len(self._line), len(self._line) + len(self._anytime)

    @property
    def first(self) -> str:
        """The description of the first action in the line; empty if there is none."""
        return self._line[0].why if self._line else ""

    def take(self, number: int) -> PendingAction:
        """Remove and return an action by its number; the line is counted first."""
        in_line = len(self._line)
        return self._line.pop(number) if number < in_line else self._anytime.pop(number - in_line)

    def delay(self) -> PendingAction:
        """Delay the first action of the line, or the first at any time if the line is empty, and return it."""
        source, kept = (self._line, self._delayed) if self._line else (self._anytime, self._last)
        kept.append(source.pop(0))
        return kept[-1]

    def delay_for(self, jumps: int) -> PendingAction:
        """Delay the first action at any time for a number of time jumps, and return it."""
        action = self._anytime.pop(0)
        self._later.append((self._jumps + jumps, action))
        return action

    def release_delayed(self, nothing_comes: bool) -> bool:
        """Return delayed actions to the line before time jumps; return whether the line has one now."""
        self._jumps += 1
        if nothing_comes and self._later:
            self._line.append(self._later.pop(0)[1])
            return True
        self._anytime += [action for jump, action in self._later if jump <= self._jumps]
        self._later = [(jump, action) for jump, action in self._later if jump > self._jumps]
        if self._last and (nothing_comes or self._jumps % JUMPS_MAX == 0):
            self._line.append(self._last.pop(0))
            return True
        return False

    def next_plan(self) -> datetime | None:
        """Return the time of the next planned action."""
        return self._planned[0][0] if self._planned else None

    def release_due(self, now: datetime) -> None:
        """Move the planned actions that are due to the line."""
        while self._planned and self._planned[0][0] <= now:
            action = heappop(self._planned)[2]
            if not action.dead:
                self._line.append(action)

    @property
    def empty(self) -> bool:
        """Whether no action is pending, now or later."""
        return not (self._line or self._delayed or self._anytime or self._later or self._last or self._planned)
