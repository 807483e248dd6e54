"""What only the wire can get wrong: bad input, clients that go away, polls that wait, and clients that are not ours."""

from __future__ import annotations

import doctest
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.service.conftest import BEGIN
from traction.model.limits import Limits
from traction.model.operations import Operation
from traction.ui import trusted_hosts as guard
from traction.ui.trusted_hosts import is_accepted
from traction_local.backend import LocalBackend
from traction_local.server.app import serving
from traction_local.service.knobs import Knobs
from traction_local.service.service import Service
from traction_local.virtual_clock import VirtualClock

JSON = "application/x-amz-json-1.0"
LIST = {"name": "l"}
TRIP = {"name": "trip", "version": "1"}
ASKED = [kind.__name__ for kind in Operation.__args__]  # type: ignore[attr-defined]


class Door:
    """A client that sends bytes as they are, to one server."""

    def __init__(self, url: str, backend: LocalBackend) -> None:
        self.url = url
        self.backend = backend
        self.address = url.removeprefix("http://")

    def send(
        self, body: bytes = b"", *, method: str = "POST", path: str = "/", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request on a connection of its own. An underscore in the name of a header is a dash."""
        connection = http.client.HTTPConnection(self.address, timeout=30)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        finally:
            connection.close()

    def ask(self, operation: str, body: Any) -> tuple[int, Any]:
        """Send JSON. Return the status and the decoded response."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, _, response = self.send(sent, Content_Type=JSON, X_Amz_Target=f"SimpleWorkflowService.{operation}")
        return status, json.loads(response) if response else None

    def describe(self, name: str = "d", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Ask for a domain, which any client may."""
        body = json.dumps({"name": name}).encode()
        return self.send(body, Content_Type=JSON, X_Amz_Target="SimpleWorkflowService.DescribeDomain", **headers)

    def do(self, operation: str, **members: Any) -> Any:
        """Ask, and have it answered."""
        status, response = self.ask(operation, members)
        assert status == 200, response
        return response

    def poll_raw(self, operation: str = "PollForActivityTask") -> socket.socket:
        """Begin a poll, and leave it."""
        host, _, port = self.address.rpartition(":")
        connection = socket.create_connection((host, int(port)), timeout=30)
        body = json.dumps({"domain": "d", "taskList": LIST}).encode()
        head = (
            f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: {JSON}\r\n"
            f"X-Amz-Target: SimpleWorkflowService.{operation}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body)
        return connection

    def await_waiters(self, count: int) -> None:
        """Wait until this number of polls is pending. Only the backend knows them."""
        deadline = time.monotonic() + 30
        while sum(map(len, self.backend._waiters.values())) != count:
            assert time.monotonic() < deadline, "the polls did not come to wait, or not to an end"
            threading.Event().wait(0.001)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def open_door(stack: ExitStack, *, limits: Limits | None = None, knobs: Knobs | None = None, **given: Any) -> Door:
    """Serve a service whose time stands still, with a domain and types."""
    clock = VirtualClock(BEGIN)
    limits = limits or Limits()
    service = Service(limits=limits, knobs=knobs or Knobs())
    backend = LocalBackend(service, limits=limits, clock=clock, pace=0)
    door = Door(stack.enter_context(serving(backend, clock=clock, **given)), backend)
    door.do("RegisterDomain", name="d", workflowExecutionRetentionPeriodInDays="7")
    door.do(
        "RegisterWorkflowType",
        domain="d",
        **TRIP,
        defaultTaskList=LIST,
        defaultExecutionStartToCloseTimeout="3600",
        defaultTaskStartToCloseTimeout="60",
        defaultChildPolicy="TERMINATE",
    )
    return door


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    """A server for all that leaves no trace; a poll is answered at once."""
    with ExitStack() as stack:
        yield open_door(stack, wait=timedelta(0))


@pytest.fixture
def waiting(stack: ExitStack) -> Door:
    """A server of one's own, whose polls wait as SWF's do."""
    return open_door(stack)


def start(door: Door, workflow_id: str = "w") -> None:
    door.do("StartWorkflowExecution", domain="d", workflowId=workflow_id, workflowType=TRIP)


# What every answer has.


def test_an_answer_has_the_headers_of_swf(door: Door) -> None:
    status, headers, body = door.describe()
    assert (status, headers["content-type"]) == (200, "application/json")
    assert headers["content-length"] == str(len(body))
    assert re.fullmatch(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", headers["x-amzn-requestid"])
    assert body == (
        b'{"configuration":{"workflowExecutionRetentionPeriodInDays":"7"},'
        b'"domainInfo":{"arn":"arn:aws:swf:us-east-1:000000000000:/domain/d","name":"d","status":"REGISTERED"}}'
    )


def test_a_void_operation_is_answered_with_no_bytes(door: Door) -> None:
    body = b'{"name":"void","workflowExecutionRetentionPeriodInDays":"1"}'
    status, headers, response = door.send(body, Content_Type=JSON, X_Amz_Target="SimpleWorkflowService.RegisterDomain")
    assert (status, headers["content-length"], response) == (200, "0", b"")


def test_the_headers_of_boto_2_are_taken(door: Door) -> None:
    status, _, body = door.send(
        b'{"name":"d"}',
        Content_Type="application/json; charset=UTF-8",
        Content_Encoding="amz-1.0",
        X_Amz_Target="com.amazonaws.swf.service.model.SimpleWorkflowService.DescribeDomain",
    )
    assert (status, json.loads(body)["domainInfo"]["name"]) == (200, "d")


def test_an_empty_poll_has_a_token_and_event_ids_alone(door: Door) -> None:
    poll = {"domain": "d", "taskList": {"name": "empty"}}
    assert door.ask("PollForDecisionTask", poll) == (
        200,
        {"taskToken": "", "startedEventId": 0, "previousStartedEventId": 0},
    )
    assert door.ask("PollForActivityTask", poll) == (200, {"taskToken": "", "startedEventId": 0})


def test_a_fault_has_its_namespace_and_its_bare_name(door: Door) -> None:
    status, headers, body = door.describe("x")
    assert (status, headers["x-amzn-query-error"]) == (400, "UnknownResourceFault;Sender")
    assert body == b'{"__type":"com.amazonaws.swf.base.model#UnknownResourceFault","message":"Unknown domain: x"}'


# Bad input.


def one(path: str, value: str, constraint: str) -> str:
    return (
        f"1 validation error detected: Value {value} at '{path}' failed to satisfy constraint: Member must {constraint}"
    )


@pytest.mark.parametrize("operation", ASKED)
def test_members_that_are_missing_are_named_and_nothing_is_guessed(door: Door, operation: str) -> None:
    status, response = door.ask(operation, {})
    assert (status, response["__type"]) == (400, "com.amazon.coral.validate#ValidationException")
    assert "Value null at '" in response["message"]
    assert "failed to satisfy constraint: Member must not be null" in response["message"]


@pytest.mark.parametrize(
    ("decisions", "message"),
    [
        ([{}], one("decisions.1.member.decisionType", "null", "not be null")),
        (
            [
                {"decisionType": "RecordMarker", "recordMarkerDecisionAttributes": {"markerName": "m"}},
                {"decisionType": "StartTimer"},
            ],
            "StartTimerDecisionAttributes must be specified for decision of type StartTimer",
        ),
        (
            # Recorded in 2012 (aws-swf, pull request 2): a member that no model has is as none.
            [{"decisionType": "StartTimer", "StartTimerDecisionAttributes": {"timerId": "t"}}],
            "StartTimerDecisionAttributes must be specified for decision of type StartTimer",
        ),
        (
            [
                {"decisionType": "StartTimer"},
                {"decisionType": "RecordMarker", "recordMarkerDecisionAttributes": {}},
            ],
            # Recorded in 2013 (python-simple-workflow, issue 29) for a marker alone.
            one("decisions.2.member.recordMarkerDecisionAttributes.markerName", "null", "not be null"),
        ),
        (
            [{"decisionType": "StartTimer", "startTimerDecisionAttributes": {"startToFireTimeout": "1"}}],
            one("decisions.1.member.startTimerDecisionAttributes.timerId", "null", "not be null"),
        ),
        (
            [
                {
                    "decisionType": "CompleteWorkflowExecution",
                    "startTimerDecisionAttributes": {"timerId": "", "startToFireTimeout": "1"},
                }
            ],
            one(
                "decisions.1.member.startTimerDecisionAttributes.timerId",
                "''",
                "have length greater than or equal to 1",
            ),
        ),
        (
            [{"decisionType": "ContinueAsNewWorkflowExecution"}],
            (
                "ContinueAsNewWorkflowExecutionDecisionAttributes must be specified for decision of type "
                "ContinueAsNewWorkflowExecution"
            ),
        ),
    ],
)
def test_an_invalid_decision_is_reported_by_its_position(waiting: Door, decisions: list[Any], message: str) -> None:
    start(waiting)
    token = waiting.do("PollForDecisionTask", domain="d", taskList=LIST)["taskToken"]
    status, response = waiting.ask("RespondDecisionTaskCompleted", {"taskToken": token, "decisions": decisions})
    assert (status, response["message"]) == (400, message)


def test_all_errors_of_invalid_decisions_are_reported_together(door: Door) -> None:
    decisions = [{"decisionType": "Undo"}, {"decisionType": "CancelTimer", "cancelTimerDecisionAttributes": {}}]
    _, response = door.ask("RespondDecisionTaskCompleted", {"decisions": decisions})
    assert response["message"].startswith("3 validation errors detected: Value null at 'taskToken' ")
    assert "Value 'Undo' at 'decisions.1.member.decisionType'" in response["message"]
    assert "Value null at 'decisions.2.member.cancelTimerDecisionAttributes.timerId'" in response["message"]


def test_an_invalid_token_is_reported_before_invalid_decisions(waiting: Door) -> None:
    def ask(token: str) -> str:
        request = {"taskToken": token, "decisions": [{"decisionType": "Undo"}]}
        return str(waiting.ask("RespondDecisionTaskCompleted", request)[1]["message"])

    start(waiting)
    token = waiting.do("PollForDecisionTask", domain="d", taskList=LIST)["taskToken"]
    assert ask("garbage") == "Invalid token"
    assert ask(token).startswith("1 validation error detected: Value 'Undo' at 'decisions.1.member.decisionType'")
    waiting.do("RespondDecisionTaskCompleted", taskToken=token)
    assert ask(token) == "Unknown decision task, scheduledEventId = 2"


def test_closing_decisions_need_no_attributes_and_ignore_those_of_others(waiting: Door) -> None:
    start(waiting)
    token = waiting.do("PollForDecisionTask", domain="d", taskList=LIST)["taskToken"]
    unrelated = {"timerId": "t", "startToFireTimeout": "1"}
    decision = {"decisionType": "CompleteWorkflowExecution", "startTimerDecisionAttributes": unrelated}
    waiting.do("RespondDecisionTaskCompleted", taskToken=token, decisions=[decision])
    infos = waiting.do("ListClosedWorkflowExecutions", domain="d", startTimeFilter={"oldestDate": 0})["executionInfos"]
    assert [info["closeStatus"] for info in infos] == ["COMPLETED"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'"x"',
        b"\xff\xfe",
        b'{"name":"\xff"}',
        b'{"name":7}',
        b'{"name":["d"]}',
        b"[" * 500_000,
        b'{"name":"\\ud800"}',
        b'{"name":{"name":"d"}}',
        b'{"name":' + b"9" * 100_000 + b"}",
        b"{}{}",
        b"\xef\xbb\xbf{}",
    ],
    ids=lambda body: repr(body[:12]),
)
def test_an_invalid_body_is_a_client_error(door: Door, body: bytes) -> None:
    status, response = door.ask("DescribeDomain", body)
    namespace, _, code = response["__type"].partition("#")
    # No bytes are read as no members, which some clients send so.
    assert (status, code) == (400, "SerializationException" if body else "ValidationException")
    assert namespace == ("com.amazon.coral.service" if body else "com.amazon.coral.validate")


@pytest.mark.parametrize(
    "target", ["", "Nonsense", "SimpleWorkflowService.", "SimpleWorkflowService.Undo", "a.b.c", "é.ü"]
)
def test_an_invalid_target_is_a_client_error(door: Door, target: str) -> None:
    status, _, body = door.send(b"{}", Content_Type=JSON, X_Amz_Target=target)
    code = "UnknownOperationException" if target else "MissingAction"
    assert (status, json.loads(body)["__type"]) == (400, f"com.amazon.coral.service#{code}")


def test_a_missing_target_is_a_client_error(door: Door) -> None:
    status, _, body = door.send(b"{}", Content_Type=JSON)
    assert (status, json.loads(body)["__type"]) == (400, "com.amazon.coral.service#MissingAction")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_a_page_cannot_ask_by_a_form(door: Door, kind: str) -> None:
    assert door.send(b'{"name":"d"}', Content_Type=kind, X_Amz_Target="x.DescribeDomain")[0] == 415


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
def test_only_post_is_answered(door: Door, method: str) -> None:
    status, headers, _ = door.send(method=method)
    assert (status, headers["allow"]) == (405, "POST")


def test_an_unregistered_method_is_not_a_request(door: Door) -> None:
    assert door.send(method="NONSENSE")[0] == 400


@pytest.mark.parametrize("path", ["/x", "//", "/index.html", "/_traction", "/../../etc/passwd", "/%00", "/?x=/"])
def test_only_the_root_is_answered(door: Door, path: str) -> None:
    status, _, body = door.send(b"{}", path=path)
    assert status == (400 if path == "/?x=/" else 404)
    assert b"__type" in body


def test_a_request_may_have_a_megabyte_and_no_more(door: Door) -> None:
    at_most = b'{"name":"d"}'.ljust(1_048_576)
    target = "SimpleWorkflowService.DescribeDomain"
    assert door.send(at_most, Content_Type=JSON, X_Amz_Target=target)[0] == 200
    for more in (1, 5_000_000):
        status, _, body = door.send(at_most + b" " * more, Content_Type=JSON, X_Amz_Target=target)
        assert (status, b"RequestEntityTooLarge" in body) == (413, True)


def test_a_body_that_never_ends_is_cut_off(door: Door) -> None:
    connection = door.poll_raw()
    connection.close()
    host, _, port = door.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: {JSON}\r\nX-Amz-Target: x.ListDomains\r\n"
        connection.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        sent = 0
        with suppress(OSError):
            while sent < 200_000_000:
                connection.sendall(chunk)
                sent += len(chunk)
        assert sent < 200_000_000
    assert door.ask("ListDomains", {"registrationStatus": "REGISTERED"})[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "@", "[", "a b"]
)
def test_a_name_that_is_not_this_machines_is_not_answered(door: Door, host: str) -> None:
    status, _, body = door.describe(Host=host)
    assert status in (400, 403)
    assert b"arn:aws" not in body


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1:1", "127.9.9.9", "[::1]:8787", "swf.localhost", "localhost."]
)
def test_a_name_of_this_machine_is_answered(door: Door, host: str) -> None:
    status, _, _ = door.describe(Host=host)
    assert status == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "file://"])
@pytest.mark.parametrize("path", ["/", "/_traction/advance"])
def test_a_page_of_another_site_is_not_answered(door: Door, origin: str, path: str) -> None:
    status, _, _ = door.describe(path=path, Origin=origin)
    assert status == 403


def test_names_that_are_allowed_are_answered(stack: ExitStack) -> None:
    door = open_door(stack, hosts=frozenset({"swf.test"}))
    for host, expected in (("swf.test:80", 200), ("SWF.TEST", 200), ("other.test", 403)):
        status, _, _ = door.describe(Host=host)
        assert status == expected


@pytest.mark.parametrize(
    "host", ["evillocalhost", "a@localhost", "localhost/a", "evil.test?.localhost", "a#.localhost"]
)
def test_a_name_that_only_looks_like_this_machines_is_not_accepted(host: str) -> None:
    assert not is_accepted(host, frozenset())


@given(st.text())
def test_whether_a_host_is_accepted_is_decided_for_any_text(host: str) -> None:
    assert is_accepted(host, frozenset()) in (True, False)
    assert is_accepted(host, frozenset({"*"}))


def test_the_examples_of_the_guard_are_true() -> None:
    assert doctest.testmod(guard) == (0, 2)


MEMBERS = st.sampled_from(
    [
        "childPolicy",
        "closeStatusFilter",
        "closeTimeFilter",
        "decisionType",
        "decisions",
        "domain",
        "execution",
        "executionFilter",
        "executionStartToCloseTimeout",
        "input",
        "key",
        "latestDate",
        "maximumPageSize",
        "name",
        "nextPageToken",
        "oldestDate",
        "registrationStatus",
        "resourceArn",
        "reverseOrder",
        "runId",
        "signalName",
        "startTimeFilter",
        "startTimerDecisionAttributes",
        "status",
        "tagFilter",
        "tagKeys",
        "tagList",
        "tags",
        "taskList",
        "taskToken",
        "timerId",
        "typeFilter",
        "value",
        "version",
        "workflowExecutionRetentionPeriodInDays",
        "workflowId",
        "workflowType",
    ]
)
WORDS = st.sampled_from(
    ["d", "l", "w", "trip", "1", "", "NONE", "StartTimer", "REGISTERED", "arn:aws:swf:us-east-1:000000000000:/domain/d"]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS, inner, max_size=4),
    max_leaves=12,
)


def is_an_answer_or_the_senders_fault(status: int, headers: dict[str, str], body: bytes) -> bool:
    return (status == 200 or 400 <= status < 500) and headers["content-length"] == str(len(body))


@given(operation=st.sampled_from(ASKED), body=st.dictionaries(MEMBERS, VALUES, max_size=6))
def test_no_json_makes_the_server_fail(door: Door, operation: str, body: Any) -> None:
    sent = json.dumps(body).encode()
    response = door.send(sent, Content_Type=JSON, X_Amz_Target=f"SimpleWorkflowService.{operation}")
    assert is_an_answer_or_the_senders_fault(*response), response


@given(
    operation=st.sampled_from([*ASKED, "Undo"]),
    body=st.binary(max_size=200) | VALUES.map(lambda v: json.dumps(v).encode()),
)
def test_no_bytes_make_the_server_fail(door: Door, operation: str, body: bytes) -> None:
    response = door.send(body, Content_Type=JSON, X_Amz_Target=f"SimpleWorkflowService.{operation}")
    assert is_an_answer_or_the_senders_fault(*response), response


PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40).map(str.strip)


@given(
    target=PRINTABLE,
    kind=st.sampled_from([JSON, "application/json"]) | PRINTABLE,
    path=st.just("/") | PRINTABLE.map(lambda p: "/" + p.replace(" ", "")),
)
def test_no_target_or_path_makes_the_server_fail(door: Door, target: str, kind: str, path: str) -> None:
    response = door.send(b"{}", path=path, Content_Type=kind, X_Amz_Target=target)
    assert response[0] != 200
    assert response[0] < 500


@given(st.binary(max_size=300))
def test_no_garbage_on_a_connection_makes_the_server_hang(door: Door, garbage: bytes) -> None:
    host, _, port = door.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(garbage + b"\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    assert door.ask("ListDomains", {"registrationStatus": "REGISTERED"})[0] == 200


# Polls that wait.


def test_a_poll_is_answered_as_soon_as_a_task_is_there(waiting: Door) -> None:
    with ThreadPoolExecutor() as threads:
        poll = threads.submit(waiting.do, "PollForDecisionTask", domain="d", taskList=LIST)
        waiting.await_waiters(1)
        start(waiting)
        assert poll.result(30)["workflowExecution"]["workflowId"] == "w"


def test_a_poll_is_woken_by_an_alarm(waiting: Door) -> None:
    start(waiting)
    waiting.do("PollForDecisionTask", domain="d", taskList=LIST)
    with ThreadPoolExecutor() as threads:
        poll = threads.submit(waiting.do, "PollForDecisionTask", domain="d", taskList=LIST)
        waiting.await_waiters(1)
        waiting.send(b'{"seconds":60}', path="/_traction/advance")
        events = poll.result(30)["events"]
    assert [event["eventType"] for event in events][3:] == [
        "DecisionTaskTimedOut",
        "DecisionTaskScheduled",
        "DecisionTaskStarted",
    ]


def test_a_poll_is_woken_by_an_alarm_in_real_time(stack: ExitStack) -> None:
    backend = LocalBackend(Service())
    door = Door(stack.enter_context(serving(backend)), backend)
    door.do("RegisterDomain", name="d", workflowExecutionRetentionPeriodInDays="7")
    door.do("RegisterWorkflowType", domain="d", **TRIP, defaultTaskList=LIST)
    settings = {"executionStartToCloseTimeout": "60", "taskStartToCloseTimeout": "1", "childPolicy": "TERMINATE"}
    door.do("StartWorkflowExecution", domain="d", workflowId="w", workflowType=TRIP, **settings)
    assert len(door.do("PollForDecisionTask", domain="d", taskList=LIST)["events"]) == 3
    assert len(door.do("PollForDecisionTask", domain="d", taskList=LIST)["events"]) == 6


def test_polls_are_served_in_the_order_in_which_they_came(waiting: Door) -> None:
    connections = []
    for count in range(1, 6):
        connections.append(waiting.poll_raw("PollForDecisionTask"))
        waiting.await_waiters(count)
    for number, connection in enumerate(connections):
        start(waiting, f"w{number}")
        assert f'"workflowId":"w{number}"'.encode() in receive(connection)


def receive(connection: socket.socket) -> bytes:
    """Read one answer to its end."""
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0 or len(received) < end + 4 + find_length(received):
        received += (chunk := connection.recv(65536))
        assert chunk, received
    connection.close()
    return received


def find_length(head: bytes) -> int:
    found = re.search(rb"content-length: (\d+)", head)
    assert found is not None
    return int(found[1])


def test_the_poll_of_a_disconnected_client_ends_and_loses_no_task(waiting: Door) -> None:
    gone = [waiting.poll_raw("PollForDecisionTask") for _ in range(3)]
    waiting.await_waiters(3)
    for connection in gone:
        connection.close()
    waiting.await_waiters(0)
    start(waiting)
    assert waiting.do("PollForDecisionTask", domain="d", taskList=LIST)["startedEventId"] == 3


def test_the_poll_of_a_disconnected_client_frees_its_place(waiting: Door) -> None:
    first, second = waiting.poll_raw("PollForDecisionTask"), waiting.poll_raw("PollForDecisionTask")
    waiting.await_waiters(2)
    first.close()
    waiting.await_waiters(1)
    start(waiting)
    assert b'"workflowId":"w"' in receive(second)


def test_many_polls_wait_at_once_and_each_task_goes_to_one(waiting: Door) -> None:
    connections = [waiting.poll_raw("PollForDecisionTask") for _ in range(200)]
    waiting.await_waiters(200)
    for number in range(200):
        start(waiting, f"w{number}")
    got = [re.findall(rb'"workflowId":"(w\d+)"', receive(connection)) for connection in connections]
    assert sorted(name for names in got for name in set(names)) == sorted(f"w{n}".encode() for n in range(200))


def test_a_list_accepts_polls_up_to_the_limit(stack: ExitStack) -> None:
    door = open_door(stack, limits=Limits(pollers_max=2))
    polls = [door.poll_raw("PollForDecisionTask") for _ in range(2)]
    door.await_waiters(2)
    status, response = door.ask("PollForDecisionTask", {"domain": "d", "taskList": LIST})
    assert (status, response) == (
        400,
        {
            "__type": "com.amazonaws.swf.base.model#LimitExceededFault",
            "message": "Limit on maximum concurrent poll requests per task list reached",
        },
    )
    for poll in polls:
        poll.close()


def test_a_poll_is_answered_empty_when_its_time_is_up(stack: ExitStack) -> None:
    door = open_door(stack, wait=timedelta(milliseconds=50))
    assert door.do("PollForActivityTask", domain="d", taskList=LIST) == {"taskToken": "", "startedEventId": 0}
    start(door)
    assert door.do("PollForDecisionTask", domain="d", taskList=LIST)["startedEventId"] == 3


def test_polls_are_answered_empty_when_the_server_stops() -> None:
    with ExitStack() as stack:
        door = open_door(stack)
        polls = [door.poll_raw("PollForDecisionTask"), door.poll_raw("PollForActivityTask")]
        door.await_waiters(2)
    for poll in polls:
        assert b'"taskToken":""' in receive(poll)


# Time by hand.


def test_time_stands_still_until_it_is_advanced(waiting: Door) -> None:
    start(waiting)
    waiting.do("PollForDecisionTask", domain="d", taskList=LIST)
    assert waiting.send(b"", path="/_traction/advance")[2] == (
        b'{"now":"2024-02-29T12:00:00Z","nextAlarm":"2024-02-29T12:01:00Z"}'
    )
    assert waiting.send(b'{"seconds":59.5}', path="/_traction/advance")[2] == (
        b'{"now":"2024-02-29T12:00:59.500000Z","nextAlarm":"2024-02-29T12:01:00Z"}'
    )
    assert waiting.send(b'{"seconds":0.5}', path="/_traction/advance")[2] == (
        b'{"now":"2024-02-29T12:01:00Z","nextAlarm":"2024-02-29T13:00:00Z"}'
    )


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"seconds":"x"}', b'{"seconds":-1}', b'{"seconds":1e10}', b'{"x":1}', b"x" * 9999]
)
def test_invalid_requests_do_not_advance_time(door: Door, body: bytes) -> None:
    status, _, response = door.send(body, path="/_traction/advance")
    assert status in (400, 413)
    assert "message" in json.loads(response)


@pytest.mark.parametrize(("bytes_more", "status"), [(0, 200), (1, 413)])
def test_time_is_asked_for_in_a_kilobyte(waiting: Door, bytes_more: int, status: int) -> None:
    body = b'{"seconds":1}'.ljust(1024 + bytes_more)
    assert waiting.send(body, path="/_traction/advance")[0] == status


def test_time_that_passes_by_itself_is_not_advanced(stack: ExitStack) -> None:
    backend = LocalBackend(Service())
    door = Door(stack.enter_context(serving(backend)), backend)
    assert door.send(b'{"seconds":1}', path="/_traction/advance")[0] == 409


# Clients that are not ours.


def make_client(door: Door) -> Any:
    return boto3.client(
        "swf",
        endpoint_url=door.url,
        region_name="us-east-1",
        aws_access_key_id="nobody",
        aws_secret_access_key="nothing",
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_botocores_paginators_page_to_the_end(stack: ExitStack) -> None:
    door = open_door(stack, wait=timedelta(0), knobs=Knobs(page_items_served_max=3))
    for number in range(7):
        start(door, f"w{number}")
    client = make_client(door)
    begin = {"oldestDate": 0}
    pages = list(client.get_paginator("list_open_workflow_executions").paginate(domain="d", startTimeFilter=begin))
    assert [len(page["executionInfos"]) for page in pages] == [3, 3, 1]
    runs = [info["execution"] for page in pages for info in page["executionInfos"]]
    assert [run["workflowId"] for run in runs] == [f"w{number}" for number in reversed(range(7))]
    run = runs[-1]
    for number in range(4):
        client.signal_workflow_execution(domain="d", workflowId=run["workflowId"], signalName=f"s{number}")
    history = client.get_paginator("get_workflow_execution_history").paginate(domain="d", execution=run)
    assert [event["eventId"] for page in history for event in page["events"]] == [1, 2, 3, 4, 5, 6]
    polls = list(client.get_paginator("poll_for_decision_task").paginate(domain="d", taskList=LIST))
    assert [event["eventId"] for page in polls for event in page["events"]] == [1, 2, 3, 4, 5, 6, 7]
    assert {page["taskToken"] for page in polls} == {polls[0]["taskToken"]}
    assert (
        len(
            client.get_paginator("list_domains")
            .paginate(registrationStatus="REGISTERED")
            .build_full_result()["domainInfos"]
        )
        == 1
    )
    assert client.get_paginator("list_workflow_types").paginate(
        domain="d", registrationStatus="DEPRECATED"
    ).build_full_result() == {"typeInfos": []}


def test_botocore_raises_the_fault_by_its_name(door: Door) -> None:
    client = make_client(door)
    with pytest.raises(client.exceptions.UnknownResourceFault, match="Unknown domain: x"):
        client.describe_domain(name="x")


def test_the_aws_command_line_works(waiting: Door, tmp_path: Path) -> None:
    aws = shutil.which("aws")
    if aws is None:
        pytest.skip("the AWS CLI is not installed")
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_SWF": waiting.url,
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_PAGER": "",
    }

    def run(*words: str) -> Any:
        completed = subprocess.run([aws, "swf", *words], env=environment, capture_output=True, text=True, check=False)
        assert completed.returncode == 0, completed.stderr
        return json.loads(completed.stdout) if completed.stdout else None

    started = run(
        "start-workflow-execution", "--domain", "d", "--workflow-id", "w", "--workflow-type", "name=trip,version=1"
    )
    task = run("poll-for-decision-task", "--domain", "d", "--task-list", "name=l")
    assert task["workflowExecution"] == {"workflowId": "w", "runId": started["runId"]}
    run(
        "respond-decision-task-completed",
        "--task-token",
        task["taskToken"],
        "--decisions",
        '[{"decisionType":"CompleteWorkflowExecution"}]',
    )
    infos = run("list-closed-workflow-executions", "--domain", "d", "--start-time-filter", "oldestDate=0")[
        "executionInfos"
    ]
    assert [info["closeStatus"] for info in infos] == ["COMPLETED"]


# The command.


class Command:
    """`traction serve` in a process of its own."""

    def __init__(self, stack: ExitStack, *options: str, cwd: Path | None = None) -> None:
        command = [sys.executable, "-m", "traction", "serve", "--port", "0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd)
        stack.callback(self._end)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        self.door = Door(self.url, LocalBackend(Service()))

    def _end(self) -> None:
        self.process.kill()
        self.process.communicate()

    def stop(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        out, err = self.process.communicate(timeout=30)
        assert (out, err) == ("", "")
        return self.process.returncode


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_command_prints_its_url_and_exits_with_0(stack: ExitStack, how: signal.Signals) -> None:
    command = Command(stack, "--domain", "acme", "--domain", "other")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", command.url)
    infos = command.door.do("ListDomains", registrationStatus="REGISTERED")["domainInfos"]
    assert [info["name"] for info in infos] == ["acme", "other"]
    poll = command.door.poll_raw("PollForDecisionTask")
    assert receive(poll).startswith(b"HTTP/1.1 400")
    assert command.stop(how) == 0


def test_what_is_in_a_file_outlives_a_server_that_is_killed(stack: ExitStack, tmp_path: Path) -> None:
    options = ("--db", str(tmp_path / "work.db"), "--domain", "d")
    first = Command(stack, *options)
    first.door.do("RegisterWorkflowType", domain="d", **TRIP)
    first.process.kill()
    first.process.communicate()
    second = Command(stack, *options)
    infos = second.door.do("ListWorkflowTypes", domain="d", registrationStatus="REGISTERED")["typeInfos"]
    assert [info["workflowType"] for info in infos] == [TRIP]
    assert second.stop(signal.SIGTERM) == 0


def test_an_unusable_file_is_reported_and_is_not_a_fault(stack: ExitStack, tmp_path: Path) -> None:
    command = Command(stack, "--db", str(tmp_path / "work.db"), "--domain", "d", "--virtual")
    for path in tmp_path.iterdir():
        path.unlink()
    status, _, body = command.door.describe()
    assert (status, json.loads(body)["__type"]) == (503, "com.amazon.coral.service#ServiceUnavailable")


def test_time_may_pass_faster(stack: ExitStack) -> None:
    door = Command(stack, "--speed", "3600", "--domain", "d").door
    door.do("RegisterWorkflowType", domain="d", **TRIP, defaultTaskList=LIST)
    # An hour and a minute: two seconds here.
    settings = {"executionStartToCloseTimeout": "86400", "taskStartToCloseTimeout": "3660", "childPolicy": "TERMINATE"}
    door.do("StartWorkflowExecution", domain="d", workflowId="w", workflowType=TRIP, **settings)
    assert len(door.do("PollForDecisionTask", domain="d", taskList=LIST)["events"]) == 3
    events = door.do("PollForDecisionTask", domain="d", taskList=LIST)["events"]
    assert events[3]["eventTimestamp"] - events[2]["eventTimestamp"] >= 3660


def test_lambda_functions_are_answered_by_functions(stack: ExitStack, tmp_path: Path) -> None:
    (tmp_path / "handlers.py").write_text(
        "def double(event, context):\n    return event['n'] * 2\n\ndef fail(event, context):\n    raise KeyError('n')\n"
    )
    command = Command(
        stack,
        "--domain",
        "d",
        "--virtual",
        "--lambda",
        "handlers:double",
        "--lambda",
        "broken=handlers:fail",
        cwd=tmp_path,
    )
    door = command.door
    door.do("RegisterWorkflowType", domain="d", **TRIP, defaultTaskList=LIST, defaultLambdaRole="role")
    settings = {"executionStartToCloseTimeout": "60", "taskStartToCloseTimeout": "9", "childPolicy": "TERMINATE"}
    door.do("StartWorkflowExecution", domain="d", workflowId="w", workflowType=TRIP, **settings)
    task = door.do("PollForDecisionTask", domain="d", taskList=LIST)
    decisions = [
        {
            "decisionType": "ScheduleLambdaFunction",
            "scheduleLambdaFunctionDecisionAttributes": {"id": name, "name": name, "input": '{"n":21}'},
        }
        for name in ("double", "broken", "nobody")
    ]
    door.do("RespondDecisionTaskCompleted", taskToken=task["taskToken"], decisions=decisions)
    events = door.do("GetWorkflowExecutionHistory", domain="d", execution=task["workflowExecution"])["events"]
    outcomes = [
        attributes.get("result") or attributes["reason"]
        for event in events
        for name, attributes in event.items()
        if name in ("lambdaFunctionCompletedEventAttributes", "lambdaFunctionFailedEventAttributes")
    ]
    assert outcomes == ["42", "KeyError", "ResourceNotFoundException"]
    assert command.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--lambda", "nowhere"), "does not name a function"),
        (("--lambda", "os:nowhere"), "cannot be loaded"),
        (("--lambda", "os:getpid"), "not a Lambda handler"),
        (("--virtual", "--speed", "2"), "cannot be used with --virtual"),
        (("--host", "192.0.2.1"), "cannot listen on 192.0.2.1"),
    ],
)
def test_an_invalid_command_exits_with_2_and_the_reason(options: tuple[str, ...], message: str) -> None:
    completed = subprocess.run(
        [sys.executable, "-m", "traction", "serve", "--port", "0", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (completed.returncode, completed.stdout) == (2, "")
    assert message in " ".join(re.sub(r"[│╭╮╰╯─]", " ", completed.stderr).split())
