"""A workflow with an approval, a deadline, a loop, branches, a child and compensations, for tests of graphs."""

from __future__ import annotations

from traction import (
    Retry,
    Signal,
    Step,
    Workflow,
    activity,
    all_of,
    days,
    done,
    minutes,
    receive,
    saga,
    sleep,
    step,
    workflow,
)
from traction.errors import StepTimedOut
from traction.payloads import DeclaredError


class SoldOut(DeclaredError):
    what: str


class Approve(Signal):
    yes: bool


@activity
def quote(city: str) -> int:
    return len(city)


@activity(raises=(SoldOut,))
def book_hotel(city: str) -> str:
    return f"a room in {city}"


@activity(raises=(SoldOut,), retry=Retry(attempts=3, backoff=1, give_up_on=(SoldOut,)))
def book_flight(city: str) -> str:
    return f"a seat to {city}"


@activity
def cancel_booking(booking: str) -> None: ...


@activity
def is_open(city: str) -> bool:
    return bool(city)


@workflow
async def insure(city: str) -> bool:
    return await is_open(city)


@step
async def book(city: str) -> list[str]:
    hotel = await book_hotel(city).compensate(cancel_booking)
    flight = await book_flight(city).compensate(cancel_booking)
    return [hotel, flight]


class Trip(Workflow[str]):
    city: str

    async def flow(self) -> str:
        await all_of([quote(self.city) for _ in range(3)])
        try:
            answer = await receive(Approve).timeout(days(2))
        except StepTimedOut:
            return "no answer"
        if not answer.yes:
            return "declined"
        for _ in range(3):
            if await is_open(self.city):
                break
            await sleep(minutes(5))
        try:
            await saga(book(self.city))
        except SoldOut:
            return "sold out"
        await (insure(self.city) | sleep(days(1)).flat_map(_give_up))
        return "booked"


def _give_up(_: None) -> Step[bool]:
    return done(False)
