"""What becomes of races, cancellations, refusals and queues where they are hard: histories written event by event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.scripted_history import Story, play
from traction.decider.decider import Decider
from traction.decider.inbound import UNKNOWN_TYPE_PAUSES_MAX
from traction.definitions.decorators import activity, workflow
from traction.errors import ChildFailed, DecisionFailed, FlowError, HistoryError
from traction.flow.cancellation import move_on_after
from traction.flow.combinators import all_of, done, each, fail, first_of, now, sleep, step
from traction.flow.effects import cancel, patched, set_state, start_child
from traction.flow.signals import Signal, send
from traction.flow.step import Cancelled, Step
from traction.model import decisions as d
from traction.model import events as e
from traction.model.sizes import measure
from traction.testing.laws.flows import insist, part, persist, work
from traction.testing.laws.history_generator import EXECUTION


class Ping(Signal):
    pass


@step
async def resist() -> int:
    try:
        return await work(1)
    except Cancelled:
        return await work(2)


STORIES: dict[str, tuple[Any, ...]] = {
    "finalizers complete when the execution is cancelled": (
        sleep(60).ensure(work(1).flat_map(lambda _: work(2))),
        "-> timer sleep-1",
        "request cancel -> cancel sleep-1, do work-1",
        "complete work-1 -> do work-2",
        "complete work-2 -> be cancelled",
    ),
    "a second request to cancel does not disturb what the first began": (
        work(1).ensure(work(2)),
        "-> do work-1",
        "request cancel -> cancel work-1, do work-2",
        "request cancel ->",
        "complete work-2 -> be cancelled",
    ),
    "finalizers of a loser complete before the race ends": (
        first_of(sleep(60).ensure(all_of(work(1), work(2))), work(3)).flat_map(work),
        "-> timer 1.0.sleep-1, do 1.1.work-1",
        "complete 1.1.work-1 5 -> cancel 1.0.sleep-1, do 1.0.1.0.work-1, do 1.0.1.1.work-1",
        "complete 1.0.1.0.work-1 ->",
        "complete 1.0.1.1.work-1 -> do work-1",
    ),
    "a race gives its result after the finalizer of its loser": (
        first_of(done(1).ensure(work(1)), work(2)),
        "-> do 1.0.work-1, do 1.1.work-1",
        "complete 1.1.work-1 4 ->",
        'complete 1.0.work-1 -> complete "4"',
    ),
    "a flow that catches its cancellation continues": (
        resist(),
        "-> do work-1",
        "request cancel -> cancel work-1, do work-2",
        'complete work-2 3 -> complete "3"',
    ),
    "a hundred decisions are sent in one decision task": (
        all_of([work(n) for n in range(100)]),
        "-> " + ", ".join(f"do 1.{n}.work-1" for n in range(100)),
    ),
    "a start child that is cancelled before the child runs waits for its close": (
        start_child(part(1)).map(lambda child: child.step),
        "-> child start_child-1",
        "request cancel ->",
        "begin start_child-1 -> cancel child start_child-1~cancel",
        "close as cancelled start_child-1 -> be cancelled",
    ),
    "a started child is not waited for by a flow that is cancelled": (
        start_child(part(1)).flat_map(lambda child: child.result()),
        "-> child start_child-1",
        "begin start_child-1 ->",
        "request cancel -> be cancelled",
    ),
    "a cancel request to a child that was refused for its rate is sent again": (
        part(1),
        "-> child part-1",
        "begin part-1, request cancel -> cancel child part-1~cancel",
        "reject part-1~cancel REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED -> timer part-1~cancel~wait-1",
        "fire part-1~cancel~wait-1 -> cancel child part-1~cancel",
        "close as cancelled part-1 -> be cancelled",
    ),
    "a child that closes while its cancel request waits ends the wait": (
        part(1).ensure(work(1)),
        "-> child part-1",
        "begin part-1, request cancel -> cancel child part-1~cancel",
        "reject part-1~cancel REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED -> timer part-1~cancel~wait-1",
        "complete part-1 -> cancel part-1~cancel~wait-1, do work-1",
    ),
    "a child whose cancellation is not permitted is not waited for": (
        part(1),
        "-> child part-1",
        "begin part-1, request cancel -> cancel child part-1~cancel",
        "reject part-1~cancel OPERATION_NOT_PERMITTED -> be cancelled",
    ),
    "a child that starts and closes while it loses a race replays the same": (
        first_of(part(1), sleep(0)).flat_map(lambda _: work(1)),
        "-> child 1.0.part-1, timer 1.1.sleep-1",
        "fire 1.1.sleep-1, begin 1.0.part-1 -> cancel child 1.0.part-1~cancel / complete 1.0.part-1",
        "-> do work-1",
    ),
    "a child that starts when a close is refused is cancelled before the close": (
        first_of(part(1).options(cancellation="request"), sleep(0)),  # type: ignore[attr-defined]
        "-> child 1.0.part-1, timer 1.1.sleep-1",
        'fire 1.1.sleep-1 -> cancel child 1.0.part-1~cancel, complete "None" / begin 1.0.part-1',
        '-> cancel child 1.0.part-1~cancel, complete "None"',
    ),
    "a timer refused by the limit is started when open ones are cancelled": (
        all_of(work(1).flat_map(lambda _: sleep(5)), first_of(work(2), sleep(60))),
        "-> do 1.0.work-1, do 1.1.1.0.work-1, timer 1.1.1.1.sleep-1 / refuse 1.0.sleep-1 OPEN_TIMERS_LIMIT_EXCEEDED",
        "complete 1.0.work-1, complete 1.1.1.0.work-1 -> timer 1.0.sleep-1, cancel 1.1.1.1.sleep-1",
        "-> timer 1.0.sleep-1",
    ),
    "a request withdrawn in the same decision task is never sent": (
        all_of(sleep(1).flat_map(lambda _: work(1)), sleep(2).flat_map(lambda _: fail(ValueError("no")))),
        "-> timer 1.0.sleep-1, timer 1.1.sleep-1",
        "fire 1.0.sleep-1, fire 1.1.sleep-1 -> fail",
    ),
    "a finalizer that runs at the cancellation completes": (
        done(1).ensure(work(1).flat_map(lambda _: work(2))),
        "-> do work-1",
        "request cancel ->",
        "complete work-1 -> do work-2",
        "complete work-2 -> be cancelled",
    ),
    "a cancel that comes before the first decision task is seen by the flow": (
        work(1).ensure(work(2)),
        "request cancel -> do work-2",
    ),
    "a cancel during the pause of a retry cancels its timer": (
        persist(1),
        "-> do persist-1",
        "fail persist-1 -> timer persist-1~retry-1",
        "request cancel -> cancel persist-1~retry-1, be cancelled",
    ),
    "a cancellation at the end of a retry pause starts no attempt": (
        persist(1).ensure(sleep(1)),
        "-> do persist-1",
        "fail persist-1 -> timer persist-1~retry-1",
        "request cancel, fire persist-1~retry-1 -> timer sleep-1",
    ),
    "a flow that has ended is not cancelled any more": (
        done(1),
        '-> complete "1" / request cancel',
        '-> complete "1"',
    ),
    "a patch that is awaited twice records one marker": (
        patched("new").flat_map(lambda _: patched("new")),
        '-> mark ~patch-new, complete "True"',
    ),
    "a permanent refusal fails the step": (
        work(1).recover(Exception, lambda error: done(str(error))),
        "refuse work-1 ACTIVITY_TYPE_DEPRECATED -> do work-1",
        '-> complete "work-1 failed: SWF refused ScheduleActivityTask with ACTIVITY_TYPE_DEPRECATED"',
    ),
    "a retry without a pause is scheduled at once": (
        insist(1),
        "-> do insist-1",
        "fail insist-1 -> do insist-1~2",
    ),
    "a failure of a finalizer replaces the cancellation": (
        sleep(60).ensure(work(1)).recover(Exception, lambda _: work(2)),
        "-> timer sleep-1",
        "request cancel -> cancel sleep-1, do work-1",
        "fail work-1 -> do work-2",
    ),
    "a failure of a cancelled branch does not replace the outcome of its group": (
        first_of(sleep(60).ensure(fail(ValueError("tidy"))), work(1)),
        "-> timer 1.0.sleep-1, do 1.1.work-1",
        'complete 1.1.work-1 6 -> cancel 1.0.sleep-1, complete "6"',
    ),
    "a cancel request during the cleanup of a race replaces its outcome": (
        first_of(sleep(60).ensure(work(1)), work(2)).flat_map(work),
        "-> timer 1.0.sleep-1, do 1.1.work-1",
        "complete 1.1.work-1 -> cancel 1.0.sleep-1, do 1.0.work-1",
        "request cancel ->",
        "complete 1.0.work-1 -> be cancelled",
    ),
    "a cancelled group starts none of the items that waited their turn": (
        each(work, [1, 2, 3], limit=1),
        "-> do 1.0.work-1",
        "request cancel -> cancel 1.0.work-1, be cancelled",
    ),
    "each starts the next item when one has closed": (
        each(work, [1, 2, 3, 4], limit=2),
        "-> do 1.0.work-1, do 1.1.work-1",
        "complete 1.1.work-1 -> do 1.2.work-1",
        "complete 1.2.work-1, complete 1.0.work-1 -> do 1.3.work-1",
    ),
    "a limited group starts its branches in the order in which they are written": (
        each(lambda n: work(n) if n else done(0), [0, 1, 2, 3], limit=3),
        "-> do 1.1.work-1, do 1.2.work-1, do 1.3.work-1",
    ),
    "a limited group of done steps ends before the next step starts": (
        all_of(each(lambda n: work(n) if n else done(0), [0, 0, 1], limit=1), work(2)),
        "-> do 1.0.1.2.work-1, do 1.1.work-1",
    ),
    "a waiting timer that is withdrawn is not started": (
        all_of(work(1).flat_map(lambda _: first_of(sleep(5), work(2))), sleep(60)),
        "-> do 1.0.work-1, timer 1.1.sleep-1 / refuse 1.0.1.0.sleep-1 OPEN_TIMERS_LIMIT_EXCEEDED",
        "complete 1.0.work-1 -> timer 1.0.1.0.sleep-1, do 1.0.1.1.work-1",
        "->",
        'complete 1.0.1.1.work-1, fire 1.1.sleep-1 -> complete "(0, None)"',
    ),
    "a waiting timer that was withdrawn before another fired is not started": (
        all_of(first_of(sleep(5), work(2)), sleep(60)),
        "refuse 1.0.1.0.sleep-1 OPEN_TIMERS_LIMIT_EXCEEDED",
        "-> timer 1.0.1.0.sleep-1, do 1.0.1.1.work-1, timer 1.1.sleep-1",
        "->",
        "complete 1.0.1.1.work-1 ->",
        'fire 1.1.sleep-1 -> complete "(0, None)"',
    ),
    "a cancel while a refused task waits cancels the wait": (
        work(1),
        "refuse work-1 OPEN_ACTIVITIES_LIMIT_EXCEEDED -> do work-1",
        "-> timer work-1~wait-1",
        "request cancel -> cancel work-1~wait-1, be cancelled",
    ),
    "a cancelled child that was not sent is not waited for": (
        all_of(part(1), fail(ValueError("no"))).attempt().flat_map(lambda _: work(1)),
        "-> do work-1",
    ),
    "a cancelled child that did not start is not waited for": (
        first_of(part(1), sleep(0)).flat_map(lambda _: work(1)),
        "-> child 1.0.part-1, timer 1.1.sleep-1",
        "fire 1.1.sleep-1 ->",
        "reject 1.0.part-1 OPEN_CHILDREN_LIMIT_EXCEEDED -> do work-1",
    ),
    "a race with two ends in one decision task goes to the task if it is the first event": (
        first_of(work(1), sleep(1).map(lambda _: "timer")),
        "-> do 1.0.work-1, timer 1.1.sleep-1",
        'begin 1.0.work-1, complete 1.0.work-1 7, fire 1.1.sleep-1 -> complete "7"',
    ),
    "a race with two ends in one decision task goes to the timer if it is the first event": (
        first_of(work(1), sleep(1).map(lambda _: "timer")),
        "-> do 1.0.work-1, timer 1.1.sleep-1",
        'begin 1.0.work-1, fire 1.1.sleep-1, complete 1.0.work-1 7 -> complete "timer"',
    ),
    "a race is decided by what its decider had seen": (
        first_of(work(1), sleep(1)).flat_map(lambda _: work(2)),
        "-> do 1.0.work-1, timer 1.1.sleep-1",
        "complete 1.0.work-1 7 -> cancel 1.1.sleep-1, do work-1 / fire 1.1.sleep-1",
        "->",
    ),
    "a task that completes during its cancellation is ignored": (
        first_of(work(1), sleep(1)).flat_map(lambda _: work(2)),
        "-> do 1.0.work-1, timer 1.1.sleep-1",
        "fire 1.1.sleep-1 -> cancel 1.0.work-1, do work-1 / complete 1.0.work-1",
        "->",
    ),
    "a completion before a cancellation in one turn starts no task": (
        work(1).flat_map(lambda _: work(2)),
        "-> do work-1",
        "complete work-1, request cancel -> be cancelled",
    ),
    "a cancellation before a completion in one turn starts no task": (
        work(1).flat_map(lambda _: work(2)),
        "-> do work-1",
        "request cancel, complete work-1 -> be cancelled",
    ),
    "a close refused as an unhandled decision is sent again": (
        all_of(work(1), work(2)).recover(Exception, lambda _: done("over")),
        "-> do 1.0.work-1, do 1.1.work-1",
        'begin 1.1.work-1, fail 1.0.work-1 -> cancel 1.1.work-1, complete "over" / complete 1.1.work-1',
        '-> complete "over"',
    ),
    "a close refused for its rate is sent again at once": (
        done(1),
        'refuse "1" CONTINUE_AS_NEW_WORKFLOW_EXECUTION_RATE_EXCEEDED -> complete "1"',
        '-> complete "1"',
    ),
    "a timer refused for its rate is started again": (
        sleep(5),
        "refuse sleep-1 TIMER_CREATION_RATE_EXCEEDED -> timer sleep-1",
        "-> timer sleep-1",
    ),
    "timers refused by the limit are started again in order": (
        all_of([sleep(60 + n) for n in range(3)]),
        "refuse 1.1.sleep-1 OPEN_TIMERS_LIMIT_EXCEEDED, refuse 1.2.sleep-1 OPEN_TIMERS_LIMIT_EXCEEDED",
        "-> timer 1.0.sleep-1, timer 1.1.sleep-1, timer 1.2.sleep-1",
        "->",
        "fire 1.0.sleep-1 -> timer 1.1.sleep-1, timer 1.2.sleep-1",
    ),
    "cancelled branches clean up in the order in which they are written": (
        all_of([work(n).ensure(work(n)) for n in range(2)]),
        "-> do 1.0.work-1, do 1.1.work-1",
        "request cancel -> cancel 1.0.work-1, cancel 1.1.work-1, do 1.0.work-2, do 1.1.work-2",
    ),
    "retries carry the id of their step and a suffix": (
        all_of(persist(1), sleep(60)),
        "-> do 1.0.persist-1, timer 1.1.sleep-1",
        "time out 1.0.persist-1 -> timer 1.0.persist-1~retry-1",
        "fire 1.0.persist-1~retry-1 -> do 1.0.persist-1~2",
        "time out 1.0.persist-1~2 -> timer 1.0.persist-1~retry-2",
        "fire 1.0.persist-1~retry-2 -> do 1.0.persist-1~3",
        "time out 1.0.persist-1~3 -> cancel 1.1.sleep-1, fail",
    ),
    "a refusal of a withdrawn decision is ignored": (
        first_of(work(1).flat_map(lambda _: work(2)), sleep(1)).flat_map(lambda _: work(3)),
        "-> do 1.0.work-1, timer 1.1.sleep-1",
        "complete 1.0.work-1, refuse 1.0.work-2 OPEN_ACTIVITIES_LIMIT_EXCEEDED -> do 1.0.work-2 / fire 1.1.sleep-1",
        "-> do work-1",
    ),
}


@pytest.mark.parametrize(("flow", "script"), [(flow, script) for flow, *script in STORIES.values()], ids=STORIES)
def test_a_flow_follows_its_script(flow: Step[Any], script: list[str]) -> None:
    play(flow, *script)


def test_a_child_that_loses_before_it_has_started_is_cancelled_when_it_starts() -> None:
    story = Story(first_of(part(1), sleep(0)).flat_map(lambda _: work(1)))
    assert story.turn() == ["child 1.0.part-1", "timer 1.1.sleep-1"]
    story.fire_timer("1.1.sleep-1")
    assert story.turn() == []
    story.begin("1.0.part-1")
    assert story.turn() == ["cancel child 1.0.part-1~cancel"]
    assert story.history.decisions[story.fed][0].run_id == "run-5"  # type: ignore[union-attr]
    story.end("1.0.part-1", Cancelled())
    assert story.turn() == ["do work-1"]


def test_a_child_that_loses_a_race_before_its_start_is_cancelled_at_once_and_again() -> None:
    child = part(1).options(cancellation="request")  # type: ignore[attr-defined]
    story = Story(first_of(child, sleep(0)).flat_map(lambda _: work(1)))
    assert story.turn() == ["child 1.0.part-1", "timer 1.1.sleep-1"]
    story.fire_timer("1.1.sleep-1")
    # The request finds no child yet, and is lost.
    assert story.turn() == ["cancel child 1.0.part-1~cancel", "do work-1"]
    story.begin("1.0.part-1")
    assert story.turn() == ["cancel child 1.0.part-1~cancel"]
    assert story.history.decisions[story.fed][0].run_id == "run-5"  # type: ignore[union-attr]


def test_an_abandoned_child_receives_no_cancel_request() -> None:
    child = part(1).options(cancellation="abandon")  # type: ignore[attr-defined]

    play(
        first_of(child, sleep(0)).flat_map(lambda _: work(1)),
        "-> child 1.0.part-1, timer 1.1.sleep-1",
        "begin 1.0.part-1, fire 1.1.sleep-1 -> do work-1",
        "complete 1.0.part-1 ->",
    )


@pytest.mark.parametrize("end", ["complete", "fail", "time out", "close as cancelled"])
def test_the_outcome_of_a_cancelled_child_is_ignored(end: str) -> None:
    play(
        part(1).ensure(work(1)),
        "-> child part-1",
        "begin part-1, request cancel -> cancel child part-1~cancel",
        # A second request changes nothing: the flow waits for the child.
        "request cancel ->",
        f"{end} part-1 -> do work-1",
        "complete work-1 -> be cancelled",
    )


def test_a_child_that_continued_as_new_is_cancelled_by_its_workflow_id() -> None:
    story = Story(part(1))
    story.turn()
    story.begin("part-1")
    story.request_cancel()
    story.turn()
    story.reject("part-1~cancel", "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION")
    assert story.turn() == ["timer part-1~cancel~wait-1"]
    story.fire_timer("part-1~cancel~wait-1")
    assert story.turn() == ["cancel child part-1~cancel"]
    assert story.history.decisions[story.fed][0].run_id is None  # type: ignore[union-attr]
    story.reject("part-1~cancel", "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION")
    # Its close is on its way.
    assert story.turn() == []
    story.complete("part-1")
    assert story.turn() == ["be cancelled"]


def test_an_outer_cancellation_while_a_child_closes_takes_effect_after_it() -> None:
    @step
    async def in_a_scope() -> None:
        async with move_on_after(1):
            await part(1)
        await work(1)

    play(
        in_a_scope(),
        "-> timer sleep-1, child part-1",
        "begin part-1, fire sleep-1 -> cancel child part-1~cancel",
        "request cancel ->",
        "close as cancelled part-1 -> be cancelled",
    )


def test_cancelling_a_child_that_has_closed_is_done_at_once() -> None:
    @step
    async def cancel_late() -> None:
        child = await start_child(part(1))
        await child.result()
        await child.cancel()

    play(
        cancel_late(),
        "-> child start_child-1",
        "begin start_child-1 ->",
        'complete start_child-1 -> complete "None"',
    )


@pytest.mark.parametrize("closes_before", [True, False])
def test_cancelling_a_child_that_closes_meanwhile_does_not_fail(closes_before: bool) -> None:
    story = Story(start_child(part(1)).flat_map(lambda child: child.cancel()))
    story.turn()
    story.begin("start_child-1")
    assert story.turn() == ["cancel child cancel-1"]
    if closes_before:
        story.complete("start_child-1")
    story.reject("cancel-1", "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION")
    if not closes_before:
        assert story.turn() == ["timer cancel-1~wait-1"]
        story.complete("start_child-1")
        story.fire_timer("cancel-1~wait-1")
    assert story.turn() == ['complete "None"']


@pytest.mark.parametrize("several", [all_of, first_of])
def test_a_child_result_awaited_by_several_branches_ends_their_group(several: Callable[..., Step[Any]]) -> None:
    @step
    async def ask_twice() -> str:
        child = await start_child(part(1))
        try:
            return f"given {await several(child.result(), child.result())}"
        except ChildFailed as error:
            return f"failed, {error.message}"

    for outcome, result in (("7", '"given 7"'), (ValueError("no"), '"failed, no"')):
        story = Story(ask_twice())
        (asked,) = story.turn()
        story.begin(asked.removeprefix("child "))
        assert story.turn() == []
        story.end(asked.removeprefix("child "), outcome)
        expected = '"given (7, 7)"' if several is all_of and outcome == "7" else result
        assert story.turn() == [f"complete {expected}"]


def test_nothing_is_decided_between_an_answer_and_the_next_decision_task() -> None:
    story = Story(work(1))
    story.turn()
    assert story.decider is not None
    story.decider.feed(story.history.events[story.fed :])
    with pytest.raises(HistoryError, match="no decision task is started"):
        story.decider.decide()


# Races.


@pytest.mark.parametrize("end", ["complete", "fail", "time out", "close as cancelled"])
def test_any_outcome_of_a_loser_is_ignored(end: str) -> None:
    play(
        first_of(persist(1), sleep(1)).flat_map(lambda _: work(2)),
        "-> do 1.0.persist-1, timer 1.1.sleep-1",
        "begin 1.0.persist-1, fire 1.1.sleep-1 -> cancel 1.0.persist-1, do work-1",
        f"{end} 1.0.persist-1 ->",
    )


def test_a_failed_branch_cancels_its_siblings_however_deep() -> None:
    deep = all_of(work(1), all_of(sleep(9), first_of(work(2), part(3))))

    play(
        all_of(deep, work(4).flat_map(lambda _: fail(ValueError("no")))).attempt().flat_map(lambda _: sleep(1)),
        "-> do 1.0.1.0.work-1, timer 1.0.1.1.1.0.sleep-1, do 1.0.1.1.1.1.1.0.work-1,"
        " child 1.0.1.1.1.1.1.1.part-1, do 1.1.work-1",
        "complete 1.1.work-1 -> cancel 1.0.1.0.work-1, cancel 1.0.1.1.1.0.sleep-1, cancel 1.0.1.1.1.1.1.0.work-1",
        "begin 1.0.1.1.1.1.1.1.part-1 -> cancel child 1.0.1.1.1.1.1.1.part-1~cancel",
        "close as cancelled 1.0.1.1.1.1.1.1.part-1 -> timer sleep-1",
    )


def test_branches_of_equal_steps_each_get_their_own_results() -> None:
    @step
    async def twice() -> list[int]:
        return [await work(1), await work(1)]

    for slow, fast in ((0, 1), (1, 0)):
        story = Story(twice() & twice())
        story.turn()
        for number in (1, 2):
            story.complete(f"1.{fast}.work-{number}", 10 * fast + number)
            story.turn()
        for number in (1, 2):
            story.complete(f"1.{slow}.work-{number}", 10 * slow + number)
            asked = story.turn()
        assert asked == ['complete "([1, 2], [11, 12])"']


# Refusals and retries.


@pytest.mark.parametrize("cause", ["OPEN_ACTIVITIES_LIMIT_EXCEEDED", "ACTIVITY_CREATION_RATE_EXCEEDED"])
def test_a_transient_refusal_is_retried_after_timers_that_double(cause: str) -> None:
    story = Story(work(1))
    for number, pause in ((1, "1"), (2, "2"), (3, "4")):
        story.refusals["work-1"] = cause
        assert story.turn() == ["do work-1"]
        assert story.turn() == [f"timer work-1~wait-{number}"]
        assert story.history.decisions[story.fed][0].start_to_fire_timeout == pause  # type: ignore[union-attr]
        story.fire_timer(f"work-1~wait-{number}")
    assert story.turn() == ["do work-1"]


@pytest.mark.parametrize(
    ("say", "refused"),
    [
        (lambda: send("other", Ping()), e.SignalExternalWorkflowExecutionFailed),
        (lambda: cancel("other"), e.RequestCancelExternalWorkflowExecutionFailed),
    ],
    ids=["send", "cancel"],
)
def test_a_message_refused_by_the_rate_is_sent_again_after_pauses_that_double(
    say: Callable[[], Step[None]], refused: Any
) -> None:
    story = Story(say())
    asked = story.turn()
    for pause in ("1", "2", "4"):
        ((event_id, _),) = story.open.items()
        story.close(event_id)
        links = {"decision_task_completed_event_id": 0, "initiated_event_id": event_id}
        story.deliver(refused, workflow_id="other", cause="EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED", **links)
        story.turn()
        (timer,) = story.history.decisions[story.fed]
        assert isinstance(timer, d.StartTimer)
        assert timer.start_to_fire_timeout == pause
        story.fire_timer(timer.timer_id)
        assert story.turn() == asked


def test_a_child_has_the_tags_of_its_definition_unless_its_call_has_others() -> None:
    @workflow(tags=("spring", "blue"))
    async def tagged(n: int) -> int:
        return n

    story = Story(all_of(tagged(1), tagged(2).options(tags=("autumn",))))
    story.start_turn()
    asked = story.history.decisions[story.running]
    assert [one.tag_list for one in asked] == [("spring", "blue"), ("autumn",)]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("flow", "id", "ask", "cause"),
    [
        (work(1), "work-1", "do", "ACTIVITY_TYPE_DOES_NOT_EXIST"),
        (part(1), "part-1", "child", "WORKFLOW_TYPE_DOES_NOT_EXIST"),
    ],
)
def test_a_type_that_is_not_registered_is_waited_for_a_while_and_then_fails_the_step(
    flow: Step[Any], id: str, ask: str, cause: str
) -> None:
    story = Story(flow.recover(DecisionFailed, lambda error: done(error.cause)))
    for number in range(1, UNKNOWN_TYPE_PAUSES_MAX + 1):
        (asked,) = story.turn_refused(cause)
        assert asked.startswith(ask)
        assert story.turn() == [f"timer {id}~wait-{number}"]
        story.fire_timer(f"{id}~wait-{number}")
    story.turn_refused(cause)
    assert story.turn() == [f'complete "{cause}"']


def test_other_refusals_do_not_shorten_the_wait_for_a_type() -> None:
    story = Story(work(1))
    limit = ["OPEN_ACTIVITIES_LIMIT_EXCEEDED"] * UNKNOWN_TYPE_PAUSES_MAX
    for number, cause in enumerate([*limit, "ACTIVITY_TYPE_DOES_NOT_EXIST"], 1):
        story.turn_refused(cause)
        assert story.turn() == [f"timer work-1~wait-{number}"]
        story.fire_timer(f"work-1~wait-{number}")
    assert story.turn() == ["do work-1"]


@pytest.mark.parametrize("cause", ["OPERATION_NOT_PERMITTED", "WORKFLOW_TYPE_DOES_NOT_EXIST"])
def test_a_refused_close_is_reported_and_requested_by_the_next_decision_task(cause: str) -> None:
    story = Story(work(1))
    story.turn()
    story.complete("work-1")
    for _ in range(3):
        story.turn_refused(cause)
        with pytest.raises(FlowError, match=f"cannot be closed: SWF refused CompleteWorkflowExecution with {cause}"):
            story.start_turn()
        story.time_out_decision()
    assert story.turn() == ['complete "0"']


def test_a_query_has_the_time_of_the_last_event() -> None:
    story = Story(sleep(60).flat_map(lambda _: now()).flat_map(lambda time: set_state(time.isoformat())))
    story.turn()
    story.fire_timer("sleep-1")
    last = story.history.events[-1].event_timestamp
    assert Decider(story.workflow, execution=EXECUTION).query(story.history.events) == f'"{last.isoformat()}"'


def test_a_query_after_a_refused_close_returns_the_state() -> None:
    story = Story(set_state("all but closed").flat_map(lambda _: done(1)))
    story.turn_refused("OPERATION_NOT_PERMITTED")
    assert Decider(story.workflow, execution=EXECUTION).query(story.history.events) == '"all but closed"'


# More than one response may carry.


def test_more_than_a_hundred_decisions_are_sent_over_several_tasks_in_order() -> None:
    story = Story(all_of([work(n) for n in range(250)]))
    sent: list[str] = []
    while more := story.turn():
        assert len(more) <= 100
        sent += [ask for ask in more if "~more-" not in ask]
        for timer in [ask for ask in more if "~more-" in ask]:
            story.fire_timer(timer.removeprefix("timer "))
        if not story.queued:
            break
    assert sent == [f"do 1.{n}.work-1" for n in range(250)]


@activity
def read(text: str) -> int:
    return len(text)


@pytest.mark.parametrize("letter", ["x", "é", "🙂"])
def test_more_than_a_megabyte_is_sent_over_several_decision_tasks_in_order(letter: str) -> None:
    story = Story(all_of([read(letter * 30_000) for _ in range(40)]))
    asked = []
    while len(asked) < 40:
        *some, last = story.turn()
        size = sum(map(measure, story.history.decisions[story.fed]))
        assert 600_000 < size <= 980_100 or last.startswith("do ")
        asked += some
        if last.startswith("do "):
            asked.append(last)
        else:
            story.fire_timer(last.removeprefix("timer "))
    assert asked == [f"do 1.{n}.read-1" for n in range(40)]


def test_a_queued_decision_that_is_withdrawn_is_never_sent() -> None:
    story = Story(all_of([work(n) for n in range(150)]).attempt())
    assert story.turn()[98:] == ["do 1.98.work-1", "timer ~more-3"]
    story.end("1.7.work-1", ValueError("no"))
    asked = story.turn()
    assert asked[:98] == [f"cancel 1.{n}.work-1" for n in range(99) if n != 7]
    assert len(asked) == 99
    assert asked[98].startswith('complete "Failure(')


def test_the_timer_that_brings_the_rest_may_be_refused() -> None:
    story = Story(all_of([work(n) for n in range(150)]))
    story.refusals["~more-3"] = "TIMER_CREATION_RATE_EXCEEDED"
    story.turn()
    assert story.turn() == [f"do 1.{n}.work-1" for n in range(99, 150)]


# Decision tasks that time out.


def test_a_decision_task_that_timed_out_is_ignored() -> None:
    story = Story(all_of(work(1), work(2)).flat_map(lambda _: now()))
    story.turn()
    story.complete("1.0.work-1")
    story.start_turn()
    story.complete("1.1.work-1")
    story.time_out_decision()
    (asked,) = story.turn()
    # The time is that of the decision task that was completed.
    assert str(story.history.events[story.fed - 1].event_timestamp) in asked


def test_a_decider_whose_decision_was_lost_raises() -> None:
    story = Story(work(1))
    story.start_turn()
    decider = story.decider
    assert decider is not None
    story.decider = None
    story.time_out_decision()
    with pytest.raises(HistoryError, match="the decisions for event 3 were not recorded"):
        decider.feed(story.history.events[3:])


# Where several of these meet.


def test_a_branch_that_suppresses_its_cancellation_delays_the_group_and_is_ignored() -> None:
    play(
        first_of(resist(), work(3)),
        "-> do 1.0.work-1, do 1.1.work-1",
        "complete 1.1.work-1 6 -> cancel 1.0.work-1, do 1.0.work-2",
        'complete 1.0.work-2 9 -> complete "6"',
    )


def test_more_than_a_hundred_cancellations_are_sent_before_the_close() -> None:
    story = Story(first_of(all_of([sleep(60) for _ in range(150)]), work(1)))
    while (timer := story.turn()[-1]).startswith("timer ~more"):
        story.fire_timer(timer.removeprefix("timer "))
    story.complete("1.1.work-1")
    asked = story.turn()
    assert asked[-1].startswith("timer ~more")
    story.fire_timer(asked[-1].removeprefix("timer "))
    rest = story.turn()
    assert asked[:-1] + rest == [*(f"cancel 1.0.1.{n}.sleep-1" for n in range(150)), 'complete "0"']


def test_a_cancel_still_queued_when_its_task_closes_is_never_sent() -> None:
    story = Story(first_of(all_of([sleep(60) for _ in range(150)]), work(1)))
    while (timer := story.turn()[-1]).startswith("timer ~more"):
        story.fire_timer(timer.removeprefix("timer "))
    story.complete("1.1.work-1")
    story.turn()
    story.fire_timer("1.0.1.149.sleep-1")
    assert story.turn() == [*(f"cancel 1.0.1.{n}.sleep-1" for n in range(99, 149)), 'complete "0"']
