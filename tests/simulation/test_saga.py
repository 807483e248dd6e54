"""Wherever a flow with compensations fails or is cancelled, what was done is undone once and in reverse, not more."""

from __future__ import annotations

from typing import Any

from traction import activity, saga, shield, step, workflow
from traction.testing import explore, raises, sometimes


class Ledger:
    def __init__(self) -> None:
        self.done: list[str] = []
        self.undone: list[str] = []

    def do(self, call: Any) -> str:
        assert not self.undone
        self.done.append(call.what)
        return str(call.what)

    def undo(self, call: Any) -> None:
        self.undone.append(call.what)


@activity
def book(what: str) -> str:
    return what


@activity
def unbook(what: str) -> None:
    assert what


@step
async def book_all() -> None:
    for what in ("flight", "hotel", "car"):
        # Shielded, so that what is being booked when somebody cancels is booked, and then undone.
        await shield(book(what).compensate(unbook))


@workflow
async def travel() -> None:
    await saga(book_all())


def work_on(ledger: Ledger) -> dict[Any, Any]:
    return {book: sometimes(raises(ValueError("no room")), otherwise=ledger.do), unbook: ledger.undo}


@explore(travel(), world=Ledger, stub=work_on, cancels=[None], deviations=2)
def test_at_every_fault_point_what_was_done_is_undone_once_and_in_reverse(run: Any) -> None:
    expected = [] if run.error is None else run.world.done[::-1]
    assert run.world.undone == expected


def test_the_fault_points_are_all_gone_through() -> None:
    test_at_every_fault_point_what_was_done_is_undone_once_and_in_reverse()
    coverage = test_at_every_fault_point_what_was_done_is_undone_once_and_in_reverse.explored.coverage
    assert coverage.complete
    assert coverage.histories > 50
