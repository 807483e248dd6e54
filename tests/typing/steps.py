"""The types that steps give, precise and without `Any`."""

# Steps are only type-checked here, so they are not awaited.
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

from datetime import datetime
from typing import Never, assert_type
from uuid import UUID

import traction
from traction import Failure, Outcome, Step, Success, all_of, done, each, fail, first_of, now, sleep, step
from traction.flow.step import Both

a: Step[int] = done(1)
b: Step[str] = done("b")
c: Step[bytes] = done(b"c")
d: Step[float] = done(1.5)
e: Step[bool] = done(True)
f: Step[list[int]] = done([1])
g: Step[dict[str, int]] = done({"g": 1})
h: Step[None] = done(None)

# Arity.

assert_type(a & b, Both[int, str])
assert_type(a & b & c, Both[int, str, bytes])
assert_type(a & b & c & d, Both[int, str, bytes, float])
assert_type(a & b & c & d & e, Both[int, str, bytes, float, bool])
assert_type(a & b & c & d & e & f, Both[int, str, bytes, float, bool, list[int]])
assert_type(a & b & c & d & e & f & g, Both[int, str, bytes, float, bool, list[int], dict[str, int]])
assert_type(a & b & c & d & e & f & g & h, Both[int, str, bytes, float, bool, list[int], dict[str, int], None])
assert_type((a & b) & c, Both[int, str, bytes])
assert_type(a & (b & c), Both[int, tuple[str, bytes]])
assert_type(all_of(a & b, c), Both[tuple[int, str], bytes])

pair: Step[tuple[int, str]] = a & b
triple: Step[tuple[int, str, bytes]] = a & b & c
eight: Step[tuple[int, str, bytes, float, bool, list[int], dict[str, int], None]] = a & b & c & d & e & f & g & h


async def await_groups() -> None:
    assert_type(await (a & b), tuple[int, str])
    assert_type(await (a & b & c & d), tuple[int, str, bytes, float])
    x, y, z = await (a & b & c)
    assert_type(x, int)
    assert_type(y, str)
    assert_type(z, bytes)


# One step.


async def await_one() -> None:
    assert_type(await a, int)
    assert_type(await h, None)
    assert_type(await sleep(1), None)
    assert_type(await now(), datetime)
    assert_type(await traction.uuid4(), UUID)
    assert_type(await traction.uuid7(), UUID)
    assert_type(await traction.random(), float)


def length(text: str) -> int:
    return len(text)


def say(number: int) -> Step[str]:
    return done(str(number))


def forgive(error: ValueError) -> Step[bytes]:
    return done(str(error).encode())


assert_type(b.map(length), Step[int])
assert_type(a.map(lambda n: [n]), Step[list[int]])
assert_type(a.map(lambda n: n + 1).map(str), Step[str])
assert_type(a.flat_map(say), Step[str])
assert_type(a.flat_map(lambda n: b.map(lambda text: (n, text))), Step[tuple[int, str]])
assert_type((a & b).map(lambda both: both[1]), Step[str])
assert_type(a.flat_map(lambda n: a & b), Step[tuple[int, str]])
assert_type(a.recover(ValueError, forgive), Step[int | bytes])
assert_type(a.recover((KeyError, IndexError), lambda error: h), Step[int | None])
assert_type(a.recover(ValueError, lambda error: a), Step[int])
assert_type(a.ensure(b), Step[int])
assert_type(a.named("a"), Step[int])


async def match_outcome() -> int | str:
    outcome = await a.attempt()
    assert_type(outcome, Outcome[int])
    match outcome:
        case Success(value):
            assert_type(value, int)
            return value
        case Failure(error):
            assert_type(error, Exception)
            return str(error)


assert_type(a.attempt(), Step[Success[int] | Failure])
assert_type(a.attempt() & b.attempt(), Both[Success[int] | Failure, Success[str] | Failure])

# A failure gives nothing, and so fits everywhere.

failed = fail(ValueError())
assert_type(failed, Step[Never])
never_wrong: Step[int] = failed
assert_type(a | failed, Step[int])
assert_type(failed | a, Step[int])
assert_type(first_of([a, failed]), Step[int])
assert_type(a & failed, Both[int, Never])
assert_type(all_of([a, failed]), Step[list[int]])
assert_type(failed.recover(ValueError, forgive), Step[bytes])
assert_type(a.recover(ValueError, fail), Step[int])
assert_type(a.recover(ValueError, lambda error: fail(error)), Step[int])
assert_type(a.flat_map(lambda n: b if n else fail(ValueError(n))), Step[str])
assert_type(failed.map(length), Step[int])
assert_type(failed.ensure(a), Step[Never])
assert_type(failed.attempt(), Step[Success[Never] | Failure])


@step
async def give_up(why: str) -> int:
    return await fail(ValueError(why))


assert_type(give_up("late"), Step[int])


# Groups.

assert_type(all_of([a, a]), Step[list[int]])
assert_type(all_of(say(n) for n in range(3)), Step[list[str]])
assert_type(all_of([a, a], max_failures=1), Step[list[Outcome[int]]])
assert_type(all_of(a, a, max_failures=1), Step[tuple[Outcome[int], ...]])
assert_type(all_of(a, b), Both[int, str])
assert_type(all_of(a, b, c), Both[int, str, bytes])
assert_type(all_of(a, b, c, d), Both[int, str, bytes, float])
assert_type(all_of(a, b, c, d, e), Both[int, str, bytes, float, bool])
assert_type(all_of(a, b, c, d, e, f), Both[int, str, bytes, float, bool, list[int]])
assert_type(all_of(a, b, c, d, e, f, g), Both[int, str, bytes, float, bool, list[int], dict[str, int]])
assert_type(all_of(a, b, c, d, e, f, g, h), Both[int, str, bytes, float, bool, list[int], dict[str, int], None])
assert_type(all_of(a, a, a, a, a, a, a, a, a), Step[tuple[int, ...]])
# Of more than eight, & keeps each type.
assert_type(a & b & c & a & b & c & a & b & c & a, Both[int, str, bytes, int, str, bytes, int, str, bytes, int])
assert_type(a | b | c | a | b | c | a | b | c | a, Step[int | str | bytes])
assert_type(a | b, Step[int | str])
assert_type(a | b | c, Step[int | str | bytes])
assert_type(a | a, Step[int])
assert_type(first_of([a, a]), Step[int])
assert_type(first_of(a, b), Step[int | str])
assert_type(first_of(a, b, c, d), Step[int | str | bytes | float])
assert_type(first_of(a, b, c, d, e), Step[int | str | bytes | float | bool])
assert_type(first_of(a, b, c, d, f, g, h), Step[int | str | bytes | float | list[int] | dict[str, int] | None])
assert_type(
    first_of(a, b, c, d, e, f, g, h), Step[int | str | bytes | float | bool | list[int] | dict[str, int] | None]
)
assert_type(first_of(a, a, a, a, a, a, a, a, a), Step[int])
assert_type(first_of(a, sleep(1)), Step[int | None])
assert_type(each(say, [1, 2]), Step[list[str]])
assert_type(each(say, range(9), limit=2), Step[list[str]])
assert_type(each(lambda n: a & b, [1]), Step[list[tuple[int, str]]])

# Helpers.


@step
async def repeat(text: str, *, times: int = 2) -> list[str]:
    return [await done(text) for _ in range(times)]


assert_type(repeat("a"), Step[list[str]])
assert_type(repeat("a", times=3) & a, Both[list[str], int])
assert_type(each(repeat, ["a"]), Step[list[list[str]]])

# A step of something narrower is a step of something wider.

wider: Step[object] = a
either: Step[int | str] = a
several: list[Step[object]] = [a, b, a & b]
