"""A file with executions in every state, and a browser of its page without a network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.ui import shop
from traction import WorkerSystem
from traction.backend import Backend
from traction.client.handle import Handle
from traction.errors import ExecutionFailed
from traction.payloads.codec import JSON, Codec
from traction.plugins.loading import open_backend
from traction.ui import Page, Site

WORKFLOWS = (shop.fulfil, shop.pay_parent, shop.say, shop.pack_all, shop.Idle)
HOSTILE = "<script>alert(1)</script> \x1b[31m \u202e \x00 ' \" & {{ 7*7 }}"


@dataclass
class Shop:
    """The backend, and the executions on it by their workflow ids."""

    backend: Backend
    handles: dict[str, Handle[Any]]

    def address(self, id: str, path: str = "/execution", **more: object) -> str:
        from traction.ui.links import link

        return link(path, id=id, run=self.handles[id].run_id, **more)

    def browse(self, **options: Any) -> TestClient:
        """Return a client of a page of this backend."""
        site = Site(**{"backend": self.backend, "workflows": WORKFLOWS} | options)
        return TestClient(Page(site), base_url="http://localhost:8788", follow_redirects=False)


def wait_until(handle: Handle[Any], holds: Callable[[], bool]) -> None:
    """Wait on the service, which returns at once when the execution closes, until a condition holds."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "this did not become true in 30 seconds"
        with suppress(TimeoutError, ExecutionFailed):
            handle.result(0.01)


def open_shop(folder: Path, codec: Codec = JSON) -> Iterator[Shop]:
    url = f"local:{folder / 'shop.db'}"
    handles: dict[str, Handle[Any]] = {}
    with WorkerSystem(url, codec=codec) as ws:
        for workflow in WORKFLOWS[:-1]:
            ws.start_workflow_worker(workflow)
        for activity in (shop.charge, shop.reserve, shop.pack):
            ws.start_activity_worker(activity)
        calls = {
            "order-130": shop.fulfil(89),
            "order-117": shop.fulfil(2_000),
            "order-1": shop.fulfil(10),
            "parent-1": shop.pay_parent(7),
            "hostile": shop.say(HOSTILE),
            "pack-40": shop.pack_all(40),
            "idle-1": shop.Idle(),
        }
        for id, call in calls.items():
            handles[id] = ws.start(call, workflow_id=id)
        wait_until(handles["order-1"], lambda: handles["order-1"].describe().open_counts.open_timers == 1)
        handles["order-1"].send(shop.Approve(by="Ann"))
        handles["hostile"].send(shop.Approve(by=HOSTILE))
        for id in ("order-117", "order-1", "hostile"):
            wait_until(handles[id], lambda id=id: handles[id].status() != "OPEN")
        for id in ("order-130", "pack-40"):
            wait_until(handles[id], lambda id=id: handles[id].describe().open_counts.open_timers == 1)
        wait_until(
            handles["parent-1"], lambda: handles["parent-1"].describe().open_counts.open_child_workflow_executions == 1
        )
    backend = open_backend(url)
    yield Shop(backend, handles)
    backend.close()


@pytest.fixture(scope="module")
def shop_floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    yield from open_shop(tmp_path_factory.mktemp("shop"))
