"""Clocks for a service: one that only moves when it is advanced, and one that runs faster than real time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from traction.errors import BackendError
from traction_local.clock import system_now

if TYPE_CHECKING:
    from traction_local.backend import LocalBackend


class VirtualClock:
    """A clock that only moves when it is advanced."""

    def __init__(self, time: datetime) -> None:
        self.time = _cut(time)

    def __call__(self) -> datetime:
        return self.time


def advance(backend: LocalBackend, clock: VirtualClock, seconds: float) -> tuple[datetime, datetime | None]:
    """Advance the clock, and fire each alarm at its own time. Returns the time and the time of the next alarm.

    Raises:
        BackendError: an alarm could not be handled. The clock stays at its time.
    """
    target = clock.time + timedelta(milliseconds=round(seconds * 1000))
    now, alarm = backend.settle()
    while now < target:
        if alarm is not None and alarm <= now:
            raise BackendError(f"the timeouts and timers due at {alarm} could not be processed: call again")
        clock.time = target if alarm is None else min(alarm, target)
        now, alarm = backend.settle()
    return now, alarm


class FastClock:
    """A clock that starts at a given time, and runs `pace` times as fast as this machine's."""

    def __init__(self, pace: float, begin: datetime) -> None:
        self._pace = pace
        self._begin = begin
        self._began = system_now()

    def __call__(self) -> datetime:
        return _cut(self._begin + (system_now() - self._began) * self._pace)


def _cut(time: datetime) -> datetime:
    return time.replace(microsecond=time.microsecond // 1000 * 1000)
