"""Functions that build steps: values, groups, timers, random values, and the decorator `step`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from datetime import datetime
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Never, ParamSpec, TypeVar, overload

from traction.flow.durations import Span, to_timedelta
from traction.flow.step import (
    All,
    Both,
    Done,
    Draw,
    Fail,
    First,
    FlatMap,
    Helper,
    Now,
    Outcome,
    Saga,
    Shield,
    Sleep,
    Step,
    Tick,
    note_wrapped,
    to_chance,
)
from traction.runtime.awaitables import close_unstarted, is_awaitable, name_thing, refuse

if TYPE_CHECKING:
    from uuid import UUID

T = TypeVar("T")
U = TypeVar("U")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
G = TypeVar("G")
H = TypeVar("H")
P = ParamSpec("P")


def done(value: T) -> Step[T]:
    """Return a step with this value: the unit of `flat_map`."""
    return Done(value)


def fail(error: Exception) -> Step[Never]:
    """Return a step that fails with this error: the zero of `flat_map`."""
    return Fail.of(error)


@overload
def all_of(steps: Iterable[Step[T]], /) -> Step[list[T]]: ...
@overload
def all_of(a: Step[A], b: Step[B], /) -> Both[A, B]: ...
@overload
def all_of(a: Step[A], b: Step[B], c: Step[C], /) -> Both[A, B, C]: ...
@overload
def all_of(a: Step[A], b: Step[B], c: Step[C], d: Step[D], /) -> Both[A, B, C, D]: ...
@overload
def all_of(a: Step[A], b: Step[B], c: Step[C], d: Step[D], e: Step[E], /) -> Both[A, B, C, D, E]: ...
@overload
def all_of(a: Step[A], b: Step[B], c: Step[C], d: Step[D], e: Step[E], f: Step[F], /) -> Both[A, B, C, D, E, F]: ...
@overload
def all_of(
    a: Step[A], b: Step[B], c: Step[C], d: Step[D], e: Step[E], f: Step[F], g: Step[G], /
) -> Both[A, B, C, D, E, F, G]: ...
@overload
def all_of(
    a: Step[A], b: Step[B], c: Step[C], d: Step[D], e: Step[E], f: Step[F], g: Step[G], h: Step[H], /
) -> Both[A, B, C, D, E, F, G, H]: ...
@overload
def all_of(*steps: Step[T]) -> Step[tuple[T, ...]]: ...
@overload
def all_of(steps: Iterable[Step[T]], /, *, max_failures: int) -> Step[list[Outcome[T]]]: ...
@overload
def all_of(*steps: Step[T], max_failures: int) -> Step[tuple[Outcome[T], ...]]: ...
def all_of(*steps: Any, max_failures: int | None = None) -> Any:
    """Run steps concurrently and return all results, in their order; the first failure cancels the other steps.

    The result of one iterable of steps is a list; that of several steps is a tuple. With `max_failures`, the results
    are outcomes (`Success` or `Failure`), and the group fails only when more than `max_failures` steps have failed.

    Type checkers infer the type of each result for up to eight steps, and one common type for more. `a & b & c` keeps
    the type of each result, for any number of steps.

    Laws:
        all_of([s, t], max_failures=2) == all_of([s.attempt(), t.attempt()])
        all_of([s, t], max_failures=0) == all_of([s, t]).map(lambda xs: [Success(x) for x in xs])
    """
    listed = len(steps) == 1 and not isinstance(steps[0], Step) and not is_awaitable(steps[0])
    items: Any = steps[0] if listed else steps
    branches = _check_steps("all_of", items)
    if max_failures is None:
        return All(branches) if listed else Both(branches)
    group = _tolerate("all_of", branches, None, max_failures)
    return group if listed else group.map(tuple)


@overload
def first_of(steps: Iterable[Step[T]], /) -> Step[T]: ...
@overload
def first_of(a: Step[A], b: Step[B], /) -> Step[A | B]: ...
@overload
def first_of(a: Step[A], b: Step[B], c: Step[C], /) -> Step[A | B | C]: ...
@overload
def first_of(a: Step[A], b: Step[B], c: Step[C], d: Step[D], /) -> Step[A | B | C | D]: ...
@overload
def first_of(a: Step[A], b: Step[B], c: Step[C], d: Step[D], e: Step[E], /) -> Step[A | B | C | D | E]: ...
@overload
def first_of(
    a: Step[A], b: Step[B], c: Step[C], d: Step[D], e: Step[E], f: Step[F], /
) -> Step[A | B | C | D | E | F]: ...
@overload
def first_of(
    a: Step[A], b: Step[B], c: Step[C], d: Step[D], e: Step[E], f: Step[F], g: Step[G], /
) -> Step[A | B | C | D | E | F | G]: ...
@overload
def first_of(
    a: Step[A], b: Step[B], c: Step[C], d: Step[D], e: Step[E], f: Step[F], g: Step[G], h: Step[H], /
) -> Step[A | B | C | D | E | F | G | H]: ...
@overload
def first_of(*steps: Step[T]) -> Step[T]: ...
def first_of(*steps: Any) -> Any:
    """Run steps concurrently, return the first to finish, and cancel the others. See `Step.__or__`.

    Raises:
        ValueError: `steps` is empty.
    """
    if len(steps) == 1 and not isinstance(steps[0], Step) and not is_awaitable(steps[0]):
        steps = tuple(steps[0])
    if not steps:
        raise ValueError("first_of() needs at least one step")
    return First(_check_steps("first_of", steps))


@overload
def each(f: Callable[[T], Step[U]], items: Iterable[T], *, limit: int | None = None) -> Step[list[U]]: ...
@overload
def each(
    f: Callable[[T], Step[U]], items: Iterable[T], *, limit: int | None = None, max_failures: int
) -> Step[list[Outcome[U]]]: ...
def each(
    f: Callable[[T], Step[Any]], items: Iterable[T], *, limit: int | None = None, max_failures: int | None = None
) -> Step[list[Any]]:
    """Run `f(item)` for every item, at most `limit` at a time, and return the results in the order of the items.

    `f` is called when the step of its item starts. The first failure cancels the other steps. With `max_failures`, the
    results are outcomes (`Success` or `Failure`), and the group fails only when more than `max_failures` steps have
    failed.

    Laws:
        each(done, xs) == done(list(xs));  each(f, xs) == all_of([f(x) for x in xs])
        each(f, xs, max_failures=len(xs)) == all_of([f(x).attempt() for x in xs])
    """
    if limit is not None and _check_number("each", "limit", limit) < 1:
        raise ValueError(f"each(limit={limit}): the limit must be at least 1, or None for no limit")
    steps = tuple(FlatMap(Done(item), f) for item in items)
    return All(steps, limit) if max_failures is None else _tolerate("each", steps, limit, max_failures)


def shield(step: Step[T]) -> Step[T]:
    """Complete a step even if it is cancelled; the cancellation takes effect after it.

    Example:
        await shield(transfer(amount))
    """
    return Shield(_check_step("shield", step))


def saga(step: Step[T]) -> Step[T]:
    """Run a step; if it fails or is cancelled, run its compensations, then end with that failure or cancellation.

    Compensations are registered with `Step.compensate`. They run one after the other, the last registered first. If one
    fails, the others still run, and a cancellation waits for all of them. A saga that succeeds within another saga
    passes its compensations to the outer one.

    Example:
        @step
        async def book(trip: Trip) -> Booking:
            flight = await BookFlight(trip).compensate(lambda flight: CancelFlight(flight))
            hotel = await BookHotel(trip).compensate(lambda hotel: CancelHotel(hotel))
            return Booking(flight, hotel)

        booking = await saga(book(trip))

    Laws:
        saga(done(x)) == done(x);  saga(fail(e)) == fail(e)
        saga(s.compensate(f).flat_map(lambda _: fail(e))) == s.flat_map(f).attempt().flat_map(lambda _: fail(e))
    """
    return Saga(_check_step("saga", step))


def sleep(span: Span) -> Step[None]:
    """Wait for a span with a durable timer. SWF's timers have whole seconds: a fraction of a second is rounded up."""
    return Sleep(to_timedelta(span))


def sleep_until(time: datetime) -> Step[None]:
    """Wait until an instant with a durable timer; return at once if it has passed.

    Raises:
        ValueError: the datetime is naive.
    """
    if time.tzinfo is None:
        raise ValueError(
            f"sleep_until({time!r}): the datetime needs a time zone; write datetime(..., tzinfo=timezone.utc)"
        )

    def wait(now: datetime) -> Step[None]:
        return sleep(time - now) if time > now else done(None)

    return now().flat_map(wait)


def now() -> Step[datetime]:
    """Return the time of the current decision task, in UTC: the same on every replay."""
    return Now()


def uuid4() -> Step[UUID]:
    """Return a random UUID that is the same on every replay: a function of the run and of the place in the flow."""
    # Version 4 (RFC 9562): 122 bits are random.
    return Draw().map(lambda bits: _to_uuid(bits, 4))


def uuid7() -> Step[UUID]:
    """Return a UUID that begins with the milliseconds of `now()`, the same on every replay.

    The UUIDs of one run increase in the order of the calls.

    Laws:
        Each is greater than all earlier ones of the run.
    """
    # Version 7 (RFC 9562): 48 bits of time, then a counter of 12 bits (section 6.2, method 1); 62 bits are random.
    return Tick().flat_map(
        lambda tick: Draw().map(
            lambda bits: _to_uuid(tick >> 12 << 80 | (tick & 0xFFF) << 64 | bits & (1 << 62) - 1, 7)
        )
    )


def _to_uuid(bits: int, version: int) -> UUID:
    from uuid import UUID

    # Variant 1 (RFC 9562).
    return UUID(int=bits & ~(0xF << 76) & ~(0x3 << 62) | version << 76 | 0x2 << 62)


def random() -> Step[float]:
    """Return a random number in [0, 1) that is the same on every replay: a function of the run and of its place."""
    return Draw().map(to_chance)


@overload
def step(f: Callable[P, Coroutine[Any, Any, T]], /) -> Callable[P, Step[T]]: ...
@overload
def step(f: Callable[P, Step[T]], /) -> Callable[P, Step[T]]: ...
def step(f: Callable[..., Any], /) -> Callable[..., Step[Any]]:
    """Decorate an `async def` that awaits steps: its calls are steps, to be awaited or combined.

    Example:
        >>> @step
        ... async def twice(s: Step[int]) -> tuple[int, int]:
        ...     return (await s, await s)
    """

    def call(*args: Any, **kwargs: Any) -> Step[Any]:
        return Helper(f, args, kwargs)

    note_wrapped(f)
    # Versions of Python store annotations in different attributes; `update_wrapper` copies the right ones.
    return update_wrapper(call, f)


def _check_step(where: str, one: Any) -> Any:
    if not isinstance(one, Step):
        if is_awaitable(one):
            raise refuse(where, one)
        called = isinstance(one, type) and issubclass(one, Step)
        name = name_thing(one).removesuffix("(...)")
        hint = f"write {name}(...)" if called else "decorate an async def with @step, and call it"
        raise TypeError(f"{where}: expected a step, got {name}; {hint}")
    return one


def _tolerate(where: str, steps: Iterable[Step[T]], limit: int | None, max_failures: int) -> Step[list[Outcome[T]]]:
    if _check_number(where, "max_failures", max_failures) < 0:
        raise ValueError(f"{where}(max_failures={max_failures}): max_failures must be 0 or more")
    return All(tuple(one.attempt() for one in steps), limit, max_failures)


def _check_number(where: str, name: str, number: int) -> int:
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"{where}({name}={number!r:.100}): {name} must be an int")
    return number


def _check_steps(where: str, steps: Iterable[Any]) -> tuple[Step[Any], ...]:
    items = tuple(steps)
    for index, one in enumerate(items):
        if not isinstance(one, Step):
            if is_awaitable(one):
                close_unstarted(items)
                raise refuse(f"{where}: item {index}", one)
            raise TypeError(f"{where}: item {index}: expected a step, got {name_thing(one)}")
    return items
