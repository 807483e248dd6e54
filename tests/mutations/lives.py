"""Children, attempts and signals that live longer or shorter than expected: flawed flows beside the corrected ones."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from typing import Any

from tests.mutations.mutation import PATIENT, Shop, SoldOut, plant, work
from traction import (
    Signal,
    current_task,
    days,
    done,
    fail,
    hours,
    minutes,
    move_on_after,
    now,
    receive,
    saga,
    shield,
    sleep,
    start_child,
    step,
    workflow,
)
from traction.model import events as e
from traction.testing import Faults, SimulatedRun, StuckExecutionError, raises, sometimes, takes
from traction_local.simulation.sandbox import ImpureFlowError

Run = SimulatedRun[Any]


class Go(Signal):
    pass


class Stop(Signal):
    pass


@work
def do(shop: Shop, what: str) -> str:
    return shop.do(what, key=what)


def check_done(run: Run) -> None:
    """It ends well, whatever happens."""
    assert run.error is None, run.error


# A signal is sent to a child that has closed.


@workflow
async def wait_an_hour() -> str:
    return "went" if await (receive(Go) | sleep(hours(1)).map(lambda _: None)) else "stayed"


@workflow
async def prepare_and_tell() -> str:
    child = await start_child(wait_an_hour())
    await do("prepare")
    await child.send(Go())
    return await child.result()


@workflow
async def prepare_and_tell_who_waits() -> str:
    child = await start_child(wait_an_hour())
    await do("prepare")
    await child.send(Go()).attempt()
    return await child.result()


@plant(prepare_and_tell(), prepare_and_tell_who_waits())
def a_child_need_not_wait_for_its_parent(run: Run) -> None:
    check_done(run)


# A child is begun again under its id while the first one still runs.


@workflow
async def bake() -> str:
    return await do("bake")


@step
async def bake_in_time(oven: str) -> str | None:
    child = await start_child(bake().options(workflow_id=oven))
    return await (child.result() | sleep(minutes(5)).map(lambda _: None))


@workflow
async def bake_again_in_the_same_oven() -> str:
    return await bake_in_time("oven") or await bake_in_time("oven") or "no bread"


@workflow
async def bake_again_in_another_oven() -> str:
    return await bake_in_time("oven 1") or await bake_in_time("oven 2") or "no bread"


@plant(bake_again_in_the_same_oven(), bake_again_in_another_oven())
def an_oven_that_is_in_use_is_left_alone(run: Run) -> None:
    check_done(run)


# The saga of a child is over when the child is, and undoes nothing for its parent.


@step
async def rent() -> None:
    await do("rent").compensate(lambda _: do("give back"))


@workflow
async def rent_car() -> None:
    await saga(rent())


@work(retry=None)
def find_hotel(shop: Shop) -> None:
    shop.do("hotel")


@step
async def rent_and_find() -> None:
    await rent_car()
    await find_hotel()


@step
async def rent_with_undo_and_find() -> None:
    await rent_car().compensate(lambda _: do("give back"))
    await find_hotel()


@workflow
async def travel_with_a_saga_in_the_child() -> None:
    await saga(rent_and_find())


@workflow
async def travel_with_a_saga_in_both() -> None:
    await saga(rent_with_undo_and_find())


@plant(
    travel_with_a_saga_in_the_child(),
    travel_with_a_saga_in_both(),
    stub={find_hotel: sometimes(raises(SoldOut("no room")))},
)
def a_car_is_given_back_if_there_is_no_hotel(run: Run) -> None:
    assert run.error is None or run.world.done.count("rent") == run.world.done.count("give back")


# One undo that fails keeps the others from being tried.


@work(retry=None)
def undo(shop: Shop, what: str) -> None:
    shop.do(f"undo {what}")


@step
async def undo_all(careful: bool) -> None:
    for what in ("car", "hotel"):
        await (undo(what).attempt() if careful else undo(what))
    await fail(SoldOut("no flight"))


@workflow
async def undo_until_one_fails() -> None:
    await undo_all(careful=False)


@workflow
async def undo_each() -> None:
    await undo_all(careful=True)


@plant(undo_until_one_fails(), undo_each(), stub={undo: sometimes(raises(SoldOut("closed")))})
def each_undo_is_tried(run: Run) -> None:
    assert len(run.calls(undo)) == 2


# An attempt whose heartbeats stopped works on, and writes over what the next one wrote.


@work(heartbeat=30, start_to_close=hours(1))
def write(shop: Shop) -> int:
    shop.held["writer"] = current_task().attempt
    return current_task().attempt


@work(heartbeat=30, start_to_close=hours(1))
def write_unless_older(shop: Shop) -> int:
    shop.held["writer"] = max(current_task().attempt, shop.held["writer"])
    return current_task().attempt


@workflow
async def write_and_stay() -> int:
    writer = await write()
    await sleep(hours(1))
    return writer


@workflow
async def write_in_order_and_stay() -> int:
    writer = await write_unless_older()
    await sleep(hours(1))
    return writer


SLOWLY = sometimes(takes(minutes(5)))


@plant(
    write_and_stay(),
    write_in_order_and_stay(),
    stub={write: SLOWLY, write_unless_older: SLOWLY},
    faults=Faults(timeouts=1),
)
def what_the_flow_knows_is_what_was_written(run: Run) -> None:
    assert run.world.held["writer"] == run.result


# What a step has taken from an iterator is gone when the step is tried again.


@work(retry=None)
def greet(shop: Shop, name: str) -> None:
    shop.do(name, key=name)


@step
async def greet_all(names: Iterable[str]) -> None:
    for name in names:
        await greet(name)


@workflow
async def greet_who_is_left() -> None:
    await greet_all(iter(["Ann", "Bob"])).retry(PATIENT)


@workflow
async def greet_everybody() -> None:
    await greet_all(["Ann", "Bob"]).retry(PATIENT)


@plant(greet_who_is_left(), greet_everybody(), faults=Faults(crashes=1))
def everybody_is_greeted(run: Run) -> None:
    assert set(run.world.done) == {"Ann", "Bob"}


# A signal that comes before it is asked for is taken for an old one.


@workflow
async def forget_and_wait() -> None:
    await do("open")
    while await (receive(Go) | done(None)) is not None:
        pass
    await receive(Go)


@workflow
async def open_and_wait() -> None:
    await do("open")
    await receive(Go)


@plant(forget_and_wait(), open_and_wait(), signals=[Go()], error=StuckExecutionError)
def who_is_early_need_not_come_again(run: Run) -> None:
    check_done(run)


# A subscription is stopped in its third month, and only the end of a month is looked at.


@step
async def pay_for(month: int) -> bool:
    await do(f"month {month}")
    return await (receive(Stop) | sleep(days(30)).map(lambda _: None)) is None


@workflow
async def subscribe_and_forget_the_third() -> str:
    for month in range(1, 6):
        if not await pay_for(month) and month != 3:
            return f"stopped in {month}"
    return "all"


@workflow
async def subscribe() -> str:
    for month in range(1, 6):
        if not await pay_for(month):
            return f"stopped in {month}"
    return "all"


@plant(subscribe_and_forget_the_third(), subscribe(), signals=[Stop()])
def a_stop_ends_what_is_paid(run: Run) -> None:
    stopped = [event.event_id for event in run.history if isinstance(event, e.WorkflowExecutionSignaled)]
    paid = [event.event_id for event in run.history if isinstance(event, e.ActivityTaskScheduled)]
    assert run.result != "all" or not stopped or stopped[0] > paid[-1]


# A deadline comes while a `finally` tidies up.


@work(start_to_close=hours(9))
def tidy(shop: Shop) -> None:
    shop.do("tidy", key="tidy")


@step
async def work_and_tidy(careful: bool) -> None:
    try:
        await do("work")
    finally:
        await (shield(tidy()) if careful else tidy())


@workflow
async def work_for_an_hour() -> None:
    async with move_on_after(hours(1)):
        await work_and_tidy(careful=False)


@workflow
async def work_for_an_hour_and_tidy() -> None:
    async with move_on_after(hours(1)):
        await work_and_tidy(careful=True)


@plant(work_for_an_hour(), work_for_an_hour_and_tidy())
def all_is_tidy(run: Run) -> None:
    assert "tidy" in run.world.done


# Noon is at another time on another machine.


@workflow
async def eat_by_the_zone_of_the_machine() -> None:
    await do("breakfast" if (await now()).astimezone().hour < 12 else "lunch")


@workflow
async def eat_by_a_zone() -> None:
    await do("breakfast" if (await now()).astimezone(UTC).hour < 12 else "lunch")


@plant(eat_by_the_zone_of_the_machine(), eat_by_a_zone(), error=ImpureFlowError)
def a_meal_is_the_same_everywhere(run: Run) -> None:
    check_done(run)
