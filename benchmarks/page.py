"""How fast the page answers, for long histories and many executions."""

from __future__ import annotations

import gc
import time
from datetime import timedelta
from functools import cache, partial
from typing import Any

from starlette.testclient import TestClient

from benchmarks.measures import Measure
from benchmarks.simulator import START, World
from traction import activity, workflow
from traction.testing import simulate
from traction.ui import Page, Site
from traction.ui.links import link


@activity
def count(number: int) -> int:
    return number


@workflow
async def count_up(most: int) -> int:
    for number in range(most):
        await count(number)
    return most


@cache
def read_long_history() -> tuple[Any, ...]:
    return tuple(simulate(count_up(4_100)).history)


class OneExecution:
    """A backend with one history of about 25,000 events."""

    url, domain = "local:", "traction"

    def now(self) -> Any:
        return read_long_history()[-1].event_timestamp

    def get_history(self, execution: object) -> list[Any]:
        return [*read_long_history()]


def time_view(path: str) -> float:
    """Seconds until a view of 25,000 events is there, with definitions, on a page that has not read them before."""
    read_long_history()
    backend: Any = OneExecution()
    client = TestClient(Page(Site(backend=backend, workflows=(count_up,))), base_url="http://localhost")
    begin = time.perf_counter()
    assert client.get(f"{path}?id=a&run=b").status_code == 200
    return time.perf_counter() - begin


class ServedWorld(World):
    """The backend of a page, on a service that is asked directly."""

    url, domain = "local:", "d"

    def now(self) -> Any:
        return self.time


def time_list(closed: int) -> float:
    """Milliseconds until a page of a list is there, with so many closed executions: the first, and an older one."""
    world: Any = ServedWorld()
    for number in range(closed):
        world.run(f"closed-{number}", 0)
    gc.collect()
    client = TestClient(Page(Site(backend=world)), base_url="http://localhost")
    older = link("/", status="CLOSED", before=(START + timedelta(milliseconds=2 * closed)).isoformat(), skip=1)
    taken = []
    for _ in range(20):
        begin = time.perf_counter()
        assert client.get(older).status_code == 200
        taken.append(time.perf_counter() - begin)
    return min(taken) * 1000


def cost_of_many() -> float:
    """How much more a page of a list costs among 100,000 executions than among 1,000."""
    return time_list(100_000) / time_list(1_000)


PAGE = [
    Measure("timeline of 25,000 events", partial(time_view, "/execution"), 2, "s", more_is_better=False),
    Measure("tree of 25,000 events", partial(time_view, "/execution/tree"), 2, "s", more_is_better=False),
    Measure("events of 25,000 events", partial(time_view, "/execution/events"), 2, "s", more_is_better=False),
    Measure("graph of 25,000 events", partial(time_view, "/execution/graph"), 2, "s", more_is_better=False),
    Measure("a page of a list, 100,000 against 1,000", cost_of_many, 2, "x", more_is_better=False, times=1),
]
