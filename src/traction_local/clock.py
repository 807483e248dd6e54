"""Tell the real time, in whole milliseconds: the only clock of this package."""

from __future__ import annotations

from datetime import UTC, datetime


def system_now() -> datetime:
    """Give the time of this machine, in UTC."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
