"""A workflow that machines share: who decides, who works and who asks are processes of their own."""

from __future__ import annotations

from datetime import timedelta

from traction import Retry, activity, all_of, sleep, workflow


class Kitchen:
    """What cooking needs."""

    def __init__(self) -> None:
        self.cooked = 0


def open_kitchen() -> Kitchen:
    return Kitchen()


@activity(start_to_close=20)
def weigh(n: int) -> int:
    return 2 * n


@activity(needs=Kitchen, start_to_close=20)
def cook(kitchen: Kitchen, grams: int) -> str:
    kitchen.cooked += 1
    return f"{grams} g"


@activity(start_to_close=20, retry=Retry(attempts=2, backoff=0))
def burn(n: int) -> str:
    raise RuntimeError(f"burnt {n}")


@workflow(task_start_to_close=5)
async def course(n: int) -> str:
    grams = await weigh(n)
    # Long enough for the parent to receive the start of this child before any other event.
    await sleep(timedelta(seconds=3))
    return await cook(grams)


@workflow(task_start_to_close=5)
async def dinner(n: int) -> list[str]:
    first = await course(n)
    try:
        await burn(n)
    except Exception as error:
        return [first, str(error).partition("\n")[0]]
    return [first]


@workflow(task_start_to_close=5)
async def feast(n: int) -> list[int]:
    weighed = 0
    for _ in range(20):
        weighed += sum(await all_of([weigh(i) for i in range(3)]))
    return [weighed, n]
