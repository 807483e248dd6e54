"""Retry idempotent backend calls after transient errors, with exponential backoff.

Which operations are idempotent: see the table at the head of `backend`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from traction.errors import BackendError

T = TypeVar("T")

PAUSE_MAX = 0.2
"""The longest pause before the second try, in seconds; it doubles with each."""

TRIES = 5
"""How many attempts are made before the error is raised."""

Pause = Callable[[float], object]
"""Sleeps for some seconds."""


def call_with_backoff(act: Callable[[], T], pause: Pause, tries: int = TRIES) -> T:
    """Call an idempotent function, and retry it after transient errors, `tries` times in all.

    Raises:
        BackendError: the error is not retryable, or the last attempt failed.
    """
    for tried in range(tries - 1):
        try:
            return act()
        except BackendError as error:
            if not error.retryable:
                raise
            # Full jitter, so that callers that failed together do not retry together.
            pause(random.random() * PAUSE_MAX * 2**tried)
    return act()
