"""Tell another time than this machine's: one that stands still until it is moved, or one that runs faster.

Takes a time, or a pace; gives clocks for a service. Waits for nothing.
"""

from __future__ import annotations

from datetime import datetime

from traction_local.clock import system_now


class VirtualClock:
    """A clock that stands still until somebody moves it."""

    def __init__(self, time: datetime) -> None:
        self.time = _cut(time)

    def __call__(self) -> datetime:
        """Give the time."""
        return self.time


class FastClock:
    """A clock that begins now at some time, and runs at another pace than this machine's."""

    def __init__(self, pace: float, begin: datetime) -> None:
        self._pace = pace
        self._begin = begin
        self._began = system_now()

    def __call__(self) -> datetime:
        """Give the time."""
        return _cut(self._begin + (system_now() - self._began) * self._pace)


def _cut(time: datetime) -> datetime:
    return time.replace(microsecond=time.microsecond // 1000 * 1000)
