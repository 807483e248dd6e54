"""A shop whose executions end in every state that the page shows."""

from __future__ import annotations

import enum
from datetime import timedelta

from traction import Retry, Signal, Workflow, activity, each, receive, set_state, sleep, workflow


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Approve(Signal):
    by: str
    amount: int = 0
    is_gift: bool = False
    size: Size = Size.SMALL
    notes: list[str] = []  # noqa: RUF012  # msgspec gives each call a list of its own


@activity(retry=Retry(attempts=2, backoff=0.01))
def charge(total: int) -> str:
    if total > 1_000:
        raise ConnectionError("reset by peer")
    return f"receipt {total}"


@activity
def reserve(city: str) -> int:
    return len(city)


@workflow(tags=("eu",))
async def fulfil(total: int) -> str:
    receipt = await charge(total)
    await (reserve("Lisbon") & reserve("Porto"))
    await set_state({"reserved": 2})
    answer = await (receive(Approve) | sleep(timedelta(days=3)))
    return f"{receipt} {answer}"


@workflow
async def pay_parent(total: int) -> str:
    return await fulfil(total)


@workflow
async def say(text: str) -> str:
    await receive(Approve)
    raise ValueError(text)


@activity
def pack(number: int) -> int:
    if number == 7:
        raise ValueError("the box is torn")
    return number


@workflow
async def pack_all(count: int) -> int:
    outcomes = await each(pack, range(count), max_failures=count)
    await sleep(timedelta(days=1))
    return len(outcomes)


class Idle(Workflow[None], task_list="nobody"):
    """Waits for a worker that does not exist."""

    async def flow(self) -> None:
        await sleep(1)
