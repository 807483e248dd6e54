"""Flows that use asyncio or another event loop: one FlowError, in workers and in simulations, and no noise."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from traction import (
    Step,
    WorkerSystem,
    activity,
    all_of,
    done,
    each,
    fail,
    first_of,
    saga,
    shield,
    side_effect,
    sleep,
    workflow,
)
from traction.errors import FlowError
from traction.testing import simulate


@activity
def act(n: int) -> int:
    return n


async def helper(n: int) -> int:
    await sleep(1)
    return n


def block() -> int:
    return 1


async def grouped() -> Any:
    async with asyncio.TaskGroup() as group:
        group.create_task(helper(1))


async def timed() -> Any:
    async with asyncio.timeout(1):
        await act(1)


async def locked() -> Any:
    lock = asyncio.Lock()
    async with lock:
        return await lock.acquire()


async def waited() -> Any:
    return await asyncio.wait([asyncio.ensure_future(act(1))])


async def completed() -> Any:
    return [await one for one in asyncio.as_completed([act(1), act(2)])]


async def on_a_future() -> Any:
    return await asyncio.get_event_loop().create_future()


async def on_a_loop() -> Any:
    return asyncio.Runner().run(helper(1))


async def in_anyio() -> Any:
    async with anyio.create_task_group():
        await act(1)


USES: dict[str, Callable[[], Any]] = {
    "asyncio.gather": lambda: asyncio.gather(act(1), act(2)),
    "gather of coroutines": lambda: asyncio.gather(helper(1), helper(2)),
    "asyncio.wait": waited,
    "asyncio.wait_for": lambda: asyncio.wait_for(act(1), 1),
    "asyncio.wait_for a coroutine": lambda: asyncio.wait_for(helper(1), 1),
    "asyncio.sleep": lambda: asyncio.sleep(1),
    "asyncio.sleep(0)": lambda: asyncio.sleep(0),
    "asyncio.create_task": lambda: asyncio.create_task(helper(1)),
    "asyncio.ensure_future": lambda: asyncio.ensure_future(act(1)),
    "asyncio.shield": lambda: asyncio.shield(helper(1)),
    "asyncio.TaskGroup": grouped,
    "asyncio.timeout": timed,
    "asyncio.to_thread": lambda: asyncio.to_thread(block),
    "asyncio.Queue": lambda: asyncio.Queue[int]().get(),
    "asyncio.Event": lambda: asyncio.Event().wait(),
    "asyncio.Lock": locked,
    "asyncio.run": lambda: asyncio.run(helper(1)),
    "asyncio.Runner": on_a_loop,
    "asyncio.as_completed": completed,
    "asyncio.open_connection": lambda: asyncio.open_connection("127.0.0.1", 1),
    "a future": on_a_future,
    "anyio.sleep": lambda: anyio.sleep(1),
    "an anyio group": in_anyio,
    "all_of coroutines": lambda: all_of([helper(1), helper(2)]),  # type: ignore[list-item]
    "all_of(a, b)": lambda: all_of(helper(1), act(2)),  # type: ignore[arg-type]
    "all_of(one)": lambda: all_of(helper(1)),  # type: ignore[call-overload]
    "first_of": lambda: first_of(act(1), helper(2)),  # type: ignore[arg-type]
    "first_of(one)": lambda: first_of(helper(2)),  # type: ignore[call-overload]
    "each": lambda: each(helper, [1, 2]),  # type: ignore[arg-type]
    "each with max_failures": lambda: each(helper, [1, 2], max_failures=1),  # type: ignore[arg-type]
    "step & coroutine": lambda: act(1) & helper(2),  # type: ignore[operator]
    "coroutine & step": lambda: helper(1) & act(2),  # type: ignore[operator]
    "three &": lambda: act(1) & act(2) & helper(2),  # type: ignore[operator]
    "step | coroutine": lambda: act(1) | helper(2),  # type: ignore[operator]
    "coroutine | step": lambda: helper(1) | act(2),  # type: ignore[operator]
    "shield": lambda: shield(helper(1)),  # type: ignore[arg-type]
    "saga": lambda: saga(helper(1)),  # type: ignore[arg-type]
    "ensure": lambda: act(1).ensure(helper(1)),  # type: ignore[arg-type]
    "flat_map": lambda: done(1).flat_map(helper),  # type: ignore[arg-type]
    "recover": lambda: fail(ValueError()).recover(ValueError, lambda _: helper(1)),  # type: ignore[arg-type,return-value]
    "a coroutine": lambda: helper(1),
}


@workflow
async def uses(name: str) -> None:
    await USES[name]()


@workflow
def uses_plainly(name: str) -> Step[Any]:
    return USES[name]()


@workflow
async def steady() -> int:
    return await act(1)


@pytest.fixture
def quiet() -> Any:
    """Fail on a coroutine that was never awaited, and on a loop that was left open."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect(1)  # the generations of what this test made; the whole heap takes a second
    assert [str(one.message) for one in caught] == []


def check(error: Exception) -> None:
    assert isinstance(error, FlowError), repr(error)
    text = str(error)
    assert all(word in text for word in ("all_of", "each", "@step")), text
    assert "test_event_loops.py, line" in text, text


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("name", USES)
def test_a_simulation_refuses_what_needs_an_event_loop(name: str) -> None:
    with pytest.raises(FlowError) as caught:
        simulate(uses(name))
    check(caught.value)


@pytest.mark.usefixtures("quiet")
def test_simulations_inside_of_an_event_loop_refuse_it_too() -> None:
    async def main() -> None:
        for name in ("asyncio.gather", "asyncio.create_task", "asyncio.run"):
            with pytest.raises(FlowError) as caught:
                simulate(uses(name))
            check(caught.value)
        await asyncio.sleep(0)  # the loop of the caller is as it was

    asyncio.run(main())


def test_workers_leave_the_execution_open(caplog: pytest.LogCaptureFixture) -> None:
    def list_stuck() -> dict[str, str]:
        errors = [record for record in caplog.records if record.levelname == "ERROR"]
        return {vars(record)["workflow_id"]: record.getMessage() for record in errors}

    with WorkerSystem("local:") as ws:
        ws.start_workflow_worker(uses, uses_plainly)
        handles = [ws.start(uses(name), workflow_id=f"use-{number}") for number, name in enumerate(USES)]
        handles += [ws.start(uses_plainly("each"), workflow_id="plain")]
        while len(list_stuck()) < len(handles):
            pass
        assert {handle.status() for handle in handles} == {"OPEN"}
    for text in list_stuck().values():
        check(FlowError(text))


def test_a_side_effect_may_run_an_event_loop() -> None:
    async def fetch() -> int:
        await asyncio.sleep(0)
        return 7

    @workflow
    async def kept() -> int:
        return await side_effect(lambda: asyncio.run(fetch()), int)

    assert simulate(kept(), check_determinism=False).result == 7
    with WorkerSystem("local:") as ws:
        ws.start_workflow_worker(kept)
        assert ws.run(kept()) == 7


def test_an_operand_that_is_not_awaitable_raises_a_type_error() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        act(1) & 5  # type: ignore[operator]
    with pytest.raises(TypeError, match="item 0: expected a step"):
        all_of([5])  # type: ignore[list-item]
