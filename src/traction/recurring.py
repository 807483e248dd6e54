"""Do work again and again: at the times of a cron line, or at a fixed interval.

Takes times and what to do at them; gives a step that never ends, since it goes on as a new run before its history
grows long. A `Recurrence` is a pure function from one time to the next; it knows no clock.

    class Nightly(Workflow[None]):
        since: datetime | None = None

        async def flow(self) -> None:
            await every("0 3 * * *", lambda time: Report(time.date()), again=Nightly, since=self.since)
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, Literal, TypeAlias

import msgspec

from traction.combinators import first_of, now, sleep_until, step
from traction.errors import FlowError
from traction.leaves import continue_as_new, history_events, run_ends, start_child
from traction.options import Span, to_timedelta
from traction.step import AdjustedChild, Step, WorkflowStep

Overlap: TypeAlias = Literal["wait", "beside", "cancel"]
"""What becomes of work that is not done when the next time comes: see `every`."""

HISTORY_EVENTS_MAX = 5_000
"""How long a history may be when the next run is started; SWF ends an execution at 25,000 events."""

SHARE = 0.5
"""The part of a run's time after which the next is started; the rest is for work that is not done."""

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
        """Give the first time after another."""
        return after + self.span

    def find_due(self, last: datetime, now: datetime, catch_up: int) -> datetime:
        """Give the time to deal with after `last`: of those that have passed since, the latest so many are left."""
        passed = max((now - last) // self.span, 0)
        return last + self.span * (1 + max(passed - catch_up, 0))


class Cron(msgspec.Struct, frozen=True):
    """The times of a cron line, in a time zone.

    Five fields: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday); each `*`, numbers, names,
    ranges, lists and steps, as in `*/15 9-17 * * mon-fri`; or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. If
    both days are given, either is enough (POSIX). A local time that a clock change leaves out is passed over, and
    one that it repeats is taken once.
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
        """Give the first time after another, in UTC."""
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
        raise ValueError(f"{self.line!r} names a date that never comes: none of its months has such a day")

    def find_due(self, last: datetime, now: datetime, catch_up: int) -> datetime:
        """Give the time to deal with after `last`: of those that have passed since, the latest so many are left."""
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
        ValueError: it is no cron line, it names a date that never comes, or the span is zero.
        TypeError: the zone is none.
    """
    if not isinstance(zone, tzinfo):
        raise TypeError(f"{zone!r:.100} is no time zone; write zoneinfo.ZoneInfo({zone!r:.100})")
    if isinstance(when, Interval | Cron):
        return when
    if not isinstance(when, str):
        span = to_timedelta(when)
        if not span:
            raise ValueError("an interval of no length recurs without end; give a span of a second or more")
        return Interval(span)
    parts = _WORDS.get(when.strip().lower(), when).lower().split()
    if len(parts) != len(_FIELDS):
        raise ValueError(
            f"{when!r} is no cron line: it has {len(parts)} fields, and a cron line has five: "
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
            raise ValueError(f"{line!r} is no cron line: {part!r} is no {name}, which is {least} to {most}")
        values |= set(range(first, last + 1, by))
    return frozenset(values)


def every(
    when: str | Span | Recurrence,
    do: Callable[[datetime], Step[Any]],
    *,
    again: Callable[[datetime], WorkflowStep[Any]],
    since: datetime | None = None,
    overlap: Overlap = "wait",
    catch_up: int = 1,
    zone: tzinfo = UTC,
) -> Step[Any]:
    """Do something at each time of a recurrence, without end.

    Args:
        when: a cron line, or the span between two times.
        do: what to do at a time. If it fails, so does this step: `attempt` or `recover` it to go on.
        again: the call of this workflow that goes on after a time; with it the next run begins when the history has
            grown long, or half of the time has passed for which a run may be open.
        since: the last time that was dealt with, which `again` was given; the start of the run unless given.
        overlap: when the work of one time is not done at the next: `wait` until it is; `beside`, let both go on (then
            `do` gives a call of a workflow, which runs as a child); `cancel` the earlier.
        catch_up: how many of the times that have passed meanwhile are made up for, the latest first to count.
        zone: the time zone of a cron line.

    Raises:
        ValueError: the recurrence is wrong, or names a date that never comes; or `since` has no time zone.
        FlowError: (in the flow) with `beside`, `do` gives no call of a workflow.

    History:
        Asks StartTimer for each time, then what `do` asks; ContinueAsNewWorkflowExecution when the history has grown,
        or the run is half over.
    """
    recurrence = read_recurrence(when, zone)
    if catch_up < 0:
        raise ValueError(f"every(catch_up={catch_up}): at least 0 of the times that passed are made up for")
    if overlap not in ("wait", "beside", "cancel"):
        raise ValueError(f"every(overlap={overlap!r}): one of wait, beside, cancel")
    if since is not None and not isinstance(since, datetime):
        raise TypeError(f"every(since={since!r:.100}): the last time that was dealt with is a datetime")
    if since is not None and since.tzinfo is None:
        raise ValueError(f"every(since={since!r}): an instant has a time zone; say datetime(..., tzinfo=timezone.utc)")
    return _recur(recurrence, do, again, since, overlap, catch_up)


@step
async def _recur(
    recurrence: Recurrence,
    do: Callable[[datetime], Step[Any]],
    again: Callable[[datetime], WorkflowStep[Any]],
    since: datetime | None,
    overlap: Overlap,
    catch_up: int,
) -> None:
    began, ends = await now(), await run_ends()
    leaves = began + (ends - began) * SHARE
    last = began if since is None else since
    while await history_events() < HISTORY_EVENTS_MAX and await now() < leaves:
        due = recurrence.find_due(last, await now(), catch_up)
        await sleep_until(min(due, leaves))
        if due > leaves:
            break
        work, last = do(due), due
        if overlap == "beside":
            await start_child(_check_call(work))
        elif overlap == "cancel":
            await first_of(work, sleep_until(min(recurrence.find_next(due), ends)))
        else:
            await work
    await continue_as_new(again(last))


def _check_call(work: Any) -> WorkflowStep[Any] | AdjustedChild[Any]:
    if not isinstance(work, WorkflowStep | AdjustedChild):
        raise FlowError(
            f"every(overlap='beside'): {work!r:.100} is no call of a workflow, and only children run beside the flow. "
            "Make a @workflow of what is to be done, or say wait or cancel"
        )
    return work
