"""Fail in words: what should be, and what is.

Takes what was seen; raises `ExamFailure` unless it is as claimed. Pure.
"""

from __future__ import annotations


class ExamFailure(AssertionError):
    """A claim does not hold."""


def expect(holds: object, claim: str) -> None:
    """Fail unless a claim holds.

    Raises:
        ExamFailure: it does not.
    """
    if not holds:
        raise ExamFailure(claim)


def expect_equal(seen: object, wanted: object, what: str) -> None:
    """Fail unless two values agree.

    Raises:
        ExamFailure: they do not.
    """
    if seen != wanted:
        raise ExamFailure(f"{what} should be {wanted!r}, and is {seen!r}")
