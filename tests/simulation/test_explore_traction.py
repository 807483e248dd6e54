"""Flows of the whole language, in every ordering and with every fault: what must hold of each run, holds.

Besides what each test claims, every run is audited, and every execution closes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support.profile import pick
from traction import (
    Activity,
    Cancelled,
    Retry,
    Signal,
    Step,
    Workflow,
    all_of,
    cancel,
    continue_as_new,
    each,
    every,
    fail,
    first_of,
    heartbeat,
    hours,
    minutes,
    move_on_after,
    patched,
    receive,
    saga,
    seconds,
    set_state,
    shield,
    side_effect,
    signals,
    sleep,
    start_child,
    step,
    workflow,
)
from traction.errors import WorkflowCancelled
from traction.model import events as e
from traction.payloads.codec import JSON
from traction.testing import Faults, explore
from traction_local.service.knobs import Knobs

RETRY = Retry(attempts=50, backoff=1, max_delay=30)

# Of each flow in each of its worlds.
LOOKS = settings(suppress_health_check=list(HealthCheck))

# Late effects make several times as many schedules.
DEVIATIONS = {"the likeliest SWF": pick(2, 3), "effects that come late": pick(1, 3)}

KNOBS = {
    "the likeliest SWF": Knobs(),
    "effects that come late": Knobs(effect_latency=timedelta(seconds=1)),
    "an SWF of the other kind": Knobs(
        previous_counts_timed_out=True,
        sticky_persists=False,
        failed_decision_blocks_close=True,
        heartbeat_keeps_details=False,
        start_by_timestamp=True,
    ),
}


class World:
    """What activities leave behind."""

    def __init__(self) -> None:
        self.done: list[str] = []


class Do(Activity[World, str], start_to_close=60, retry=RETRY):
    what: str

    def run(self, world: World) -> str:
        world.done.append(self.what)
        return self.what


class Beat(Activity[World, str], start_to_close=600, heartbeat=30, retry=RETRY):
    what: str

    def run(self, world: World) -> str:
        for n in range(3):
            heartbeat(n)
        world.done.append(self.what)
        return self.what


class Note(Activity[None, str], retry=RETRY):
    what: str

    def run(self) -> str:
        return self.what


class Go(Signal):
    n: int


# Flows without races: the result is the same in every run without a cancellation.


@workflow
async def group() -> list[str]:
    a, b, c = await (Do("a") & Beat("b") & sleep(5).flat_map(lambda _: Do("c")))
    more = await each(Do, ["d", "e", "f"], limit=2)
    return [a, b, c, *more]


@workflow
async def kid(n: int) -> str:
    await sleep(seconds(n))
    return await Do(f"kid {n}")


@workflow
async def family() -> list[str]:
    a, b = await (kid(1) & kid(2))
    beside = await start_child(kid(3))
    return [a, b, await Do("parent"), await beside.result()]


@workflow
async def local() -> list[str]:
    def follow(what: str) -> Step[str]:
        return Note(what).locally().flat_map(Do)

    return list(await (follow("a") & follow("b") & Note("c").locally()))


rolls = count()


@workflow
async def chance() -> bool:
    a = await side_effect(lambda: next(rolls))
    await Do(str(a))
    b, c = await (side_effect(lambda: next(rolls)) & sleep(3).flat_map(lambda _: side_effect(lambda: next(rolls))))
    if await patched("more"):
        await Do(str(b))
    await set_state({"at": b})
    await Do(f"{a} {b} {c}")
    return a < b < c


@workflow
async def rounds(left: int, got: list[int]) -> list[int]:
    async for signal in signals(Go):
        got = [*got, signal.n]
        await Do(f"round {left}")
        break
    if left == 0:
        return sorted(got)
    return await continue_as_new(rounds(left - 1, got))


@workflow
async def tally() -> list[int]:
    async def take() -> int:
        return (await receive(Go)).n

    got = await all_of([step(take)() for _ in range(2)])
    await Do("told")
    return sorted([*got, (await receive(Go)).n, (await receive(Go)).n])


@workflow
async def tidied() -> str:
    try:
        await (Do("a") & sleep(minutes(2)))
    finally:
        await shield(Do("tidy").flat_map(lambda _: sleep(10)))
    return "whole"


SAME: dict[str, tuple[Workflow[Any], Any]] = {
    "group": (group(), ["a", "b", "c", "d", "e", "f"]),
    "family": (family(), ["kid 1", "kid 2", "parent", "kid 3"]),
    "local": (local(), ["a", "b", "c"]),
    "chance": (chance(), True),
    "rounds": (rounds(3, []), [1, 2, 3, 4]),
    "tally": (tally(), [1, 2, 3, 4]),
    "tidied": (tidied(), "whole"),
}


# Flows with races: every one of them closes, whichever branch wins.


@workflow
async def against_time() -> list[str]:
    won = [await first_of(Do(str(n)), sleep(30).map(lambda _: "late")) for n in range(2)]
    won.append(await first_of(kid(30), sleep(30).map(lambda _: "late"), receive(Go).map(lambda go: str(go.n))))
    return won


@workflow
async def scopes() -> list[bool]:
    async with move_on_after(40) as outer:
        async with move_on_after(20) as inner:
            await first_of(Do("a").flat_map(lambda _: sleep(100)), kid(3).flat_map(lambda _: receive(Go)))
        await shield(Do("between"))
        await (sleep(100) & Beat("b"))
    return [inner.cancelled, outer.cancelled]


@workflow
async def waits() -> str:
    try:
        return str((await receive(Go)).n)
    finally:
        await shield(Do("waited"))


@workflow
async def beside() -> list[str]:
    one = await start_child(waits().options(child_policy="REQUEST_CANCEL"))
    two = await start_child(kid(9))
    await one.send(Go(7)).attempt()
    async with move_on_after(10):
        await two.result().attempt()
    winner = await first_of(one.result().attempt().map(str), sleep(20).map(lambda _: "late"))
    await cancel(two.execution).attempt()
    return [winner, *map(str, await all_of([one.result().attempt(), two.result().attempt()]))]


@workflow
async def forked() -> str:
    def follow(n: int) -> Step[str]:
        return start_child(kid(n)).flat_map(lambda child: child.result())

    return await first_of(follow(1), sleep(2).map(lambda _: "late"), follow(2))


@workflow
async def impatient() -> str:
    one = await Beat("a").timeout(20).attempt()
    two = await all_of([Do("b").timeout(20), sleep(10).map(str), kid(5).timeout(5)]).attempt()
    return f"{type(one).__name__} {type(two).__name__}"


@workflow
async def recurring() -> bool:
    async with move_on_after(minutes(200)) as scope:
        await every(hours(1), lambda hour: Beat(str(hour)), again=lambda _: recurring(), overlap="cancel")
    return scope.cancelled


RACES: dict[str, Workflow[Any]] = {
    "against time": against_time(),
    "scopes": scopes(),
    "beside": beside(),
    "forked": forked(),
    "impatient": impatient(),
    "recurring": recurring(),
}


def make_world(**more: Any) -> dict[str, Any]:
    return {
        "world": World,
        "provide": lambda world: {Do: world, Beat: world},
        "signals": [Go(n) for n in range(1, 5)],
        "workers": 2,
    } | more


def look(flow: Workflow[Any], world: dict[str, Any]) -> Callable[[Callable[[Any], None]], None]:
    def run(test: Callable[[Any], None]) -> None:
        LOOKS(explore(flow, **world)(test))()

    return run


def check_closed_well(run: Any) -> None:
    assert run.error is None or isinstance(run.error, WorkflowCancelled)


@pytest.mark.parametrize("knobs", KNOBS.values(), ids=KNOBS)
@pytest.mark.parametrize(("flow", "result"), SAME.values(), ids=SAME)
def test_a_flow_without_races_gives_the_same_in_every_run(flow: Workflow[Any], result: Any, knobs: Knobs) -> None:
    @look(flow, make_world(faults=Faults.all(), knobs=knobs, workers=3))
    def check(run: Any) -> None:
        assert run.result == result


@pytest.mark.parametrize("knobs", KNOBS.values(), ids=KNOBS)
@pytest.mark.parametrize("flow", RACES.values(), ids=RACES)
def test_a_flow_with_races_closes_whichever_branch_wins(flow: Workflow[Any], knobs: Knobs) -> None:
    @look(flow, make_world(faults=Faults.all(), knobs=knobs))
    def check(run: Any) -> None:
        assert run.error is None


# Deciders that stay where they are: each machine has a list of its own, to which its executions come back.


@pytest.mark.parametrize("knobs", KNOBS.values(), ids=KNOBS)
@pytest.mark.parametrize("flow", [SAME["group"][0], *RACES.values()], ids=["group", *RACES])
def test_a_flow_whose_tasks_come_back_to_its_decider_closes_well(flow: Workflow[Any], knobs: Knobs) -> None:
    came_back: list[bool] = []

    @look(flow, make_world(faults=Faults.all(), knobs=knobs, sticky=10))
    def check(run: Any) -> None:
        assert run.error is None
        came_back.append(any("~" in event.task_list.name for event in find(run, e.DecisionTaskScheduled)))

    assert any(came_back)


# Sagas.


class Undo(Activity[World, None], start_to_close=60, retry=RETRY):
    what: str

    def run(self, world: World) -> None:
        world.done.append(f"not {self.what}")


@workflow
async def trip() -> None:
    def book(what: str) -> Step[str]:
        return Do(what).compensate(Undo)

    async def book_all() -> None:
        await book("flight")
        await (book("hotel") & sleep(30).flat_map(lambda _: book("car")))
        await receive(Go)
        await fail(ValueError("no train"))

    await saga(step(book_all)())


@pytest.mark.parametrize("cancels", [[], [None]], ids=["that fails", "that is cancelled at any time"])
@pytest.mark.parametrize("knobs", KNOBS.values(), ids=KNOBS)
def test_a_saga_undoes_what_it_has_done_once_each_and_in_reverse(knobs: Knobs, cancels: list[None]) -> None:
    world = make_world(faults=Faults.all(), knobs=knobs, cancels=cancels, signals=[Go(1)])
    world["provide"] = lambda world: {Do: world, Undo: world}

    @look(trip(), world)
    def check(run: Any) -> None:
        assert run.error is not None
        assert list_results(run, Undo) == list_results(run, Do)[::-1]


def list_results(run: Any, activity: Any) -> list[str]:
    """Return the inputs of the completed calls of an activity, in the order of their completion."""
    scheduled = [run.history[event.scheduled_event_id - 1] for event in find(run, e.ActivityTaskCompleted)]
    kind = activity.spec.type
    return [JSON.decode(event.input, activity).what for event in scheduled if event.activity_type == kind]


def find(run: Any, kind: type) -> list[Any]:
    return [event for event in run.history if isinstance(event, kind)]


# Cancellation.


@pytest.mark.parametrize("knobs", KNOBS.values(), ids=KNOBS)
@pytest.mark.parametrize("flow", [flow for flow, _ in SAME.values()] + list(RACES.values()), ids=[*SAME, *RACES])
def test_a_flow_that_is_cancelled_at_any_time_closes_well(flow: Workflow[Any], knobs: Knobs) -> None:
    look(flow, make_world(faults=Faults.some(), knobs=knobs, cancels=[None, None]))(check_closed_well)


# Small flows: all orders up to a number of deviations from the plain one.


@workflow
async def call_one() -> str:
    return await first_of(Do("a"), sleep(30).map(lambda _: "late"))


@workflow
async def start_one() -> str:
    child = await start_child(waits())
    return await child.result()


@workflow
async def await_one() -> str:
    return await waits()


@workflow
async def leave_one() -> bool:
    async with move_on_after(1) as scope:
        await kid(1)
    return scope.cancelled


@workflow
async def hear_one() -> int:
    try:
        return (await receive(Go)).n
    except Cancelled:
        await sleep(1)
        return 0


SMALL = {
    "activity": call_one(),
    "child beside": start_one(),
    "child": await_one(),
    "scope": leave_one(),
    "signal": hear_one(),
}


@pytest.mark.parametrize("knobs", DEVIATIONS)
@pytest.mark.parametrize("flow", SMALL.values(), ids=SMALL)
def test_a_cancellation_that_meets_what_ends_begins_or_arrives_wedges_nothing(flow: Workflow[Any], knobs: str) -> None:
    world = make_world(knobs=KNOBS[knobs], cancels=[None], signals=[Go(1)], workers=1)
    test = explore(flow, deviations=DEVIATIONS[knobs], **world)(check_closed_well)
    test()
    assert test.explored.coverage.complete


@workflow
async def go_round(n: int) -> int:
    await sleep(1)
    return await (continue_as_new(go_round(n + 1)) if n < 2 else sleep(hours(1)).map(lambda _: n))


@pytest.mark.parametrize("knobs", DEVIATIONS)
def test_a_request_to_cancel_arrives_in_this_run_or_the_next(knobs: str) -> None:
    world = make_world(knobs=KNOBS[knobs], cancels=[1], signals=[], workers=1)

    @explore(go_round(0), deviations=DEVIATIONS[knobs], **world)
    def check(run: Any) -> None:
        assert isinstance(run.error, WorkflowCancelled)

    check()
    assert check.explored.coverage.complete
