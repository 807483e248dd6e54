"""Ask again after an error that passes by itself, where that is safe: see the table at the head of `backend`.

Takes what to do, and what lets time pass; gives what it gives. Knows no operation.
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
"""How often something is done before its caller hears that the service cannot be reached."""

Pause = Callable[[float], object]
"""Lets so many seconds pass."""


def call_with_backoff(act: Callable[[], T], pause: Pause, tries: int = TRIES) -> T:
    """Do something that may be done twice, until it does not fail by what passes, or has failed `tries` times.

    Raises:
        BackendError: it failed otherwise, or as often.
    """
    for tried in range(tries - 1):
        try:
            return act()
        except BackendError as error:
            if not error.retryable:
                raise
            # Full jitter, so that those who failed together do not come back together.
            pause(random.random() * PAUSE_MAX * 2**tried)
    return act()
