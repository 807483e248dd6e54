"""Intervals and cron expressions. Pure: times come in as arguments."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, TypeAlias

import msgspec

from traction.flow.durations import Span, to_timedelta

_SEARCH_DAYS = 366 * 41
"""How far ahead a time is looked for. The rarest, a 29th of February on a given weekday, comes within 40 years."""


_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 7))


_MONTHS = {
    name: n
    for n, name in enumerate(("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1)
}


_DAYS = {name: n for n, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}


_WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class Interval(msgspec.Struct, frozen=True):
    """Times that are a fixed span apart."""

    span: timedelta

    def find_next(self, after: datetime) -> datetime:
        """Return the first time after another."""
        return after + self.span

    def find_due(self, last: datetime, now: datetime, catch_up: int) -> datetime:
        """Return the next time to handle after `last`, which skips all but the latest `catch_up` missed times."""
        passed = max((now - last) // self.span, 0)
        return last + self.span * (1 + max(passed - catch_up, 0))


class Cron(msgspec.Struct, frozen=True):
    """The times of a cron line, in a time zone.

    Five fields: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday); each `*`, numbers, names,
    ranges, lists and steps, as in `*/15 9-17 * * mon-fri`; or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. If
    both days are given, either is enough (POSIX). A local time that a clock change leaves out is skipped, and
    one that it repeats is used once.
    """

    line: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool
    zone: Any

    def find_next(self, after: datetime) -> datetime:
        """Return the first time after another, in UTC."""
        local = after.astimezone(self.zone)
        day = local.date()
        for _ in range(_SEARCH_DAYS):
            if self._is_on(day):
                for hour in self.hours:
                    for minute in self.minutes:
                        time = datetime(day.year, day.month, day.day, hour, minute, tzinfo=self.zone).astimezone(UTC)
                        if time > after and self._exists(time, hour, minute):
                            return time
            day += timedelta(days=1)
        raise ValueError(f"{self.line!r} never matches a date: none of its months has such a day")

    def find_due(self, last: datetime, now: datetime, catch_up: int) -> datetime:
        """Return the next time to handle after `last`, which skips all but the latest `catch_up` missed times."""
        if catch_up == 0:
            return self.find_next(max(last, now))
        # Look back from now, wider and wider: much may have passed, and only the end of it counts.
        width = timedelta(minutes=1)
        while True:
            begin = max(last, now - width)
            passed, time = list[datetime](), self.find_next(begin)
            while time <= now:
                passed.append(time)
                time = self.find_next(time)
            if len(passed) >= catch_up or begin == last:
                return passed[-catch_up:][0] if passed else time
            width *= 2

    def _is_on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return in_month or in_week if self.either else in_month and in_week

    def _exists(self, time: datetime, hour: int, minute: int) -> bool:
        local = time.astimezone(self.zone)
        return (local.hour, local.minute) == (hour, minute)


Recurrence: TypeAlias = Interval | Cron
"""When something recurs."""


def read_recurrence(when: str | Span | Recurrence, zone: tzinfo = UTC) -> Recurrence:
    """Read a cron line, or the span between two times.

    Example:
        >>> read_recurrence("30 9 * * mon-fri").find_next(datetime(2030, 1, 4, 12, tzinfo=UTC)).isoformat()
        '2030-01-07T09:30:00+00:00'

    Raises:
        ValueError: it is not a cron expression, it never matches a date, or the span is zero.
        TypeError: the zone is not a time zone.
    """
    if not isinstance(zone, tzinfo):
        raise TypeError(f"{zone!r:.100} is not a time zone; write zoneinfo.ZoneInfo({zone!r:.100})")
    if isinstance(when, Interval | Cron):
        return when
    if not isinstance(when, str):
        span = to_timedelta(when)
        if not span:
            raise ValueError("the interval must be longer than zero; pass one second or more")
        return Interval(span)
    parts = _WORDS.get(when.strip().lower(), when).lower().split()
    if len(parts) != len(_FIELDS):
        raise ValueError(
            f"{when!r} is not a cron expression: it has {len(parts)} fields, but five are required: "
            "minute hour day month weekday"
        )
    minutes, hours, days, months, weekdays = (
        _read_field(when, part, *field) for part, field in zip(parts, _FIELDS, strict=True)
    )
    cron = Cron(
        when,
        tuple(sorted(minutes)),
        tuple(sorted(hours)),
        days,
        months,
        frozenset(n % 7 for n in weekdays),
        not parts[2].startswith("*") and not parts[4].startswith("*"),
        zone,
    )
    cron.find_next(datetime(2000, 1, 1, tzinfo=UTC))  # that there is such a date is seen here, and not in a flow
    return cron


def _read_field(line: str, text: str, name: str, least: int, most: int) -> frozenset[int]:
    names = _MONTHS if name == "month" else _DAYS if name == "day of the week" else {}
    values: set[int] = set()
    for part in text.split(","):
        span, _, stride = part.partition("/")
        low, _, high = span.partition("-")
        try:
            first = least if low == "*" else names[low] if low in names else int(low)
            last = most if low == "*" else names[high] if high in names else int(high) if high else first
            if stride and low != "*" and not high:
                last = most
            by = int(stride) if stride else 1
        except ValueError:
            first, last, by = 1, 0, 0
        if not (least <= first <= last <= most and by > 0):
            raise ValueError(f"{line!r} is not a cron expression: {part!r} is not a {name} ({least} to {most})")
        values |= set(range(first, last + 1, by))
    return frozenset(values)
