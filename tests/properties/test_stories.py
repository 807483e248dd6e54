"""What becomes of races, cancellations, refusals and queues where they are hard: histories told move by move."""

from __future__ import annotations

from typing import Any

import pytest

from tests.properties.story import Story
from traction import events as e
from traction.errors import HistoryError
from traction.step import Cancelled, Failure, Step, Success, all_of, done, each, fail, first_of, now, sleep, step
from traction.testing.strategies import insist, part, persist, work


def test_a_child_that_loses_before_it_has_started_is_cancelled_once_it_has() -> None:
    story = Story(first_of(part(1), sleep(0)).flat_map(lambda _: work(1)))
    assert story.turn() == ["child 1.0.part-1", "timer 1.1.sleep-1"]
    story.fire_timer("1.1.sleep-1")
    # The request finds no child yet, and is lost.
    assert story.turn() == ["cancel child part-2bfd14f43d17fc7c", "do work-1"]
    story.begin("1.0.part-1")
    assert story.turn() == ["cancel child part-2bfd14f43d17fc7c"]
    assert story.play.decisions[story.fed][0].run_id == "run-5"  # type: ignore[union-attr]


def test_a_child_that_starts_and_closes_while_its_loss_is_decided_is_the_same_on_replay() -> None:
    story = Story(first_of(part(1), sleep(0)).flat_map(lambda _: work(1)))
    story.turn()
    story.fire_timer("1.1.sleep-1")
    story.begin("1.0.part-1")
    story.ask()
    story.complete("1.0.part-1")
    story.respond()
    assert story.turn() == []


def test_a_child_that_starts_while_the_close_is_refused_is_cancelled_before_the_close() -> None:
    story = Story(first_of(part(1), sleep(0)))
    story.turn()
    story.fire_timer("1.1.sleep-1")
    story.ask()
    story.begin("1.0.part-1")
    story.respond()
    assert story.turn() == ["cancel child part-2bfd14f43d17fc7c", 'complete "None"']


def test_a_timer_refused_for_too_many_is_asked_for_again_when_those_open_are_cancelled_in_one_batch() -> None:
    story = Story(all_of(work(1).flat_map(lambda _: sleep(5)), first_of(work(2), sleep(60))))
    story.turn()
    story.complete("1.0.work-1")
    story.complete("1.1.1.0.work-1")
    story.refusals["1.0.sleep-1"] = "OPEN_TIMERS_LIMIT_EXCEEDED"
    assert story.turn() == ["timer 1.0.sleep-1", "cancel 1.1.1.1.sleep-1"]
    assert story.turn() == ["timer 1.0.sleep-1"]


def test_a_second_request_to_cancel_does_not_disturb_what_the_first_began() -> None:
    @step
    async def book() -> int:
        try:
            return await work(1)
        finally:
            await work(2)

    story = Story(book())
    story.turn()
    story.ask_to_cancel()
    assert story.turn() == ["cancel work-1", "do work-2"]
    story.ask_to_cancel()
    assert story.turn() == []
    story.complete("work-2")
    assert story.turn() == ["be cancelled"]


def test_nothing_is_decided_between_an_answer_and_the_next_decision_task() -> None:
    story = Story(work(1))
    story.turn()
    assert story.decider is not None
    story.decider.feed(story.play.events[story.fed :])
    with pytest.raises(HistoryError, match="no decision task is started"):
        story.decider.decide()
