"""Know which polls are held for which client, so that a client that leaves can have its own answered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

RELEASED_MAX = 10_000
"""How many clients that have left are remembered, for polls that arrive after that."""


class HeldPolls:
    """The polls that wait, by the client that sent them, so that a client that leaves can have its own answered.

    A client that drops its connections instead may lose a task: the one that was assigned just before.
    """

    def __init__(self) -> None:
        self._waiting: dict[bytes, set[asyncio.Future[None]]] = {}
        self._released: dict[bytes, None] = {}

    def has_left(self, client: bytes | None) -> bool:
        """Whether a client has asked for its polls back, so that one that arrives late is not held."""
        return client in self._released

    @contextmanager
    def hold(self, client: bytes | None, woken: asyncio.Future[None]) -> Iterator[None]:
        """Keep a poll while the body runs."""
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
        """Wake the polls of a client, and remember that it leaves."""
        self._released[client] = None
        if len(self._released) > RELEASED_MAX:
            del self._released[next(iter(self._released))]
        for woken in self._waiting.get(client, ()):
            settle(woken)


def settle(future: asyncio.Future[None]) -> None:
    """Wake who waits for a future, if it is not awake already."""
    if not future.done():
        future.set_result(None)
