"""Run a flow until every fiber waits or ends.

A callback requests what a leaf waits for; `Leaf.pending` withdraws it. Imports steps only: no event, no decision, no
clock.

Theory of operation. A *fiber* is one strand of a flow: the root, or a branch of a group. It keeps an explicit stack
of *frames*, the continuations of the next value: nodes and suspended coroutines. So depth costs memory, never
recursion. Fibers that can run are on one stack, and the last one pushed runs first: branches start in the order in
which they are written, depth first.

A *leaf* waits for the service, a *join* waits for the branches of a group. When a branch fails, or a race is won, the
others are cancelled: their leaves are withdrawn and `Cancelled` is thrown where they wait. Their `finally` and `ensure`
steps run to completion, and the group closes when its last branch has ended.

Context variables. Each fiber runs in a `contextvars.Context` of its own. The root starts with an empty one, so that no
flow depends on the thread that decides; a branch starts with a copy of that of the fiber that opened its group.

Identity. The id of a leaf is a function of its place alone: the prefix of its scope, the label of what it runs, and
how many of that label came before it in that scope. Only branches of groups and `named` open a scope, so
continuations cost no number and re-association changes no id.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from types import CoroutineType, GeneratorType
from typing import Any, Final

from traction.decider.diagnostics import (
    AWAITABLE,
    awaits_step,
    close_coroutine,
    explain_await,
    explain_endless,
    explain_result,
    find_place,
    judge,
)
from traction.decider.frames import (
    ERROR,
    STEP,
    VALUE,
    WAIT,
    Deadline,
    Fiber,
    FiberInput,
    Finally,
    Frame,
    Held,
    Join,
    Leaf,
    Requested,
    Restore,
    Scope,
    Shielded,
    Undo,
    find_around,
    find_saga,
    keep_wider,
    list_fibers,
    owes_compensation,
)
from traction.decider.outcomes import Outcome, Raised, Returned
from traction.errors import FlowError, StepTimedOut
from traction.flow.cancellation import CancelNow, CancelScope, EnterScope, ExitScope
from traction.flow.step import (
    All,
    Both,
    Cancelled,
    Compensate,
    Done,
    Draw,
    Ensure,
    Fail,
    Failure,
    First,
    FlatMap,
    Helper,
    LeafStep,
    Map,
    Named,
    Now,
    Recover,
    Saga,
    Shield,
    Sleep,
    Step,
    Tick,
)
from traction.payloads.exception_names import is_one_of
from traction.runtime.awaitables import is_awaitable, name_thing, refuse

STEPS_MAX: Final = 1_000_000
"""The most steps that a flow may run, or turns that its branches may take, before it waits for something."""


class Interpreter:
    """Runs one flow. `now` is set by the decider; `outcome` is set when the flow has ended."""

    __slots__ = (
        "_cancelled",
        "_ready",
        "_request",
        "_scopes",
        "_seed",
        "_tick",
        "now",
        "outcome",
        "root",
        "unheeded",
    )

    def __init__(self, seed: str, request: Callable[[Leaf], Outcome | None]) -> None:
        self._seed = seed
        self._request = request
        self._ready: list[tuple[Fiber, int, Any]] = []
        self.root = Fiber(Scope(""), None, 0, Context())
        self._cancelled = False
        self._scopes = 0
        self._tick = 0
        self.now = datetime.min.replace(tzinfo=UTC)
        self.outcome: Outcome | None = None
        self.unheeded = False
        """Whether cancellation was requested only after the flow had ended."""

    def start(self, flow: Callable[[], Any]) -> None:
        """Run the flow that `flow()` returns until it waits or ends."""
        self._ready.append((self.root, STEP, Helper(flow, (), {})))
        self._run()

    def resume(self, leaf: Leaf, outcome: Outcome) -> None:
        """Resume the fiber that waits for a leaf, and run until nothing can go on."""
        fiber = leaf.fiber
        assert fiber is not None
        leaf.fiber = leaf.pending = fiber.waits = None
        if isinstance(outcome, Returned):
            fiber.context.run(self._go, fiber, VALUE, outcome.value)
        else:
            fiber.context.run(self._go, fiber, ERROR, outcome.error)
        if self._ready:
            self._run()

    def leave(self, leaf: Leaf) -> None:
        """Throw `Cancelled` into the fiber that waited until the child of a cancelled leaf had closed."""
        assert leaf.leaving is not None
        self.resume(leaf, Raised(leaf.leaving[1]))

    def cancel(self) -> None:
        """Throw `Cancelled` into the flow where it waits, and run until nothing can go on.

        Idempotent: a second request does not disturb what the flow does in `finally`.
        """
        if self._cancelled:
            return
        if self.outcome is not None:
            self.unheeded = True
            return
        self._cancelled = True
        self._cancel([self.root])
        self._run()

    def draw(self, *place: object) -> float:
        """Return a number in [0, 1) that is a function of the run and of a place."""
        return int.from_bytes(sha256(repr((self._seed, *place)).encode()).digest()[:6], "big") / (1 << 48)

    def find_place(self, leaf: Leaf | None) -> str | None:
        """Return the line where the flow waits for a leaf, or where it waits at all if no fiber waits for that leaf."""
        return find_place((leaf and leaf.fiber) or self.root)

    def close(self) -> None:
        """Close a flow for good, without running the steps that its `finally` blocks await."""
        for fiber in list_fibers(self.root):
            for frame in reversed(fiber.frames):
                if type(frame) is CoroutineType:
                    fiber.context.run(close_coroutine, frame)
            fiber.frames.clear()

    def owes_compensation(self) -> bool:
        """Return whether a saga has something to undo, undoes it, or waits for a step that will be undone."""
        return owes_compensation(self.root)

    # The loop.

    def _run(self) -> None:
        ready = self._ready
        left = STEPS_MAX
        while ready:
            fiber, mode, value = ready.pop()
            if fiber.alive:
                fiber.context.run(self._go, fiber, mode, value)
            left -= 1
            if not left:
                raise explain_endless(fiber, value, STEPS_MAX)

    def _go(self, fiber: Fiber, mode: int, value: Any) -> None:
        """Run one fiber until it waits or ends."""
        frames = fiber.frames
        left = STEPS_MAX
        while True:
            if mode == STEP:
                left -= 1
                if not left:
                    raise explain_endless(fiber, value, STEPS_MAX)
                kind = type(value)
                if kind in _WRAPPERS:
                    frames.append(value)
                    value = value.source  # pyright: ignore[reportAttributeAccessIssue]
                elif kind is Done:
                    mode, value = VALUE, value.value  # pyright: ignore[reportAttributeAccessIssue]
                elif isinstance(value, LeafStep):
                    fiber.waits = leaf = Leaf(fiber.scope.make_id(value.step_label), value, fiber)
                    outcome = self._request(leaf)
                    if outcome is None:
                        return
                    leaf.fiber = fiber.waits = None
                    if isinstance(outcome, Returned):
                        mode, value = VALUE, outcome.value
                    else:
                        mode, value = ERROR, outcome.error
                elif kind is All or kind is Both or kind is First:
                    if value.steps:  # pyright: ignore[reportAttributeAccessIssue]
                        self._open(fiber, value)
                        return
                    mode, value = VALUE, [] if kind is All else ()
                else:
                    mode, value = self._visit(fiber, kind, value)
                    if mode == WAIT:
                        return
                continue
            if not frames:
                self._end(fiber, mode, value)
                return
            frame = frames.pop()
            kind = type(frame)
            if kind is CoroutineType:
                frames.append(frame)
                try:
                    value = frame.send(value) if mode == VALUE else frame.throw(value)
                except StopIteration as stop:
                    frames.pop()
                    mode, value = VALUE, stop.value
                    if isinstance(value, AWAITABLE):
                        raise explain_result(frame, value) from None
                    continue
                except BaseException as error:
                    frames.pop()
                    mode, value = ERROR, judge(error)
                    continue
                if not isinstance(value, Step) or (
                    type(frame.cr_await) is not GeneratorType and not awaits_step(frame.cr_await)
                ):
                    raise explain_await(frame, value)
                mode = STEP
            elif isinstance(frame, Frame):
                mode, value = frame.leave(self, fiber, mode, value)
            elif kind is Ensure:
                frames.append(Finally((mode, value)))
                mode, value = STEP, frame.finalizer
            elif kind is Compensate:
                if mode == VALUE:
                    find_saga(fiber).undos.append((frame.f, value))
            elif mode == VALUE:
                if kind is not Recover:
                    try:
                        value = frame.f(value)
                    except BaseException as error:
                        mode, value = ERROR, judge(error)
                    else:
                        if kind is FlatMap:
                            mode = STEP
            elif kind is Recover and is_one_of(value, frame.errors):  # pyright: ignore[reportArgumentType]
                try:
                    mode, value = STEP, frame.f(value)
                except BaseException as error:
                    mode, value = ERROR, judge(error)

    def _visit(self, fiber: Fiber, kind: type, node: Any) -> FiberInput:
        """Return how a fiber continues from a node that waits for nothing."""
        if kind is Fail:
            # Throwing extends a traceback, and compensations add notes. Each visit resets both, so that equal histories
            # cause equal decisions.
            if hasattr(node.error, "__notes__"):
                node.error.__notes__ = list(node.notes)
            return ERROR, node.error.with_traceback(node.traceback)
        if kind is Now:
            return VALUE, self.now
        if kind is Named:
            fiber.frames.append(Restore(fiber.scope))
            fiber.scope = fiber.scope.enter(node.name)
            return STEP, node.source
        if kind is Shield:
            fiber.frames.append(Shielded())
            return STEP, node.source
        if kind is Saga:
            fiber.frames.append(Undo())
            return STEP, node.source
        if kind is EnterScope:
            return self._enter_scope(fiber, node.scope)
        if kind is ExitScope:
            return self._exit_scope(node.scope, node.error)
        if kind is CancelNow:
            return self._cancel_from(fiber, node.scope)
        if kind is Draw:
            place = f"{self._seed}\0{fiber.scope.prefix}\0{fiber.scope.count('?')}"
            return VALUE, int.from_bytes(sha256(place.encode()).digest()[:16], "big")
        if kind is Tick:
            # Where the milliseconds are those of the last, or there are too many within one, count on from it.
            self._tick = max((self.now - _EPOCH) // _MILLISECOND << 12, self._tick + 1)
            return VALUE, self._tick
        if kind is Helper:
            try:
                returned = node.f(*node.args, **node.kwargs)
            except BaseException as error:
                return ERROR, judge(error)
            if type(returned) is CoroutineType:
                fiber.frames.append(returned)
                return VALUE, None
            if isinstance(returned, Step):
                return STEP, returned
            name = getattr(node.f, "__qualname__", repr(node.f))
            raise FlowError(
                f"{name} returns {name_thing(returned)}, not a step. A flow is an async def that awaits steps, or a "
                "function that returns a step, such as done(x)"
            )
        if is_awaitable(node):
            raise refuse("the function of a step", node, find_place(fiber) or "")
        raise FlowError(
            f"expected a step, got {name_thing(node)}. Functions passed to flat_map and recover must return a step: "
            "use done(x) for a value, or decorate the async def with @step"
        )

    # Scopes of cancellation.

    def _enter_scope(self, fiber: Fiber, scope: CancelScope) -> FiberInput:
        if scope.fiber is not None or scope.over:
            raise FlowError(
                f"a cancel scope was entered twice, now by {find_place(fiber) or 'the flow'}: a scope is entered once "
                "(Traction). Make a new one for each `async with`"
            )
        self._scopes += 1
        scope.fiber, scope.depth, scope.number = fiber, len(fiber.frames), self._scopes
        if scope.span is not None:
            # The deadline has a fiber of its own, which only waits for its timer.
            waits = Fiber(fiber.scope, None, 0, fiber.context.copy())
            waits.frames.append(Deadline(scope))
            scope.timer = waits.waits = leaf = Leaf(fiber.scope.make_id(Sleep.step_label), Sleep(scope.span), waits)
            self._request(leaf)
        if scope.requested:
            # The fiber is cancelled where it first waits: only then does the next fiber on the stack run.
            canceller = Fiber(fiber.scope, None, 0, fiber.context.copy())
            canceller.frames.append(Requested(scope))
            self._ready.append((canceller, VALUE, None))
        return VALUE, scope

    def _exit_scope(self, scope: CancelScope, error: BaseException | None) -> FiberInput:
        scope.fiber, scope.over = None, True
        timer = scope.timer
        if timer is not None and timer.fiber is not None:
            timer.fiber = None
            timer.withdraw()
        if not isinstance(error, Cancelled) or error.scope is not scope:
            return VALUE, False
        if (around := find_around(error)) is not None:
            return ERROR, around
        if scope.fails and scope.late and scope.span is not None:
            return ERROR, StepTimedOut(scope.span, "the scope")
        return VALUE, True

    def cancel_scope(self, scope: CancelScope) -> None:
        """Throw `Cancelled` into the fiber that entered a scope; it goes on when those before it have."""
        self._cancel([scope.fiber], scope)

    def _cancel_from(self, fiber: Fiber, scope: CancelScope) -> FiberInput:
        """Cancel a scope from within the flow: from inside it, or from a branch beside it."""
        if scope.over:
            return VALUE, None
        scope.requested = True
        if scope.fiber is None:
            return VALUE, None
        # The fiber that cancels waits as well, so that it can be cancelled like any other.
        caller = fiber.waits = Leaf("", None, fiber)
        self.cancel_scope(scope)
        if fiber.waits is not caller:
            return WAIT, None
        fiber.waits = None
        return VALUE, None

    # Groups.

    def _open(self, fiber: Fiber, node: Any) -> None:
        fiber.waits = join = Join(fiber, node)
        limit = node.limit if type(node) is All and node.limit is not None else len(node.steps)
        self._start_branches(join, min(limit, len(node.steps)))

    def _start_branches(self, join: Join, count: int) -> None:
        """Start the next `count` branches of a group: put them on the stack so that the first goes first."""
        steps, ready = join.node.steps, self._ready
        begin = join.next
        join.next += count
        for index in range(begin, begin + count):
            join.running[index] = Fiber(Scope(f"{join.prefix}{index}."), join, index, join.fiber.context.copy())
        for index in range(begin + count - 1, begin - 1, -1):
            ready.append((join.running[index], STEP, steps[index]))

    def _start_next(self, join: Join) -> None:
        """Start the next branch of a group that has room again."""
        index, ready = join.next, self._ready
        join.next += 1
        fiber = join.running[index] = Fiber(Scope(f"{join.prefix}{index}."), join, index, join.fiber.context.copy())
        # Branches before it that have not begun lie on top of the stack, side by side; they go first.
        waiting = index - ready[-1][0].index if ready and ready[-1][0].join is join else 0
        ready.insert(len(ready) - waiting, (fiber, STEP, join.node.steps[index]))

    def _end(self, fiber: Fiber, mode: int, value: Any) -> None:
        """Record the outcome of a fiber that ended, and continue its group."""
        fiber.alive = False
        join = fiber.join
        if join is None:
            if isinstance(value, AWAITABLE):
                raise FlowError(
                    f"the flow returns {name_thing(value)}, a step that is never awaited. The result of a flow is a "
                    "value (Traction); where a function returns a step, write flat_map and not map"
                )
            if fiber is self.root:
                self.outcome = Returned(value) if mode == VALUE else Raised(value)
            return
        del join.running[fiber.index]
        if join.outcome is not None:
            if not join.running:
                self._close_join(join)
        elif mode == ERROR or type(join.node) is First:
            self._settle(join, (mode, value))
        else:
            join.results[fiber.index] = value
            if type(value) is Failure:
                join.failures += 1
            if join.failures > join.tolerates:
                self._settle(join, (ERROR, value.error))
            elif join.next < len(join.node.steps):
                self._start_next(join)
            elif not join.running:
                join.outcome = (VALUE, join.results if type(join.node) is All else tuple(join.results))
                self._close_join(join)

    def _settle(self, join: Join, outcome: FiberInput) -> None:
        """Set the outcome of a group, cancel the branches that are left, and close it after the last of them."""
        join.outcome = outcome
        self._cancel(join.drop_unstarted())
        if not join.running:
            self._close_join(join)

    def _close_join(self, join: Join) -> None:
        fiber = join.fiber
        fiber.waits = None
        assert join.outcome is not None
        self._ready.append((fiber, *join.outcome))

    def _cancel(self, fibers: list[Fiber], scope: CancelScope | None = None) -> None:
        """Throw `Cancelled` into fibers where they wait. Steps that they await then run to completion."""
        thrown: list[tuple[Fiber, int, Any]] = []
        stack = [(fiber, scope) for fiber in reversed(fibers)]
        while stack:
            fiber, scope = stack.pop()
            waits = fiber.waits
            outcome: FiberInput = (ERROR, Cancelled(scope))
            inside = fiber.frames[scope.depth :] if scope is not None else fiber.frames
            if (held := next((frame for frame in inside if isinstance(frame, Held)), None)) is not None:
                # It completes, and then the cancellation replaces its outcome.
                held.outcome = keep_wider(held.outcome, outcome)
                continue
            if isinstance(waits, Join):
                settled, waits.outcome = waits.outcome, keep_wider(waits.outcome, outcome)
                if settled is not None:
                    continue
                branches = waits.drop_unstarted()
                stack.extend((branch, None) for branch in reversed(branches))
                if branches:
                    continue
            elif waits is not None:
                if waits.leaving is not None:
                    waits.leaving = keep_wider(waits.leaving, outcome)
                    continue
                if waits.withdraw():
                    waits.leaving = outcome
                    continue
                waits.fiber = None
            else:
                continue
            fiber.waits = None
            thrown.append((fiber, *outcome))
        # Backwards, so that the first is on top of the stack.
        self._ready.extend(reversed(thrown))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_WRAPPERS = frozenset({Map, FlatMap, Recover, Ensure, Compensate})
