"""Refuse what no flow may do: look at a clock, roll dice, reach for a file, a socket or a thread.

Takes what is to be done; does it under watch. Python tells the watch of every call; one that a flow may not make is
refused where it is made, before it is made. What a flow calls in turn counts as the flow, but for logs and imports;
what `side_effect` calls does not, since its result is recorded.

A flow is run again from its history whenever its decider was let go, and must then ask for the same. The rule is
Traction's own (docs/steps.md); the like of it holds for every library that replays histories.
"""

from __future__ import annotations

import builtins
import gc
import logging
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Any, Final, ParamSpec, TypeVar

import traction
from traction.errors import FlowError

P = ParamSpec("P")
T = TypeVar("T")

_CLOCK: Final = "await now() gives the time of the decision"
_PAUSE: Final = "await sleep(...) lets time pass"
_CHANCE: Final = "await random() and await uuid4() give the same on every replay"
_WORLD: Final = "do it in an activity"
_ENVIRONMENT: Final = "await side_effect(...) keeps what it said, and an input says it from outside"
_THREAD: Final = "steps that do not depend on each other run side by side with &, all_of and each"

_BUILT_IN: Final[dict[Any, str]] = {
    **{getattr(time, clock + unit): _CLOCK for clock in ("time", "monotonic", "perf_counter") for unit in ("", "_ns")},
    time.sleep: _PAUSE,
    os.urandom: _CHANCE,
    builtins.open: _WORLD,
    os.open: _WORLD,
    os.system: _WORLD,
    builtins.input: _WORLD,
}
# By identity: of each call of a simulation it is asked whether it is one of these, and to hash code takes long.
_WRITTEN: Final[dict[int, str]] = {
    id(socket.socket.__init__.__code__): _WORLD,
    id(subprocess.Popen.__init__.__code__): _WORLD,
    id(threading.Thread.start.__code__): _THREAD,
    id(type(os.environ).__getitem__.__code__): _ENVIRONMENT,
}
_HERE: Final = str(Path(traction.__file__).parent) + os.sep
_RUNS_FLOWS: Final = frozenset(_HERE + name for name in ("interpret.py", "frames.py", "definition.py", "signatures.py"))
_PASSED_OVER: Final = (str(Path(logging.__file__).parent) + os.sep, "<frozen importlib")
_NAMES: Final = frozenset(
    {function.__name__ for function in _BUILT_IN} | {"now", "utcnow", "today", "random", "getrandbits"}
)


class ImpureFlow(FlowError):
    """A flow does what no flow may do: `call` says what, `where` the line of it."""

    def __init__(self, call: str, where: str, instead: str) -> None:
        self.call = call
        self.where = where
        super().__init__(f"{where} calls {call}, and a flow is run again whenever its history is read: {instead}")


def watch(act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do something, flows included, and refuse what flows may not do.

    Raises:
        ImpureFlow: a flow did.
    """
    found: list[ImpureFlow] = []

    def see(frame: FrameType, event: str, arg: Any) -> None:
        if event == "c_call":
            if arg.__name__ in _NAMES and (instead := _judge(arg)) is not None:
                refuse(frame, f"{getattr(arg, '__qualname__', arg.__name__)}()", instead)
        elif event == "call" and (instead := _WRITTEN.get(id(frame.f_code))) is not None:
            refuse(frame.f_back, frame.f_code.co_qualname, instead)

    def refuse(caller: FrameType | None, call: str, instead: str) -> None:
        if (where := _find_flow(caller)) is not None:
            found.append(ImpureFlow(call, where, instead))
            raise found[0]

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        result = act(*args, **kwargs)
    finally:
        sys.setprofile(before)
    if found:
        raise found[0]
    return result


def _judge(function: Any) -> str | None:
    """Say what to do instead of a call, if it is none for a flow."""
    owner = getattr(function, "__self__", None)
    if isinstance(owner, type) and issubclass(owner, date):
        return _CLOCK
    if function.__name__ in ("random", "getrandbits"):
        # A generator of the flow's own, seeded by it, gives the same each time.
        return _CHANCE if owner is random._inst else None
    return _BUILT_IN.get(function)


def _find_flow(frame: FrameType | None) -> str | None:
    """Give the line of the flow that a call comes from, if a flow makes it."""
    where = None
    cleaners = {getattr(callback, "__code__", None) for callback in gc.callbacks}
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_HERE):
            return where if file in _RUNS_FLOWS else None
        if file.startswith(_PASSED_OVER) or frame.f_code in cleaners:
            return None
        where = f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return None
