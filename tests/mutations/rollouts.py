"""New code beside old on two machines: flawed changes of a flow beside the corrected ones."""

from __future__ import annotations

from typing import Any

from tests.mutations.mutation import Shop, plant, work
from traction import hours, patched, sleep, workflow
from traction.errors import NonDeterminismError
from traction.testing import SimulatedRun

Run = SimulatedRun[Any]


@work
def do(shop: Shop, what: str) -> str:
    return shop.do(what, key=what)


@work
def check(shop: Shop, what: str) -> str:
    return shop.do(f"check {what}", key=f"check {what}")


@work
def post(shop: Shop) -> None:
    shop.do("letter", key="letter")


@work
def post_by_air(shop: Shop) -> None:
    shop.do("letter", key="letter")


# A patch that is read the wrong way round: the new steps come to those that began with the old.


@workflow(name="inverted")
async def pack() -> None:
    await sleep(hours(1))
    await do("pack")
    await sleep(hours(1))


@workflow(name="inverted")
async def check_and_pack_unless_patched() -> None:
    await sleep(hours(1))
    if not await patched("check"):
        await check("pack")
    await do("pack")
    await sleep(hours(1))


@workflow(name="upright")
async def pack_again() -> None:
    await sleep(hours(1))
    await do("pack")
    await sleep(hours(1))


@workflow(name="upright")
async def check_and_pack_if_patched() -> None:
    await sleep(hours(1))
    if await patched("check"):
        await check("pack")
    await do("pack")
    await sleep(hours(1))


@plant(
    pack(),
    pack_again(),
    workers=2,
    deploy={pack: check_and_pack_unless_patched, pack_again: check_and_pack_if_patched},
    error=NonDeterminismError,
)
def what_began_unchecked_goes_on_unchecked(run: Run) -> None:
    assert run.world.done[-1:] == ["pack"]


# A patch that only the first round asks for: a later one takes the new steps in an execution of the old.


@workflow(name="three rounds")
async def go_round() -> None:
    for day in range(3):
        await do(f"round {day}")
        await sleep(hours(1))


@workflow(name="three rounds")
async def check_at_first_if_patched() -> None:
    for day in range(3):
        if day > 0 or await patched("check"):
            await check(f"round {day}")
        await do(f"round {day}")
        await sleep(hours(1))


@workflow(name="three rounds by patch")
async def go_round_again() -> None:
    for day in range(3):
        await do(f"round {day}")
        await sleep(hours(1))


@workflow(name="three rounds by patch")
async def check_always_if_patched() -> None:
    for day in range(3):
        if await patched("check"):
            await check(f"round {day}")
        await do(f"round {day}")
        await sleep(hours(1))


@plant(
    go_round(),
    go_round_again(),
    workers=2,
    deploy={go_round: check_at_first_if_patched, go_round_again: check_always_if_patched},
    error=NonDeterminismError,
)
def each_round_asks_for_the_patch(run: Run) -> None:
    assert run.world.done[-1:] == ["round 2"]


# An activity of another name.


@workflow(name="post")
async def send() -> None:
    await sleep(hours(1))
    await post()
    await sleep(hours(1))


@workflow(name="post")
async def send_by_air() -> None:
    await sleep(hours(1))
    await post_by_air()
    await sleep(hours(1))


@workflow(name="post by patch")
async def send_again() -> None:
    await sleep(hours(1))
    await post()
    await sleep(hours(1))


@workflow(name="post by patch")
async def send_by_air_if_patched() -> None:
    await sleep(hours(1))
    await (post_by_air() if await patched("by air") else post())
    await sleep(hours(1))


@plant(
    send(),
    send_again(),
    workers=2,
    deploy={send: send_by_air, send_again: send_by_air_if_patched},
    error=NonDeterminismError,
)
def a_letter_is_sent_once(run: Run) -> None:
    assert run.world.done == ["letter"]
