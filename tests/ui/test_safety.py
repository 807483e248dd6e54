"""The page refuses requests of other sites, and forbids browsers what it does not need."""

from __future__ import annotations

import pytest

from tests.ui.conftest import Shop
from traction.ui.safety import is_token, make_token


@pytest.mark.parametrize("path", ["/", "/static/style.css", "/static/page.js", "/unknown", "/execution?id=unknown"])
def test_every_response_has_the_headers(shop_floor: Shop, path: str) -> None:
    headers = shop_floor.browse().get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] in ("no-store", "no-cache")


@pytest.mark.parametrize("path", ["/", "/execution?id=order-130", "/execution/graph?id=order-117"])
def test_a_page_needs_neither_inline_scripts_nor_inline_styles(shop_floor: Shop, path: str) -> None:
    client = shop_floor.browse()
    client.follow_redirects = True
    page = client.get(path).text
    assert "<style" not in page
    assert " style=" not in page
    assert " onclick" not in page
    assert page.count("<script") == 1
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example"])
def test_a_foreign_host_is_refused(shop_floor: Shop, host: str) -> None:
    answer = shop_floor.browse().get("/", headers={"host": host})
    assert answer.status_code == 403
    assert "order-130" not in answer.text
    assert "content-security-policy" in answer.headers


def test_an_allowed_host_is_accepted(shop_floor: Shop) -> None:
    client = shop_floor.browse(hosts=frozenset({"swf.test"}))
    assert client.get("/", headers={"host": "swf.test:8788"}).status_code == 200
    assert client.get("/", headers={"host": "other.test"}).status_code == 403


def test_a_foreign_origin_is_refused(shop_floor: Shop) -> None:
    assert shop_floor.browse().get("/", headers={"origin": "http://evil.example"}).status_code == 403
    assert shop_floor.browse().get("/", headers={"origin": "null"}).status_code == 403
    assert shop_floor.browse().get("/", headers={"origin": "http://localhost:8788"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://localhost:3000"},
        {"origin": "http://127.0.0.1:8788"},
        {"origin": "http://localhost:8788", "sec-fetch-site": "cross-site"},
        {"origin": "http://localhost:8788", "sec-fetch-site": "same-site"},
    ],
)
def test_a_form_of_another_page_is_refused(shop_floor: Shop, headers: dict[str, str]) -> None:
    answer = shop_floor.browse(may_write=True).post("/execution/cancel", data={"id": "order-130"}, headers=headers)
    assert answer.status_code == 403


def test_a_token_is_of_one_process_and_one_form() -> None:
    token = make_token(b"secret", "cancel", "order-1")
    assert is_token(token, b"secret", "cancel", "order-1")
    assert not is_token(token, b"other", "cancel", "order-1")
    assert not is_token(token, b"secret", "cancelo", "rder-1")
    assert not is_token("é", b"secret", "cancel", "order-1")
