"""What becomes of scopes, shields, sagas, signals and the next run where cancellations and closes meet them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.scripted_history import Story, play
from traction.decider.decider import decide
from traction.flow.cancellation import CancelScope, cancel_scope, fail_after, move_on_after
from traction.flow.combinators import all_of, done, fail, first_of, saga, shield, sleep, step
from traction.flow.effects import continue_as_new, patched, side_effect, start_child
from traction.flow.signals import Signal, receive
from traction.flow.step import Step
from traction.model import decisions as d
from traction.payloads.codec import Codec
from traction.payloads.failure_text import read_failure
from traction.testing.laws.flows import part, work
from traction.testing.laws.history_generator import EXECUTION
from traction.testing.laws.laws import to_workflow


class Ping(Signal):
    n: int


ODD = ValueError("no")


@step
async def move_on_within_a_week() -> bool:
    async with move_on_after(7 * 24 * 3600) as scope:
        await work(1)
    return scope.cancelled


@step
async def tidy_within(seconds: int) -> int:
    async with move_on_after(seconds):
        try:
            await work(1)
        finally:
            await work(2)
    return await work(3)


@step
async def move_on_within(seconds: int, body: Step[Any]) -> int:
    async with move_on_after(seconds):
        await body
    return await work(3)


STORIES: dict[str, tuple[Any, ...]] = {
    "a deadline that passes while a finalizer runs does not undo a cancellation": (
        move_on_within(5, work(1).ensure(work(2))),
        "-> timer sleep-1, do work-1",
        "request cancel -> cancel work-1, do work-2",
        "fire sleep-1 ->",
        "complete work-2 -> be cancelled",
    ),
    "a deadline that passes while a group is being cancelled does not undo that": (
        move_on_within(5, all_of(work(1).ensure(work(2)), work(1))),
        "-> timer sleep-1, do 1.0.work-1, do 1.1.work-1",
        "request cancel -> cancel 1.0.work-1, cancel 1.1.work-1, do 1.0.work-2",
        "fire sleep-1 ->",
        "complete 1.0.work-2 -> be cancelled",
    ),
    "a deadline during the cleanup of a cancelled flow keeps its cancellation": (
        tidy_within(5),
        "-> timer sleep-1, do work-1",
        "request cancel -> cancel work-1, do work-2",
        "fire sleep-1 -> cancel work-2, be cancelled",
    ),
    "a deadline that passes ends only its scope": (
        tidy_within(5),
        "-> timer sleep-1, do work-1",
        "fire sleep-1 -> cancel work-1, do work-2",
        "complete work-2 -> do work-3",
    ),
    "a scope left in time cancels its timer": (
        tidy_within(5),
        "-> timer sleep-1, do work-1",
        "complete work-1 -> do work-2",
        "complete work-2 -> cancel sleep-1, do work-3",
    ),
    "a shielded step completes before the cancellation takes effect": (
        shield(work(1).flat_map(work)).flat_map(lambda _: work(3)),
        "-> do work-1",
        "request cancel ->",
        "complete work-1 2 -> do work-2",
        "complete work-2 -> be cancelled",
    ),
    "a shielded step that fails does not undo a cancellation": (
        shield(work(1)),
        "-> do work-1",
        "request cancel ->",
        "fail work-1 -> be cancelled",
    ),
    "a signal is received once and in the order of arrival": (
        receive(Ping).flat_map(lambda first: receive(Ping).map(lambda second: f"{first.n} {second.n}")),
        "->",
        'signal Ping {"n":1}, signal Ping {"n":2} -> complete "1 2"',
    ),
    "a receiver that lost its race takes no signal": (
        first_of(receive(Ping), sleep(1)).flat_map(lambda _: receive(Ping)).map(lambda ping: ping.n),
        "-> timer 1.1.sleep-1",
        'fire 1.1.sleep-1, signal Ping {"n":1} -> complete "1"',
    ),
    "a scope whose deadline cannot be set has none": (
        move_on_within_a_week(),
        "refuse sleep-1 OPERATION_NOT_PERMITTED -> timer sleep-1, do work-1",
        "->",
        'complete work-1 -> complete "False"',
    ),
}


@pytest.mark.parametrize(("flow", "script"), [(flow, script) for flow, *script in STORIES.values()], ids=STORIES)
def test_a_flow_follows_its_script(flow: Step[Any], script: list[str]) -> None:
    play(flow, *script)


def test_async_with_may_acquire_and_release_by_steps() -> None:
    class Lock:
        def __aenter__(self) -> Step[int]:
            return work(1)

        @step
        async def __aexit__(self, *_: object) -> None:
            await work(3)

    @step
    async def hold() -> int:
        async with Lock() as key:
            await work(2)
        return key

    play(
        hold(),
        "-> do work-1",
        "complete work-1 7 -> do work-2",
        "request cancel -> cancel work-2, do work-3",
    )


def test_a_deadline_while_a_failed_cleanup_is_handled_keeps_the_cancellation() -> None:
    @step
    async def finish() -> int:
        async with move_on_after(5):
            try:
                await work(1)
            finally:
                try:
                    await fail(ODD)
                except ValueError:
                    await work(2)
        return await work(3)

    play(
        finish(),
        "-> timer sleep-1, do work-1",
        "request cancel -> cancel work-1, do work-2",
        "fire sleep-1 -> cancel work-2, be cancelled",
    )


def test_of_two_deadlines_the_one_around_counts_also_when_the_inner_passes_later() -> None:
    @step
    async def finish() -> int:
        async with move_on_after(1) as outer:
            async with move_on_after(5):
                try:
                    await work(1)
                finally:
                    await work(2)
            await work(3)
        return 10 + outer.cancelled

    play(
        finish(),
        "-> timer sleep-1, timer sleep-2, do work-1",
        "fire sleep-1 -> cancel work-1, do work-2",
        'fire sleep-2 -> cancel work-2, complete "11"',
    )


@pytest.mark.parametrize("passes_first", [1, 2], ids=["the outer first", "the inner first"])
@pytest.mark.parametrize("deep", [False, True], ids=["in one function", "in two"])
@pytest.mark.parametrize(
    "body",
    [work(1).ensure(work(2)), shield(work(1)), all_of(work(1).ensure(work(2)), work(4)), saga(shield(work(1)))],
    ids=["finalizer", "shield", "group", "saga"],
)
def test_of_two_deadlines_that_are_held_back_the_one_around_counts(
    body: Step[Any], deep: bool, passes_first: int
) -> None:
    @step
    async def within() -> bool:
        async with move_on_after(5) as inner:
            await body
        return inner.cancelled

    @step
    async def finish() -> bool:
        async with move_on_after(1) as outer:
            if deep:
                await within()
            else:
                async with move_on_after(5):
                    await body
            await work(3)
        return outer.cancelled

    story = Story(finish())
    story.turn()
    for number in (passes_first, 3 - passes_first):
        story.fire_timer(f"sleep-{number}")
        story.turn()
    generated = story.finish()
    asked = [one for decisions in generated.decisions.values() for one in decisions]
    assert '{"n":3}' not in [one.input for one in asked if isinstance(one, d.ScheduleActivityTask)]
    assert getattr(generated.closed, "result", None) == '"True"'


def test_a_scope_cancelled_from_a_branch_beside_it_is_left() -> None:
    @step
    async def both() -> tuple[str, None]:
        scope = cancel_scope()

        @step
        async def hold() -> str:
            async with scope:
                await sleep(60)
            return "left"

        return await all_of(hold(), work(1).flat_map(lambda _: scope.cancel()))

    play(
        both(),
        "-> timer 1.0.sleep-1, do 1.1.work-1",
        'complete 1.1.work-1 -> cancel 1.0.sleep-1, complete "(left, None)"',
    )


@step
async def cancel_by_hand(scope: CancelScope) -> int:
    async with scope:
        await scope.cancel()
        await work(1)
    return 10 + scope.cancelled


@pytest.mark.parametrize("make", [cancel_scope, lambda: move_on_after(60), lambda: fail_after(60)])
def test_a_scope_cancelled_by_its_flow_ends_at_once_without_a_timeout(
    make: Callable[[], CancelScope],
) -> None:
    assert Story(done(0).flat_map(lambda _: cancel_by_hand(make()))).start_turn() == ['complete "11"']


@step
async def work_within_five_seconds() -> str:
    async with move_on_after(5) as scope:
        await work(1)
    return f"left, {scope.cancelled}"


@pytest.mark.parametrize(
    "wrap",
    [
        shield,
        lambda s: done(0).ensure(s),
        lambda s: saga(done(0).compensate(lambda _: s).flat_map(lambda _: fail(ODD))),
    ],
    ids=["shield", "finalizer", "compensation"],
)
def test_a_deadline_takes_effect_within_a_shield_from_an_outer_cancellation(
    wrap: Callable[[Step[str]], Step[Any]],
) -> None:
    story = Story(wrap(work_within_five_seconds()).attempt().map(lambda _: "over"))
    assert story.turn() == ["timer sleep-1", "do work-1"]
    story.fire_timer("sleep-1")
    assert story.turn() == ["cancel work-1", 'complete "over"']


def test_a_shield_in_a_branch_holds_back_the_deadline_around_its_group() -> None:
    @step
    async def wait_for_both() -> str:
        async with move_on_after(5) as scope:
            await all_of(shield(work(1)), work(2))
        return f"left, {scope.cancelled}"

    play(
        wait_for_both(),
        "-> timer sleep-1, do 1.0.work-1, do 1.1.work-1",
        "fire sleep-1 -> cancel 1.1.work-1",
        'complete 1.0.work-1 -> complete "left, True"',
    )


def test_a_scope_cancelled_before_it_is_entered_is_left_where_it_first_waits() -> None:
    @step
    async def hold() -> int:
        scope = cancel_scope()
        await scope.cancel()
        n = 0
        async with scope:
            n = await done(7)
            await work(1)
        return await work(n + scope.cancelled)

    play(
        hold(),
        "-> do work-2",
    )


def test_branches_may_enter_a_scope_and_cancel_it_in_any_order() -> None:
    @step
    async def hold(scope: CancelScope) -> bool:
        async with scope:
            await work(1)
        return scope.cancelled

    @step
    async def both(order: int) -> list[bool | None]:
        scope = cancel_scope()
        return await all_of([hold(scope), scope.cancel()][::order])

    assert Story(both(1)).start_turn() == ['complete "[True, None]"']
    assert Story(both(-1)).start_turn() == ['complete "[None, True]"']


def test_cancelling_a_scope_that_was_left_does_nothing() -> None:
    @step
    async def hold() -> bool:
        scope = cancel_scope()
        async with scope:
            await work(1)
        await scope.cancel()
        return scope.cancelled

    play(
        hold(),
        "-> do work-1",
        'complete work-1 -> complete "False"',
    )


@pytest.mark.parametrize("join", [first_of, all_of])
def test_the_end_of_a_child_reaches_all_its_waiters_though_the_first_wins_a_race(join: Any) -> None:
    @step
    async def wait() -> Any:
        child = await start_child(part(1))
        return await join(child.result(), child.result())

    story = Story(wait())
    story.turn()
    story.begin("start_child-1")
    assert story.turn() == []
    story.complete("start_child-1", 7)
    assert story.start_turn() == [f'complete "{7 if join is first_of else (7, 7)}"']


@pytest.mark.parametrize("wrap", [shield, lambda s: done(0).ensure(s)], ids=["shield", "finalizer"])
def test_nested_shields_delay_a_cancellation_until_the_outer_one_ends(wrap: Callable[[Step[int]], Step[int]]) -> None:
    story = Story(shield(wrap(work(1)).flat_map(work)).flat_map(work))
    story.turn()
    story.request_cancel()
    assert story.turn() == []
    story.complete("work-1")
    assert story.turn() == ["do work-2"]
    story.complete("work-2")
    assert story.turn() == ["be cancelled"]


def test_a_saga_compensates_its_inner_saga_before_its_earlier_steps() -> None:
    inner = saga(work(2).compensate(lambda _: work(12)).flat_map(lambda _: work(3).compensate(lambda _: work(13))))
    story = Story(saga(work(1).compensate(lambda _: work(11)).flat_map(lambda _: inner).flat_map(lambda _: fail(ODD))))
    undone = []
    for number in range(1, 7):
        story.turn()
        (decision,) = story.history.decisions[story.fed]
        undone.append(decision.input)  # type: ignore[union-attr]
        story.complete(f"work-{number}")
    assert undone == [f'{{"n":{n}}}' for n in (1, 2, 3, 13, 12, 11)]


def test_a_cancelled_saga_runs_all_compensations_in_reverse() -> None:
    booked = work(1).compensate(lambda _: work(11)).flat_map(lambda _: work(2).compensate(lambda _: work(12)))
    story = Story(saga(booked.flat_map(lambda _: sleep(60))))
    story.turn()
    for id in ("work-1", "work-2"):
        story.complete(id)
        story.turn()
    story.request_cancel()
    assert story.turn() == ["cancel sleep-1", "do work-3"]
    story.end("work-3", ValueError("no"))
    assert story.turn() == ["do work-4"]
    story.complete("work-4")
    assert story.turn() == ["be cancelled"]


def test_a_failed_compensation_is_noted_on_the_original_failure() -> None:
    undone = done(1).compensate(lambda _: fail(KeyError("cannot")))
    story = Story(saga(undone.flat_map(lambda _: fail(ODD))))
    story.start()
    (failure,) = story.history.decisions[story.running]
    assert isinstance(failure, d.FailWorkflowExecution)
    assert "a compensation failed: KeyError: 'cannot'" in read_failure(failure.reason, failure.details).traceback


def test_a_reused_failure_keeps_no_notes_of_earlier_runs() -> None:
    refused = fail(ODD)
    undone = done(1).compensate(lambda _: fail(ValueError("cannot")))
    workflow, codec = to_workflow(saga(undone.flat_map(lambda _: refused))), Codec()
    story = Story(done(0))
    story.start_turn()
    first, second = (decide(workflow, story.history.events, execution=EXECUTION, codec=codec) for _ in range(2))
    assert first == second


def test_a_failure_that_takes_no_notes_is_the_outcome_of_a_saga_all_the_same() -> None:
    @dataclass(frozen=True)
    class Sealed(Exception):
        n: int

    undone = done(1).compensate(lambda _: fail(ValueError("cannot")))

    play(
        saga(undone.flat_map(lambda _: fail(Sealed(7)))).recover(Sealed, lambda error: done(error.n)),
        '-> complete "7"',
    )


def test_signals_that_arrive_during_continue_as_new_are_passed_to_the_next_run() -> None:
    workflow = to_workflow(done(0))
    story = Story(work(1).flat_map(lambda _: continue_as_new(workflow())))
    story.turn()
    story.signal("Ping", '{"n":1}')
    story.complete("work-1")
    assert story.start_turn() == ["signal Ping", "go on"]
    story.signal("Ping", '{"n":2}')
    story.respond()
    # The close was refused, so the run is still open, and what was sent on comes back to it.
    story.move_signal(*story.find("Ping"))
    assert story.turn() == ["signal Ping", "signal Ping", "go on"]
    inputs = [decision.input for decision in story.history.decisions[story.fed][:2]]  # type: ignore[union-attr]
    assert inputs == ['{"n":1}', '{"n":2}']


def test_a_cancel_request_after_continue_as_new_is_passed_to_the_next_run() -> None:
    workflow = to_workflow(done(0))

    play(
        work(1).flat_map(lambda _: continue_as_new(workflow())),
        "-> do work-1",
        "complete work-1, request cancel -> cancel child played, go on",
    )


def test_a_cancel_request_during_continue_as_new_is_passed_to_the_next_run() -> None:
    workflow = to_workflow(done(0))

    play(
        work(1).flat_map(lambda _: continue_as_new(workflow())),
        "-> do work-1",
        "complete work-1 -> go on / request cancel",
        "-> cancel child played, go on",
    )


def test_a_cancel_request_that_a_flow_has_handled_is_not_passed_on() -> None:
    workflow = to_workflow(done(0))

    play(
        work(1).ensure(continue_as_new(workflow())),
        "-> do work-1",
        "request cancel, request cancel -> cancel work-1, go on",
    )


def test_a_side_effect_has_the_same_value_on_replay_after_a_hundred_others() -> None:
    given = iter(range(1_000))
    many = all_of([work(n) for n in range(150)])
    story = Story(all_of(many, side_effect(lambda: next(given)), patched("new")).map(lambda all: all[1:]))
    story.start()
    (first, *_) = story.history.decisions[story.running]
    story.respond()
    story.fire_timer("~more-3")
    story.start()
    rest = story.history.decisions[story.running]
    assert first.details == "0"  # type: ignore[union-attr]
    assert rest == decide(story.workflow, story.history.events, execution=EXECUTION, codec=story.codec)


def test_an_inner_saga_is_compensated_when_the_outer_fails() -> None:
    inner = saga(done(2).compensate(lambda _: work(12)).flat_map(lambda _: fail(ODD)))
    story = Story(saga(done(1).compensate(lambda _: work(11)).flat_map(lambda _: inner.attempt())).map(lambda _: 3))
    assert story.turn() == ["do work-1"]
    assert '{"n":12}' in str(story.history.decisions[story.fed])
    story.complete("work-1")
    assert story.turn() == ['complete "3"']


def test_a_saga_that_continues_as_new_compensates_nothing() -> None:
    workflow = to_workflow(done(0))

    play(
        saga(done(1).compensate(lambda _: work(11)).flat_map(lambda _: continue_as_new(workflow()))),
        "-> go on",
    )


def test_continue_as_new_is_sent_after_the_finally_blocks() -> None:
    workflow = to_workflow(done(0))

    @step
    async def go_on() -> None:
        try:
            await continue_as_new(workflow())
        finally:
            await work(1)

    play(
        go_on(),
        "-> do work-1",
        "complete work-1 -> go on",
    )
