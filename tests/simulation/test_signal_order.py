"""Signals are received in the order of their arrival, however often a run is continued as new."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.backends import NOW, open_stage, take_turns
from traction import Signal, continue_as_new, receive, send, start_child, workflow
from traction.testing import explore


class Add(Signal):
    n: int


class Stop(Signal):
    pass


@workflow
async def acc(total: int = 0) -> int:
    for _ in range(2):
        match await receive(Add, Stop):
            case Add(n=n):
                total += n
            case Stop():
                return total
    return await continue_as_new(acc(total))


@workflow
async def feeder() -> int:
    child = await start_child(acc().options(workflow_id="acc"))
    await send("acc", Add(1))
    await (send("acc", Add(2)) & send("acc", Add(4)))  # both are delivered
    await send("acc", Stop())  # before this is sent
    return await child.result()


@explore(feeder(), deviations=1)
def test_what_came_before_stop_is_counted(run: Any) -> None:
    assert run.result == 7, run.result


class Say(Signal):
    n: int


@workflow
async def listen(heard: list[int] | None = None, at_once: int = 1, count: int = 5) -> list[int]:
    heard = list(heard or [])
    for _ in range(at_once):
        heard.append((await receive(Say)).n)
        if len(heard) == count:
            return heard
    return await continue_as_new(listen(heard, at_once, count))


@workflow
async def speak() -> list[int]:
    child = await start_child(listen(at_once=1).options(workflow_id="listen"))
    for n in range(5):
        await send("listen", Say(n))
    return await child.result()


@explore(speak(), deviations=1)
def test_signals_are_received_in_the_order_of_arrival(run: Any) -> None:
    assert run.result == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("refusals", [1, 2, 3])
def test_signals_keep_their_order_when_continuing_is_refused_several_times(refusals: int) -> None:
    with open_stage() as stage:
        handle = stage.start(listen(None, 1, 3 + refusals), listen, workflow_id="listen")
        for n in range(3):
            handle.send(Say(n))
        decider = stage.decider(listen)
        for n in range(3, 3 + refusals):
            # A signal that comes while the decider decides has the close refused.
            task = None
            while task is None or not (answer := decider.do(task)) or len(answer.decisions or ()) < 2:
                if task is not None:
                    decider.respond(task.workflow_execution, answer)
                task = decider.poll_once(NOW)
                assert task is not None
            handle.send(Say(n))
            decider.respond(task.workflow_execution, answer)
        take_turns(decider)
        assert handle.result(0) == list(range(3 + refusals))
