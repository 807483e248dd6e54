"""Keep what can happen in a simulation: now, at any time, and at its time.

Takes moves; gives them back in the order in which they became possible, or as the schedule chooses. Knows no service,
and does nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from heapq import heappop, heappush
from typing import NamedTuple

from traction_local.simulation.machine import Machine


class PendingAction(NamedTuple):
    """Something that can happen: on which machine, if that is settled, what, and the act."""

    machine: Machine | None
    why: str
    act: Callable[[], object]

    @property
    def dead(self) -> bool:
        """Whether its machine died."""
        return self.machine is not None and not self.machine.alive


MOVES_MAX = 100_000
"""After how many moves an execution that is still open is called stuck, unless told otherwise."""

COMPLETE_LATER = (2, 4)
"""How often time may pass before what was put off for that long may come: else its moment in a long run lies deep."""

PATIENCE = 50
"""How often time passes before what was put off comes after all: somebody who waits by timers may do so for ever."""


class EventQueue:
    """What can happen.

    In line stands what can happen now. What may happen at any time plainly does when nobody stands in line. Who is put
    off waits until nobody else can move; what may come at any time and is put off, until nothing else will come at all,
    or time has passed often; or until time has passed a few times.
    """

    def __init__(self) -> None:
        self._line: list[PendingAction] = []
        self._put_off: list[PendingAction] = []
        self._anytime: list[PendingAction] = []
        self._later: list[tuple[int, PendingAction]] = []
        self._last: list[PendingAction] = []
        self._planned: list[tuple[datetime, int, PendingAction]] = []
        self._plans = 0
        self._jumps = 0

    def add(self, move: PendingAction, *, first: bool = False) -> None:
        """Let something happen now, after all who stand in line or before them."""
        self._line.insert(0 if first else len(self._line), move)

    def allow(self, move: PendingAction) -> None:
        """Let something happen at any time."""
        self._anytime.append(move)

    def plan(self, when: datetime, move: PendingAction) -> None:
        """Let something happen at its time."""
        self._plans += 1
        heappush(self._planned, (when, self._plans, move))

    def drop_dead(self) -> None:
        """Forget what dead machines were about to do."""
        self._line = [move for move in self._line if not move.dead]
        self._put_off = [move for move in self._put_off if not move.dead]

    def take_first(self) -> PendingAction | None:
        """Take what plainly happens next; `None` to let time pass."""
        if self._line:
            return self._line.pop(0)
        return self._anytime.pop(0) if self._anytime else None

    def count(self) -> tuple[int, int]:
        """Say how many stand in line, and how many moves there are with those that may come at any time."""
        if not self._line and self._put_off:
            self._line, self._put_off = self._put_off, []
        return len(self._line), len(self._line) + len(self._anytime)

    @property
    def first(self) -> str:
        """What the first in line is about to do; empty if nobody stands there."""
        return self._line[0].why if self._line else ""

    def take(self, number: int) -> PendingAction:
        """Take a move by its number, those in line first."""
        in_line = len(self._line)
        return self._line.pop(number) if number < in_line else self._anytime.pop(number - in_line)

    def put_off(self) -> PendingAction:
        """Put off the first in line; or if nobody stands there, what may come at any time."""
        source, kept = (self._line, self._put_off) if self._line else (self._anytime, self._last)
        kept.append(source.pop(0))
        return kept[-1]

    def put_off_for(self, jumps: int) -> PendingAction:
        """Put off what may come at any time until time has passed so often."""
        move = self._anytime.pop(0)
        self._later.append((self._jumps + jumps, move))
        return move

    def call_last(self, nothing_comes: bool) -> bool:
        """Let come now what was put off until nothing else comes, before time passes; say whether it does."""
        self._jumps += 1
        if nothing_comes and self._later:
            self._line.append(self._later.pop(0)[1])
            return True
        self._anytime += [move for jump, move in self._later if jump <= self._jumps]
        self._later = [(jump, move) for jump, move in self._later if jump > self._jumps]
        if self._last and (nothing_comes or self._jumps % PATIENCE == 0):
            self._line.append(self._last.pop(0))
            return True
        return False

    def next_plan(self) -> datetime | None:
        """When something is planned."""
        return self._planned[0][0] if self._planned else None

    def call_due(self, now: datetime) -> None:
        """Let those stand in line whose time has come."""
        while self._planned and self._planned[0][0] <= now:
            move = heappop(self._planned)[2]
            if not move.dead:
                self._line.append(move)

    @property
    def empty(self) -> bool:
        """Whether nobody can move, now or later."""
        return not (self._line or self._put_off or self._anytime or self._later or self._last or self._planned)
