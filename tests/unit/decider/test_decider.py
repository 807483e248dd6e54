"""The decider's errors for flows that break rules, and for histories of other code."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from traction.decider.decider import Decider, decide
from traction.decider.frames import Leaf, Pending
from traction.definitions.decorators import activity, workflow
from traction.errors import FlowError, HistoryError, NonDeterminismError, PayloadError
from traction.flow.combinators import done, fail, sleep, step
from traction.flow.step import Step
from traction.model import events as e
from traction.model.names import TaskList
from traction.testing.laws.history_generator import choose_plain, derive_outcome, generate_history
from traction.testing.laws.laws import to_workflow

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


def test_deciding_closes_the_flow() -> None:
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


def test_a_failure_that_is_reused_gives_equal_decisions() -> None:
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
    "function", [awaits_nothing, awaits_a_coroutine, awaits_asyncio, awaits_asyncio_for_a_moment, awaits_a_future]
)
def test_awaiting_a_non_step_reports_the_line_and_fails_no_execution(function: Callable[[], Any]) -> None:
    @workflow
    async def flow() -> None:
        await step(function)()

    words = rf"{function.__name__}.*flow (awaits )?.*test_decider.py, line \d+\).*@step"
    with pytest.raises(FlowError, match=words) as caught:
        decide(flow, begin(flow))
    assert "asyncio/" not in str(caught.value)


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


@pytest.mark.parametrize("function", [returns_a_step, returns_a_coroutine, maps_to_a_step])
def test_a_forgotten_await_is_reported(function: Callable[[], Any]) -> None:
    @workflow
    def flow() -> Step[int]:
        return step(function)()

    with pytest.raises(FlowError, match="a step that is never awaited"):
        decide(flow, begin(flow))


# Histories that other code made.


def replay(before: Step[Any], after: Step[Any]) -> NonDeterminismError:
    """GeneratedHistory one flow, read its history with another, and give the error."""
    played = generate_history(to_workflow(before), lambda n: choose_plain(n))
    decider = Decider(to_workflow(after))
    with pytest.raises(NonDeterminismError) as caught:
        decider.feed(played.events)
    decider.close()
    return caught.value


DIVERGENCES: dict[str, tuple[Step[Any], Step[Any], str, int, str, str]] = {
    "another task": (
        charge(1),
        refund(1),
        "refund-1",
        5,
        "ScheduleActivityTask  charge 1",
        "ScheduleActivityTask  refund 1",
    ),
    "another kind": (charge(1), sleep(1), "sleep-1", 5, "ScheduleActivityTask  charge 1", "StartTimer  sleep-1"),
    "another place": (
        charge(1).named("x"),
        charge(1),
        "charge-1",
        5,
        "ScheduleActivityTask  charge 1 as x.charge-1",
        "ScheduleActivityTask  charge 1 as charge-1",
    ),
    "an end too early": (
        charge(1),
        done("1"),
        "the end",
        5,
        "ScheduleActivityTask  charge 1",
        "CompleteWorkflowExecution  the end",
    ),
    "nothing asked": (
        charge(1) & refund(1),
        charge(1) & done(1),
        "1.1.refund-1",
        6,
        "ScheduleActivityTask  refund 1",
        "nothing",
    ),
    "nothing shown": (
        charge(1) & done(1),
        charge(1) & refund(1),
        "1.1.refund-1",
        4,
        "nothing",
        "ScheduleActivityTask  refund 1",
    ),
    "an end too late": (
        charge(1),
        charge(1).flat_map(refund),
        "refund-1",
        11,
        "CompleteWorkflowExecution  the end",
        "ScheduleActivityTask  refund 1",
    ),
}


@pytest.mark.parametrize("case", DIVERGENCES)
def test_a_divergence_shows_both_sides(case: str) -> None:
    before, after, step, event_id, expected, actual = DIVERGENCES[case]
    error = replay(before, after)
    assert (error.step, error.event_id, error.expected, error.actual) == (step, event_id, expected, actual)
    assert error.workflow == "Whole 1"


def test_a_result_that_does_not_decode_fails_its_step() -> None:
    closed = generate_history(to_workflow(charge(1)), outcome=lambda *_: '"seven"').closed
    assert isinstance(closed, e.WorkflowExecutionFailed)
    assert "the result of charge 1 (charge-1) does not decode as int" in (closed.details or "")


def test_an_input_that_does_not_decode_fails_the_decision_task() -> None:
    @workflow
    async def pay(amount: int) -> int:
        return await charge(amount)

    with pytest.raises(PayloadError, match="the input of pay 1 does not decode"):
        decide(pay, begin(pay, '{"amount":"much"}'))


def test_a_result_that_cannot_be_written_fails_the_decision_task() -> None:
    @workflow
    def flow() -> Step[int]:
        return done(object())  # type: ignore[arg-type]

    with pytest.raises(PayloadError, match="cannot be written as JSON"):
        decide(flow, begin(flow))


def test_what_a_function_of_a_flow_raises_fails_the_execution() -> None:
    for flow in (charge_and(lambda _: 1 / 0), charge_and(lambda _: [][0])):
        closed = generate_history(to_workflow(flow)).closed
        assert isinstance(closed, e.WorkflowExecutionFailed)


def charge_and(f: Callable[[int], Any]) -> Step[Any]:
    return charge(1).map(f)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_exception_that_stops_the_process_does_not_fail_the_flow(stop: type[BaseException]) -> None:
    def interrupt(_: int) -> int:
        raise stop

    with pytest.raises(stop):
        generate_history(to_workflow(done(1).map(interrupt)))


def test_a_flow_that_raises_stop_iteration_fails_like_any_other() -> None:
    @step
    async def flow() -> int:
        return await done(1).map(lambda _: next(iter([])))

    closed = generate_history(to_workflow(flow())).closed
    assert isinstance(closed, e.WorkflowExecutionFailed)


def test_a_flow_that_returns_at_once_closes_at_once() -> None:
    assert [type(event).__name__ for event in generate_history(to_workflow(done(1))).events[2:]] == [
        "DecisionTaskStarted",
        "DecisionTaskCompleted",
        "WorkflowExecutionCompleted",
    ]


# Deciders.


def test_asking_twice_gives_the_same() -> None:
    decider = Decider(to_workflow(charge(1) & refund(1)))
    decider.feed(begin(to_workflow(done(1))))
    assert decider.decide() == decider.decide()
    assert decider.decided_event_id == 3


def test_nothing_is_decided_before_a_decision_task_is_started() -> None:
    decider = Decider(to_workflow(charge(1)))
    decider.feed(begin(to_workflow(done(1)))[:2])
    with pytest.raises(HistoryError, match="no decision task is started after event 2"):
        decider.decide()


def test_what_a_decision_causes_stands_right_after_its_decision_task_or_the_history_is_refused() -> None:
    calls = to_workflow(charge(1))
    events, here = begin(calls), TaskList("here")

    def schedule(event_id: int, activity_id: str) -> e.Event:
        return e.ActivityTaskScheduled(
            event_id=event_id,
            event_timestamp=NOON,
            activity_type=charge.spec.type,  # type: ignore[attr-defined]
            activity_id=activity_id,
            task_list=here,
            decision_task_completed_event_id=4,
            input='{"n":1}',
        )

    events += [
        e.DecisionTaskCompleted(event_id=4, event_timestamp=NOON, scheduled_event_id=2, started_event_id=3),
        schedule(5, "charge-1"),
        e.WorkflowExecutionCancelRequested(event_id=6, event_timestamp=NOON),
        schedule(7, "charge-2"),
        e.DecisionTaskScheduled(event_id=8, event_timestamp=NOON, task_list=here),
        e.DecisionTaskStarted(event_id=9, event_timestamp=NOON, scheduled_event_id=8),
    ]
    with pytest.raises(HistoryError, match=r"event 7, ActivityTaskScheduled, .* does not follow it"):
        decide(calls, events)


def test_letting_go_of_a_flow_runs_its_finally_blocks_but_not_what_they_await() -> None:
    passed: list[str] = []

    @step
    async def hold() -> None:
        try:
            await charge(1)
        finally:
            passed.append("before")
            await refund(1)
            passed.append("after")

    decider = Decider(to_workflow(hold() & hold()))
    decider.feed(begin(to_workflow(done(1))))
    decider.decide()
    decider.close()
    decider.close()
    assert passed == ["before", "before"]


def test_a_step_that_has_closed_leaves_nothing_to_the_collector() -> None:
    # Python's collector stops all threads of a worker, for the longer the more it finds.
    @workflow
    async def charges() -> None:
        for n in range(50):
            await charge(n)

    gc.collect()
    gc.disable()
    try:
        assert generate_history(charges, outcome=derive_outcome).closed
        assert not [thing for thing in gc.get_objects() if isinstance(thing, Leaf | Pending)]
    finally:
        gc.enable()
