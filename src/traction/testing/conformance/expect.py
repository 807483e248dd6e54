"""Assertions whose message contains the expected and the actual value."""

from __future__ import annotations


class ExamFailure(AssertionError):
    """A claim of the exam does not hold."""


def expect(holds: object, claim: str) -> None:
    """Fail unless a claim holds.

    Raises:
        ExamFailure: It does not hold.
    """
    if not holds:
        raise ExamFailure(claim)


def expect_equal(actual: object, expected: object, description: str) -> None:
    """Fail unless two values are equal.

    Raises:
        ExamFailure: They are not.
    """
    if actual != expected:
        raise ExamFailure(f"{description} should be {expected!r}, and is {actual!r}")
