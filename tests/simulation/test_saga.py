"""Wherever a flow with compensations fails or is cancelled, what was done is undone once and in reverse, not more."""

from __future__ import annotations

from typing import Any

import pytest

from traction import activity, days, each, fail_after, hours, saga, sleep, step, workflow
from traction.errors import WorkflowCancelled
from traction.model import events as e
from traction.testing import explore, raises, simulate, sometimes, takes


class Ledger:
    def __init__(self) -> None:
        self.done: list[str] = []
        self.undone: list[str] = []

    def do(self, call: Any) -> str:
        self.done.append(call.what)
        return str(call.what)

    def undo(self, call: Any) -> None:
        self.undone.append(call.what)


@activity(start_to_close=days(1))
def book(what: str) -> str:
    return what


@activity
def unbook(what: str) -> None:
    assert what


@step
async def book_in_turn() -> None:
    for what in ("flight", "hotel", "car"):
        await book(what).compensate(unbook)


@step
async def book_side_by_side() -> None:
    await book("flight").compensate(unbook)
    await (book("hotel").compensate(unbook) & book("car").compensate(unbook))


@step
async def book_a_few_at_a_time() -> None:
    await each(lambda what: book(what).compensate(unbook), ["flight", "hotel", "car"], limit=2)


@step
async def book_in_time() -> None:
    async with fail_after(1):
        await book("flight").compensate(unbook)
        await sleep(60)


@workflow
async def travel(how: str) -> None:
    await saga(HOW[how])


HOW = {
    "in turn": book_in_turn(),
    "side by side": book_side_by_side(),
    "a few at a time": book_a_few_at_a_time(),
    "in time": book_in_time(),
}


def work_on(ledger: Ledger) -> dict[Any, Any]:
    return {book: sometimes(raises(ValueError("no room")), otherwise=ledger.do), unbook: ledger.undo}


@pytest.mark.parametrize("how", HOW)
def test_at_every_fault_point_what_was_done_is_undone_once_and_in_reverse(how: str) -> None:
    @explore(travel(how), world=Ledger, stub=work_on, cancels=[None], deviations=2)
    def look(run: Any) -> None:
        expected = [] if run.error is None else run.world.done[::-1]
        assert run.world.undone == expected

    look()
    assert look.explored.coverage.complete
    assert look.explored.coverage.histories > 10


def test_a_step_that_runs_at_the_cancellation_completes_and_is_compensated() -> None:
    run = simulate(
        travel("in turn"),
        stub={book: takes(hours(2), then="flight"), unbook: None},
        cancels=[hours(1)],
    )
    assert isinstance(run.error, WorkflowCancelled)
    assert [call.what for call in run.calls(book)] == ["flight"]
    assert [call.what for call in run.calls(unbook)] == ["flight"]
    assert not [event for event in run.history if isinstance(event, e.ActivityTaskCancelRequested)]
