"""Signals, children and branches in an unexpected order: flawed flows beside the corrected ones."""

from __future__ import annotations

from typing import Any

from tests.mutations.mutation import Shop, plant, work
from traction import (
    Signal,
    all_of,
    continue_as_new,
    days,
    hours,
    now,
    receive,
    shield,
    sleep,
    start_child,
    step,
    workflow,
)
from traction.errors import WorkflowCancelled
from traction.model import events as e
from traction.testing import SimulatedRun, StuckExecutionError

Run = SimulatedRun[Any]


class Approve(Signal):
    pass


class Address(Signal):
    street: str


class Payment(Signal):
    amount: int
    key: str


class Item(Signal):
    name: str


class Checkout(Signal):
    pass


@work
def do(shop: Shop, what: str) -> str:
    return shop.do(what, key=what)


@work
def lock(shop: Shop) -> None:
    shop.held["lock"] = 1


@work
def unlock(shop: Shop) -> None:
    shop.held["lock"] = 0


def find_first(run: Run, *kinds: type[e.Event]) -> type[e.Event] | None:
    """Return which event of some types came first."""
    return next((type(event) for event in run.history if isinstance(event, kinds)), None)


# The order of two events is read from the clock after both.


@workflow
async def approve_by_the_clock() -> str:
    begin = await now()
    await (receive(Approve) | sleep(days(30)))
    return "approved" if await now() < begin + days(30) else "expired"


@workflow
async def approve_by_what_came() -> str:
    approval = await (receive(Approve) | sleep(days(30)))
    return "expired" if approval is None else "approved"


@plant(approve_by_the_clock(), approve_by_what_came(), signals=[Approve()])
def an_approval_in_time_counts(run: Run) -> None:
    first = find_first(run, e.WorkflowExecutionSignaled, e.TimerFired)
    assert run.result == ("expired" if first is e.TimerFired else "approved")


# A signal that was received is received once: who waits for it again waits for ever.


@workflow
async def approve_after_a_reminder() -> None:
    begin = await now()
    await (receive(Approve) | sleep(hours(1)))
    if await now() >= begin + hours(1):
        await do("remind")
        await receive(Approve)


@workflow
async def approve_or_be_reminded() -> None:
    if await (receive(Approve) | sleep(hours(1))) is None:
        await do("remind")
        await receive(Approve)


@plant(approve_after_a_reminder(), approve_or_be_reminded(), signals=[Approve()], error=StuckExecutionError)
def one_approval_is_enough(run: Run) -> None:
    assert run.error is None


# Two branches wait for one signal each, and it is sent once.


@workflow
async def wait_in_both() -> None:
    await (receive(Approve).flat_map(lambda _: do("ship")) & receive(Approve).flat_map(lambda _: do("bill")))


@workflow
async def wait_before_both() -> None:
    await receive(Approve)
    await (do("ship") & do("bill"))


@plant(wait_in_both(), wait_before_both(), signals=[Approve()], error=StuckExecutionError)
def one_approval_is_enough_for_both(run: Run) -> None:
    assert run.error is None


# Signals do not come in the order in which a form asks for them.


@workflow
async def read_in_order() -> str:
    address: Any = await receive(Address, Payment)
    await receive(Address, Payment)
    return str(address.street)


@workflow
async def read_by_kind() -> str:
    address = await receive(Address)
    await receive(Payment)
    return address.street


@plant(read_in_order(), read_by_kind(), signals=[Address("Elm"), Payment(6, "k")])
def an_address_is_an_address(run: Run) -> None:
    assert run.error is None
    assert run.result == "Elm"


# A sender tries again, and its signal comes twice.


@workflow
async def add_up() -> int:
    paid = 0
    while payment := await (receive(Payment) | sleep(hours(1))):
        paid += payment.amount
    return paid


@workflow
async def add_up_by_key() -> int:
    paid = {}
    while payment := await (receive(Payment) | sleep(hours(1))):
        paid[payment.key] = payment.amount
    return sum(paid.values())


@plant(add_up(), add_up_by_key(), signals=[Payment(6, "k"), Payment(6, "k")])
def a_payment_that_comes_twice_is_one(run: Run) -> None:
    assert run.result in (0, 6)


# A flow takes one signal, and closes while a second one waits.


@workflow
async def take_one() -> None:
    item = await receive(Item)
    await do(item.name)


@workflow
async def take_until_checkout() -> None:
    open = True
    while open:
        match await receive(Item, Checkout):
            case Item(name=name):
                await do(name)
            case Checkout():
                open = False


@plant(take_one(), take_until_checkout(), signals=[Item("tea"), Item("cake"), (days(9), Checkout())])
def what_was_ordered_is_done(run: Run) -> None:
    names = [event.signal_name for event in run.history if isinstance(event, e.WorkflowExecutionSignaled)]
    ordered = names[: names.index("Checkout")] if "Checkout" in names else names
    assert len(run.world.done) >= len(ordered)


# The next run does not know what the one before kept in a variable.


@workflow
async def fill_cart() -> list[str]:
    items: list[str] = []
    while len(items) < 2:
        item = await (receive(Item) | sleep(days(1)))
        if item is None:
            await continue_as_new(fill_cart())
        items.append(item.name)
    return items


@workflow
async def fill_and_carry_cart(items: list[str]) -> list[str]:
    while len(items) < 2:
        item = await (receive(Item) | sleep(days(1)))
        if item is None:
            await continue_as_new(fill_and_carry_cart(items))
        items = [*items, item.name]
    return items


@plant(
    fill_cart(),
    fill_and_carry_cart([]),
    signals=[Item("tea"), Item("cake")],
    max_moves=1000,
    error=StuckExecutionError,
)
def a_cart_outlives_its_run(run: Run) -> None:
    assert sorted(run.result) == ["cake", "tea"]


# Branches end in any order.


@workflow
async def list_as_they_come() -> list[str]:
    names: list[str] = []

    @step
    async def look_up(name: str) -> None:
        names.append(await do(name))

    await all_of([look_up("Ann"), look_up("Bob"), look_up("Cid")])
    return names


@workflow
async def list_as_asked() -> list[str]:
    return await all_of([do("Ann"), do("Bob"), do("Cid")])


@plant(list_as_they_come(), list_as_asked())
def names_are_in_order(run: Run) -> None:
    assert run.result == ["Ann", "Bob", "Cid"]


# What stands first in `&` is not done first.


@workflow
async def reserve_and_charge() -> None:
    await (do("reserve") & do("charge"))


@workflow
async def reserve_then_charge() -> None:
    await do("reserve")
    await do("charge")


@plant(reserve_and_charge(), reserve_then_charge())
def what_is_charged_is_reserved(run: Run) -> None:
    assert run.world.done == ["reserve", "charge"]


# A flow that catches its own cancellation, and goes on.


@workflow
async def go_on_whatever_happens() -> None:
    try:
        await sleep(days(1))
    except BaseException:
        await do("log")
    await do("ship")


@workflow
async def go_on_unless_cancelled() -> None:
    try:
        await sleep(days(1))
    except Exception:
        await do("log")
    await do("ship")


@plant(go_on_whatever_happens(), go_on_unless_cancelled(), cancels=[None])
def who_cancels_in_time_gets_nothing(run: Run) -> None:
    if find_first(run, e.WorkflowExecutionCancelRequested, e.TimerFired) is e.WorkflowExecutionCancelRequested:
        assert isinstance(run.error, WorkflowCancelled)


# A child's id is in use as long as the child is.


@workflow
async def report(day: int) -> None:
    await do(f"report {day}")


@workflow
async def report_every_hour() -> None:
    for day in (1, 2):
        child = await start_child(report(day).options(workflow_id="report"))
        await sleep(hours(1))
    await child.result()


@workflow
async def report_every_hour_or_later() -> None:
    for day in (1, 2):
        child = await start_child(report(day).options(workflow_id="report"))
        await (sleep(hours(1)) & child.result())


@plant(report_every_hour(), report_every_hour_or_later())
def every_report_is_written(run: Run) -> None:
    assert run.error is None
    assert run.world.done == ["report 1", "report 2"]


# A child that is cancelled while it begins has not come to its `try` yet.


@workflow
async def stay_once_locked() -> None:
    await lock()
    try:
        await sleep(days(7))
    finally:
        await unlock()


@workflow
async def stay_and_unlock() -> None:
    try:
        await shield(lock())
        await sleep(days(7))
    finally:
        await shield(unlock())


@workflow
async def host(stay: str) -> None:
    begin = {"locks first": stay_once_locked, "unlocks": unlock_unless_cancelled}.get(stay, stay_and_unlock)
    child = await start_child(begin())
    await sleep(days(1))
    await child.cancel().attempt()
    await child.result().attempt()


@plant(host("locks first"), host(""))
def a_child_that_is_cancelled_leaves_nothing_locked(run: Run) -> None:
    assert not run.world.held["lock"]


# What `finally` awaits can be cancelled as well, if it was not the cancellation that led there.


@workflow
async def unlock_unless_cancelled() -> None:
    try:
        await shield(lock())
        await sleep(days(7))
    finally:
        await unlock()


@plant(host("unlocks"), host(""))
def what_has_been_locked_is_unlocked(run: Run) -> None:
    assert not run.world.held["lock"]


# A parent that abandons its child terminates it when it closes, whatever the child still holds.


@workflow
async def leave_at_once() -> None:
    await (stay_and_unlock().options(cancellation="abandon") | sleep(days(1)))


@workflow
async def leave_when_all_is_done() -> None:
    child = await start_child(stay_and_unlock())
    await (child.result() | sleep(days(1)))
    await child.cancel().attempt()
    await child.result().attempt()


@plant(leave_at_once(), leave_when_all_is_done())
def who_leaves_leaves_nothing_locked(run: Run) -> None:
    assert not run.world.held["lock"]
