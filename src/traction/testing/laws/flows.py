"""Hypothesis strategies for flows, choices and the parts of laws.

Functions in drawn flows are small structs, so that a failing example is readable and shrinks by its parts.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from traction.definitions.decorators import activity, workflow
from traction.extras import needed_by
from traction.flow.cancellation import cancel_scope, move_on_after
from traction.flow.combinators import all_of, done, fail, first_of, now, random, saga, shield, sleep, step, uuid4, uuid7
from traction.flow.effects import set_state, start_child
from traction.flow.retry import Retry
from traction.flow.step import All, Cancelled, Failure, Step, Success
from traction.testing.laws.history_generator import Choose, TaskFailed, choose_from
from traction.testing.laws.laws import Context, Flow, Law, await_step, identity

with needed_by("drawing flows"):
    from hypothesis import strategies as st

# The parts of generated flows.


@activity
def work(n: int) -> int:
    """Return the input."""
    return n


@activity(retry=Retry(attempts=3, backoff=2), raises=(TaskFailed,))
def persist(n: int) -> int:
    """Return the input, with retries after a pause."""
    return n


@activity(retry=Retry(attempts=2, backoff=0))
def insist(n: int) -> int:
    """Return the input, with retries at once."""
    return n


@workflow(raises=(TaskFailed,))
async def part(n: int) -> int:
    """Call `work` in a child."""
    return await work(n)


class Odd(Exception):
    """A failure of generated flows."""


class Strange(Exception):
    """Another failure of generated flows."""


class Plus(msgspec.Struct, frozen=True):
    """A function: add to the number of a value."""

    n: int

    def __call__(self, value: Any) -> int:
        return to_int(value) + self.n


class Raise(msgspec.Struct, frozen=True):
    """A function that raises."""

    error: type[Exception]

    def __call__(self, value: Any) -> Any:
        raise self.error("raised")


class Then(msgspec.Struct, frozen=True):
    """A function: one of several steps, by the value; a step of the value itself if there are none."""

    steps: tuple[Any, ...]

    def __call__(self, value: Any) -> Flow:
        number = to_int(value)
        return self.steps[number % len(self.steps)] if self.steps else work(number)


class Try(msgspec.Struct, frozen=True):
    """A statement: try a step, and handle its failure with another."""

    body: Any
    handler: Any


class Finish(msgspec.Struct, frozen=True):
    """A statement: a step, and finally another."""

    body: Any
    last: Any


class Resist(msgspec.Struct, frozen=True):
    """A statement: a step; if it is cancelled another, which suppresses the cancellation."""

    body: Any
    instead: Any


class Within(msgspec.Struct, frozen=True):
    """A statement: a step in a cancel scope, perhaps with a deadline, perhaps cancelled by the flow before or after."""

    body: Any
    seconds: int | None
    cancels: bool
    early: bool = False


class Beside(msgspec.Struct, frozen=True):
    """A statement: a child beside the flow, whose result is awaited in several places."""

    n: int
    join: Any
    times: int


class Repeat(msgspec.Struct, frozen=True):
    """A statement: a step several times."""

    body: Any
    times: int


@step
async def perform(statements: tuple[Any, ...]) -> int:
    """Run a program in do-notation: steps, and the statements above."""
    total = 0
    for statement in statements:
        match statement:
            case Try(body, handler):
                try:
                    x = await body
                except Odd:
                    x = await handler
            case Finish(body, last):
                try:
                    x = await body
                finally:
                    await last
            case Resist(body, instead):
                try:
                    x = await body
                except Cancelled:
                    x = await instead
            case Within(body, seconds, cancels, early):
                x, scope = 0, cancel_scope() if seconds is None else move_on_after(seconds)
                if early:
                    await scope.cancel()
                async with scope:
                    x = await body
                    if cancels:
                        await scope.cancel()
                x = to_int(x) + scope.cancelled
            case Beside(n, join, times):
                child = await start_child(part(n))
                x = await join([child.result()] * (times + 1))
            case Repeat(body, times):
                x = 0
                for _ in range(times):
                    x = to_int(x) + to_int(await body)
            case _:
                x = await statement
        total = total * 3 + to_int(x)
    return total


def to_int(value: Any) -> int:
    """Return a small number for any result of a flow."""
    if isinstance(value, int):
        return value % 97
    if isinstance(value, list | tuple):
        total = 1
        for one in value:
            total = total * 5 + to_int(one)
        return total % 97
    if isinstance(value, Success):
        return to_int(value.value) + 1
    if isinstance(value, Failure):
        return to_int(value.error)
    if isinstance(value, Exception):
        return len(type(value).__name__)
    if isinstance(value, UUID):
        return int(value) % 97
    if isinstance(value, float):
        return int(value * 97)
    if isinstance(value, datetime):
        return int(value.timestamp() * 1000) % 97
    return 0


# Strategies.

numbers = st.integers(0, 3)
names = st.sampled_from(["x", "y"])
exceptions = st.sampled_from([Odd, Strange, TaskFailed])
errors: st.SearchStrategy[Exception] = st.builds(lambda kind: kind("failed"), exceptions)
policies = st.builds(Retry, attempts=st.integers(1, 3), backoff=st.integers(0, 2))
functions = st.builds(Plus, numbers) | st.builds(Raise, exceptions)


def choices(max_size: int = 60) -> st.SearchStrategy[Choose]:
    """Draw choices: a list of numbers, after which all choices are plain."""
    return st.lists(st.integers(0, 11), max_size=max_size).map(Choices)


class Choices:
    """Choices from a list, with a readable representation."""

    def __init__(self, numbers: list[int]) -> None:
        self.numbers = numbers
        self.choose = choose_from(numbers)

    def __call__(self, n: int) -> int:
        return self.choose(n)

    def __repr__(self) -> str:
        return f"choose_from({self.numbers})"


def flows(
    *,
    races: bool = True,
    groups: bool = True,
    sagas: bool = True,
    failures: bool = True,
    places: bool = True,
    max_leaves: int = 8,
) -> st.SearchStrategy[Flow]:
    """Draw a flow.

    Args:
        races: whether it may have `|`, children and steps that suppress cancellation, which depend on order.
        groups: whether steps in it may run concurrently.
        sagas: whether it may have sagas, whose compensations are passed to the saga around.
        failures: whether it may have steps that fail by themselves.
        places: whether it may have time, random numbers and `set_state`, which depend on their place.
        max_leaves: the approximate size.
    """
    leaves = [
        st.builds(done, numbers),
        st.builds(work, numbers),
        st.builds(lambda n: sleep(timedelta(seconds=n)), numbers),
        st.builds(persist, numbers),
        st.builds(insist, numbers),
        st.builds(lambda call, n: call(n).locally(), st.sampled_from([work, persist, insist]), numbers),
    ]
    if failures:
        leaves.append(st.builds(fail, errors))
    if places:
        leaves.append(st.sampled_from([now(), uuid4(), uuid7(), random()]))
        leaves.append(st.builds(set_state, numbers))
    if races:
        leaves.append(st.builds(part, numbers))
    pure = functions if failures else st.builds(Plus, numbers)
    return st.recursive(
        st.one_of(leaves),
        lambda inner: _extend(inner, pure, races=races, groups=groups, sagas=sagas),
        max_leaves=max_leaves,
    )


def _extend(
    inner: st.SearchStrategy[Any], pure: Any, *, races: bool, groups: bool, sagas: bool
) -> st.SearchStrategy[Any]:
    several = st.lists(inner, max_size=3)
    arrows = st.builds(Then, several.map(tuple))
    statements = [
        inner,
        st.builds(Try, inner, inner),
        st.builds(Finish, inner, inner),
        st.builds(Repeat, inner, numbers),
    ]
    shapes = [
        st.builds(Step.map, inner, pure),
        st.builds(Step.flat_map, inner, arrows),
        st.builds(Step.recover, inner, exceptions, arrows),
        st.builds(Step.ensure, inner, inner),
        st.builds(Step.attempt, inner),
        st.builds(Step.named, inner, names),
        st.builds(Step.retry, inner, policies),
        st.builds(shield, inner),
    ]
    if sagas:
        shapes.append(st.builds(saga, inner))
        shapes.append(st.builds(lambda s, f: saga(s.compensate(f)), inner, arrows))
        shapes.append(st.builds(lambda s, t, f: saga(s.compensate(f).flat_map(lambda _: t)), inner, inner, arrows))
    if groups:
        shapes.append(st.builds(Step.__and__, inner, inner))
        shapes.append(st.builds(all_of, several))
        shapes.append(st.builds(All, several.map(tuple), st.integers(1, 2)))
    if races:
        spans = st.none() | st.integers(0, 3)
        statements.append(st.builds(Within, inner, spans, st.booleans(), st.booleans()))
        shapes.append(st.builds(Step.timeout, inner, numbers))
    if races and groups:
        statements.append(st.builds(Resist, inner, inner))
        statements.append(st.builds(Beside, numbers, st.sampled_from([all_of, first_of]), numbers))
        shapes.append(st.builds(Step.__or__, inner, inner))
        shapes.append(st.builds(first_of, st.lists(inner, min_size=1, max_size=3)))
    shapes.append(st.builds(perform, st.lists(st.one_of(statements), max_size=3).map(tuple)))
    return st.one_of(shapes)


def contexts(max_leaves: int = 3) -> st.SearchStrategy[Context]:
    """Draw a flow with a hole for a step."""
    others = flows(max_leaves=max_leaves)
    arrows = st.builds(Then, st.lists(others, max_size=2).map(tuple))
    return st.just(identity) | st.one_of(
        st.builds(Hole, st.sampled_from(sorted(_HOLES)), others, arrows),
        st.builds(Hole, st.sampled_from(sorted(_HOLES)), others, arrows, st.sampled_from(sorted(_HOLES))),
    )


class Hole(msgspec.Struct, frozen=True):
    """A flow with a hole: one or two steps around it."""

    kind: str
    other: Any
    arrow: Then
    outer: str | None = None

    def __call__(self, s: Flow) -> Flow:
        filled: Flow = _HOLES[self.kind](s, self.other, self.arrow)
        return filled if self.outer is None else _HOLES[self.outer](filled, self.other, self.arrow)


_HOLES: dict[str, Any] = {
    "s.flat_map(f)": lambda s, _t, f: s.flat_map(f),
    "s, then s": lambda s, _t, _f: s.flat_map(lambda _: s),
    "t, then s": lambda s, t, _f: t.flat_map(lambda _: s),
    "s & t": lambda s, t, _f: all_of(s, t),
    "t & s": lambda s, t, _f: all_of(t, s),
    "s | t": lambda s, t, _f: first_of(s, t),
    "t | s": lambda s, t, _f: first_of(t, s),
    "s.ensure(t)": lambda s, t, _f: s.ensure(t),
    "t.ensure(s)": lambda s, t, _f: t.ensure(s),
    "s.recover(f)": lambda s, _t, f: s.recover(Exception, f),
    "t.recover(s)": lambda s, t, _f: t.recover(Exception, lambda _: s),
    "s.named": lambda s, _t, _f: s.named("z"),
    "shield s": lambda s, _t, _f: shield(s),
    "saga s": lambda s, t, f: saga(t.compensate(f).flat_map(lambda _: s)),
    "s.timeout": lambda s, _t, _f: s.timeout(2),
    "s.retry": lambda s, _t, _f: s.retry(Retry(attempts=2, backoff=1)),
    "within s": lambda s, _t, _f: perform((Within(s, 2, False),)),
    "await s": lambda s, _t, _f: await_step(s),
    "resist s": lambda s, t, _f: first_of(perform((Resist(s, t),)), t),
    "all_of [s, t, s], two at a time": lambda s, t, _f: All((s, t, s), 2),
}


def parts(law: Law) -> st.SearchStrategy[tuple[Any, ...]]:
    """Draw a value for each part of a law."""
    steps = flows(max_leaves=4)
    calm = flows(races=False, failures=False, places=False, max_leaves=4)
    kinds: dict[str, st.SearchStrategy[Any]] = {
        **dict.fromkeys(("x", "y"), numbers),
        **dict.fromkeys(("s", "t"), steps),
        **dict.fromkeys(
            ("f", "g"), st.builds(Then, st.lists(steps, max_size=2).map(tuple)) | st.builds(Raise, exceptions)
        ),
        **dict.fromkeys(("h", "k"), functions),
        **dict.fromkeys(("b", "c"), calm),
        "u": flows(sagas=False, max_leaves=4),
        "e": errors,
        "p": policies,
        "xs": st.lists(numbers, max_size=3),
        "name": names,
    }
    return st.tuples(*(kinds[word] for word in law.parts.split()))
