"""What is sent is what botocore's copy of the service's model allows, for every request there is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
import msgspec
import pytest
from botocore.stub import Stubber
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from tests.support.values import make_values, moments
from traction.model import operations as o
from traction_swf import wire
from traction_swf.backend import CHANGES, open_swf
from traction_swf.clients import POLLS, TIMED
from traction_swf.url import STICKY, read_url

SWF = botocore.session.get_session().get_service_model("swf")
TIME = datetime(2026, 3, 1, 12, 0, 0, 578_000, tzinfo=UTC)
# Names and versions are never empty: botocore asks for that, and so does SWF.
WORDS = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=9)
values = make_values(WORDS, st.integers(0, 1000), moments(2_000_000_000_000))


def test_every_operation_of_the_model_has_a_request() -> None:
    assert set(SWF.operation_names) == set(wire.OPERATIONS)


@pytest.mark.parametrize("name", sorted(wire.OPERATIONS))
@given(data=st.data())
def test_botocore_accepts_every_request(name: str, data: st.DataObject) -> None:
    request = data.draw(values(wire.OPERATIONS[name]))
    shape: Any = SWF.operation_model(name).input_shape
    report = ParamValidator().validate(wire.to_plain(request), shape)
    assert not report.has_errors(), report.generate_report()


@pytest.mark.parametrize("name", sorted(wire.OPERATIONS))
def test_every_request_uses_the_client_of_its_kind(name: str) -> None:
    backend = open_swf("swf://acme?endpoint=http://127.0.0.1:9")
    client = backend._choose(name)
    kinds = {backend._polls: POLLS, backend._changes: CHANGES}
    assert name in kinds.get(client, frozenset(wire.OPERATIONS) - POLLS - CHANGES)
    assert client.meta.config.retries["total_max_attempts"] == (5 if client is backend._reads else 1)
    assert client.meta.config.read_timeout >= (70 if name in POLLS else 1)
    backend.close()


def test_requests_and_responses_match_a_botocore_stub() -> None:
    backend = open_swf("swf://acme?endpoint=http://127.0.0.1:9")
    execution = {"workflowId": "w", "runId": "r"}
    with Stubber(backend._reads) as stub:
        event = {
            "eventId": 1,
            "eventTimestamp": TIME,
            "eventType": "DecisionTaskStarted",
            "decisionTaskStartedEventAttributes": {"scheduledEventId": 2},
        }
        # What a stub answers comes past the hook that takes bodies, so this is the ordinary way of reading.
        answer = {"events": [event], "ResponseMetadata": {"HTTPHeaders": {}}}
        sent = {"domain": "acme", "execution": execution, "maximumPageSize": 1, "reverseOrder": True}
        stub.add_response("get_workflow_execution_history", answer, sent)
        from traction.model.names import WorkflowExecution

        request = o.GetWorkflowExecutionHistory(
            domain="acme", execution=WorkflowExecution("w", "r"), maximum_page_size=1, reverse_order=True
        )
        (read,) = backend.call(request).events
    assert read.event_timestamp == TIME
    backend.close()


@pytest.mark.parametrize("name", sorted(TIMED))
def test_times_are_sent_to_the_millisecond(name: str) -> None:
    # botocore writes whole seconds: an execution that started within the last one would not be found.
    backend = open_swf("swf://acme?endpoint=http://127.0.0.1:9")
    request = wire.OPERATIONS[name](
        domain="acme", start_time_filter=o.ExecutionTimeFilter(oldest_date=TIME, latest_date=TIME)
    )
    bodies: list[bytes] = []

    def look(request: Any, **_: Any) -> None:
        bodies.append(request.body)
        raise ConnectionError("not sent")

    backend._reads.meta.events.register("before-send.swf", look)
    with pytest.raises(ConnectionError):
        backend.call(request)
    fields = msgspec.json.decode(bodies[0])
    assert fields["startTimeFilter"] == {"oldestDate": TIME.timestamp(), "latestDate": TIME.timestamp()}
    backend.close()


# URLs.


def test_a_url_can_contain_every_option() -> None:
    options = read_url(
        "swf://my%20domain?region=eu-west-1&endpoint=http://127.0.0.1:80&profile=p&pool=7&sticky=30&decode=plain"
        "&retention_days=3"
    )
    assert msgspec.structs.astuple(options) == (
        "my domain",
        "eu-west-1",
        "http://127.0.0.1:80",
        "p",
        7,
        timedelta(seconds=30),
        "plain",
        3,
    )


def test_a_url_needs_only_the_domain() -> None:
    options = read_url("swf://Acme")
    assert (options.domain, options.sticky, options.retention_days) == ("Acme", STICKY, None)


@pytest.mark.parametrize(
    "url",
    [
        "swf:",
        "swf://",
        "swf:acme",
        "swf://acme/prod",
        "swf://acme?colour=red",
        "swf://acme?region=",
        "swf://acme?region=a&region=b",
        "swf://acme?pool=0",
        "swf://acme?pool=many",
        "swf://acme?sticky=0",
        "swf://acme?sticky=on",
        "swf://acme?decode=slow",
        "swf://acme?retention_days=91",
        "swf://acme?endpoint=127.0.0.1",
        "swf://acme#prod",
    ],
)
def test_an_invalid_url_is_refused_with_the_valid_options(url: str) -> None:
    from traction.errors import BackendError

    with pytest.raises(BackendError) as caught:
        read_url(url)
    assert "write swf://DOMAIN?region=us-east-1" in str(caught.value)
