"""A step that is built on a line of its own and never awaited is reported with its line, and no other step."""

from __future__ import annotations

import inspect
import logging
from collections import deque
from typing import Any

import pytest

from traction import (
    Retry,
    Signal,
    Step,
    WorkerSystem,
    activity,
    all_of,
    done,
    each,
    receive,
    send,
    set_state,
    sleep,
    start_child,
    step,
    workflow,
)
from traction.errors import FlowError
from traction.testing import explore, simulate


class Go(Signal): ...


@activity
def act(n: int) -> int:
    return n


@workflow
async def child() -> None: ...


@step
async def helper() -> int:
    return await act(1)


def both() -> Step[Any]:
    return act(1) & act(2)


@workflow
async def forgets(kind: str) -> None:
    one, two = act(1), act(2)
    match kind:
        case "call":
            act(3)
        case "retry":
            one.retry(Retry(attempts=2))
        case "&":
            one & two
        case "|":
            one | sleep(5)
        case "sleep":
            sleep(5)
        case "receive":
            receive(Go)
        case "send":
            send("other", Go())
        case "set_state":
            set_state("here")
        case "helper":
            helper()
        case "function":
            both()
        case "list":
            [act(n) for n in range(2)]
        case "each":
            each(act, [1, 2])
        case "child":
            start_child(child())
        case "multiline":
            all_of(
                act(1),
                act(2),
            )
        case "and":
            kind and act(1)
        case "branch":
            await all_of(nested(), done(1))
        case "local":
            act(1).locally()
    await done(None)


@step
async def nested() -> None:
    act(7)
    await act(8)


KINDS = [
    line.split('"')[1]
    for line in inspect.getsource(inspect.getmodule(nested))
    .split("async def forgets")[1]
    .split("@step")[0]
    .splitlines()
    if "case" in line
]


@workflow
async def means_well(kind: str) -> Any:
    steps = [act(1), act(2)]
    by_name = {"a": act(3)}
    queue = deque([act(4)])
    template = act(5).retry(Retry(attempts=2))
    unused = act(6)
    if kind == "unused":
        await unused
    steps.append(act(7))
    len([act(8)])
    await template
    await template
    await all_of(steps)
    steps.pop()
    steps.pop(0)
    by_name.pop("a")
    queue.popleft()
    steps.clear()
    del unused
    try:
        await act(9)
        await failing()
    except ValueError:
        pass
    await act(10)
    await (act(11) & sleep(1))
    async for _ in Once():
        break
    return await maybe(kind)


class Once:
    def __aiter__(self) -> Once:
        return self

    def __anext__(self) -> Step[int]:
        return act(12)


@step
async def failing() -> None:
    kept = act(13)
    await kept
    raise ValueError


def maybe(kind: str) -> Step[int]:
    first, second = act(14), act(15)
    return first if kind else second


@pytest.mark.parametrize("kind", KINDS)
def test_a_simulation_reports_a_forgotten_await_with_its_line(kind: str) -> None:
    with pytest.raises(FlowError, match=r"test_forgotten.py, line \d+\) builds a step and never awaits it") as caught:
        simulate(forgets(kind))
    source = inspect.getsource(inspect.getmodule(nested)).splitlines()  # type: ignore[arg-type]
    line = int(str(caught.value).split("line ")[1].split(")")[0])
    where = next(n for n, text in enumerate(source, 1) if f'case "{kind}":' in text) + 1
    assert line == where or kind == "branch"


def test_steps_that_are_meant_are_not_reported() -> None:
    assert simulate(means_well("x")).result == 14
    assert simulate(means_well("unused")).result == 14


def test_exploring_reports_a_forgotten_await() -> None:
    @explore(forgets("call"), deviations=1)
    def nothing(run: Any) -> None:
        assert run.result is None

    with pytest.raises(FlowError, match="never awaits it"):
        nothing()


def test_a_worker_warns_once_for_each_line(caplog: pytest.LogCaptureFixture) -> None:
    @workflow
    async def forgetful() -> int:
        for n in range(3):
            act(n)
        await act(1)
        sleep(5)
        return await act(2)

    with WorkerSystem("local:") as ws, caplog.at_level(logging.WARNING, "traction.worker"):
        ws.start_workflow_worker(forgetful, means_well)
        ws.start_activity_worker(act)
        for _ in range(3):
            ws.run(forgetful())
        assert ws.run(means_well("x")) == 14
    records = [record for record in caplog.records if "never awaits it" in record.getMessage()]
    assert len(records) == 2
    assert all("forgetful (" in record.getMessage() and vars(record)["workflow_id"] for record in records)
