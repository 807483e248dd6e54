"""Run the conformance exam concurrently: most of its checks wait for a timeout or a poll."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from traction.backend import Backend
from traction.model.limits import Limits
from traction.testing.conformance import CHECKS, sit_check

SMALL = Limits(
    pollers_max=3, page_items_max=100, payload_chars_max=3_000, heartbeat_chars_max=200, reason_chars_max=100
)
"""Limits that a check can reach quickly."""

THREADS = 4
"""How many checks run at a time. With more, a loaded machine may miss timeouts of one second."""


def find_failures(open_backend: Callable[[], Backend]) -> dict[str, BaseException]:
    """Run all checks, on one backend if they do not close it. Return the error of each check that failed."""
    with closing(open_backend()) as shared, ThreadPoolExecutor(THREADS) as pool:
        # The checks that wait longest are at the end: start them first.
        futures = {
            check.__name__: pool.submit(sit_check, open_backend, check)
            if "the_backend" in check.__name__
            else pool.submit(check, shared)
            for check in CHECKS[::-1]
        }
    errors = {name: future.exception() for name, future in futures.items()}
    return {name: error for name, error in errors.items() if error is not None}
