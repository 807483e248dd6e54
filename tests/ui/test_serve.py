"""`traction serve` answers browsers with the page, and clients of SWF as before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.ui import shop
from traction import Client
from traction.model import operations as o
from traction_local.backend import LocalBackend
from traction_local.plugin import open_local
from traction_local.server.app import make_app
from traction_local.server.page import ServiceWithPage

TARGET = {"x-amz-target": "SimpleWorkflowService.ListDomains", "content-type": "application/x-amz-json-1.0"}


@pytest.fixture
def backend() -> Iterator[LocalBackend]:
    backend = open_local(domain="acme")
    backend.call(o.RegisterDomain(name="other", workflow_execution_retention_period_in_days="1"))
    Client(backend=backend).start(shop.Idle(), workflow_id="idle-1")
    yield backend
    backend.close()


def browse(backend: LocalBackend, *, may_write: bool = False, domain: str = "acme") -> TestClient:
    app = ServiceWithPage(make_app(backend), backend, hosts=frozenset(), domain=domain, may_write=may_write)
    return TestClient(app, base_url="http://localhost:8787")


def test_a_browser_gets_the_page_and_a_client_the_service(backend: LocalBackend) -> None:
    client = browse(backend)
    assert "idle-1" in client.get("/").text
    assert client.get("/execution?id=idle-1").status_code == 200
    answer = client.post("/", headers=TARGET, json={"registrationStatus": "REGISTERED"})
    assert [one["name"] for one in answer.json()["domainInfos"]] == ["acme", "other"]
    assert client.post("/_traction/advance", json={}).status_code == 409
    assert client.get("/", headers={"host": "evil.example"}).status_code == 403


def test_a_browser_chooses_a_domain(backend: LocalBackend) -> None:
    client = browse(backend)
    assert 'href="/domain?name=other"' in client.get("/").text
    page = client.get("/domain?name=other").text
    assert "domain other" in page
    assert "idle-1" not in page
    assert "idle-1" in client.get("/domain?name=acme").text
    assert client.get("/domain?name=unknown").status_code == 404
    for cookie in ("traction-domain=unknown", "traction-domain=%FF", 'a="', "traction-domain"):
        assert "idle-1" in browse(backend).get("/", headers={"cookie": cookie}).text


def test_the_first_domain_is_shown_if_the_default_does_not_exist(backend: LocalBackend) -> None:
    assert "domain acme" in browse(backend, domain="traction").get("/").text


@pytest.mark.parametrize("may_write", [False, True])
def test_the_page_of_the_server_acts_only_if_it_may(backend: LocalBackend, may_write: bool) -> None:
    page = browse(backend, may_write=may_write).get("/execution?id=idle-1").text
    assert ("Terminate" in page) == may_write
