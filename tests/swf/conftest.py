"""Give tests a server that speaks as Amazon SWF does, in this process, and URLs that reach it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.http_backends import Site, World, reach_here
from traction_local.backend import LocalBackend
from traction_local.plugin import open_local
from traction_local.server.app import serving
from traction_swf.backend import SwfBackend, open_swf

HOLD = timedelta(seconds=2)
"""How long the servers of these tests hold a poll: Amazon SWF holds it for a minute."""


@pytest.fixture(scope="session", autouse=True)
def models(shared_models: None) -> None:
    """Share the service models of botocore."""


class Stage:
    """A server, the simulator behind it, and backends that ask it by boto3."""

    def __init__(self, local: LocalBackend, endpoint: str, stack: ExitStack) -> None:
        self.local, self.endpoint, self._stack = local, endpoint, stack

    def url(self, **options: object) -> str:
        """Give the URL of the server, with more options."""
        more = "".join(f"&{name}={value}" for name, value in options.items())
        return f"swf://{self.local.domain}?endpoint={quote(self.endpoint)}{more}"

    def open(self, **options: object) -> SwfBackend:
        """Open a backend, which is closed after the test."""
        backend = open_swf(self.url(**options))
        self._stack.callback(backend.close)
        return backend


MakeStage = Callable[..., Stage]


@pytest.fixture
def make_stage() -> Iterator[MakeStage]:
    """Serve backends while a test runs."""
    with ExitStack() as stack:

        def make(local: LocalBackend | None = None, *, hold: timedelta = HOLD, **given: Any) -> Stage:
            local = local or open_local()
            stack.callback(local.close)
            return Stage(local, stack.enter_context(serving(local, wait=hold, **given)), stack)

        yield make


@pytest.fixture
def stage(make_stage: MakeStage) -> Stage:
    """Serve one backend."""
    return make_stage()


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """One server for all the worlds of a test run."""
    with Site().serve() as served:
        yield served


@pytest.fixture(params=["in process", "over HTTP"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Give a service whose time stands still, reached in this process and by boto3."""
    reach = reach_here if request.param == "in process" else request.getfixturevalue("site").reach
    world = World(reach)
    yield world
    world.close()
