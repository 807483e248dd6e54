"""The types that definitions give to their calls."""

# Steps are only type-checked here, so they are not awaited.
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

from dataclasses import field
from datetime import timedelta
from typing import Generic, TypeVar, assert_type

import msgspec

from traction import (
    Activity,
    DeclaredError,
    Retry,
    Step,
    Workflow,
    activity,
    all_of,
    done,
    each,
    first_of,
    hours,
    workflow,
)
from traction.flow.step import Both

T = TypeVar("T")


class Connection: ...


class Change(msgspec.Struct):
    id: int


# Classes.


class Collect(Activity[Connection, list[Change]], version="1", start_to_close=600, retry=Retry(attempts=5)):
    project_id: int
    limit: int = 100
    tags: list[str] = msgspec.field(default_factory=list)

    def run(self, connection: Connection) -> list[Change]:
        assert_type(self.project_id, int)
        return [Change(self.project_id)]


class Index(Activity[None, int], heartbeat=timedelta(minutes=1), schedule_to_close=None, priority=1, kw_only=True):
    changes: list[Change]

    async def run(self) -> int:
        return len(self.changes)


class IndexProject(Workflow[tuple[int, int]], child_policy="ABANDON", tags=("search",), execution_start_to_close=60):
    project_id: int

    async def flow(self) -> tuple[int, int]:
        changes = await Collect(self.project_id)
        assert_type(changes, list[Change])
        return await (Index(changes=changes) & Index(changes=changes))


class IndexProjectToo(Workflow[tuple[int, int]]):
    project_id: int

    def flow(self) -> Step[tuple[int, int]]:
        return Collect(self.project_id).flat_map(lambda changes: Index(changes=changes) & Index(changes=changes))


class Query(Activity[Connection, list[T]], Generic[T], retry=Retry(attempts=2)):
    key: T

    def run(self, connection: Connection) -> list[T]:
        return [self.key]


class CountQuery(Query[int]): ...


collect: Step[list[Change]] = Collect(7)
assert_type(Collect(7, 8, ["a"]), Collect)
assert_type(Collect(project_id=7).limit, int)
assert_type(Collect(7) & Index(changes=[]), Both[list[Change], int])
assert_type(Index(changes=[]) | IndexProject(7), Step[int | tuple[int, int]])
assert_type(Collect(7).map(len), Step[int])
assert_type(all_of(Collect(n) for n in range(3)), Step[list[list[Change]]])
assert_type(first_of(Collect(7), IndexProject(7)), Step[list[Change] | tuple[int, int]])
assert_type(each(Collect, [1, 2]), Step[list[list[Change]]])
assert_type(IndexProject(7).workflow_id(), str)
assert_type(CountQuery(7).key, int)
assert_type(CountQuery(7).map(len), Step[int])


async def await_calls() -> None:
    assert_type(await Collect(7), list[Change])
    assert_type(await IndexProject(7), tuple[int, int])
    assert_type(await CountQuery(7), list[int])
    assert_type(await (Collect(7) & IndexProject(7)), tuple[list[Change], tuple[int, int]])


# Functions.


@activity
def double(number: int, by: int = 2) -> int:
    return number * by


@activity
async def double_later(number: int, *, by: int = 2) -> int:
    return number * by


@activity(needs=Connection)
def read(connection: Connection, key: str) -> bytes:
    return key.encode()


@activity(needs=Connection, version="2", retry=Retry(attempts=3))
async def read_later(connection: Connection, key: str, *, limit: int = 1) -> bytes:
    return key.encode()


@activity(name="shout", start_to_close=hours(1))
def shout(text: str) -> str:
    return text.upper()


@workflow
async def copy(key: str, *, times: int = 1) -> list[bytes]:
    return [await read(key) for _ in range(times)]


@workflow
def copy_too(key: str) -> Step[bytes]:
    return read(key)


@workflow(version="2", tags=("a", "b"))
async def copy_tagged(key: str) -> bytes:
    return await read_later(key, limit=2)


assert_type(double(1), Activity[None, int])
assert_type(double(number=1, by=3), Activity[None, int])
assert_type(double_later(1, by=3), Activity[None, int])
assert_type(read("a"), Activity[Connection, bytes])
assert_type(read_later("a", limit=1), Activity[Connection, bytes])
assert_type(shout("a"), Activity[None, str])
assert_type(copy("a", times=2), Workflow[list[bytes]])
assert_type(copy_too("a"), Workflow[bytes])
assert_type(copy_tagged("a"), Workflow[bytes])
assert_type(double(1) & read("a") & copy_too("a"), Both[int, bytes, bytes])
assert_type(each(double, [1, 2]), Step[list[int]])
assert_type(done("a").flat_map(read), Step[bytes])


# Declared errors.


class Declined(DeclaredError):
    code: str
    retry_after: int = 60
    pages: list[int] = field(default_factory=list)


class Expired(Declined):
    year: int = 0


class Charge(Activity[None, int], raises=(Declined, Expired), retry=Retry(give_up_on=(Expired,))):
    def run(self) -> int:
        raise Declined("expired", retry_after=7)


@activity(raises=(Declined,))
def charge() -> int:
    raise Expired("expired", 60, [], 2020)


@workflow(raises=(Declined,))
async def shop() -> int:
    try:
        return await charge()
    except Declined as error:
        assert_type(error.code, str)
        assert_type(error.retry_after, int)
        assert_type(error.pages, list[int])
        return 0


def charge_later(error: Declined) -> Step[str]:
    return done(error.code)


assert_type(Charge().recover(Declined, charge_later), Step[int | str])
assert_type(Charge().recover(Declined, lambda error: done(error.code)), Step[int | str])
assert_type(Charge().recover(Declined, lambda error: done(error.retry_after)), Step[int])
assert_type(shop().recover((Declined, Expired), lambda error: done([error.code])), Step[int | list[str]])


async def await_functions() -> None:
    assert_type(await double(1), int)
    assert_type(await double_later(1), int)
    assert_type(await read("a"), bytes)
    assert_type(await copy("a"), list[bytes])
    assert_type(await copy_too("a"), bytes)
