"""The turn of the flow that runs in the current thread: its execution, and whether it is replaying."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

from traction.model.names import WorkflowExecution
from traction.runtime.awaitables import NO_EVENT_LOOP

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
    loop: Any = None
    """The event loop that ran before the turn, if any: a flow must not find it."""


# Per thread, and not a context variable: each fiber of a flow runs in a `contextvars.Context` of its own.
_current = _Current()


def take_turn(turn: Turn, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `act` as a turn of a flow."""
    # The attributes of this thread, looked up once: each attribute of a `threading.local` costs as much again.
    current = _current.__dict__
    before, current["turn"] = current.get("turn"), turn
    # `asyncio` may be imported by another thread just now, and have no such function yet.
    set_loop = getattr(sys.modules.get("asyncio"), "_set_running_loop", None)
    if set_loop is None:
        try:
            return act(*args, **kwargs)
        finally:
            current["turn"] = before
    outer, current["loop"] = current.get("loop"), sys.modules["asyncio"]._get_running_loop()
    set_loop(NO_EVENT_LOOP)
    try:
        return act(*args, **kwargs)
    finally:
        set_loop(current["loop"])
        current["turn"], current["loop"] = before, outer


def leave_flow(act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `act` outside the flow, with the thread's own event loop if there is one."""
    asyncio: Any = sys.modules.get("asyncio")
    if asyncio is None or asyncio._get_running_loop() is not NO_EVENT_LOOP:
        return act(*args, **kwargs)
    asyncio._set_running_loop(_current.loop)
    try:
        return act(*args, **kwargs)
    finally:
        asyncio._set_running_loop(NO_EVENT_LOOP)


def find_turn() -> Turn | None:
    """Return the current turn, or `None` if no flow runs."""
    return _current.turn
