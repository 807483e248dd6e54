"""Tell another time than this machine's: one that stands still until it is moved, or one that runs faster.

Takes a time, or a pace; gives clocks for a service, and moves the one that is moved by hand. Waits for nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from traction.errors import BackendError
from traction_local.clock import system_now

if TYPE_CHECKING:
    from traction_local.backend import LocalBackend


class VirtualClock:
    """A clock that stands still until somebody moves it."""

    def __init__(self, time: datetime) -> None:
        self.time = _cut(time)

    def __call__(self) -> datetime:
        """Give the time."""
        return self.time


def advance(backend: LocalBackend, clock: VirtualClock, seconds: float) -> tuple[datetime, datetime | None]:
    """Let so much time pass, and everything happen at its own moment; give the time, and the next one of note.

    Raises:
        BackendError: what is due could not be done; time stands where it was to happen.
    """
    target = clock.time + timedelta(milliseconds=round(seconds * 1000))
    now, alarm = backend.settle()
    while now < target:
        if alarm is not None and alarm <= now:
            raise BackendError(f"what is due at {alarm} cannot be done now: try again")
        clock.time = target if alarm is None else min(alarm, target)
        now, alarm = backend.settle()
    return now, alarm


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
