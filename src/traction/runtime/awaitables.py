"""Errors for what flows await or combine that is not a step: coroutines, futures, whatever needs an event loop."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from types import CodeType, CoroutineType, FrameType, TracebackType
from typing import Any, Final, NamedTuple

from traction.errors import FlowError

RULE: Final = (
    "A flow may await only steps and has no event loop, because it is replayed from its history (Traction). Run steps "
    "concurrently with all_of, first_of, each, & or |; decorate async helpers with @step; wait with traction.sleep; "
    "do any other work in an activity"
)
"""What to write instead of what a flow may not await."""

LIBRARIES: Final = frozenset({"asyncio", "anyio", "curio", "sniffio", "trio", "uvloop"})
"""Packages whose functions need an event loop."""

_HERE: Final = str(Path(__file__).parents[1] / "_")[:-1]


class Call(NamedTuple):
    """A function that is being called: its code, its current line, the module that it is in."""

    code: CodeType
    line: int
    module: str


def list_calls(frame: FrameType | None) -> list[Call]:
    """Return the calls from a flow's own down to a frame, outermost first: all above the nearest code of Traction."""
    calls = []
    while frame is not None and not is_ours(frame.f_code):
        calls.append(Call(frame.f_code, frame.f_lineno, frame.f_globals.get("__name__", "")))
        frame = frame.f_back
    return calls[::-1]


def list_traced(trace: TracebackType | None) -> list[Call]:
    """Return the calls that an error passed through, outermost first, without Traction's own."""
    calls = []
    while trace is not None:
        code = trace.tb_frame.f_code
        if not is_ours(code):
            calls.append(Call(code, trace.tb_lineno, trace.tb_frame.f_globals.get("__name__", "")))
        trace = trace.tb_next
    return calls


def is_ours(code: CodeType) -> bool:
    """Return whether code is Traction's own."""
    return code.co_filename.startswith(_HERE)


def is_of_a_loop(module: str) -> bool:
    """Return whether a module belongs to a library whose functions need an event loop."""
    return module.partition(".")[0] in LIBRARIES


def explain_loop(calls: list[Call], cause: str = "") -> FlowError:
    """Return the error of a flow that uses an event loop, given its calls, outermost first."""
    if not calls:
        return FlowError(f"a flow uses an event loop{cause and ': '}{cause}. {RULE}")
    entry = next((call for call in calls if is_of_a_loop(call.module)), None)
    name = "asyncio" if entry is None else f"{entry.module.partition('.')[0]}.{entry.code.co_qualname}"
    code, line, _ = calls[0]
    place = f"{code.co_qualname} ({code.co_filename}, line {line})"
    return FlowError(f"{place} uses {name}{cause and ': '}{cause}. {RULE}")


def refuse(where: str, thing: Any, place: str | None = None) -> FlowError:
    """Return the error of something that is not a step where one is needed, and close it if it is a coroutine.

    `place` is where that is; if it is not given, it is the line that is being run.
    """
    name, what = name_thing(thing), "awaitable, but not a step" if is_awaitable(thing) else "not a step"
    close_unstarted([thing])
    if place is None and (calls := list_calls(_find_caller())):
        code, line, _ = calls[-1]
        place = f"{code.co_qualname} ({code.co_filename}, line {line})"
    if not place and isinstance(thing, CoroutineType):
        place = f"{thing.__qualname__} ({thing.cr_code.co_filename}, line {thing.cr_code.co_firstlineno})"
    return FlowError(f"{where}: {name} is {what}{place and ', in '}{place}. {RULE}")


def is_awaitable(thing: object) -> bool:
    """Return whether Python could await a value. Check for steps first."""
    return isinstance(thing, CoroutineType) or hasattr(type(thing), "__await__")


def name_thing(thing: Any) -> str:
    """Name a value in an error without its content, which may be secret.

    Functions, classes and coroutines have a name of their own. Steps are shown as the calls that make them.

    Example:
        >>> name_thing("hunter2"), name_thing(None), name_thing(int)
        ('a value of type str', 'None', 'int')
    """
    if thing is None or isinstance(thing, bool):
        return repr(thing)
    if isinstance(thing, type):
        return thing.__qualname__
    own = type(thing).__qualname__ if hasattr(thing, "__await__") else None
    name = getattr(thing, "__qualname__", own)
    return f"{name}(...)" if isinstance(name, str) else f"a value of type {type(thing).__qualname__}"


def close_unstarted(things: Iterable[Any]) -> None:
    """Close unstarted coroutines in a collection, so that Python does not warn about them."""
    for thing in things:
        if type(thing) is CoroutineType:
            # Neither started nor closed, as by inspect.getcoroutinestate(), on every Python.
            if not thing.cr_running and not thing.cr_suspended and thing.cr_frame is not None:
                thing.close()
        elif type(thing) in (list, tuple, set):
            close_unstarted(thing)


def close_passed(trace: TracebackType | None) -> None:
    """Close the unstarted coroutines that were passed to the functions that an error passed through."""
    while trace is not None:
        if not is_ours(trace.tb_frame.f_code):
            close_unstarted(trace.tb_frame.f_locals.values())
        trace = trace.tb_next


def _find_caller() -> FrameType | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and is_ours(frame.f_code):
        frame = frame.f_back
    return frame


class NoEventLoop:
    """What asyncio finds as the running event loop while a flow runs. Using it raises a `FlowError`."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):  # what tools ask of any object
            return object.__getattribute__(self, name)
        raise explain_loop(list_calls(sys._getframe(1)))

    def __hash__(self) -> int:
        raise explain_loop(list_calls(sys._getframe(1)))


NO_EVENT_LOOP: Final = NoEventLoop()
