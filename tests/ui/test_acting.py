"""Forms act only with `--write`, after a confirmation that names the execution, and with a token."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.ui.conftest import HOSTILE, Shop, open_shop
from traction.model import events as e
from traction.payloads.codec import Codec
from traction.payloads.encryption import Encrypt, KeyRing

ORIGIN = {"origin": "http://localhost:8788"}


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    yield from open_shop(tmp_path_factory.mktemp("shop"))


def read_inputs(page: str) -> dict[str, str]:
    """Return the inputs of the first form that acts."""
    form = re.search(r'<form class="form".*?</form>', page, re.S)
    assert form is not None, page
    inputs = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form[0])
    return {name: html.unescape(value) for name, value in inputs}


def post(client: TestClient, action: str, inputs: dict[str, str]) -> Any:
    return client.post(f"/execution/act/{action}", data=inputs, headers=ORIGIN)


@pytest.mark.parametrize("action", ["signal", "cancel", "terminate"])
def test_without_write_the_page_only_reads(shop_floor: Shop, action: str) -> None:
    client = shop_floor.browse()
    assert "/execution/act" not in client.get(shop_floor.address("order-130")).text
    assert client.get(shop_floor.address("order-130", f"/execution/act/{action}")).status_code == 404
    inputs = {"id": "order-130", "run": shop_floor.handles["order-130"].run_id, "confirmed": "yes"}
    assert post(client, action, inputs).status_code in (404, 405)
    assert shop_floor.handles["order-130"].status() == "OPEN"


def test_a_signal_is_sent_by_a_form_of_its_fields(shop: Shop) -> None:
    client = shop.browse(may_write=True)
    page = client.get(shop.address("order-130", "/execution/act/signal")).text
    assert "Approve, which the flow awaits" in page
    fields = {"field-by": HOSTILE, "field-amount": "7", "field-is_gift": "true", "field-size": '"large"'}
    confirm = post(client, "signal", read_inputs(page) | fields)
    assert confirm.status_code == 200
    assert "Send a signal to <code>order-130</code>?" in confirm.text
    assert "<script>alert" not in confirm.text
    answer = post(client, "signal", read_inputs(confirm.text))
    assert answer.status_code == 303
    assert "The signal was sent." in client.get(answer.headers["location"]).text
    (sent,) = (one for one in shop.handles["order-130"].history() if isinstance(one, e.WorkflowExecutionSignaled))
    assert sent.signal_name == "Approve"
    expected = {"by": HOSTILE, "amount": 7, "is_gift": True, "size": "large", "notes": []}
    assert Codec().decode(sent.input, Any) == expected


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"field-by": "Ann", "field-amount": "many"}, "is not JSON"),
        ({"field-by": "Ann", "field-amount": '"7"'}, "Expected `int`"),
        ({"field-by": "Ann", "field-size": '"huge"'}, "Invalid enum value"),
        ({"field-by": "Ann", "field-notes": "[1]"}, "Expected `str`"),
        ({"target": "os:system"}, "there is no signal"),
    ],
)
def test_a_wrong_field_is_reported_in_the_form(shop_floor: Shop, fields: dict[str, str], error: str) -> None:
    client = shop_floor.browse(may_write=True)
    page = client.get(shop_floor.address("order-130", "/execution/act/signal")).text
    answer = post(client, "signal", read_inputs(page) | fields)
    assert answer.status_code == 422
    assert error in html.unescape(answer.text)
    assert 'value="Ann"' in answer.text or "target" in fields


def test_a_signal_without_definitions_is_a_name_and_json(shop: Shop) -> None:
    client = shop.browse(may_write=True, workflows=())
    inputs = read_inputs(client.get(shop.address("order-130", "/execution/act/signal")).text)
    assert post(client, "signal", inputs | {"name": "Approve", "payload": "{by"}).status_code == 422
    assert post(client, "signal", inputs | {"name": "", "payload": "{}"}).status_code == 422
    confirm = post(client, "signal", inputs | {"name": "Approve", "payload": '{"by": "Ann"}'})
    assert post(client, "signal", read_inputs(confirm.text)).status_code == 303
    (sent,) = (one for one in shop.handles["order-130"].history() if isinstance(one, e.WorkflowExecutionSignaled))
    assert Codec().decode(sent.input, Any) == {"by": "Ann"}


def test_a_signal_is_encrypted_by_the_codec_of_the_process(shop: Shop) -> None:
    codec = Codec(Encrypt(KeyRing({"2024": bytes(16)})))
    client = shop.browse(may_write=True, workflows=(), codec=codec)
    inputs = read_inputs(client.get(shop.address("idle-1", "/execution/act/signal")).text)
    confirm = post(client, "signal", inputs | {"name": "Approve", "payload": '"a secret"'})
    assert post(client, "signal", read_inputs(confirm.text)).status_code == 303
    (sent,) = (one for one in shop.handles["idle-1"].history() if isinstance(one, e.WorkflowExecutionSignaled))
    assert sent.input is not None
    assert "a secret" not in sent.input
    assert codec.decode(sent.input, Any) == "a secret"


def test_an_execution_is_cancelled_and_terminated_after_confirmation(shop: Shop) -> None:
    client = shop.browse(may_write=True)
    page = client.get(shop.address("idle-1", "/execution/act/cancel")).text
    assert "Request the cancellation of <code>idle-1</code>?" in page
    assert post(client, "cancel", read_inputs(page)).status_code == 303
    assert shop.handles["idle-1"].describe().execution_info.cancel_requested
    page = client.get(shop.address("idle-1", "/execution/act/terminate")).text
    assert post(client, "terminate", read_inputs(page) | {"reason": "a test"}).status_code == 303
    assert shop.handles["idle-1"].status() == "TERMINATED"
    assert "a test" in client.get(shop.address("idle-1")).text
    answer = post(client, "terminate", read_inputs(page))
    assert answer.status_code == 409
    assert "Not open" in answer.text


def test_a_form_without_its_token_does_nothing(shop_floor: Shop) -> None:
    client = shop_floor.browse(may_write=True)
    inputs = read_inputs(client.get(shop_floor.address("order-130", "/execution/act/terminate")).text)
    other = shop_floor.handles["pack-40"].run_id
    for changed in (
        {"token": ""},
        {"token": "0" * 64},
        {"id": "pack-40", "run": other},
        {"run": other},
    ):
        assert post(client, "terminate", inputs | changed).status_code == 403
    assert post(client, "cancel", inputs).status_code == 403
    # Another process has another secret.
    assert post(shop_floor.browse(may_write=True), "terminate", inputs).status_code == 403
    assert shop_floor.handles["order-130"].status() == "OPEN"
    assert shop_floor.handles["pack-40"].status() == "OPEN"


def test_a_form_that_is_too_long_or_unreadable_is_refused(shop_floor: Shop) -> None:
    client = shop_floor.browse(may_write=True)
    assert post(client, "signal", {"payload": "a" * 300_000}).status_code == 413
    for body in (b"\xff", b"a&b", b"&".join(b"a=b" for _ in range(300))):
        answer = client.post("/execution/act/signal", content=body, headers=ORIGIN)
        assert answer.status_code == 400
    assert client.get(shop_floor.address("order-130", "/execution/act/delete")).status_code == 404
    assert client.get("/execution/act/cancel").status_code == 400


def test_task_lists_and_types_are_counted(shop_floor: Shop) -> None:
    client = shop_floor.browse()
    page = client.get("/tasks").text
    assert re.search(r"<code>nobody</code></a></th><td>decision tasks</td><td>1</td>", page)
    assert "<td>decision tasks</td><td>1</td>" in client.get("/tasks?list=nobody").text
    assert "<td>decision tasks</td><td>0</td>" in client.get(f"/tasks?list={'a' * 10}").text
    types = client.get("/types").text
    assert "<code>pack_all</code>" in types
    assert "<code>charge</code>" in types
