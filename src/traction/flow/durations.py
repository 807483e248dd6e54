"""Spans of time, and SWF's durations in seconds."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeAlias

from traction.model.limits import SWF
from traction.model.literals import Duration

Span: TypeAlias = timedelta | int | float
"""A span of time: a `timedelta`, or a number of seconds."""


NO_TIMEOUT = "NONE"
"""SWF's word for a timeout that never runs out."""


SPAN_SECONDS_MAX = 10**SWF.duration_chars_max - 1
"""The longest span that SWF accepts, in seconds: its durations have at most 8 digits."""


EXECUTION_SECONDS_MAX = SWF.execution_seconds_max
"""The longest that an execution may be open: one year, in seconds (SWF)."""


def seconds(n: float) -> timedelta:
    """Return a span of `n` seconds."""
    return timedelta(seconds=n)


def minutes(n: float) -> timedelta:
    """Return a span of `n` minutes."""
    return timedelta(minutes=n)


def hours(n: float) -> timedelta:
    """Return a span of `n` hours."""
    return timedelta(hours=n)


def days(n: float) -> timedelta:
    """Return a span of `n` days."""
    return timedelta(days=n)


def to_timedelta(span: Span) -> timedelta:
    """Return a span as a `timedelta`, checked against SWF's limits.

    Raises:
        ValueError: it is negative, not a number, or longer than 99,999,999 seconds.
        TypeError: it is not a span.
    """
    if isinstance(span, timedelta):
        number = span.total_seconds()
    elif isinstance(span, int | float) and not isinstance(span, bool):
        number = span
    else:
        raise TypeError(f"{span!r} is not a time span; pass a timedelta, such as minutes(5), or a number of seconds")
    if not number >= 0:
        raise ValueError(f"{span!r}: a time span must be zero seconds or more")
    if number > SPAN_SECONDS_MAX:
        raise ValueError(f"{span!r:.100} is too long; a time span has at most {SPAN_SECONDS_MAX:,} seconds (SWF)")
    return span if isinstance(span, timedelta) else timedelta(seconds=span)


def to_duration(span: Span) -> Duration:
    """Return a span as SWF writes it: whole seconds, rounded up, so that nothing fires early.

    Example:
        >>> to_duration(minutes(1.5)), to_duration(0.2)
        ('90', '1')
    """
    return str(-(-to_timedelta(span) // timedelta(seconds=1)))
