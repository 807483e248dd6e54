"""The stage of tests of workers and clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.backends import Stage, open_stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Open a service whose clock stands still until the test advances it."""
    with open_stage() as stage:
        yield stage
