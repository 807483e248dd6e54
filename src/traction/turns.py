"""Let what a flow calls know that a flow runs, whose it is, and whether it goes over what was decided before.

Takes a turn, as a decider takes it; gives it to whoever asks from inside.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
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


_turn: ContextVar[Turn | None] = ContextVar("traction.turn", default=None)


def take_turn(turn: Turn, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do what is a turn of a flow."""
    reset = _turn.set(turn)
    try:
        return act(*args, **kwargs)
    finally:
        _turn.reset(reset)


def find_turn() -> Turn | None:
    """Give the turn that is being taken here, if a flow runs."""
    return _turn.get()
