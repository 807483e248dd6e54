"""The real time in whole milliseconds. The only clock of this package."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def system_now() -> datetime:
    """Return the time of this machine, in UTC."""
    return _read(time.time_ns() // 1_000_000)


@lru_cache(maxsize=2)
def _read(milliseconds: int) -> datetime:
    # Many calls fall into one millisecond, and making a datetime costs more than looking one up.
    return _EPOCH + timedelta(milliseconds=milliseconds)
