"""The conformance exam for `traction_swf` over HTTP, with both ways of parsing responses."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from urllib.parse import quote

import pytest

from tests.conformance.test_backend_exam import open_small
from tests.support.exam import SMALL, find_failures
from tests.swf.conftest import HOLD
from traction.backend import POLL_WAIT_MAX
from traction.model.limits import Limits
from traction_local.backend import DOMAIN
from traction_local.plugin import open_local
from traction_local.server.app import serving
from traction_swf.backend import SwfBackend
from traction_swf.clients import POLL_READ_TIMEOUT
from traction_swf.url import read_url


@pytest.mark.parametrize(("decode", "limits"), [("fast", None), ("plain", SMALL)])
def test_the_swf_backend_conforms(decode: str, limits: Limits | None) -> None:
    with ExitStack() as stack:
        local = open_local() if limits is None else open_small()
        stack.callback(local.close)
        endpoint = stack.enter_context(serving(local, wait=HOLD))
        url = f"swf://{DOMAIN}?endpoint={quote(endpoint)}&decode={decode}"
        assert find_failures(lambda: SwfBackend(read_url(url), url=url, limits=limits)) == {}


def test_a_poll_is_held_for_less_than_its_read_timeout() -> None:
    assert timedelta(seconds=POLL_READ_TIMEOUT) >= POLL_WAIT_MAX + timedelta(seconds=10)
