"""Stop workers at a signal: the first one finishes running tasks, the second one ends the program at once."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Self

from traction.worker.heartbeats import Heartbeater
from traction.worker.process_pool import kill_all
from traction.worker.slots import WorkerThread

log = logging.getLogger("traction.client")

FINISHED = 0
"""The exit code of a program that finished all its tasks."""

UNFINISHED = 1
"""The exit code of a program that handed a task back, or left a thread running."""

SIGNALLED = 128
"""Added to the signal's number, as shells do: the exit code after a second signal."""

CHECK_INTERVAL = 1.0
"""How often `wait` checks whether it was stopped without a signal, in seconds."""


class StopSignals:
    """Handles SIGTERM and SIGINT within its `with` statement, in the main thread only.

    The first signal ends `wait`. The second ends the program at once with exit code 128 plus its number: running tasks
    are then lost until they time out.
    """

    def __init__(self, *numbers: signal.Signals) -> None:
        self._numbers = numbers or (signal.SIGTERM, signal.SIGINT)
        self._before: dict[signal.Signals, Any] = {}
        self._requested = False
        # A handler may interrupt itself, so it must not wait for a lock; here it need not (queue.SimpleQueue).
        self._received: SimpleQueue[int] = SimpleQueue()

    def wait(self, stopped: threading.Event | None = None) -> None:
        """Wait for the first signal, or until `stopped` is set."""
        while not self._requested and not (stopped is not None and stopped.is_set()):
            with suppress(Empty):
                self._received.get(timeout=CHECK_INTERVAL)

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._on_signal) for number in self._numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self._requested:
            for each in self._numbers:
                signal.signal(each, signal.SIG_IGN)
            kill_all()
            os._exit(SIGNALLED + number)
        self._requested = True
        self._received.put(number)


def finish(threads: Iterable[WorkerThread], heartbeater: Heartbeater, seconds: float) -> list[str]:
    """Wait up to `seconds` for workers to finish their tasks, then hand back the rest.

    Threads whose bodies outlived their tasks are not waited for.

    Returns:
        The names of the other threads that are still running.
    """
    deadline = time.monotonic() + seconds
    for thread in (threads := list(threads)):
        thread.settled.wait(max(deadline - time.monotonic(), 0))
    if any(not thread.settled.is_set() for thread in threads):
        heartbeater.hand_back()
    heartbeater.close()
    for thread in (waited_for := [thread for thread in threads if not thread.left_behind]):
        if thread.settled.is_set():
            thread.join()
    return [thread.name for thread in waited_for if thread.is_alive()]
