"""Effects that are made twice, left behind, or made too late to be undone: flawed flows beside the corrected ones."""

from __future__ import annotations

from typing import Any

from tests.mutations.mutation import Shop, SoldOut, plant, work
from traction import (
    Cancelled,
    Retry,
    Step,
    activity,
    current_task,
    days,
    done,
    each,
    heartbeat,
    hours,
    minutes,
    move_on_after,
    saga,
    shield,
    sleep,
    step,
    uuid4,
    workflow,
)
from traction.errors import StepTimedOut
from traction.testing import Faults, SimulatedRun, raises, sometimes

Run = SimulatedRun[Any]


@work
def charge(shop: Shop, order: str) -> None:
    shop.do(f"charge {order}")


@work
def charge_once(shop: Shop, order: str) -> None:
    shop.do(f"charge {order}", key=f"charge {order}")


@work
def refund(shop: Shop, order: str) -> None:
    if f"charge {order}" in shop.done:
        shop.do(f"refund {order}", key=f"refund {order}")


@work
def ship(shop: Shop, order: str) -> None:
    shop.do(f"ship {order}", key=f"ship {order}")


@work
def book(shop: Shop, what: str) -> str:
    shop.held[what] = 1
    return what


@work
def unbook(shop: Shop, what: str) -> None:
    shop.held[what] = 0


def check_refunded(run: Run) -> None:
    """What was charged is shipped, or it is refunded."""
    done = run.world.done
    assert run.error is None or done.count("charge 7") == done.count("refund 7")


# A charge that is done again: its first attempt dies or times out between the effect and the answer.


@workflow
async def pay(order: str) -> None:
    await charge(order)


@workflow
async def pay_by_key(order: str) -> None:
    await charge_once(order)


@plant(pay("7"), pay_by_key("7"), faults=Faults(crashes=1))
def a_charge_is_made_once_though_a_worker_dies(run: Run) -> None:
    assert run.world.done == ["charge 7"]


@plant(pay("7"), pay_by_key("7"), faults=Faults(timeouts=1))
def a_charge_is_made_once_though_its_attempt_takes_too_long(run: Run) -> None:
    assert run.world.done == ["charge 7"]


# The partner charged, and its reply was lost: the activity fails, and is tried again.


class Unheard(Exception):
    """A partner was asked, and its reply was lost."""


def charge_unheard(shop: Shop, order: str, key: str | None) -> None:
    shop.do(f"charge {order}", key)
    raise Unheard


@plant(
    pay("7"),
    pay_by_key("7"),
    stub=lambda shop: {
        charge: sometimes(lambda call: charge_unheard(shop, call.order, None)),
        charge_once: sometimes(lambda call: charge_unheard(shop, call.order, f"charge {call.order}")),
    },
)
def a_charge_is_made_once_though_its_reply_is_lost(run: Run) -> None:
    assert run.world.done == ["charge 7"]


# A key that each attempt makes for itself does not prevent a repetition.


@work
def charge_with_a_new_key(shop: Shop, order: str) -> None:
    shop.do(f"charge {order}", key=current_task().activity_id)


@work
def charge_with_key(shop: Shop, order: str, key: str) -> None:
    shop.do(f"charge {order}", key)


@workflow
async def pay_with_a_key_of_the_attempt(order: str) -> None:
    await charge_with_a_new_key(order)


@workflow
async def pay_with_a_key_of_the_flow(order: str) -> None:
    await charge_with_key(order, str(await uuid4()))


@plant(pay_with_a_key_of_the_attempt("7"), pay_with_a_key_of_the_flow("7"), faults=Faults.some())
def a_key_is_the_same_at_each_attempt(run: Run) -> None:
    assert run.world.done == ["charge 7"]


# Read, add, write: what another branch wrote in between is lost.


@work
def read(shop: Shop) -> int:
    return shop.held["points"]


@work
def write(shop: Shop, points: int) -> None:
    shop.held["points"] = points


@work
def add(shop: Shop, points: int, key: str) -> None:
    if key not in shop.seen:
        shop.held["points"] += points
        shop.seen.add(key)


@step
async def read_and_write(points: int) -> None:
    await write(await read() + points)


@workflow
async def earn_by_reading() -> None:
    await (read_and_write(1) & sleep(1).flat_map(lambda _: read_and_write(10)))


@workflow
async def earn_by_adding() -> None:
    await (add(1, "first") & sleep(1).flat_map(lambda _: add(10, "second")))


@plant(earn_by_reading(), earn_by_adding(), faults=Faults.some())
def no_update_is_lost(run: Run) -> None:
    assert run.world.held["points"] == 11


# What was booked stays booked when the next booking fails.


@work
def book_hotel(shop: Shop) -> str:
    shop.held["hotel"] = 1
    return "hotel"


@workflow
async def travel() -> None:
    await book("flight")
    await book_hotel()


@step
async def book_with_undo() -> None:
    await book("flight").compensate(unbook)
    await book_hotel()


@workflow
async def travel_in_a_saga() -> None:
    await saga(book_with_undo())


def check_all_or_nothing(run: Run) -> None:
    assert {what for what, count in run.world.held.items() if count} in (set(), {"flight", "hotel"})


@plant(travel(), travel_in_a_saga(), stub={book_hotel: sometimes(raises(SoldOut("no room")))})
def bookings_are_all_or_none_though_one_fails(run: Run) -> None:
    check_all_or_nothing(run)


# A booking that fails at its second attempt may have been made at the first: it took the last room.


@work
def book_last_room(shop: Shop) -> str:
    if shop.held["hotel"]:
        raise SoldOut("no room")
    shop.held["hotel"] = 1
    return "hotel"


@step
async def book_and_say_how_to_undo() -> None:
    await book("flight").compensate(unbook)
    await book_last_room().compensate(unbook)


@step
async def say_how_to_undo_and_book() -> None:
    await book("flight").compensate(unbook)
    await done("hotel").compensate(unbook)
    await book_last_room()


@workflow
async def travel_in_a_plain_saga() -> None:
    await saga(book_and_say_how_to_undo())


@workflow
async def travel_in_a_careful_saga() -> None:
    await saga(say_how_to_undo_and_book())


@plant(travel_in_a_plain_saga(), travel_in_a_careful_saga(), faults=Faults(crashes=1))
def bookings_are_all_or_none_though_an_attempt_was_not_heard(run: Run) -> None:
    check_all_or_nothing(run)


# `except Exception` undoes what failed, and lets a cancellation pass.


@workflow
async def travel_unless_it_fails() -> None:
    try:
        await shield(book("flight"))
        await sleep(days(1))
        await shield(book_hotel())
    except Exception:
        await unbook("flight")
        raise


@step
async def book_and_wait() -> None:
    await book("flight").compensate(unbook)
    await sleep(days(1))
    await book_hotel().compensate(unbook)


@workflow
async def travel_unless_it_is_cancelled() -> None:
    await saga(book_and_wait())


@plant(travel_unless_it_fails(), travel_unless_it_is_cancelled(), cancels=[None])
def bookings_are_all_or_none_though_one_cancels(run: Run) -> None:
    check_all_or_nothing(run)


# A shield is a step: built and not awaited, it does nothing.


@workflow
async def refund_without_await(order: str) -> None:
    try:
        await shield(charge_once(order))
        await sleep(days(1))
        await shield(ship(order))
    except Cancelled:
        _ = shield(refund(order))  # On a line of its own, every simulation would report it.
        raise


@workflow
async def refund_with_await(order: str) -> None:
    try:
        await shield(charge_once(order))
        await sleep(days(1))
        await shield(ship(order))
    except Cancelled:
        await shield(refund(order))
        raise


@plant(refund_without_await("7"), refund_with_await("7"), cancels=[None])
def a_cancelled_order_is_refunded(run: Run) -> None:
    check_refunded(run)


# A step of a saga whose compensation is registered only after another step.


@step
async def charge_and_then_say_how_to_undo(order: str) -> None:
    await shield(charge_once(order))
    await sleep(minutes(1))
    await done(order).compensate(refund)
    await sleep(days(1))
    await shield(ship(order))


@step
async def charge_and_say_how_to_undo(order: str) -> None:
    await charge_once(order).compensate(lambda _: refund(order))
    await sleep(days(1))
    await shield(ship(order))


@workflow
async def sell_and_then_say(order: str) -> None:
    await saga(charge_and_then_say_how_to_undo(order))


@workflow
async def sell_and_say(order: str) -> None:
    await saga(charge_and_say_how_to_undo(order))


@plant(sell_and_then_say("7"), sell_and_say("7"), cancels=[None])
def a_charge_can_be_undone_as_soon_as_it_is_made(run: Run) -> None:
    check_refunded(run)


# A deadline that cuts off what comes after a charge, and forgets the charge.


@workflow
async def deliver_within_the_hour(order: str) -> str:
    async with move_on_after(hours(1)):
        await shield(charge_once(order))
        await ship(order)
        return "delivered"
    return "too late"


@workflow
async def deliver_within_the_hour_or_refund(order: str) -> str:
    async with move_on_after(hours(1)):
        await shield(charge_once(order))
        await ship(order)
        return "delivered"
    await refund(order)
    return "too late"


@plant(deliver_within_the_hour("7"), deliver_within_the_hour_or_refund("7"))
def who_is_late_pays_back(run: Run) -> None:
    paid = run.world.done.count("charge 7") - run.world.done.count("refund 7")
    assert paid == (run.result == "delivered")


# The time for all attempts is shorter than the attempts with their pauses.


@work(retry=Retry(attempts=3, backoff=60))
def charge_three_times(shop: Shop, order: str) -> None:
    shop.do(f"charge {order}", key=f"charge {order}")


@workflow
def pay_within_two_minutes(order: str) -> Step[None]:
    return charge_three_times(order).timeout(minutes(2))


@workflow
def pay_within_ten_minutes(order: str) -> Step[None]:
    return charge_three_times(order).timeout(minutes(10))


@plant(
    pay_within_two_minutes("7"),
    pay_within_ten_minutes("7"),
    stub={charge_three_times: sometimes(raises(Unheard("the partner is busy")))},
)
def three_attempts_are_made_before_giving_up(run: Run) -> None:
    assert run.error is None or len(run.calls(charge_three_times)) == 3 or run.elapsed >= minutes(10)


# The loser of a race may have booked as well.


@activity
def ask_for_room(hotel: str) -> str:
    return hotel


@workflow
async def book_the_fastest() -> str:
    return await (book("Astoria") | book("Belvedere"))


@workflow
async def ask_and_book_the_fastest() -> str:
    return await book(await (ask_for_room("Astoria") | ask_for_room("Belvedere")))


@plant(book_the_fastest(), ask_and_book_the_fastest())
def one_room_is_booked(run: Run) -> None:
    assert [room for room, count in run.world.held.items() if count] == [run.result]


# An activity that ran out of time may have done its work, or be about to.


@workflow
def charge_here_or_there(order: str) -> Step[None]:
    return charge(order).timeout(hours(1)).recover(StepTimedOut, lambda _: charge(order))


@workflow
def charge_here_or_there_by_key(order: str) -> Step[None]:
    return charge_once(order).timeout(hours(1)).recover(StepTimedOut, lambda _: charge_once(order))


@plant(charge_here_or_there("7"), charge_here_or_there_by_key("7"))
def a_charge_that_is_given_up_is_not_made_again(run: Run) -> None:
    assert run.world.done == ["charge 7"]


# Branches that look at what is left, wait, and then take it.


@activity
def ask_price(what: str) -> int:
    return len(what) + 3


@work
def buy(shop: Shop, price: int) -> None:
    shop.held["spent"] += price


@workflow
async def spend_when_bought(budget: int) -> None:
    left = budget

    @step
    async def buy_one(what: str) -> None:
        nonlocal left
        price = await ask_price(what)
        if price <= left:
            await buy(price)
            left -= price

    await each(buy_one, ["tea", "cake", "soup"], limit=2)


@workflow
async def spend_when_asked(budget: int) -> None:
    left = budget

    @step
    async def buy_one(what: str) -> None:
        nonlocal left
        price = await ask_price(what)
        if price <= left:
            left -= price
            await buy(price)

    await each(buy_one, ["tea", "cake", "soup"], limit=2)


@plant(spend_when_bought(10), spend_when_asked(10))
def no_more_is_spent_than_there_is(run: Run) -> None:
    assert run.world.held["spent"] <= 10


# A heartbeat records what is about to be done, and is read as what was done.


@work(heartbeat=30)
def copy_after_saying(shop: Shop, pages: int) -> None:
    for page in range(current_task().last_details(int) or 0, pages):
        heartbeat(page + 1)
        shop.do(f"page {page}", key=f"page {page}")


@work(heartbeat=30)
def copy_before_saying(shop: Shop, pages: int) -> None:
    for page in range(current_task().last_details(int) or 0, pages):
        shop.do(f"page {page}", key=f"page {page}")
        heartbeat(page + 1)


@workflow
async def back_up_saying_first() -> None:
    await copy_after_saying(3)


@workflow
async def back_up_doing_first() -> None:
    await copy_before_saying(3)


@plant(back_up_saying_first(), back_up_doing_first(), faults=Faults.some())
def every_page_is_copied(run: Run) -> None:
    assert run.world.done == ["page 0", "page 1", "page 2"]


# A failure for good that is tried again for ever.


@work(retry=Retry(attempts=1000))
def charge_card(shop: Shop) -> None:
    refuse_blocked(shop)


@work(retry=Retry(attempts=1000, give_up_on=(SoldOut,)))
def charge_card_or_give_up(shop: Shop) -> None:
    refuse_blocked(shop)


def refuse_blocked(shop: Shop) -> None:
    if shop.held["blocked"]:
        raise SoldOut("the card is blocked")


def block(shop: Shop) -> None:
    shop.held["blocked"] = 1
    refuse_blocked(shop)


@workflow(execution_start_to_close=hours(6))
async def pay_by_card() -> None:
    await charge_card()


@workflow(execution_start_to_close=hours(6))
async def pay_by_card_or_give_up() -> None:
    await charge_card_or_give_up()


@plant(
    pay_by_card(),
    pay_by_card_or_give_up(),
    stub=lambda shop: {
        charge: sometimes(lambda _: block(shop), lambda _: refuse_blocked(shop))
        for charge in (charge_card, charge_card_or_give_up)
    },
)
def a_blocked_card_is_told_of_at_once(run: Run) -> None:
    assert run.elapsed < hours(1)
