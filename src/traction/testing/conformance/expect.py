"""Assertions whose message contains the expected and the actual value."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


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


def expect_type(event: object, kind: type[T]) -> T:
    """Return an event. Fail unless it is of a type.

    Raises:
        ExamFailure: It is not.
    """
    if not isinstance(event, kind):
        raise ExamFailure(f"the event should be {kind.__name__}, and is {event!r}")
    return event
