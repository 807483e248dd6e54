"""A decorator below `@activity`, `@workflow` or `@step` is called, and the function that it wraps is read."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
import pytest

from traction import WorkerSystem, Workflow, activity, all_of, run, step, workflow
from traction.errors import FlowError

calls: list[str] = []


@pytest.fixture(autouse=True)
def forget_calls() -> None:
    calls.clear()


def timed(f: Any) -> Any:
    @functools.wraps(f)
    def inner(*args: Any, **kwargs: Any) -> Any:
        calls.append(f.__name__)
        return f(*args, **kwargs)

    return inner


def timed_async(f: Any) -> Any:
    @functools.wraps(f)
    async def inner(*args: Any, **kwargs: Any) -> Any:
        calls.append(f.__name__)
        return await f(*args, **kwargs)

    return inner


def times(n: int) -> Callable[[Any], Any]:
    def decorate(f: Any) -> Any:
        @functools.wraps(f)
        def inner(*args: Any, **kwargs: Any) -> Any:
            return [f(*args, **kwargs) for _ in range(n)][-1]

        return inner

    return decorate


@contextmanager
def measuring() -> Iterator[None]:
    calls.append("measuring")
    yield


class Database:
    def read(self, key: str) -> str:
        return f"{key}!"


@activity
@timed
def add(a: int, b: int = 3) -> int:
    return a + b


@activity(version="2", start_to_close=10)
@times(2)
@timed
def add_named(a: int, *, b: Annotated[int, msgspec.Meta(ge=0)] = 4) -> int:
    return a + b


@activity
@timed_async
async def add_async(a: int, b: int = 3) -> int:
    await asyncio.sleep(0)
    return a + b


@activity
@timed
async def add_async_in_sync(a: int, b: int = 3) -> int:
    await asyncio.sleep(0)
    return a + b


@activity(needs=Database)
@timed
def read(db: Database, key: str) -> str:
    return db.read(key)


@activity
@measuring()
def measured(n: int) -> int:
    return n


@activity
@functools.lru_cache
def cached(n: int) -> int:
    calls.append("cached")
    return n


@step
@timed
async def both(n: int) -> list[int]:
    return await all_of([add(n), add_async(n)])


@workflow
@timed_async
async def sums(a: int, b: int = 1) -> list[Any]:
    return [
        await add(a),
        await add_named(a, b=b),
        await add_async(a, b),
        await add_async_in_sync(a),
        await read("k"),
        await measured(a),
        await cached(a),
        await both(a),
    ]


@workflow
@timed
async def sums_in_sync(a: int) -> int:
    return await add(a)


def test_the_wrapper_is_called_with_the_parameters_of_what_it_wraps() -> None:
    assert run(sums(1), provide={read: Database()}) == [4, 2, 2, 4, "k!", 1, 1, [4, 4]]
    assert run(sums_in_sync(1)) == 4
    assert {"add", "add_named", "add_async", "add_async_in_sync", "read", "measuring", "cached", "both", "sums"} <= {
        *calls
    }
    assert "sums_in_sync" in calls


def test_a_decorated_function_has_the_fields_and_defaults_of_the_function() -> None:
    assert repr(add(1)) == "add(a=1, b=3)"
    assert [field.name for field in msgspec.structs.fields(add_named)] == ["a", "b"]  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        add_named(1, 2)  # type: ignore[misc]


def test_a_decorator_may_declare_its_parameters() -> None:
    def with_default(f: Any) -> Any:
        @functools.wraps(f)
        def inner(a: int) -> Any:
            return f(a, 100)

        inner.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter("a", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation="int")], return_annotation="int"
        )
        return inner

    @activity
    @with_default
    def add_hundred(a: int, b: int) -> int:
        return a + b

    @workflow
    async def flow() -> int:
        return await add_hundred(a=1)

    assert run(flow()) == 101


@pytest.mark.parametrize("executor", ["thread", "process", "async"])
def test_decorated_activities_run_wherever_activities_run(executor: Any) -> None:
    made: Any = add if executor != "async" else add_async_in_sync

    with WorkerSystem("local:") as system:
        system.start_workflow_worker(sums_in_sync, adding_async)
        system.start_activity_worker(made, executor=executor)
        call: Any = adding_async(1) if executor == "async" else sums_in_sync(1)
        assert system.run(call, timeout=60) == 4


@workflow
async def adding_async(a: int) -> int:
    return await add_async_in_sync(a)


class Summing(Workflow[int]):
    n: int

    @timed_async
    @timed_async
    async def flow(self) -> int:
        try:
            return await both(self.n).map(sum)
        finally:
            calls.append("finally")


def test_the_flow_of_a_class_may_be_decorated() -> None:
    assert run(Summing(1)) == 8
    assert "finally" in calls


def test_a_coroutine_that_no_decorator_wraps_is_refused_as_before() -> None:
    async def helper() -> int:
        return await add(1)

    @workflow
    @timed_async
    async def flow() -> int:
        return await helper()

    with pytest.raises(FlowError, match="decorate async helpers with @step"):
        run(flow())


def test_whether_a_decorated_activity_is_async_is_seen_through_its_decorators() -> None:
    made: list[Any] = [add, add_async, add_async_in_sync]
    assert [one.spec.is_async for one in made] == [False, True, True]
