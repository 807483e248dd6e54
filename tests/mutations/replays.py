"""Flows that are not the same when their history is read again, or by other code, beside the corrected flows."""

from __future__ import annotations

import os
import random as dice
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.mutations.mutation import Shop, plant, work
from traction import activity, hours, now, patched, random, side_effect, sleep, uuid4, workflow
from traction.errors import NonDeterminismError
from traction.testing import SimulatedRun, UnsoundFlowError
from traction_local.simulation.sandbox import ImpureFlowError

Run = SimulatedRun[Any]


@work
def do(shop: Shop, what: str) -> str:
    return shop.do(what, key=what)


def check_nothing(run: Run) -> None:
    """The exploration itself reports the flaws of these."""
    assert run.error is None


PEOPLE = {"Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gus", "Hal"}


@workflow
async def greet_in_the_order_of_a_set() -> None:
    for name in PEOPLE:
        await do(name)


@workflow
async def greet_in_order() -> None:
    for name in sorted(PEOPLE):
        await do(name)


@plant(greet_in_the_order_of_a_set(), greet_in_order(), error=UnsoundFlowError)
def people_are_greeted_in_the_same_order(run: Run) -> None:
    check_nothing(run)


@workflow
async def look_at_the_clock() -> None:
    await do("breakfast" if datetime.now(UTC).hour < 12 else "lunch")


@workflow
async def ask_for_the_time() -> None:
    await do("breakfast" if (await now()).hour < 12 else "lunch")


@plant(look_at_the_clock(), ask_for_the_time(), error=ImpureFlowError)
def a_meal_is_what_it_was(run: Run) -> None:
    check_nothing(run)


@workflow
async def roll_dice() -> None:
    await do("a" if dice.random() < 0.5 else "b")


@workflow
async def ask_for_chance() -> None:
    await do("a" if await random() < 0.5 else "b")


@plant(roll_dice(), ask_for_chance(), error=ImpureFlowError)
def a_trial_keeps_its_arm(run: Run) -> None:
    check_nothing(run)


@workflow
async def make_an_id() -> None:
    await do(str(uuid.uuid4()))


@workflow
async def ask_for_an_id() -> None:
    await do(str(await uuid4()))


@plant(make_an_id(), ask_for_an_id(), error=ImpureFlowError)
def an_id_stays_the_same(run: Run) -> None:
    check_nothing(run)


numbers = {"last": 0}


@workflow
async def count_in_a_module() -> None:
    numbers["last"] += 1
    await do(f"number {numbers['last']}")


@workflow
async def count_in_the_input(number: int) -> None:
    await do(f"number {number}")


@plant(count_in_a_module(), count_in_the_input(1), error=UnsoundFlowError)
def a_number_is_given_once(run: Run) -> None:
    check_nothing(run)


@workflow
async def look_at_the_environment() -> None:
    await do(os.environ.get("SHOP_GREETING", "hello"))


@workflow
async def keep_what_the_environment_said() -> None:
    await do(await side_effect(lambda: os.environ.get("SHOP_GREETING", "hello")))


@plant(look_at_the_environment(), keep_what_the_environment_said(), error=ImpureFlowError)
def a_greeting_stays_the_same(run: Run) -> None:
    check_nothing(run)


@activity
def read_rules() -> str:
    return Path(__file__).read_text()[:3]


@workflow
async def read_a_file() -> None:
    await do(Path(__file__).read_text()[:3])


@workflow
async def let_a_file_be_read() -> None:
    await do(await read_rules())


@plant(read_a_file(), let_a_file_be_read(), error=ImpureFlowError)
def rules_stay_the_same(run: Run) -> None:
    check_nothing(run)


# New code meets an execution of the old.


@work
def charge(shop: Shop) -> str:
    return shop.do("charge", key="charge")


@work
def ship(shop: Shop) -> str:
    return shop.do("ship", key="ship")


@workflow(name="send")
async def charge_then_ship() -> None:
    await charge()
    await sleep(hours(1))
    await ship()


@workflow(name="send")
async def ship_then_charge() -> None:
    await ship()
    await sleep(hours(1))
    await charge()


@workflow(name="send by patch")
async def charge_then_ship_again() -> None:
    await charge()
    await sleep(hours(1))
    await ship()


@workflow(name="send by patch")
async def ship_then_charge_if_patched() -> None:
    first, second = (ship, charge) if await patched("ship first") else (charge, ship)
    await first()
    await sleep(hours(1))
    await second()


@plant(
    charge_then_ship(),
    charge_then_ship_again(),
    deploy={charge_then_ship: ship_then_charge, charge_then_ship_again: ship_then_charge_if_patched},
    error=NonDeterminismError,
)
def an_open_order_meets_the_new_code(run: Run) -> None:
    assert sorted(run.world.done) == ["charge", "ship"]


# New code that asks for the same activities, with other inputs, matches the history of the old.


@workflow(name="send either")
async def charge_then_ship_either() -> None:
    await do("charge")
    await sleep(hours(1))
    await do("ship")


@workflow(name="send either")
async def ship_then_charge_either() -> None:
    await do("ship")
    await sleep(hours(1))
    await do("charge")


@plant(
    charge_then_ship_either(),
    charge_then_ship_again(),
    deploy={charge_then_ship_either: ship_then_charge_either, charge_then_ship_again: ship_then_charge_if_patched},
)
def an_open_order_is_charged_and_shipped(run: Run) -> None:
    assert sorted(run.world.done) == ["charge", "ship"]


# The old branch is taken out while an execution that needs it is open.


@workflow(name="bill")
async def bill() -> None:
    await sleep(hours(1))
    await do("bill")


@workflow(name="bill")
async def check_and_bill() -> None:
    if await patched("check"):
        await do("check")
    await sleep(hours(1))
    await do("bill")


@workflow(name="bill")
async def check_and_bill_always() -> None:
    await do("check")
    await sleep(hours(1))
    await do("bill")


@workflow(name="bill by patch")
async def bill_again() -> None:
    await sleep(hours(1))
    await do("bill")


@workflow(name="bill by patch")
async def check_and_bill_again() -> None:
    if await patched("check"):
        await do("check")
    await sleep(hours(1))
    await do("bill")


@plant(
    bill(),
    bill_again(),
    deploy={bill: check_and_bill, check_and_bill: check_and_bill_always, bill_again: check_and_bill_again},
    error=NonDeterminismError,
)
def a_patch_stays_while_it_is_needed(run: Run) -> None:
    assert run.world.done[-1:] == ["bill"]
