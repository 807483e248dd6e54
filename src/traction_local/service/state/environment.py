"""What all executions of a service share: time, alarms, quotas and undocumented behaviour."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from traction.model.limits import Limits
from traction_local.service.knobs import Knobs, LambdaCall, LambdaOutcome
from traction_local.service.state.alarms import Alarm, Alarms, Effect
from traction_local.service.state.rate_limits import Buckets
from traction_local.service.state.task_list import Ready
from traction_local.service.tokens import make_run_id

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=1024)
def parse_duration(duration: str | None) -> timedelta | None:
    """Parse a duration. `None` for `"NONE"` and for `None`."""
    return None if duration is None or duration == "NONE" else timedelta(seconds=int(duration))


def cut(span: timedelta) -> timedelta:
    """Round a span down to whole milliseconds, the resolution of SWF."""
    return span - timedelta(microseconds=span.microseconds % 1000)


class Environment:
    """The part of a region that its executions use."""

    __slots__ = ("_runs", "alarms", "buckets", "clock", "closed", "invoke", "knobs", "limits", "ready", "seed")

    def __init__(
        self, seed: str, limits: Limits, knobs: Knobs, invoke: Callable[[LambdaCall], LambdaOutcome] | None
    ) -> None:
        self.seed = seed
        self.limits = limits
        self.knobs = knobs
        self.invoke = invoke
        self.clock = EPOCH
        self.alarms = Alarms()
        self.buckets = Buckets(limits)
        self.ready: list[Ready] = []
        self.closed: list[str] = []
        self._runs = 0

    def advance(self, now: datetime) -> datetime:
        """Move the clock, never backwards, and fire the alarms that are due, each at its own time.

        Returns the new time of the service: UTC, whole milliseconds.
        """
        if now is not self.clock:
            if now.tzinfo is not UTC:
                now = now.astimezone(UTC)
            if excess := now.microsecond % 1000:
                now -= timedelta(microseconds=excess)
            now = max(now, self.clock)
        if self.alarms.is_due(now):
            while (taken := self.alarms.take_due(now)) is not None:
                self.clock, alarm = taken
                alarm.fire(self.clock)
        self.clock = now
        return now

    def number_run(self) -> tuple[int, str]:
        """Return the number and id of a new run."""
        self._runs += 1
        return self._runs, make_run_id(self.seed, self._runs)

    def follow(self, act: Callable[[datetime], None], now: datetime) -> None:
        """Call `act` after the current batch, never inside it. The order is kept."""
        self.alarms.set(Effect(act=act), now + cut(self.knobs.effect_latency))

    def limit(self, alarm: Alarm, timeout: timedelta | None, now: datetime) -> None:
        """Set an alarm to a timeout from now, if there is one."""
        if timeout is not None:
            self.alarms.set(alarm, now + timeout)
