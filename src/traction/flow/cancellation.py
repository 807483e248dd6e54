"""Cancel scopes and timeouts for parts of a flow, entered with `async with`, as in trio.

async with move_on_after(minutes(5)) as scope:
    answer = await receive(Approve)
if scope.cancelled:
    ...
"""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType
from typing import Any

import msgspec

from traction.flow.durations import Span, to_timedelta
from traction.flow.step import Step


class CancelScope:
    """A part of a flow that can be cancelled by itself. Enter it once, with `async with`."""

    __slots__ = ("depth", "fails", "fiber", "late", "number", "over", "requested", "span", "timer")

    def __init__(self, span: timedelta | None, fails: bool) -> None:
        self.span = span
        self.fails = fails
        self.requested = False
        # For the interpreter: the fiber that entered it, its depth and number, its timer, and its state.
        self.fiber: Any = None
        self.depth = 0
        self.number = 0
        self.timer: Any = None
        self.late = False
        self.over = False

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled, by `cancel` or by its deadline."""
        return self.requested or self.late

    def cancel(self) -> Step[None]:
        """Cancel what runs in the scope; awaited inside it, this raises `Cancelled`, which ends at the scope.

        Before the scope is entered, it cancels what will run in it, where that first waits; after it, it does nothing.
        """
        return CancelNow(self)

    def __aenter__(self) -> Step[CancelScope]:
        return EnterScope(self)

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Step[bool]:
        return ExitScope(self, error)


class EnterScope(Step[CancelScope], msgspec.Struct, frozen=True):
    """Begin a scope."""

    scope: CancelScope


class ExitScope(Step[bool], msgspec.Struct, frozen=True):
    """End a scope, with the error that leaves it, if any."""

    scope: CancelScope
    error: BaseException | None


class CancelNow(Step[None], msgspec.Struct, frozen=True):
    """Cancel a scope."""

    scope: CancelScope


def cancel_scope() -> CancelScope:
    """Return a scope that the flow cancels: `await scope.cancel()`, from inside it or from a branch beside it."""
    return CancelScope(None, fails=False)


def move_on_after(span: Span) -> CancelScope:
    """Return a scope that is cancelled after a span; `scope.cancelled` is then true.

    History:
        StartTimer when it is entered, and CancelTimer when it exits in time.
    """
    return CancelScope(to_timedelta(span), fails=False)


def fail_after(span: Span) -> CancelScope:
    """Return a scope that is cancelled after a span, and then raises `StepTimedOut`.

    History:
        StartTimer when it is entered, and CancelTimer when it exits in time.
    """
    return CancelScope(to_timedelta(span), fails=True)
