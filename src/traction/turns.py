"""Let what a flow calls know that a flow runs, whose it is, and whether it goes over what was decided before.

Takes a turn, as a decider takes it; gives it to whoever asks from inside.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

from traction.names import WorkflowExecution

P = ParamSpec("P")
T = TypeVar("T")


class Turn(Protocol):
    """What is known of the turn that a flow is taking."""

    @property
    def execution(self) -> WorkflowExecution:
        """Whose flow it is."""
        ...

    @property
    def replaying(self) -> bool:
        """Whether the turn was taken before, by another decider."""
        ...

    @property
    def silent(self) -> bool:
        """Whether what the flow logs is dropped, because nothing happens in its execution now."""
        ...


class _Current(threading.local):
    turn: Turn | None = None


# Per thread, and not a context variable: each fiber of a flow runs in a `contextvars.Context` of its own.
_current = _Current()


def take_turn(turn: Turn, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do what is a turn of a flow."""
    before, _current.turn = _current.turn, turn
    try:
        return act(*args, **kwargs)
    finally:
        _current.turn = before


def find_turn() -> Turn | None:
    """Give the turn that is being taken here, if a flow runs."""
    return _current.turn
