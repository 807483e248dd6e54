"""Give spans of time and policies their types, and turn them into what SWF reads.

Takes numbers, `timedelta`s and policies; gives frozen values and SWF's strings of seconds. Knows nothing of steps.
"""

from __future__ import annotations

from datetime import timedelta
from math import ceil, isfinite
from typing import Any, TypeAlias, TypeVar

import msgspec

from traction.names import ActivityType, TaskList, WorkflowType
from traction.values import ChildPolicy, Duration

Span: TypeAlias = timedelta | int | float
"""A span of time: a `timedelta`, or a number of seconds."""

NO_TIMEOUT = "NONE"
"""SWF's word for a timeout that never runs out."""

SPAN_SECONDS_MAX = 99_999_999
"""The longest span that SWF can be told, in seconds: its durations have at most 8 digits."""

C = TypeVar("C")


def seconds(n: float) -> timedelta:
    """Give a span of `n` seconds."""
    return timedelta(seconds=n)


def minutes(n: float) -> timedelta:
    """Give a span of `n` minutes."""
    return timedelta(minutes=n)


def hours(n: float) -> timedelta:
    """Give a span of `n` hours."""
    return timedelta(hours=n)


def days(n: float) -> timedelta:
    """Give a span of `n` days."""
    return timedelta(days=n)


def to_timedelta(span: Span) -> timedelta:
    """Read a span, and refuse one that is negative or that SWF cannot be told.

    Raises:
        ValueError: it is negative, not finite, or longer than 99,999,999 seconds.
        TypeError: it is no span at all.
    """
    if isinstance(span, timedelta):
        delta = span
    elif isinstance(span, int | float) and not isinstance(span, bool):
        if not isfinite(span):
            raise ValueError(f"a span of time must be finite, not {span!r}")
        delta = timedelta(seconds=span)
    else:
        raise TypeError(f"a span of time is a timedelta or a number of seconds, not {span!r}")
    if delta < timedelta(0):
        raise ValueError(f"a span of time cannot be negative: {span!r}")
    if delta.total_seconds() > SPAN_SECONDS_MAX:
        raise ValueError(f"a span of time is at most {SPAN_SECONDS_MAX} seconds (SWF): {span!r}")
    return delta


def to_duration(span: Span) -> Duration:
    """Write a span as SWF does: whole seconds, rounded up, so that nothing fires early.

    Example:
        >>> to_duration(minutes(1.5)), to_duration(0.2)
        ('90', '1')
    """
    return str(ceil(to_timedelta(span).total_seconds()))


class Retry(msgspec.Struct, frozen=True):
    """Try an activity again when it fails or times out, after a pause that doubles.

    `attempts` counts the first try. The pause before attempt `n + 1` is `backoff * 2 ** (n - 1)`, at most
    `max_delay`. The decider schedules each attempt itself and keeps time by durable timers, because SWF
    never retries an activity; so a pause may last for days and survives every worker.
    """

    attempts: int = 3
    backoff: Span = timedelta(seconds=1)
    max_delay: Span = timedelta(hours=1)

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"Retry(attempts={self.attempts}): there is at least one attempt, the first")
        to_timedelta(self.backoff)
        to_timedelta(self.max_delay)

    def find_delay(self, attempt: int) -> timedelta | None:
        """Say how long to wait after attempt number `attempt` (from 1) has failed, or `None` to give up.

        Example:
            >>> [str(Retry(attempts=4, backoff=10).find_delay(n)) for n in (1, 2, 3, 4)]
            ['0:00:10', '0:00:20', '0:00:40', 'None']
        """
        if attempt >= self.attempts:
            return None
        longest = to_timedelta(self.max_delay)
        # 2 ** 40 pauses of a millisecond are 34 years: past that the cap has long decided.
        return min(to_timedelta(self.backoff) * (1 << min(attempt - 1, 40)), longest)


class ActivitySpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a definition says of an activity: its type, its defaults in SWF's words, its retries, its result."""

    type: ActivityType
    label: str
    task_list: TaskList
    schedule_to_start: Duration = NO_TIMEOUT
    start_to_close: Duration
    schedule_to_close: Duration = NO_TIMEOUT
    heartbeat: Duration = NO_TIMEOUT
    retry: Retry | None = None
    priority: str | None = None
    description: str | None = None
    needs: Any = None
    result: Any


class WorkflowSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a definition says of a workflow: its type, its defaults in SWF's words, its result."""

    type: WorkflowType
    label: str
    task_list: TaskList
    execution_start_to_close: Duration
    task_start_to_close: Duration
    child_policy: ChildPolicy
    priority: str | None = None
    tags: tuple[str, ...] = ()
    lambda_role: str | None = None
    description: str | None = None
    result: Any
