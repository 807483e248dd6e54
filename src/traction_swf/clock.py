"""The time of Amazon SWF: this machine's clock, corrected by the `Date` of SWF's responses.

Times are aware, in UTC, in whole milliseconds. The only clock of this package.

Theory of operation. A `Date` is SWF's time in whole seconds, at some moment between the request and the response. So
each response bounds the difference between SWF's clock and ours. Their intersection is kept, and zero is
preferred: a correct clock is not changed. If the bounds contradict each other, a clock was adjusted, and only
the newest response counts.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

NOTHING = timedelta(0)
SECOND = timedelta(seconds=1)

DRIFT_PER_SECOND = 1e-4
"""The assumed drift of two clocks per second. It widens the bounds of older responses."""


def system_now() -> datetime:
    """Return the time of this machine, in UTC."""
    return datetime.now(UTC)


class ServiceClock:
    """A clock that follows the clock of a service. Thread-safe: a race may lose one observation."""

    def __init__(self, clock: Callable[[], datetime] = system_now) -> None:
        self.local = clock
        self._bounds: tuple[datetime, timedelta, timedelta] | None = None
        self._latest: datetime | None = None

    def __call__(self) -> datetime:
        now = self.local() + self.offset
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        # A new observation may set it back by less than a second. It stands still instead.
        if self._latest is not None and now < self._latest < now + SECOND:
            return self._latest
        self._latest = now
        return now

    @property
    def offset(self) -> timedelta:
        """How far the service is ahead of this machine, as far as is known."""
        if self._bounds is None:
            return NOTHING
        _, least, most = self._bounds
        return min(max(NOTHING, least), most)

    def observe(self, date: datetime, sent: datetime, received: datetime) -> None:
        """Update the bounds with the `Date` of a response, and the times of its request and receipt."""
        least, most = date - received, date + SECOND - sent
        if self._bounds is not None:
            when, known_least, known_most = self._bounds
            drift = abs(received - when) * DRIFT_PER_SECOND
            narrowed = max(least, known_least - drift), min(most, known_most + drift)
            if narrowed[0] <= narrowed[1]:
                least, most = narrowed
        self._bounds = received, least, most
