"""Read spans and times as people write them on a command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from traction.cli.loading import UsageError

SPAN: Final = r"(?:\d+[wdhms])+"
"""The pattern of a span, such as `2h30m`."""

_UNITS: Final = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def read_span(word: str) -> timedelta:
    """Return the span that a word of the pattern `SPAN` describes.

    Example:
        >>> str(read_span("1d2h30m"))
        '1 day, 2:30:00'

    Raises:
        UsageError: it is too long.
    """
    try:
        parts = re.findall(r"(\d+)([wdhms])", word)
        return sum((timedelta(**{_UNITS[unit]: int(number)}) for number, unit in parts), timedelta(0))
    except OverflowError:
        raise UsageError(f"{word} is too long a span") from None


def read_time(word: str, now: datetime, option: str) -> datetime:
    """Return the instant of a word: a span before `now`, or a time in ISO 8601, in UTC if it has no zone.

    A span before now is cut to whole seconds.

    Example:
        >>> now = datetime(2030, 1, 31, 12, tzinfo=UTC)
        >>> str(read_time("1d12h", now, "--since")), str(read_time("2030-01-31", now, "--since"))
        ('2030-01-30 00:00:00+00:00', '2030-01-31 00:00:00+00:00')

    Raises:
        UsageError: it is neither.
    """
    try:
        if re.fullmatch(SPAN, word):
            return (now - read_span(word)).replace(microsecond=0)
        time = datetime.fromisoformat(word)
    except (ValueError, OverflowError):
        raise UsageError(f"{option} {word}: expected a time, such as 1d, 2h30m or 2030-01-31T09:00Z") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
