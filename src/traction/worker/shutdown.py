"""Stop at a signal, and leave nothing half done.

Takes signals and the threads of workers; gives an exit code. The first signal asks to stop, the second one ends the
program where it is.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Self

from traction.worker.heartbeats import Heartbeater
from traction.worker.slots import WorkerThread

log = logging.getLogger("traction.client")

FINISHED = 0
"""The exit code of a program that finished all that it had in hand."""

UNFINISHED = 1
"""The exit code of a program that handed something back, or left a thread behind."""

SIGNALLED = 128
"""What the shell adds to the number of a signal that ended a program: the exit code after a second signal."""

LOOK = 1.0
"""How soon it is noticed that work was stopped by another way than a signal, in seconds."""


class Signals:
    """Takes SIGTERM and SIGINT while its `with` statement runs; only a program's main thread may.

    The first one is noted. The second ends the program at once, with 128 and its number as the exit code: what is in
    hand is then lost until it times out.
    """

    def __init__(self, *numbers: signal.Signals) -> None:
        self._numbers = numbers or (signal.SIGTERM, signal.SIGINT)
        self._before: dict[signal.Signals, Any] = {}
        self._asked = False
        # A handler may interrupt itself, so it must not wait for a lock; here it need not (queue.SimpleQueue).
        self._heard: SimpleQueue[int] = SimpleQueue()

    def wait(self, stopped: threading.Event | None = None) -> None:
        """Wait for the first signal, or until `stopped` is set."""
        while not self._asked and not (stopped is not None and stopped.is_set()):
            with suppress(Empty):
                self._heard.get(timeout=LOOK)

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._hear) for number in self._numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, _: FrameType | None) -> None:
        if self._asked:
            for each in self._numbers:
                signal.signal(each, signal.SIG_IGN)
            _kill_processes()
            os._exit(SIGNALLED + number)
        self._asked = True
        self._heard.put(number)


def _kill_processes() -> None:
    """Kill the processes that run activities: nobody is there to take their results."""
    if (multiprocessing := sys.modules.get("multiprocessing")) is not None:
        for process in multiprocessing.active_children():
            if process.name.startswith("activity "):
                process.kill()


def finish(threads: Iterable[WorkerThread], pulse: Heartbeater, seconds: float) -> list[str]:
    """Wait for workers to finish what they have in hand; after so many seconds, hand back what is left.

    Threads that were left behind, since their bodies outlived their tasks, are not waited for.

    Returns:
        The names of the threads that were waited for and still work.
    """
    deadline = time.monotonic() + seconds
    for thread in (threads := list(threads)):
        thread.settled.wait(max(deadline - time.monotonic(), 0))
    if any(not thread.settled.is_set() for thread in threads):
        pulse.hand_back()
    pulse.close()
    for thread in (waited_for := [thread for thread in threads if not thread.left_behind]):
        if thread.settled.is_set():
            thread.join()
    return [thread.name for thread in waited_for if thread.is_alive()]
