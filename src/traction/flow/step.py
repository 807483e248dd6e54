"""The algebra of steps: the nodes that flows are made of.

A step is a tree of frozen nodes. Building it runs nothing: the decider interprets the tree, and workers do the
work. A step may be built once and used many times.

There are four kinds of nodes. *Leaves* request work from the service: activities, timers, children. *Sources* return
at once: a value, a failure, the time, random bits. *Continuations* wrap one step and define what follows it: `map`,
`flat_map`, `recover`, `ensure`, `named`. *Groups* contain several steps: `&` and `|`. Everything else is made of these.
This module has the nodes and the methods of steps; `combinators` has the functions that build them.

Laws, checked in `traction.testing.laws.laws` (equality means the same decisions with the same ids for every history):
    done(x).flat_map(f) == f(x);  s.flat_map(done) == s
    s.flat_map(f).flat_map(g) == s.flat_map(lambda x: f(x).flat_map(g))
    s.map(f) == s.flat_map(lambda x: done(f(x)));  s.map(identity) == s
    done(x) & done(y) == done((x, y));  a & b == (b & a).map(swap), up to the numbers of the branches
    done(x) | s == done(x);  fail(e).recover(E, f) == f(e);  done(x).recover(E, f) == done(x)
    s.ensure(done(None)) == s;  fail(e).flat_map(f) == fail(e)
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Coroutine, Generator
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Never, TypeAlias, TypeVar, TypeVarTuple, cast
from weakref import WeakSet

import msgspec

from traction.errors import FlowError, StepTimedOut
from traction.flow.durations import Span, to_timedelta
from traction.flow.retry import Retry
from traction.flow.specs import ActivitySpec, Cancellation, WorkflowSpec
from traction.runtime.awaitables import is_awaitable, name_thing, refuse

T = TypeVar("T")
U = TypeVar("U")
R_co = TypeVar("R_co", covariant=True)
E = TypeVar("E", bound=Exception)
Ts = TypeVarTuple("Ts")


class Step(Generic[R_co]):
    """A description of work whose result is an `R`.

    In an `async def` flow, `await step` waits until the step has ended, and returns its result or raises its failure.
    """

    __slots__ = ()

    def __await__(self) -> Generator[Step[Any], Any, R_co]:
        try:
            return cast(R_co, (yield self))
        except RuntimeError as error:
            if not str(error).startswith("Task got bad yield"):
                raise
            raise FlowError(
                f"{name_thing(self)} is awaited outside a flow, by asyncio. Steps can be awaited only in a workflow or "
                "in a function decorated with @step (Traction). Elsewhere, start a workflow and await handle.result()"
            ) from None

    def __bool__(self) -> bool:
        raise FlowError(
            f"{name_thing(self)} is a step and has no truth value (Traction). Write await ... for its result, a & b "
            "to wait for both steps, or a | b for the first"
        )

    def map(self, f: Callable[[R_co], U]) -> Step[U]:
        """Apply a pure function to the result.

        Laws:
            s.map(identity) == s;  s.map(f).map(g) == s.map(lambda x: g(f(x)))
        """
        return Map(self, _check_function("map", f))

    def flat_map(self, f: Callable[[R_co], Step[U]]) -> Step[U]:
        """Continue with the step that `f` returns for the result.

        Laws:
            done(x).flat_map(f) == f(x);  s.flat_map(done) == s;  re-association changes no id
        """
        return FlatMap(self, _check_function("flat_map", f))

    def recover(self, errors: type[E] | tuple[type[E], ...], f: Callable[[E], Step[U]]) -> Step[R_co | U]:
        """Continue with the step that `f` returns for a failure of the given type; other failures are not handled.

        An `ActivityFailed` or `ChildFailed` also matches the type of the exception that it reports, as for `Retry`. `f`
        receives the failure, not that exception. `except` matches only the type of the failure itself.

        Laws:
            fail(e).recover(type(e), f) == f(e);  done(x).recover(E, f) == done(x)
        """
        kinds = errors if isinstance(errors, tuple) else (errors,)
        for one in kinds:
            if not (isinstance(one, type) and issubclass(one, BaseException)):
                raise TypeError(f"recover({errors!r}, ...): {one!r:.100} is not an exception type")
        return Recover(self, kinds, _check_function("recover", f))

    def ensure(self, finalizer: Step[object]) -> Step[R_co]:
        """Run `finalizer` after this step, whether it succeeds, fails or is cancelled; then return this step's outcome.

        A failure of the finalizer replaces the outcome.

        Laws:
            s.ensure(done(None)) == s;  fail(e).ensure(t) == t.flat_map(lambda _: fail(e))
        """
        if not isinstance(finalizer, Step):
            raise refuse("ensure", finalizer)
        return Ensure(self, finalizer)

    def attempt(self) -> Step[Outcome[R_co]]:
        """Return the outcome as a value, `Success` or `Failure`, so that a failure does not cancel siblings.

        Laws:
            done(x).attempt() == done(Success(x));  fail(e).attempt() == done(Failure(e))
        """
        succeeded: Step[Outcome[R_co]] = Map(self, Success)
        return succeeded.recover(Exception, lambda error: Done(Failure(error)))

    def retry(self, policy: Retry) -> Step[R_co]:
        """Retry this step when it fails, by the policy; the step fails with the failure of the last attempt.

        The first attempt has the ids that the step has without `retry`. The ids of attempt `n`, and of the pause
        before it, begin with `~n`. The option `retry` of an activity repeats one task; this method repeats the whole
        step.

        Laws:
            done(x).retry(p) == done(x);  s.retry(Retry(attempts=1)) == s
        """
        if not isinstance(policy, Retry):
            raise TypeError(f"retry({policy!r:.100}): expected a Retry; write retry(Retry(attempts=5))")
        if policy.deadline is None:
            return _retry(self, policy, 1, None, timedelta(0))
        return Now().flat_map(lambda began: _retry(self, policy, 1, began, timedelta(0)))

    def timeout(self, span: Span) -> Step[R_co]:
        """Cancel this step after a span, and fail with `StepTimedOut`.

        Laws:
            done(x).timeout(d) == done(x)
        """
        limit = to_timedelta(span)
        late = Sleep(limit).flat_map(lambda _: Fail(StepTimedOut(limit)))
        return First((self, late))

    def compensate(self, f: Callable[[R_co], Step[object]]) -> Step[R_co]:
        """Register `f` of the result as the compensation of this step, which runs if the enclosing `saga` fails.

        The step is shielded: a cancellation takes effect after it has completed, so that it can be undone.

        Raises:
            FlowError: (in the flow) it is not inside a `saga`.

        Laws:
            s.compensate(f) == shield(s.compensate(f));  saga(u.compensate(done)) == shield(u)
        """
        return Shield(Compensate(self, _check_function("compensate", f)))

    def named(self, name: str) -> Step[R_co]:
        """Run this step in a scope of its own: the ids within it begin with `name` and a dot.

        So changes of the code before the step, or concurrent with it, do not change these ids.

        Raises:
            ValueError: the name is empty, a plain number, or contains `.` `~` `:` `/` `|` or control characters.
        """
        if fault := find_segment_fault(name):
            raise ValueError(f"named({name!r}): {fault}")
        return Named(self, name)

    def __and__(self, other: Step[U]) -> Both[R_co, U]:
        """Run both concurrently and return both results; the first failure cancels the other and fails.

        `a & b & c` is one group of three. To nest a group on the left, write `all_of(a & b, c)`.

        History:
            The decisions of both steps, left first, in one decision task.
        """
        if not isinstance(other, Step):
            raise _refuse_operand("&", self, other)
        return Both((self, other))

    def __or__(self, other: Step[U]) -> Step[R_co | U]:
        """Run both concurrently, return the first to finish, and cancel the other.

        A step that fails has finished too. If both have finished, the one that finished first in the history counts.

        History:
            The decisions of both steps; then RequestCancelActivityTask or CancelTimer for the loser.

        Laws:
            done(x) | s == done(x)
        """
        if not isinstance(other, Step):
            raise _refuse_operand("|", self, other)
        return First((self, other))

    if not TYPE_CHECKING:  # type checkers reject these operands without these methods

        def __rand__(self, other):
            raise _refuse_operand("&", other, self)

        def __ror__(self, other):
            raise _refuse_operand("|", other, self)


class Success(msgspec.Struct, Generic[R_co], frozen=True):
    """The outcome of a step that succeeded."""

    value: R_co


class Failure(msgspec.Struct, frozen=True):
    """The outcome of a step that failed."""

    error: Exception


Outcome: TypeAlias = Success[R_co] | Failure
"""The outcome of a step: match on `Success(value)` and `Failure(error)`."""


class Cancelled(BaseException):
    """Raised in a flow at the step that it awaits, when that step is cancelled.

    Not an `Exception`, so that `except Exception` does not catch it. Code in `finally` may await more steps. `scope` is
    the cancel scope that was cancelled, which catches it; if `None`, the whole flow or branch is cancelled.
    """

    def __init__(self, scope: object = None) -> None:
        self.scope = scope
        super().__init__()


# The nodes. `decide` dispatches on their exact types. The set is closed: the types below, the steps of `effects` and
# `signals`, and the classes of activities and workflows.


class LeafStep(Step[R_co]):
    """A leaf, completed by the decider at once or by an event. `step_label` is its name in step ids."""

    __slots__ = ()
    step_label: ClassVar[str]


class ActivityStep(LeafStep[R_co]):
    """The call of an activity. The base of `traction.Activity`."""

    __slots__ = ()
    spec: ClassVar[ActivitySpec]


class Adjusted(LeafStep[R_co], msgspec.Struct, Generic[R_co], frozen=True):
    """The call of an activity with options of its own; `overrides` are attributes of its decision."""

    call: Any
    overrides: dict[str, Any]
    policy: Retry | None = None

    @property
    def step_label(self) -> str:  # type: ignore[override]
        label: str = self.call.step_label
        return label


class AdjustedChild(Adjusted[R_co], Generic[R_co], frozen=True):
    """The call of a child with options of its own."""

    cancellation: Cancellation = "wait"


class WorkflowStep(LeafStep[R_co]):
    """A call of a workflow: a child in a flow, and the input of a decider. The base of `traction.Workflow`."""

    __slots__ = ()
    spec: ClassVar[WorkflowSpec]

    @abstractmethod
    def flow(self) -> Step[R_co] | Coroutine[Any, Any, R_co]:
        """Return the flow, as a step or as a coroutine that awaits steps."""

    @abstractmethod
    def workflow_id(self) -> str:
        """Return the id of the execution that this call starts."""


class Done(Step[R_co], msgspec.Struct, Generic[R_co], frozen=True):
    """A value."""

    value: R_co


class Fail(Step[Never], msgspec.Struct, frozen=True):
    """A failure. The error is raised with the traceback and notes that it had when the step was built, every time."""

    error: Exception
    traceback: TracebackType | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, error: Exception) -> Fail:
        """Return a failure with the error's current traceback and notes."""
        return cls(error, error.__traceback__, tuple(getattr(error, "__notes__", ())))


class Map(Step[R_co], msgspec.Struct, Generic[R_co], frozen=True):
    """`source`, then a function of its result."""

    source: Step[Any]
    f: Callable[[Any], R_co]


class FlatMap(Step[R_co], msgspec.Struct, Generic[R_co], frozen=True):
    """`source`, then the step that a function returns for its result."""

    source: Step[Any]
    f: Callable[[Any], Step[R_co]]


class Recover(Step[R_co], msgspec.Struct, Generic[R_co], frozen=True):
    """`source`; after a failure of this type, the step that a function returns for the failure."""

    source: Step[Any]
    errors: tuple[type[BaseException], ...]
    f: Callable[[Any], Step[Any]]


class Ensure(Step[R_co], msgspec.Struct, Generic[R_co], frozen=True):
    """`source`, then `finalizer`, whatever the outcome."""

    source: Step[R_co]
    finalizer: Step[object]


class Named(Step[R_co], msgspec.Struct, Generic[R_co], frozen=True):
    """`source`, whose step ids begin with `name`."""

    source: Step[R_co]
    name: str


class Shield(Step[R_co], msgspec.Struct, Generic[R_co], frozen=True):
    """`source`, which completes before a cancellation takes effect."""

    source: Step[R_co]


class Saga(Step[R_co], msgspec.Struct, Generic[R_co], frozen=True):
    """`source`; if it fails or is cancelled, its registered compensations run, the last first."""

    source: Step[R_co]


class Compensate(Step[R_co], msgspec.Struct, Generic[R_co], frozen=True):
    """`source`, and the compensation that runs if the enclosing saga fails."""

    source: Step[R_co]
    f: Callable[[Any], Step[Any]]


class All(Step[R_co], msgspec.Struct, Generic[R_co], frozen=True):
    """Steps that run concurrently, at most `limit` at a time; the result is a list.

    With `max_failures` the results are outcomes, and the group fails when more than `max_failures` steps have failed.
    """

    steps: tuple[Step[Any], ...]
    limit: int | None = None
    max_failures: int | None = None


class Both(Step[tuple[*Ts]], msgspec.Struct, Generic[*Ts], frozen=True):
    """Steps that run concurrently; the result is a tuple, with a type for each."""

    steps: tuple[Step[Any], ...]

    # `a & b & c` is one group of three, so `&` appends its right operand to a group. Type checkers report an
    # incompatible override, because `Step.__and__` of the same group would return a pair.
    def __and__(  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        self, other: Step[U]
    ) -> Both[*Ts, U]:
        if not isinstance(other, Step):
            raise _refuse_operand("&", self, other)
        return Both((*self.steps, other))


class First(Step[R_co], msgspec.Struct, Generic[R_co], frozen=True):
    """Steps that run concurrently until one has ended; the result is that step's."""

    steps: tuple[Step[R_co], ...]

    def __or__(self, other: Step[U]) -> Step[R_co | U]:
        if not isinstance(other, Step):
            raise _refuse_operand("|", self, other)
        return First((*self.steps, other))


class Sleep(LeafStep[None], msgspec.Struct, frozen=True):
    """A durable timer."""

    step_label: ClassVar[str] = "sleep"
    span: timedelta


class Now(Step[datetime], msgspec.Struct, frozen=True):
    """The time of the current decision task."""


class Draw(Step[int], msgspec.Struct, frozen=True):
    """128 random bits, a function only of the run and of the place in the flow."""


class Tick(Step[int], msgspec.Struct, frozen=True):
    """A number that increases with each use: the milliseconds of `now()` in 48 bits, then a counter of 12 bits."""


class Helper(Step[R_co], msgspec.Struct, Generic[R_co], frozen=True):
    """A call of a function under `@step`."""

    f: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


_WRAPPED: WeakSet[Any] = WeakSet()
"""The code of functions below a decorator of a flow. The flow may await their coroutines."""


def note_wrapped(f: Any) -> None:
    """Allow decorators of a flow that use `functools.wraps` to await the functions that they wrap."""
    while (f := getattr(f, "__wrapped__", None)) is not None:
        if (code := getattr(f, "__code__", None)) is not None:
            _WRAPPED.add(code)


def is_wrapped(coroutine: Any) -> bool:
    """Whether the function of a coroutine was passed to `note_wrapped`, below a decorator."""
    return coroutine.cr_code in _WRAPPED


# Helpers of the methods.


def to_chance(bits: int) -> float:
    """Convert 128 bits to a number in [0, 1)."""
    return (bits >> 75) / (1 << 53)


def _refuse_operand(sign: str, left: object, right: object) -> Exception:
    """Return the error of an operand that is not a step: a FlowError for a coroutine or the like, else a TypeError."""
    other = right if isinstance(left, Step) else left
    if is_awaitable(other):
        return refuse(sign, other)
    return TypeError(f"unsupported operand type(s) for {sign}: {type(left).__name__!r} and {type(right).__name__!r}")


def _check_function(where: str, f: Callable[..., U]) -> Callable[..., U]:
    if not callable(f):
        raise TypeError(f"{where}({name_thing(f)}): expected a function of the result; write lambda result: ...")
    return f


def find_segment_fault(name: str) -> str | None:
    """Return why a name cannot be a segment of a step id, or `None`."""
    if not name or name.strip() != name:
        return "it is empty, or starts or ends with whitespace"
    if name.isdigit():
        return "numbers are reserved for the branches of a group"
    if forbidden := [c for c in name if c in ".~:/|" or c < " " or "\x7f" <= c <= "\x9f"]:
        return f"it contains {forbidden[0]!r}"
    if len(name) > 64:
        return f"it has {len(name)} characters, and at most 64 are allowed"
    return None


def _retry(source: Step[T], policy: Retry, attempt: int, began: datetime | None, pause: timedelta) -> Step[T]:
    """Return the step for attempt `attempt` and its later attempts."""
    body = Sleep(pause).flat_map(lambda _: source) if pause else source

    def again(error: Exception, time: datetime, chance: float) -> Step[T]:
        start = time if began is None else began
        after = policy.find_pause(attempt, error, elapsed=time - start, chance=chance)
        if after is None:
            return Fail.of(error)
        return _retry(source, policy, attempt + 1, start, after)

    def failed(error: Exception) -> Step[T]:
        if not policy.jitter:
            return Now().flat_map(lambda time: again(error, time, 0))
        return Draw().flat_map(lambda bits: Now().flat_map(lambda time: again(error, time, to_chance(bits))))

    return (body if attempt == 1 else Named(body, f"~{attempt}")).recover(Exception, failed)
