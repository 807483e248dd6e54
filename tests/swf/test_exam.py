"""Sit the exam of backends with `traction_swf`, over HTTP, by either way of reading answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from urllib.parse import quote

import pytest

from tests.swf.conftest import HOLD
from traction.backend import Backend
from traction.model import operations as o
from traction.model.limits import Limits
from traction.testing.conformance import CHECKS, Check
from traction_local.backend import DOMAIN, LocalBackend
from traction_local.plugin import open_local
from traction_local.server.app import serving
from traction_local.service.service import Service
from traction_swf.backend import SwfBackend
from traction_swf.url import read_url

SMALL = Limits(
    pollers_max=3, page_items_max=100, payload_chars_max=3_000, heartbeat_chars_max=200, reason_chars_max=100
)


def open_small() -> LocalBackend:
    backend = LocalBackend(Service(limits=SMALL), limits=SMALL)
    backend.call(o.RegisterDomain(name=DOMAIN, workflow_execution_retention_period_in_days="1"))
    return backend


@contextmanager
def serve(local: LocalBackend) -> Iterator[str]:
    try:
        with serving(local, wait=HOLD) as endpoint:
            yield endpoint
    finally:
        local.close()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with serve(open_local()) as url:
        yield url


@pytest.fixture(scope="module")
def small_endpoint() -> Iterator[str]:
    with serve(open_small()) as url:
        yield url


def sit(check: Check, endpoint: str, decode: str, limits: Limits | None = None) -> None:
    url = f"swf://{DOMAIN}?endpoint={quote(endpoint)}&decode={decode}"
    backend: Backend = SwfBackend(read_url(url), url=url, limits=limits)
    try:
        check(backend)
    finally:
        backend.close()


def name(check: Callable[..., None]) -> str:
    return check.__name__


@pytest.mark.parametrize("decode", ["fast", "plain"])
@pytest.mark.parametrize("check", CHECKS, ids=name)
def test_what_every_backend_promises_holds_over_http(check: Check, decode: str, endpoint: str) -> None:
    sit(check, endpoint, decode)


@pytest.mark.parametrize("check", CHECKS, ids=name)
def test_what_every_backend_promises_holds_over_http_with_smaller_limits(check: Check, small_endpoint: str) -> None:
    sit(check, small_endpoint, "fast", SMALL)


def test_a_poll_is_held_for_less_than_its_answer_is_waited_for() -> None:
    from traction.backend import POLL_WAIT_MAX
    from traction_swf.backend import POLL_READ_TIMEOUT

    assert timedelta(seconds=POLL_READ_TIMEOUT) >= POLL_WAIT_MAX + timedelta(seconds=10)
