"""How much a test repeats: little by default, more in the nightly profile of Hypothesis."""

from __future__ import annotations

from hypothesis import settings

EXAMPLES = settings().max_examples
"""The number of examples of the loaded profile."""

NIGHTLY = EXAMPLES > 50
"""Whether the nightly profile is loaded."""


def pick(daily: int, nightly: int = EXAMPLES) -> int:
    """Return the first number, or the second in the nightly profile."""
    return nightly if NIGHTLY else daily
