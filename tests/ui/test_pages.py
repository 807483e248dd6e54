"""What the page shows of executions in every state."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.ui.conftest import HOSTILE, WORKFLOWS, Shop, open_shop
from traction.history.export import read_stored
from traction.payloads.codec import JSON, Codec
from traction.payloads.encryption import Encrypt, KeyRing
from traction.ui.links import link

VIEWS = ("/execution", "/execution/tree", "/execution/graph", "/execution/events")


class Text(HTMLParser):
    """Collects the text, the tags and the attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.tags, self.attributes = "", list[str](), list[tuple[str, str | None]]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


def read(page: str) -> str:
    return " ".join(Text(page).text.split())


# Lists.


@pytest.mark.parametrize(
    ("filters", "shown"),
    [
        ("", {"order-130", "order-117", "order-1", "parent-1", "hostile", "pack-40", "idle-1"}),
        ("status=open", {"order-130", "parent-1", "pack-40", "idle-1"}),
        ("status=closed", {"order-117", "order-1", "hostile"}),
        ("status=FAILED", {"order-117", "hostile"}),
        ("workflow=pack_all", {"pack-40"}),
        ("workflow=pack_all&version=1", {"pack-40"}),
        ("workflow=pack_all&version=2", set()),
        ("id=order-1", {"order-1"}),
        ("tag=eu&status=closed", {"order-117", "order-1"}),
        ("started=1h&workflow=say", {"hostile"}),
        ("closed=1h", {"order-117", "order-1", "hostile"}),
        ("id=unknown", set()),
    ],
)
def test_a_list_shows_the_executions_that_match_its_filters(shop_floor: Shop, filters: str, shown: set[str]) -> None:
    page = shop_floor.browse().get(f"/?{filters}").text
    found = set(re.findall(r'<a href="/execution\?[^"]*"><code>([^<]+)</code>', page))
    assert shown <= found
    # The child of parent-1 has an id that was not chosen here.
    assert len(found - shown) <= 1
    assert bool(found) or "No execution matches" in page


@pytest.mark.parametrize("filters", ["status=lost", "started=yesterday", "before=now", "before=2030-01-01", "closed=1"])
def test_a_wrong_filter_is_reported(shop_floor: Shop, filters: str) -> None:
    answer = shop_floor.browse().get(f"/?{filters}")
    assert answer.status_code == 400
    assert "The address is wrong" in answer.text


def test_a_list_counts_and_marks_executions_without_a_worker(shop_floor: Shop) -> None:
    text = read(shop_floor.browse().get("/?status=failed").text)
    assert "2 executions match" in text
    assert "1 execution matches" in read(shop_floor.browse().get("/?id=order-117").text)


# Executions.


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("id", ["order-130", "order-117", "order-1", "parent-1", "hostile", "pack-40", "idle-1"])
def test_every_view_of_every_execution_opens(shop_floor: Shop, id: str, view: str) -> None:
    for options in ({}, {"workflows": ()}):
        answer = shop_floor.browse(**options).get(shop_floor.address(id, view))
        assert answer.status_code == 200
        assert f">{id}</code>" in answer.text


def test_the_first_sentence_explains_what_an_execution_waits_for(shop_floor: Shop) -> None:
    text = read(shop_floor.browse().get(shop_floor.address("order-130")).text)
    assert "order-130 (fulfil 1) is open, and waits for a timer and the signal Approve" in text
    assert re.search(r"answer = await \(receive\(Approve\) .* waits for 2.0.receive-1, 2.1.sleep-1", text)
    assert "receipt 'receipt 89'" in text
    assert "0.receive-1 awaits the signal Approve" in text


def test_without_definitions_the_page_explains_how_to_see_the_flow(shop_floor: Shop) -> None:
    text = read(shop_floor.browse(workflows=()).get(shop_floor.address("order-130")).text)
    assert "waits for a timer" in text
    assert "--definitions MODULE" in text


def test_a_failure_shows_its_traceback_and_its_line(shop_floor: Shop) -> None:
    page = shop_floor.browse().get(shop_floor.address("order-117")).text
    text = read(page)
    assert "ConnectionError: reset by peer" in text
    assert "shop.py:" in text
    assert 'raise ConnectionError("reset by peer")' in text
    assert 'class="bad d0"' in page


def test_a_step_shows_its_attempts_and_values(shop_floor: Shop) -> None:
    step = "charge-1"
    text = read(shop_floor.browse().get(shop_floor.address("order-117", "/execution/step", step=step)).text)
    assert text.count("ConnectionError: reset by peer") >= 2
    assert "pause" in text
    assert '{"total":2000}' in text


def test_an_unknown_execution_step_or_address_is_not_found(shop_floor: Shop) -> None:
    client = shop_floor.browse()
    for address in (
        link("/execution", id="order-130", run="unknown"),
        link("/execution", id="unknown"),
        link("/execution/events", id="unknown", run="unknown"),
        link("/execution/download", id="unknown", run="unknown"),
        link("/live/execution", id="unknown", run="unknown"),
        shop_floor.address("order-130", "/execution/step", step="unknown"),
        "/static/app.py",
        "/unknown",
    ):
        answer = client.get(address)
        assert answer.status_code == 404, address
        assert "Not found" in answer.text
    assert client.get("/execution").status_code == 400


def test_an_address_without_a_run_leads_to_the_last_run(shop_floor: Shop) -> None:
    answer = shop_floor.browse().get("/execution/tree?id=order-130&at=3")
    assert answer.status_code == 302
    assert answer.headers["location"] == shop_floor.address("order-130", "/execution/tree", at=3)


def test_parents_and_children_are_linked(shop_floor: Shop) -> None:
    client = shop_floor.browse()
    page = client.get(shop_floor.address("parent-1")).text
    (child,) = set(re.findall(r'class="minor" href="([^"]+)"', page))
    child_page = client.get(child.replace("&amp;", "&")).text
    assert 'child of <a href="/execution?id=parent-1' in child_page


def test_a_moment_of_the_past_is_shown_as_it_was(shop_floor: Shop) -> None:
    client = shop_floor.browse()
    page = client.get(shop_floor.address("order-1", at=6)).text
    text = read(page)
    assert "This was so at event 6." in text
    assert "Open" in text
    assert "data-live" not in page
    assert re.search(r"receipt = await charge\(total\) waits for charge-1", text)
    for at in ("0", "999999", "-1", "x", "²"):
        assert client.get(shop_floor.address("order-1", at=at)).status_code == 200


def test_a_fan_out_is_folded_and_unfolds(shop_floor: Shop) -> None:
    client = shop_floor.browse()
    text = read(client.get(shop_floor.address("pack-40")).text)
    assert "39 done · 1 failed" in text
    assert "7.pack-1" in text
    assert "12.pack-1" not in text
    group = re.search(r"unfold=([^&\"]+)", client.get(shop_floor.address("pack-40")).text)
    assert group is not None
    unfolded = read(client.get(shop_floor.address("pack-40", unfold=group[1])).text)
    assert "12.pack-1" in unfolded


# Events.


def test_events_are_searched_and_paged(shop_floor: Shop) -> None:
    client = shop_floor.browse()
    text = read(client.get(shop_floor.address("pack-40", "/execution/events", q="torn")).text)
    assert "1 event contain" in text
    page = client.get(shop_floor.address("pack-40", "/execution/events")).text
    assert page.count('<tr id="e') == 100
    later = re.search(r'href="([^"]+)" rel="next"', page)
    assert later is not None
    assert '<tr id="e101"' in client.get(later[1].replace("&amp;", "&")).text


def test_the_download_is_the_history(shop_floor: Shop) -> None:
    answer = shop_floor.browse().get(shop_floor.address("order-1", "/execution/download"))
    assert read_stored(answer.content).events == shop_floor.handles["order-1"].history()
    assert answer.headers["content-disposition"].startswith("attachment")
    json.loads(answer.content)


# Text of others.


@pytest.mark.parametrize("view", VIEWS)
def test_text_of_others_is_shown_and_not_obeyed(shop_floor: Shop, view: str) -> None:
    page = shop_floor.browse().get(shop_floor.address("hostile", view)).text
    assert "<script>alert" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "\x00" not in page
    if view != "/execution/graph":
        assert "<script>alert(1)</script> \\x1b[31m \\u202e" in Text(page).text or "alert(1)" in Text(page).text


@pytest.mark.parametrize("place", ["id", "run", "workflow", "tag", "status", "at", "unfold", "q", "from", "before"])
def test_an_address_of_others_is_shown_and_not_obeyed(shop_floor: Shop, place: str) -> None:
    client = shop_floor.browse()
    for address in ("/", "/execution", "/execution/events", "/execution/tree"):
        base = {"id": "order-130", "run": shop_floor.handles["order-130"].run_id} if address != "/" else {}
        for text in (HOSTILE, "a" * 5_000, "\ud800", "../../etc", "9" * 400):
            answer = client.get(link(address, **(base | {place: text})))
            assert answer.status_code in (200, 400, 404)
            assert "<script>alert" not in answer.text
            assert "\u202e" not in answer.text


# Encrypted payloads.


@pytest.fixture(scope="module")
def secret_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, Codec]]:
    codec = Codec(Encrypt(KeyRing({"2024": bytes(16)})))
    for shop in open_shop(tmp_path_factory.mktemp("secret"), codec):
        yield shop, codec


def test_encrypted_payloads_are_read_only_with_the_codec(secret_shop: tuple[Shop, Codec]) -> None:
    shop, codec = secret_shop
    for view in VIEWS:
        page = shop.browse(codec=JSON, workflows=()).get(shop.address("order-1", view)).text
        assert "receipt 10" not in page
        assert view in ("/execution/graph", "/execution/tree") or "unreadable" in page
    assert "receipt 10" in shop.browse(codec=codec, workflows=WORKFLOWS).get(shop.address("order-1")).text
    assert "receipt 10" in shop.browse(codec=codec).get(shop.address("order-1", "/execution/events")).text


def test_a_page_of_an_unreadable_execution_with_definitions_opens(secret_shop: tuple[Shop, Codec]) -> None:
    shop, _ = secret_shop
    answer = shop.browse(codec=JSON).get(shop.address("order-130"))
    assert answer.status_code == 200


def test_the_style_sheet_and_the_script_are_in_the_package() -> None:
    folder = Path(__import__("traction.ui", fromlist=["_"]).__file__).parent
    assert {path.name for path in folder.iterdir()} >= {"style.css", "page.js", "icon.svg", "templates"}
