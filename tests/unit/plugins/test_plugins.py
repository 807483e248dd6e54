"""Plugins: a URL is opened by the first plugin that knows its scheme, the caller's own plugins first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from traction.backend import Backend
from traction.client.system import WorkerSystem
from traction.errors import BackendError, UnknownSchemeError
from traction.plugins.hookspecs import hookimpl
from traction.plugins.loading import load_plugins, open_backend
from traction_local.backend import LocalBackend
from traction_local.plugin import open_local


class Plugin:
    """A plugin that opens one scheme, in memory."""

    def __init__(self, scheme: str, opens: Callable[[str], Backend | None]) -> None:
        self.scheme, self.opens = scheme, opens

    @hookimpl
    def traction_backend(self, url: str) -> Backend | None:
        return self.opens(url) if url.startswith(self.scheme) else None

    @hookimpl
    def traction_schemes(self) -> list[str]:
        return [self.scheme]


def open_test(url: str) -> Backend:
    backend = open_local()
    backend.url = url
    return backend


def test_an_installed_backend_is_found_by_its_scheme() -> None:
    backend = open_backend("local:")
    assert isinstance(backend, LocalBackend)
    backend.close()


def test_a_plugin_of_the_callers_opens_its_scheme_and_leaves_others_alone() -> None:
    plugins = load_plugins(Plugin("test:", open_test))
    for url in ("test:here", "local:"):
        backend = open_backend(url, plugins)
        assert backend.url == url
        backend.close()


def test_a_plugin_of_the_callers_goes_before_the_installed_ones() -> None:
    asked: list[str] = []

    def open_mine(url: str) -> Backend:
        asked.append(url)
        return open_test(url)

    open_backend("local:", load_plugins(Plugin("local:", open_mine))).close()
    assert asked == ["local:"]


def test_a_plugin_that_gives_none_lets_the_next_one_try() -> None:
    backend = open_backend("local:", load_plugins(Plugin("local:", lambda _: None)))
    assert isinstance(backend, LocalBackend)
    backend.close()


@pytest.mark.parametrize(("url", "scheme"), [("redis://here", "redis:"), ("here", "no scheme"), ("", "no scheme")])
def test_a_url_that_no_plugin_opens_is_refused_and_the_known_schemes_are_named(url: str, scheme: str) -> None:
    with pytest.raises(UnknownSchemeError) as caught:
        open_backend(url, load_plugins(Plugin("test:", open_test)))
    assert repr(url) in str(caught.value)
    assert f"({scheme})" in str(caught.value)
    assert {"local:", "test:"} <= set(str(caught.value).replace(",", " ").replace(".", " ").split())


def test_the_error_of_a_plugin_about_its_url_is_raised() -> None:
    def refuse(url: str) -> Backend:
        raise BackendError(f"{url}: no such host")

    with pytest.raises(BackendError, match="test:nowhere: no such host"):
        open_backend("test:nowhere", load_plugins(Plugin("test:", refuse)))


def test_two_managers_know_nothing_of_each_other() -> None:
    mine: Any = load_plugins(Plugin("test:", open_test))
    other: Any = load_plugins()
    assert ["test:"] in mine.hook.traction_schemes()
    assert ["test:"] not in other.hook.traction_schemes()


def test_a_worker_system_opens_its_backend_through_the_plugins_that_it_is_given() -> None:
    with WorkerSystem("test:here", plugins=load_plugins(Plugin("test:", open_test))) as system:
        assert system.backend.url == "test:here"
