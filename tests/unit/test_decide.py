"""What the decider says of flows that do what no flow may do, and of histories that other code made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from traction import decisions as d
from traction import events as e
from traction.decide import Decider, decide
from traction.definition import activity, workflow
from traction.errors import FlowError, HistoryError, NonDeterminismError
from traction.names import TaskList
from traction.step import Step, done, fail, sleep, step
from traction.testing.player import choose_from, play

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@activity
def charge(n: int) -> int:
    return n


@activity
def refund(n: int) -> int:
    return n


def begin(definition: Any, input: str = "{}") -> list[e.Event]:
    """Give the history of an execution up to its first DecisionTaskStarted."""
    here = TaskList("here")
    return [
        e.WorkflowExecutionStarted(
            event_id=1,
            event_timestamp=NOON,
            child_policy="TERMINATE",
            task_list=here,
            workflow_type=definition.spec.type,
            input=input,
        ),
        e.DecisionTaskScheduled(event_id=2, event_timestamp=NOON, task_list=here),
        e.DecisionTaskStarted(event_id=3, event_timestamp=NOON, scheduled_event_id=2),
    ]


def test_deciding_lets_go_of_the_flow() -> None:
    let_go: list[bool] = []

    @workflow
    async def waits() -> int:
        try:
            return await charge(1)
        finally:
            let_go.append(True)
            await refund(1)

    decide(waits, begin(waits))
    assert let_go == [True]


def test_a_failure_said_once_and_read_twice_gives_equal_decisions() -> None:
    spent = fail(ValueError("spent"))

    @workflow
    async def fails() -> int:
        return await spent

    assert decide(fails, begin(fails)) == decide(fails, begin(fails))


async def helper() -> int:
    return await charge(1)


def awaits_nothing() -> Any:
    async def flow() -> Any:
        await None  # type: ignore[misc]

    return flow()


def awaits_a_coroutine() -> Any:
    async def flow() -> Any:
        return await helper()

    return flow()


def awaits_asyncio() -> Any:
    async def flow() -> Any:
        await asyncio.sleep(1)

    return flow()


def awaits_asyncio_for_a_moment() -> Any:
    async def flow() -> Any:
        await asyncio.sleep(0)

    return flow()


def awaits_a_future() -> Any:
    async def flow() -> Any:
        loop = asyncio.new_event_loop()
        future = loop.create_future()
        loop.close()
        await future

    return flow()


@pytest.mark.parametrize(
    "said", [awaits_nothing, awaits_a_coroutine, awaits_asyncio, awaits_asyncio_for_a_moment, awaits_a_future]
)
def test_awaiting_what_is_no_step_is_told_with_its_line_and_fails_no_execution(said: Callable[[], Any]) -> None:
    @workflow
    async def flow() -> None:
        await step(said)()

    with pytest.raises(FlowError, match=rf"{said.__name__}.*flow awaits .*test_decide.py, line \d+\).*@step") as told:
        decide(flow, begin(flow))
    assert "asyncio/" not in str(told.value)


def returns_a_step() -> Any:
    async def flow() -> Any:
        return charge(1)

    return flow()


def returns_a_coroutine() -> Any:
    async def flow() -> Any:
        return helper()

    return flow()


def maps_to_a_step() -> Any:
    return done(1).map(charge)


@pytest.mark.parametrize("said", [returns_a_step, returns_a_coroutine, maps_to_a_step])
def test_a_forgotten_await_is_told(said: Callable[[], Any]) -> None:
    @workflow
    def flow() -> Step[int]:
        return step(said)()

    with pytest.raises(FlowError, match="a step that nobody"):
        decide(flow, begin(flow))
