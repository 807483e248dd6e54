"""The loop that runs a worker's turns, with backoff while the service is unreachable."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol, TypeVar

from traction.errors import BackendError
from traction.worker.backoff import call_with_backoff

T = TypeVar("T")

log = logging.getLogger("traction.worker")


BACKOFF_MAX = timedelta(seconds=30)
"""The longest pause between polls while the service is unreachable."""


class Worker(Protocol):
    """Runs one turn of work at a time."""

    def work_once(self, wait: timedelta | None = None) -> bool:
        """Poll for one task for up to `wait`, and run it. Return whether there was one."""
        ...

    def flush(self) -> None:
        """Send the responses that could not be sent before.

        Raises:
            BackendError: the service could not be reached; the responses are kept.
        """
        ...

    def close(self) -> None:
        """Release the worker's resources."""
        ...


def run_worker(
    worker: Worker,
    stop: threading.Event,
    *,
    wait: timedelta | None = None,
    jitter: Callable[[], float] = lambda: 1.0,
    prepare: Callable[[], object] = lambda: None,
    left_behind: Callable[[], bool] = lambda: False,
) -> None:
    """Run turns until `stop` is set. A task that was polled is always completed first.

    Before the first turn `prepare` is called until it succeeds. The loop also ends when `left_behind()` is
    true: another thread has replaced this one.

    Unsent responses are retried a few times at the end.
    After a failed turn, pause for a second, doubling up to half a minute, times `jitter()`.
    """
    failures, prepared = 0, False
    try:
        while not stop.is_set() and not left_behind():
            try:
                if not prepared:
                    prepare()
                    prepared = True
                    continue
                worker.work_once(wait)
                failures = 0
            except Exception as error:
                pause = min(timedelta(seconds=2 ** min(failures, 10)), BACKOFF_MAX) * jitter()
                failures += 1
                known = isinstance(error, BackendError) and error.retryable
                log.warning("a turn failed, retrying in %s: %s", pause, error, exc_info=None if known else error)
                stop.wait(pause.total_seconds())
    finally:
        flush_at_last(worker)
        worker.close()


def flush_at_last(worker: Worker) -> None:
    """Send unsent responses. After a few tries, log a warning and let their tasks time out."""
    try:
        call_with_backoff(worker.flush, time.sleep)
    except Exception as error:
        log.warning("a response could not be sent, its task will time out: %s", error)


def pop_unsent(queue: deque[T]) -> T | None:
    """Remove and return the oldest entry, or `None`: another thread may have taken the last one."""
    try:
        return queue.popleft() if queue else None
    except IndexError:
        return None
