"""The loop that runs a worker's turns, with backoff while the service is unreachable."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from traction.errors import BackendError
from traction.worker.backoff import call_with_backoff

log = logging.getLogger("traction.worker")


BACKOFF_MAX = timedelta(seconds=30)
"""The longest pause between polls of a service that does not answer."""


class Worker(Protocol):
    """What does one turn of work at a time."""

    def work_once(self, wait: timedelta | None = None) -> bool:
        """Poll, wait for a task for so long at the most, and do it; say whether there was one."""
        ...

    def flush(self) -> None:
        """Send the answers that could not be sent.

        Raises:
            BackendError: the service could not be reached; they are kept.
        """
        ...

    def close(self) -> None:
        """Let go of what turns keep between them."""
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
    """Do one turn after another until `stop` is set; a task that a poll was given is always answered first.

    Before the first turn `prepare` is called, again and again until it raises nothing. The loop also ends after a turn
    in which its thread was `left_behind`: another one has taken its place.

    An answer that could not be sent by then is sent again a few times before the worker is given up.
    After a turn that failed, pause: for a second, and twice as long each time up to half a minute, times `jitter()`.
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
                log.warning("a turn failed, the next is in %s: %s", pause, error, exc_info=None if known else error)
                stop.wait(pause.total_seconds())
    finally:
        flush_at_last(worker)
        worker.close()


def flush_at_last(worker: Worker) -> None:
    """Send what could not be sent; after a few tries, leave it to time out."""
    try:
        call_with_backoff(worker.flush, time.sleep)
    except Exception as error:
        log.warning("an answer could not be sent, and its task will time out: %s", error)
