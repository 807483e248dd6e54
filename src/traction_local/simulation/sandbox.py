"""The sandbox: refuse calls of flows to clocks, random numbers, files, sockets and threads.

A profile function sees every call, and raises where a flow makes a forbidden one, before the call is made. Functions
that a flow calls count as the flow, except logging, imports and time zone rules. Functions of `side_effect` do not,
since their results are recorded.

A flow is replayed from its history when its decider is not cached, and must then make the same decisions. The rule is
Traction's own (docs/steps.md); libraries that replay histories have similar ones.
"""

from __future__ import annotations

import builtins
import dis
import gc
import linecache
import logging
import os
import random
import socket
import subprocess
import sys
import threading
import time
import zoneinfo
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import BuiltinFunctionType, FrameType
from typing import Any, Final, ParamSpec, TypeVar

import traction
from traction.decider import frames, interpreter
from traction.definitions import classes, decorators, signatures
from traction.errors import FlowError
from traction.worker.forgotten_steps import watch_steps

P = ParamSpec("P")
T = TypeVar("T")

_CLOCK: Final = "await now() gives the time of the decision"
_PAUSE: Final = "await sleep(...) lets time pass"
_CHANCE: Final = "await random() and await uuid4() give the same on every replay"
_WORLD: Final = "do it in an activity"
_ENVIRONMENT: Final = "await side_effect(...) keeps what it said, and an input says it from outside"
_ZONE: Final = "the time zone of a machine is its own: give one, as in (await now()).astimezone(ZoneInfo(...))"
_THREAD: Final = "steps that do not depend on each other run side by side with &, all_of and each"

# Functions of the os module that depend only on their arguments.
_PURE: Final = frozenset({"fspath", "fsencode", "fsdecode", "strerror", "major", "minor", "makedev", "WEXITSTATUS"})


def _asks_the_system(function: Any) -> bool:
    return (
        isinstance(function, BuiltinFunctionType) and function.__module__ == os.name and function.__name__ not in _PURE
    )


_BUILT_IN: Final[dict[Any, str]] = {
    **{getattr(time, clock + unit): _CLOCK for clock in ("time", "monotonic", "perf_counter") for unit in ("", "_ns")},
    time.sleep: _PAUSE,
    time.localtime: _ZONE,
    time.ctime: _ZONE,
    time.mktime: _ZONE,
    builtins.open: _WORLD,
    builtins.input: _WORLD,
    **{getattr(socket, name): _WORLD for name in ("gethostname", "gethostbyname", "gethostbyaddr", "getnameinfo")},
    **{function: _WORLD for function in vars(os).values() if _asks_the_system(function)},
    os.urandom: _CHANCE,
    **({os.getrandom: _CHANCE} if hasattr(os, "getrandom") else {}),
}
# Functions that read the clock, or the local time zone, if called with at most this many arguments.
_SPARING_CLOCK: Final = {"gmtime": 0, "asctime": 0, "strftime": 1}
_SPARING_ZONE: Final = {"fromtimestamp": 1, "astimezone": 0}
# By identity: every call of a simulation is looked up here, and hashing code objects is slow.
_WRITTEN: Final[dict[int, str]] = {
    id(socket.socket.__init__.__code__): _WORLD,
    id(socket.getaddrinfo.__code__): _WORLD,
    id(subprocess.Popen.__init__.__code__): _WORLD,
    id(threading.Thread.start.__code__): _THREAD,
    id(type(os.environ).__getitem__.__code__): _ENVIRONMENT,
}
_HERE: Final = str(Path(traction.__file__).parent) + os.sep
_RUNS_FLOWS: Final = frozenset(
    str(module.__file__) for module in (interpreter, frames, classes, decorators, signatures)
)
# Logging, the text of tracebacks, and time zone rules, which are part of a program like its code.
_ALLOWED_CALLERS: Final = (
    *(str(Path(str(module.__file__)).parent) + os.sep for module in (logging, zoneinfo)),
    linecache.__file__,
    "<frozen importlib",
)
_BREAKPOINT: Final = builtins.breakpoint
_DEBUGGERS: Final = frozenset(
    {"pdb", "bdb", "_pytest", "IPython", "ipdb", "pudb", "pdbpp", "debugpy", "pydevd", "_pydevd_bundle"}
    | {"web_pdb", "remote_pdb", "rpdb", "madbg", "wdb"}
)
"""The top modules of debuggers, for those that are entered by a function of their own. `breakpoint()` needs no list."""
_NAMES: Final = frozenset(
    {function.__name__ for function in _BUILT_IN}
    | {"now", "utcnow", "today", "random", "getrandbits", *_SPARING_CLOCK, *_SPARING_ZONE}
)


class ImpureFlowError(FlowError):
    """A flow made a forbidden call: `call` is its name, `where` its line."""

    def __init__(self, call: str, where: str, instead: str) -> None:
        self.call = call
        self.where = where
        super().__init__(f"{where} calls {call}, and a flow is run again whenever its history is read: {instead}")


class Sandbox:
    """Runs functions, and refuses forbidden calls of flows in them; a debugger within a flow may call anything."""

    def __init__(self) -> None:
        self.debugged = False
        """Whether a flow has entered a debugger, which would stop again wherever the flow is run again."""
        self._found: list[ImpureFlowError] = []
        self._entered = 0  # how many calls of breakpoint() are going on

    def run(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `act` and return its result.

        Raises:
            ImpureFlowError: a flow made a forbidden call.
            FlowError: a flow builds a step and never awaits it.
        """
        self._found.clear()
        self._entered = 0
        before = sys.getprofile()
        sys.setprofile(self._see)
        try:
            result, forgotten = watch_steps(act, *args, **kwargs)
        finally:
            sys.setprofile(before)
        if self._found:
            raise self._found[0]
        if forgotten and not self.debugged:
            raise FlowError(str(forgotten[0]))
        return result

    def _see(self, frame: FrameType, event: str, arg: Any) -> None:
        # Python calls no profile function within a trace function: calls at the prompt of a debugger are not seen.
        if event == "c_call":
            if arg is _BREAKPOINT:
                self._entered += 1
            elif arg.__name__ in _NAMES and (instead := _judge(arg, frame)) is not None:
                self._refuse(frame, f"{getattr(arg, '__qualname__', arg.__name__)}()", instead)
        elif event == "call":
            if self._entered:
                self.debugged = True
            if (instead := _WRITTEN.get(id(frame.f_code))) is not None:
                self._refuse(frame.f_back, frame.f_code.co_qualname, instead)
        elif arg is _BREAKPOINT and event != "return":  # a function of C has returned or raised
            self._entered -= 1

    def _refuse(self, caller: FrameType | None, call: str, instead: str) -> None:
        if self._entered:
            return
        if _is_debugging(caller):
            self.debugged = True
        elif (where := _find_flow(caller)) is not None:
            self._found.append(ImpureFlowError(call, where, instead))
            raise self._found[0]


def _judge(function: Any, frame: FrameType) -> str | None:
    """Return the advice for a call that flows must not make, else None."""
    owner, name = getattr(function, "__self__", None), function.__name__
    if owner is time and name in _SPARING_CLOCK:
        return _CLOCK if _count_arguments(frame) <= _SPARING_CLOCK[name] else None
    if name in _SPARING_ZONE:
        dates = isinstance(owner, date) or (isinstance(owner, type) and issubclass(owner, date))
        return _ZONE if dates and _count_arguments(frame) <= _SPARING_ZONE[name] else None
    if isinstance(owner, type) and issubclass(owner, date):
        return _CLOCK
    if function.__name__ in ("random", "getrandbits"):
        # A generator that the flow seeds itself is deterministic.
        return _CHANCE if owner is random._inst else None
    return _BUILT_IN.get(function)


def _count_arguments(frame: FrameType) -> int:
    """Return the number of arguments of the current call, from its instruction."""
    code = frame.f_code.co_code
    name = dis.opname[code[frame.f_lasti]]
    return code[frame.f_lasti + 1] if name in ("CALL", "PRECALL", "CALL_KW") else sys.maxsize


def _is_debugging(frame: FrameType | None) -> bool:
    """Return whether a debugger makes a call: one that a flow has entered by `pdb.set_trace()` or the like."""
    while frame is not None and not frame.f_code.co_filename.startswith(_HERE):
        if str(frame.f_globals.get("__name__")).partition(".")[0] in _DEBUGGERS:
            return True
        frame = frame.f_back
    return False


def _find_flow(frame: FrameType | None) -> str | None:
    """Return the line of the flow that makes a call, or None."""
    where = None
    cleaners = {getattr(callback, "__code__", None) for callback in gc.callbacks}
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_HERE):
            return where if file in _RUNS_FLOWS else None
        if file.startswith(_ALLOWED_CALLERS) or frame.f_code in cleaners:
            return None
        where = f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return None
