"""Notify a page of changes of its execution or list, by server-sent events. The page then loads itself again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from traction.errors import BackendError
from traction.extras import needed_by

with needed_by("the page"):
    from starlette.concurrency import run_in_threadpool

SECONDS: Final = 2.0
"""How long a stream waits between two looks at the backend."""

BUSY_SECONDS: Final = 15.0
"""How long it waits after the service refused."""

TURNS_MAX: Final = 150
"""How many looks a stream takes before it ends. The browser then opens another."""

STREAMS_MAX: Final = 64
"""How many streams are open at once."""

TICK: Final = 0.2


class LiveStreams:
    """The open streams of a page."""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._open = 0
        self._is_closed = False

    def close(self) -> None:
        """End all streams soon. Idempotent."""
        self._is_closed = True

    @property
    def is_full(self) -> bool:
        """Whether no other stream may be opened."""
        return self._is_closed or self._open >= STREAMS_MAX

    async def follow(self, look: Callable[[], str], seen: str) -> AsyncIterator[str]:
        """Yield an event whenever what `look` returns differs from `seen`, which is the state that the page shows.

        Args:
            look: reads the state from the backend, in another thread.
            seen: the state that the page shows.
        """
        self._open += 1
        try:
            yield "retry: 3000\n\n"
            for _ in range(TURNS_MAX):
                pause = self._seconds
                try:
                    state = await run_in_threadpool(look)
                except BackendError as error:
                    if not error.retryable:
                        return
                    pause = BUSY_SECONDS
                    yield "event: busy\ndata: \n\n"
                else:
                    if state != seen:
                        seen = state
                        yield f"event: change\ndata: {seen}\n\n"
                    else:
                        yield ": still\n\n"
                for _ in range(max(round(pause / TICK), 1)):
                    if self._is_closed:
                        return
                    await asyncio.sleep(min(TICK, pause))
        finally:
            self._open -= 1
