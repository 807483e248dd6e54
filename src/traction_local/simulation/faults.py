"""Say what may go wrong in a simulation, as data: of each kind, how many times at the most.

Takes nothing; gives `Faults`. A fault happens where the schedule deviates to it, so no budget makes the plain run go
wrong. When the budgets are spent nothing goes wrong any more, and then every execution must close: safety while they
last, liveness after.
"""

from __future__ import annotations

from datetime import timedelta

import msgspec

SOME = 3
"""How many faults of each kind there are in some."""

ALL = 1_000
"""How many faults of each kind there are in all: more than a story needs."""


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """What may go wrong, and how often at the most."""

    crashes: int = 0
    """A worker dies with all that it has in memory, after it was given a task, before or after it answers, or in the
    middle of an attempt that it beats for; another one begins in its place."""

    losses: int = 0
    """A request is lost before it arrives, or its reply after it took effect; whoever asked hears of neither."""

    repeats: int = 0
    """A request arrives twice; whoever asked hears the second answer."""

    throttles: int = 0
    """A request is refused with ThrottlingException."""

    timeouts: int = 0
    """A task times out while its worker is busy, or nobody takes it; or its heartbeats stop, and its work goes on."""

    delays: int = 0
    """A type that a flow asks for the first time, and that was registered a moment ago, is unknown for some seconds."""

    skew: timedelta = timedelta(0)
    """How far the clocks of workers may be off, either way."""

    @staticmethod
    def none() -> Faults:
        """Nothing goes wrong: only orders and delays are chosen."""
        return _NONE

    @staticmethod
    def some() -> Faults:
        """A few faults of each kind: what an ordinary week brings."""
        return _SOME

    @staticmethod
    def all() -> Faults:
        """Faults of each kind, as many as the schedule likes."""
        return _ALL


def _every(times: int, skew: timedelta) -> Faults:
    return Faults(crashes=times, losses=times, repeats=times, throttles=times, timeouts=times, delays=times, skew=skew)


_NONE = Faults()
_SOME = _every(SOME, timedelta(0))
_ALL = _every(ALL, timedelta(minutes=10))
