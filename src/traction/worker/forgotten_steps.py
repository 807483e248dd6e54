"""Find steps that a flow builds on a line of their own and never awaits.

Theory of operation. A step that is built and dropped dies at the instruction that ends an expression statement. So
while turns are watched, steps have a `__del__` that checks the instruction at which they die. A step is reported if it
was never awaited, and dies at the end of a statement that is a call, an operator or a list, in code that a flow
runs. One that is kept in a variable, passed to a function, returned or taken out of a container is not.

Nothing is patched otherwise. Workers watch the first turns of each definition, simulations watch all.
"""

from __future__ import annotations

import atexit
import dis
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar

from traction.decider import interpreter
from traction.flow.step import Step
from traction.runtime.awaitables import is_ours

P = ParamSpec("P")
T = TypeVar("T")

TURNS_WATCHED: Final = 100
"""How many turns of each definition are watched in a process."""

_CODES_MAX: Final = 10_000
_BUILDS: Final = frozenset(
    ["CALL", "CALL_KW", "CALL_FUNCTION_EX", "BINARY_OP", "BUILD_LIST", "BUILD_TUPLE", "STORE_FAST", "POP_TOP"]
)
# Methods that remove items from containers, whose results may be dropped on purpose.
_REMOVERS: Final = frozenset({"pop", "popleft", "popitem", "get", "get_nowait", "setdefault", "remove", "__next__"})


class Forgotten(NamedTuple):
    """A line that builds a step and drops it."""

    function: str
    file: str
    line: int

    def __str__(self) -> str:
        return (
            f"{self.function} ({self.file}, line {self.line}) builds a step and never awaits it, so it never runs. "
            "Write await ..., or combine it with others by &, all_of or ensure"
        )


class _Watch(threading.local):
    found: dict[Forgotten, None] | None = None


_watch = _Watch()
_used: set[int] = set()
_drops: dict[CodeType, dict[int, int]] = {}
_left: dict[Any, int] = {}
_reported: set[Forgotten] = set()
_lock = threading.Lock()
_await = Step.__await__


def watch_steps(act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, list[Forgotten]]:
    """Call a function that runs flows; return its result and the lines that forget an await."""
    if _watch.found is not None:  # watched already by a caller, which reports
        return act(*args, **kwargs), []
    _install()
    found: dict[Forgotten, None] = {}
    _watch.found = found
    try:
        return act(*args, **kwargs), list(found)
    finally:
        _watch.found = None


def watch_first_turns(
    definition: Any, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> tuple[T, list[Forgotten]]:
    """Run a turn of a definition; return its result and the new lines that forget an await.

    Only the first turns of each definition are watched.
    """
    left = _left.get(definition, TURNS_WATCHED)
    if not left:
        return act(*args, **kwargs), []
    result, found = watch_steps(act, *args, **kwargs)
    with _lock:
        _left[definition] = max(0, left - 1)
        new = [one for one in found if one not in _reported]
        _reported.update(new)
        if left == 1 and not any(_left.values()):
            _uninstall()
    return result, new


def _install() -> None:
    if "__del__" not in vars(Step):
        Step.__del__ = _die  # type: ignore[attr-defined]
        Step.__await__ = _use  # type: ignore[method-assign,assignment]


def _uninstall() -> None:
    if "__del__" in vars(Step):
        del Step.__del__  # type: ignore[attr-defined]
        Step.__await__ = _await  # type: ignore[method-assign]
        _used.clear()


# A step that is collected when the program ends would find this module emptied.
atexit.register(_uninstall)


def _use(step: Step[Any]) -> Any:
    """Await a step, and mark it and its parts as used."""
    if _watch.found is not None:
        stack: list[Any] = [step]
        while stack:
            one = stack.pop()
            if isinstance(one, Step) and id(one) not in _used:
                _used.add(id(one))
                stack += [getattr(one, name, None) for name in ("source", "finalizer", "call")]
                stack += getattr(one, "steps", ())
    return _await(step)


def _die(step: Step[Any]) -> None:
    if id(step) in _used:  # always, since another step may have its id next
        _used.discard(id(step))
        return
    found = _watch.found
    if found is None:
        return
    frame = sys._getframe(1)
    drops = _drops.get(frame.f_code)
    if drops is None:
        if len(_drops) > _CODES_MAX:
            _drops.clear()
        drops = _drops[frame.f_code] = _list_drops(frame.f_code)
    if frame.f_lasti in drops and _is_in_flow(frame):
        found[Forgotten(frame.f_code.co_qualname, frame.f_code.co_filename, drops[frame.f_lasti])] = None


def _list_drops(code: CodeType) -> dict[int, int]:
    """Return the offsets of the instructions that drop the value of an expression statement, with its line."""
    drops: dict[int, int] = {}
    if is_ours(code):
        return drops
    before: list[dis.Instruction] = []
    for one in dis.get_instructions(code):
        if one.opname == "POP_TOP" and before and before[-1].opname in _BUILDS and not _takes_out(before):
            line = before[-1].positions and before[-1].positions.lineno
            drops[one.offset] = line or code.co_firstlineno
        before.append(one)
    return drops


def _takes_out(before: list[dis.Instruction]) -> bool:
    """Return whether what is dropped was taken out of a container, or is an exception that was handled."""
    last = next((one.opname for one in reversed(before) if one.opname != "POP_TOP"), "")
    if last == "POP_EXCEPT":  # the end of a `with` block or handler drops its exception
        return True
    call = _find_start(before[-1])
    for one in reversed(before):
        place = _find_start(one)
        if place is None or call is None or place < call:
            return False
        if place == call and one.opname in ("LOAD_METHOD", "LOAD_ATTR"):
            return one.argval in _REMOVERS
    return False


def _find_start(one: dis.Instruction) -> tuple[int, int] | None:
    """Return the line and column of an instruction; `None` for one that the compiler added."""
    place = one.positions
    if place is None or place.lineno is None or place.col_offset is None:
        return None
    return place.lineno, place.col_offset


def _is_in_flow(frame: FrameType | None) -> bool:
    while frame is not None and not is_ours(frame.f_code):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename == interpreter.__file__
