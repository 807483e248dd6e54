"""The waiting polls by client, so that a client that stops can release its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

RELEASED_MAX = 10_000
"""How many released clients are remembered, for polls that arrive late."""


class HeldPolls:
    """The waiting polls by client, so that a client that stops can release its own.

    A client that drops its connections instead may lose a task that was just assigned.
    """

    def __init__(self) -> None:
        self._waiting: dict[bytes, set[asyncio.Future[None]]] = {}
        self._released: dict[bytes, None] = {}

    def has_left(self, client: bytes | None) -> bool:
        """Whether a client has released its polls: then a late poll returns at once."""
        return client in self._released

    @contextmanager
    def hold(self, client: bytes | None, woken: asyncio.Future[None]) -> Iterator[None]:
        """Register a poll while the body runs."""
        if client is None:
            yield
            return
        mine = self._waiting.setdefault(client, set())
        mine.add(woken)
        try:
            yield
        finally:
            mine.discard(woken)
            if not mine:
                self._waiting.pop(client, None)

    def release(self, client: bytes) -> None:
        """Wake the polls of a client, and remember that it stops."""
        self._released[client] = None
        if len(self._released) > RELEASED_MAX:
            del self._released[next(iter(self._released))]
        for woken in self._waiting.get(client, ()):
            settle(woken)


def settle(future: asyncio.Future[None]) -> None:
    """Complete a future, if it is not done."""
    if not future.done():
        future.set_result(None)
