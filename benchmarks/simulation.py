"""Measure simulation testing: runs under schedules, with faults and all checks, and fleets."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import count

from benchmarks.measures import Measure
from traction import Retry, Workflow, activity, days, sleep
from traction.testing import Faults, Seeded, simulate, simulate_all


@activity(retry=Retry(attempts=100, backoff=60))
def work(n: int) -> int:
    return n + 1


class Pair(Workflow[int]):
    """Two activities, one after the other."""

    async def flow(self) -> int:
        return await work(await work(1))


class Chain(Workflow[int]):
    """A thousand activities, one after the other."""

    async def flow(self) -> int:
        done = 0
        for _ in range(1_000):
            done = await work(done)
        return done


class Month(Workflow[int]):
    """A day of sleep and an activity, thirty times."""

    n: int

    async def flow(self) -> int:
        done = self.n
        for _ in range(30):
            await sleep(days(1))
            done = await work(done)
        return done


def rate(run: Callable[[], object], times: int = 200) -> float:
    """Runs per second."""
    begin = time.perf_counter()
    for _ in range(times):
        run()
    return times / (time.perf_counter() - begin)


def rate_plain() -> float:
    return rate(lambda: simulate(Pair(), check_determinism=False).result)


def rate_checked() -> float:
    return rate(lambda: simulate(Pair()).result)


def rate_faulty() -> float:
    seeds = count()
    return rate(lambda: simulate(Pair(), schedule=Seeded(next(seeds)), faults=Faults.all(), workers=2).result)


def time_chain(seed: int | None) -> float:
    """Seconds for a chain of a thousand activities under all checks."""
    begin = time.perf_counter()
    if seed is None:
        simulate(Chain())
    else:
        simulate(Chain(), schedule=Seeded(seed, 0.01), faults=Faults.some(), workers=2)
    return time.perf_counter() - begin


def time_fleet() -> float:
    """Seconds for a thousand executions of thirty days."""
    begin = time.perf_counter()
    simulate_all(map(Month, range(1_000)), check_determinism=False)
    return time.perf_counter() - begin


SIMULATION = [
    Measure("two activities, simulated, no faults", rate_plain, 2_000, "runs/s"),
    Measure("the same, all checks", rate_checked, 1_000, "runs/s"),
    Measure("the same, all checks and all faults", rate_faulty, 500, "runs/s"),
    Measure("a chain of 1,000, all checks", partial(time_chain, None), 3, "s", more_is_better=False, times=3),
    Measure("the same, with faults", partial(time_chain, 1), 3, "s", more_is_better=False, times=3),
    Measure("1,000 executions of 30 days", time_fleet, 10, "s", more_is_better=False, times=1),
]
