"""The state of a running flow: its fibers, their frames, their scopes.

A *fiber* is one strand of a flow: the root, or a branch of a group. Its *frames* are its continuations: nodes that will
handle the next value, suspended coroutines, and the kinds below, which keep state. A *scope* is a place in the flow,
and makes the ids of the leaves in it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from hashlib import sha256
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from traction.errors import FlowError
from traction.flow.cancellation import CancelScope
from traction.flow.effects import ContinuedAsNew
from traction.flow.step import Cancelled, Compensate, Done, FlatMap


class Cancels(Protocol):
    """The operation of the interpreter that frames use."""

    def cancel_scope(self, scope: CancelScope) -> None:
        """Throw `Cancelled` into the fiber that entered a scope."""


PREFIX_CHARS_MAX = 128
"""A longer prefix of ids is replaced by its hash, so that ids fit SWF's 256 characters however deep groups nest."""

ID_CHARS_MAX = 224
"""A longer id is cut and hashed; what remains up to SWF's 256 characters is for the suffixes of retries."""

# How a fiber continues: with a step to run, a value, or an error; or it waits.
STEP: Literal[0] = 0
VALUE: Literal[1] = 1
ERROR: Literal[2] = 2
WAIT: Literal[3] = 3

FiberInput: TypeAlias = tuple[int, Any]
"""One of these modes, and its step, value or error. A tuple, since the loop of the interpreter makes one per step."""


class Scope:
    """A place in the flow: a prefix of ids, and a count of each label within it."""

    __slots__ = ("_counts", "prefix")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix if len(prefix) <= PREFIX_CHARS_MAX else f"~{_digest(prefix)}."
        self._counts: dict[str, int] = {}

    def count(self, label: str) -> int:
        """Increment and return the count of this label."""
        n = self._counts[label] = self._counts.get(label, 0) + 1
        return n

    def make_id(self, label: str) -> str:
        """Make the id of the next leaf of this label."""
        id = f"{self.prefix}{label}-{self.count(label)}"
        return id if len(id) <= ID_CHARS_MAX else f"{id[: ID_CHARS_MAX - 34]}~{_digest(id)}"

    def enter(self, segment: str) -> Scope:
        """Open a named scope; a repeated name gets its count as a suffix."""
        n = self.count(f".{segment}")
        return Scope(f"{self.prefix}{segment}." if n == 1 else f"{self.prefix}{segment}~{n}.")


class Pending:
    """The work that the decider does for a leaf that waits."""

    __slots__ = ()

    @abstractmethod
    def withdraw(self) -> bool:
        """Cancel it, and return whether the fiber must wait until it has closed."""


class Leaf(msgspec.Struct, eq=False):
    """A step that waits for the service. `fiber` is `None` when no fiber waits for it."""

    id: str
    node: Any
    fiber: Fiber | None
    pending: Pending | None = None
    """The work of the decider for it, while the fiber waits and is not cancelled."""
    leaving: FiberInput | None = None
    """The cancellation that its fiber receives once the child that it waits for has closed."""

    def withdraw(self) -> bool:
        """Cancel what it waits for, and return whether its fiber must wait until that has closed."""
        pending, self.pending = self.pending, None
        return pending is not None and pending.withdraw()


class Fiber:
    """One strand of a flow: its frames, scope and context variables, and its place in a group."""

    __slots__ = ("alive", "context", "frames", "index", "join", "scope", "waits")

    def __init__(self, scope: Scope, join: Join | None, index: int, context: Context) -> None:
        self.frames: list[Any] = []
        self.scope = scope
        self.join = join
        self.index = index
        self.context = context
        self.waits: Leaf | Join | None = None
        self.alive = True


class Join:
    """A group that waits for its branches; `tolerates` is how many of them may return a `Failure`."""

    __slots__ = ("failures", "fiber", "next", "node", "outcome", "prefix", "results", "running", "tolerates")

    def __init__(self, fiber: Fiber, node: Any) -> None:
        self.fiber = fiber
        self.node = node
        self.prefix = f"{fiber.scope.prefix}{fiber.scope.count('')}."
        self.results: list[Any] = [None] * len(node.steps)
        self.running: dict[int, Fiber] = {}
        self.next = self.failures = 0
        max_failures = getattr(node, "max_failures", None)
        self.tolerates: int = len(node.steps) if max_failures is None else max_failures
        self.outcome: FiberInput | None = None

    def drop_unstarted(self) -> list[Fiber]:
        """End the branches that never began, and return those that wait."""
        for fiber in [fiber for fiber in self.running.values() if fiber.waits is None]:
            fiber.alive = False
            del self.running[fiber.index]
        return list(self.running.values())


class Frame:
    """A continuation that keeps state until the steps above it have an outcome."""

    __slots__ = ()

    @abstractmethod
    def leave(self, interpreter: Cancels, fiber: Fiber, mode: int, value: Any) -> FiberInput:
        """Handle the outcome, and return how the fiber continues."""


class Restore(Frame, msgspec.Struct, eq=False):
    """Restores the scope around a named step."""

    scope: Scope

    def leave(self, interpreter: Cancels, fiber: Fiber, mode: int, value: Any) -> FiberInput:
        fiber.scope = self.scope
        return mode, value


class Held(Frame, msgspec.Struct, eq=False):
    """A frame that delays cancellation: the cancellation replaces `outcome`, and is thrown when the frame is left."""

    outcome: FiberInput | None = None


class Finally(Held):
    """The outcome of a step whose finalizer runs."""

    def leave(self, interpreter: Cancels, fiber: Fiber, mode: int, value: Any) -> FiberInput:
        """Return the delayed outcome, or the failure of the finalizer."""
        return self.outcome if mode == VALUE and self.outcome is not None else (mode, value)


class Shielded(Held):
    """The frame of a shielded step."""

    def leave(self, interpreter: Cancels, fiber: Fiber, mode: int, value: Any) -> FiberInput:
        """Return the outcome of the step, or the cancellation that arrived meanwhile."""
        return self.outcome if self.outcome is not None else (mode, value)


class Undo(Frame, msgspec.Struct, eq=False):
    """The compensations that a running saga has registered."""

    undos: list[tuple[Callable[[Any], Any], Any]] = []

    def leave(self, interpreter: Cancels, fiber: Fiber, mode: int, value: Any) -> FiberInput:
        """If the saga failed, run its compensations, the last first; else add them to the saga around it, if any."""
        if mode == VALUE:
            if (outer := _search_saga(fiber)) is not None:
                outer.undos += self.undos
            return mode, value
        if isinstance(value, ContinuedAsNew):
            return mode, value
        return Undoing((mode, value), self.undos).go_on(fiber)


class Undoing(Held):
    """The compensations that remain to be run."""

    undos: list[tuple[Callable[[Any], Any], Any]] = msgspec.field(default_factory=list)

    def leave(self, interpreter: Cancels, fiber: Fiber, mode: int, value: Any) -> FiberInput:
        """Run the next one, even if the last one failed; after all, return the outcome of the saga."""
        if mode == ERROR and self.outcome is not None:
            with suppress(Exception):  # a frozen dataclass accepts no notes, and `str` of an error may raise
                self.outcome[1].add_note(f"a compensation failed: {type(value).__name__}: {value}")
        return self.go_on(fiber)

    def go_on(self, fiber: Fiber) -> FiberInput:
        """Start the next compensation, or return the outcome of the saga."""
        assert self.outcome is not None
        if not self.undos:
            return self.outcome
        fiber.frames.append(self)
        f, value = self.undos.pop()
        return STEP, FlatMap(Done(value), f)


class Deadline(Frame, msgspec.Struct, eq=False):
    """The frame of the fiber that waits for the timer of a cancel scope."""

    scope: CancelScope

    def leave(self, interpreter: Cancels, fiber: Fiber, mode: int, value: Any) -> FiberInput:
        """Cancel the scope if it is still open."""
        if mode == VALUE and self.scope.fiber is not None:
            self.scope.late = True
            interpreter.cancel_scope(self.scope)
        return VALUE, None


class Requested(Frame, msgspec.Struct, eq=False):
    """The frame of the fiber that cancels a scope which was cancelled before it was entered."""

    scope: CancelScope

    def leave(self, interpreter: Cancels, fiber: Fiber, mode: int, value: Any) -> FiberInput:
        """Cancel the scope if it is still open."""
        if self.scope.fiber is not None:
            interpreter.cancel_scope(self.scope)
        return VALUE, None


def find_saga(fiber: Fiber) -> Undo:
    """Return the innermost saga around a place in the flow.

    Raises:
        FlowError: there is none.
    """
    saga = _search_saga(fiber)
    if saga is None:
        raise FlowError(
            "compensate(...) is used outside a saga, so the compensation would never run; write saga(...) around it"
        )
    return saga


def list_fibers(root: Fiber) -> list[Fiber]:
    """Return the fibers of a flow, each before the branches for which it waits."""
    fibers = [root]
    for fiber in fibers:
        if isinstance(fiber.waits, Join):
            fibers.extend(fiber.waits.running.values())
    return fibers


def owes_compensation(root: Fiber) -> bool:
    """Return whether a saga has something to undo, undoes it, or waits for a step that will be undone."""
    return any(
        isinstance(frame, Undoing | Compensate) or (isinstance(frame, Undo) and frame.undos)
        for fiber in list_fibers(root)
        for frame in fiber.frames
    )


def keep_wider(old: FiberInput | None, new: FiberInput) -> FiberInput:
    """Return the cancellation of the wider scope of two of one fiber, whichever came first."""
    if old is not None and isinstance(old[1], Cancelled):
        was: Any = old[1].scope
        now: Any = new[1].scope
        # Of two scopes that one fiber is in, the one entered first is around the other.
        if now is not None and (was is None or was.number < now.number):
            return old
    return new


def find_around(error: Cancelled) -> Cancelled | None:
    """Return the wider cancellation that `finally` or `except` was handling when that of a scope came, if any."""
    context = error.__context__
    while context is not None:
        if isinstance(context, Cancelled):
            scope: Any = context.scope
            if scope is None or scope.fiber is not None:
                return context
        context = context.__context__
    return None


def _search_saga(fiber: Fiber) -> Undo | None:
    # In its own fiber, or in one of those that wait for it.
    around: Fiber | None = fiber
    while around is not None:
        for frame in reversed(around.frames):
            if type(frame) is Undo:
                return frame
        around = None if around.join is None else around.join.fiber
    return None


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:32]
