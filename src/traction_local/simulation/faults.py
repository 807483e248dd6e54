"""Fault budgets of a simulation: the maximal number of injected faults of each kind.

A fault happens only where the schedule deviates to it, so the plain run has none. When the budgets are spent, no more
faults happen and every execution must close: safety first, then liveness.
"""

from __future__ import annotations

from datetime import timedelta

import msgspec

SOME = 3
"""Faults of each kind in `Faults.some()`."""

ALL = 1_000
"""Faults of each kind in `Faults.all()`: more than any failure needs."""


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """The maximal number of faults of each kind."""

    crashes: int = 0
    """A worker crashes and loses its memory: after it received a task, before or after it responds, or in the middle of
    an attempt that sends heartbeats. A new worker starts in its place."""

    losses: int = 0
    """A request is lost before it arrives, or its reply after it took effect. The caller cannot distinguish the two."""

    repeats: int = 0
    """A request arrives twice; the caller receives the second response."""

    throttles: int = 0
    """A request fails with ThrottlingException."""

    timeouts: int = 0
    """A task times out in the queue or while its worker is busy; or its heartbeats stop while its work goes on."""

    delays: int = 0
    """A type that was just registered is unknown to the service for some seconds."""

    skew: timedelta = timedelta(0)
    """The maximal skew of the workers' clocks, in both directions."""

    @staticmethod
    def none() -> Faults:
        """Return budgets without faults: only orders and delays are chosen."""
        return _NONE

    @staticmethod
    def some() -> Faults:
        """Return budgets of a few faults of each kind."""
        return _SOME

    @staticmethod
    def all() -> Faults:
        """Return budgets of as many faults as the schedule chooses."""
        return _ALL


def _every(times: int, skew: timedelta) -> Faults:
    return Faults(crashes=times, losses=times, repeats=times, throttles=times, timeouts=times, delays=times, skew=skew)


_NONE = Faults()
_SOME = _every(SOME, timedelta(0))
_ALL = _every(ALL, timedelta(minutes=10))
