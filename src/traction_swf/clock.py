"""Tell the time as Amazon SWF stamps it: this machine's clock, kept within what SWF's answers say of its own.

Takes the `Date` of answers; gives aware times in UTC, in whole milliseconds. The only clock of this package.

Theory of operation. A `Date` is SWF's time without its fraction, at some moment between the sending of the request and
the coming of the answer; so each answer says within which bounds SWF's clock differs from ours. What all answers agree
on is kept, and zero preferred: a clock that is right stays as it is. When answers disagree, a clock was set, and the
newest answer is believed alone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

NOTHING = timedelta(0)
SECOND = timedelta(seconds=1)

DRIFT_PER_SECOND = 1e-4
"""How much two clocks may part in a second: by so much older answers are believed less."""


def system_now() -> datetime:
    """Give the time of this machine, in UTC."""
    return datetime.now(UTC)


class ServiceClock:
    """A clock that follows a service's. May be read and told from any thread: the worst is an answer not heard."""

    def __init__(self, clock: Callable[[], datetime] = system_now) -> None:
        self.local = clock
        self._bounds: tuple[datetime, timedelta, timedelta] | None = None
        self._told: datetime | None = None

    def __call__(self) -> datetime:
        """Give the time."""
        now = self.local() + self.offset
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        # What was learned since may set it back by less than it was uncertain: then it waits instead.
        if self._told is not None and now < self._told < now + SECOND:
            return self._told
        self._told = now
        return now

    @property
    def offset(self) -> timedelta:
        """How far the service is ahead of this machine, as far as is known."""
        if self._bounds is None:
            return NOTHING
        _, least, most = self._bounds
        return min(max(NOTHING, least), most)

    def observe(self, date: datetime, sent: datetime, received: datetime) -> None:
        """Hear what time an answer told, and between which times of this machine it was made."""
        least, most = date - received, date + SECOND - sent
        if self._bounds is not None:
            when, known_least, known_most = self._bounds
            drift = abs(received - when) * DRIFT_PER_SECOND
            narrowed = max(least, known_least - drift), min(most, known_most + drift)
            if narrowed[0] <= narrowed[1]:
                least, most = narrowed
        self._bounds = received, least, most
