"""Errors name who should act, and requests are retried only where that is safe."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, cast
from urllib.parse import quote

import botocore.exceptions as b
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traction.errors import (
    BackendError,
    InternalFailure,
    LimitExceededFault,
    OperationNotPermittedFault,
    ServiceFault,
    ThrottlingException,
    UnknownResourceFault,
    ValidationException,
)
from traction.model import operations as o
from traction.model.names import TaskList, WorkflowExecution
from traction_swf import wire
from traction_swf.backend import SwfBackend, open_swf
from traction_swf.clients import translate_error
from traction_swf.clock import ServiceClock
from traction_swf.error_codes import NotTaken, ServiceUnavailable, SignatureExpired, classify

# Codes.


@pytest.mark.parametrize("prefix", ["", "com.amazonaws.swf.base.model#", "com.amazon.coral.validate#"])
@pytest.mark.parametrize("code", sorted(wire.FAULTS))
def test_faults_are_recognized_by_code_in_every_form(code: str, prefix: str) -> None:
    error = classify(prefix + code, "said")
    assert isinstance(error, ServiceFault)
    assert (error.code, str(error)) == (code, "said")


@pytest.mark.parametrize(
    ("code", "status", "kind", "retryable"),
    [
        ("ThrottlingException", 400, ThrottlingException, True),
        ("com.amazon.coral.availability#ThrottlingException", 400, ThrottlingException, True),
        ("Throttling", 400, ThrottlingException, True),
        ("429", 429, ThrottlingException, True),
        ("InternalFailure", 500, InternalFailure, True),
        ("InternalServerError", 500, InternalFailure, True),
        ("500", 500, InternalFailure, True),
        ("ServiceUnavailable", 503, ServiceUnavailable, True),
        ("502", 502, ServiceUnavailable, True),
        ("503", 503, ServiceUnavailable, True),
        ("504", 504, ServiceUnavailable, True),
        ("ExpiredTokenException", 400, SignatureExpired, True),
        ("com.amazon.coral.service#ExpiredTokenException", 400, SignatureExpired, True),
        ("RequestExpired", 400, SignatureExpired, True),
        ("RequestTimeTooSkewed", 403, SignatureExpired, True),
        ("RequestTimeout", 400, ServiceUnavailable, True),
        ("AccessDeniedException", 400, OperationNotPermittedFault, False),
        ("UnrecognizedClientException", 400, BackendError, False),
        ("InvalidSignatureException", 403, BackendError, False),
        ("LimitExceededFault", 400, LimitExceededFault, False),
        ("SomethingNew", 400, BackendError, False),
        ("", 400, BackendError, False),
    ],
)
def test_every_other_error_is_marked_as_retryable_or_not(code: str, status: int, kind: type, retryable: bool) -> None:
    error = classify(code, "said", status)
    assert (type(error), error.retryable) == (kind, retryable)


@given(st.text(max_size=30), st.text(max_size=30), st.integers(300, 599))
def test_every_error_has_a_class(code: str, message: str, status: int) -> None:
    assert isinstance(classify(code, message, status), BackendError)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (b.ReadTimeoutError(endpoint_url="x"), ServiceUnavailable),
        (b.ConnectionClosedError(endpoint_url="x"), ServiceUnavailable),
        (b.ConnectTimeoutError(endpoint_url="x"), NotTaken),
        (b.EndpointConnectionError(endpoint_url="x"), NotTaken),
        (b.CredentialRetrievalError(provider="x", error_msg="y"), NotTaken),
        (b.SSLError(endpoint_url="x", error=OSError("y")), ServiceUnavailable),
        (b.NoCredentialsError(), BackendError),
        (b.ParamValidationError(report="x"), ValidationException),
    ],
)
def test_connection_errors_state_whether_the_request_was_sent(error: Exception, kind: type) -> None:
    assert type(translate_error(error)) is kind


# A server with scripted responses.


class Scripted:
    """Answers each request with the next line of a script: a status and a body, or a connection that ends."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.script: list[tuple[int, bytes] | str] = []
        self.asked: list[str] = []
        self.headers: dict[str, str] = {}
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as received:
            headers: dict[str, str] = {}
            while (line := received.readline().strip()) != b"":
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            if not headers:
                return
            received.read(int(headers.get("content-length", 0)))
            self.asked.append(headers["x-amz-target"].rpartition(".")[2])
            scripted = self.script.pop(0)
            if isinstance(scripted, str):
                if scripted == "cut":
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
                return
            status, body = scripted
            lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
            head = f"HTTP/1.1 {status} Scripted\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{lines}\r\n"
            connection.sendall(head.encode() + body)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    server = Scripted()
    yield server
    server.close()


@pytest.fixture(params=["fast", "plain"])
def backend(scripted: Scripted, request: pytest.FixtureRequest) -> Iterator[SwfBackend]:
    backend = open_swf(f"swf://acme?endpoint={quote(scripted.url)}&decode={request.param}")
    yield backend
    backend.close()


def fault(code: str, message: str = "said") -> tuple[int, bytes]:
    return 400, json.dumps({"__type": f"com.amazonaws.swf.base.model#{code}", "message": message}).encode()


THROTTLED = (400, b'{"__type":"com.amazon.coral.availability#ThrottlingException","message":"Rate exceeded"}')
EXECUTION = WorkflowExecution("w", "r")
SIGNAL = o.SignalWorkflowExecution(domain="acme", workflow_id="w", signal_name="s")
POLL = o.PollForDecisionTask(domain="acme", task_list=TaskList("l"))
COUNT = o.CountPendingActivityTasks(domain="acme", task_list=TaskList("l"))


EXPIRED = (400, b'{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"expired"}')


@pytest.mark.parametrize("refusal", [THROTTLED, EXPIRED])
def test_a_change_that_swf_refused_for_a_moment_is_retried(
    refusal: tuple[int, bytes], scripted: Scripted, backend: SwfBackend
) -> None:
    scripted.script = [refusal, (200, b"")]
    backend.call(SIGNAL)
    assert scripted.asked == ["SignalWorkflowExecution"] * 2


@pytest.mark.parametrize("lost", ["drop", "cut"])
def test_a_change_whose_response_is_lost_is_not_retried(lost: str, scripted: Scripted, backend: SwfBackend) -> None:
    scripted.script = [lost]
    with pytest.raises(ServiceUnavailable) as caught:
        backend.call(SIGNAL)
    assert caught.value.retryable
    assert len(scripted.asked) == 1


@pytest.mark.parametrize("response", [THROTTLED, "drop", "cut", (503, b"<html><body>busy</body></html>"), (500, b"")])
def test_polls_are_never_retried_automatically(
    response: Any, scripted: Scripted, backend: SwfBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traction_swf.backend.HELD_SECONDS_MIN", 60.0)  # however slow the machine
    scripted.script = [response]
    with pytest.raises(BackendError) as caught:
        backend.call(POLL)
    assert caught.value.retryable
    assert len(scripted.asked) == 1


BROKEN_OFF = ["drop", *((status, b"<html><body>proxy</body></html>") for status in (408, 502, 503, 504))]


@pytest.mark.parametrize("response", BROKEN_OFF)
def test_a_held_poll_that_is_cut_off_is_empty_and_logged_at_debug(
    response: Any, scripted: Scripted, backend: SwfBackend, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG, "traction")
    monkeypatch.setattr("traction_swf.backend.HELD_SECONDS_MIN", 0.0)
    scripted.script = [response]
    assert not backend.call(POLL).task_token
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("DEBUG", None)
    assert "a poll of l was cut off after" in record.message


@pytest.mark.parametrize("response", BROKEN_OFF)
def test_a_poll_that_is_cut_off_at_once_is_an_error(
    response: Any, scripted: Scripted, backend: SwfBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traction_swf.backend.HELD_SECONDS_MIN", 60.0)  # however slow the machine
    scripted.script = [response]
    with pytest.raises(ServiceUnavailable):
        backend.call(POLL)


@pytest.mark.parametrize("response", [THROTTLED, "cut", (500, b""), (400, b"{}")])
def test_a_partial_response_to_a_held_poll_is_never_treated_as_empty(
    response: Any, scripted: Scripted, backend: SwfBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traction_swf.backend.HELD_SECONDS_MIN", 0.0)
    scripted.script = [response]
    with pytest.raises(BackendError):
        backend.call(POLL)


def test_a_poll_for_another_page_is_retried(scripted: Scripted, backend: SwfBackend) -> None:
    more = o.PollForDecisionTask(domain="acme", task_list=TaskList("l"), next_page_token="p")
    page = b'{"taskToken":"t","startedEventId":3,"previousStartedEventId":0,"workflowType":{"name":"w","version":"1"},'
    page += b'"workflowExecution":{"workflowId":"w","runId":"r"},"events":[]}'
    scripted.script = ["drop", "cut", THROTTLED, (503, b""), (200, page)]
    assert backend.call(more).task_token == "t"
    assert len(scripted.asked) == 5


def test_reads_are_retried_after_any_transient_error(scripted: Scripted, backend: SwfBackend) -> None:
    scripted.script = ["drop", "cut", EXPIRED, (200, b'{"count":3,"truncated":false}')]
    assert backend.call(COUNT).count == 3


def test_workers_wait_after_the_fault_for_too_many_polls(scripted: Scripted, backend: SwfBackend) -> None:
    scripted.script = [fault("LimitExceededFault", "Limit on maximum concurrent poll requests per task list reached")]
    with pytest.raises(LimitExceededFault, match="concurrent poll requests"):
        backend.call(POLL)


@pytest.mark.parametrize(
    "body",
    [
        b'{"taskToken":"","startedEventId":0,"previousStartedEventId":0}',
        b'{"startedEventId":0,"previousStartedEventId":0}',
        b'{"taskToken":null}',
        b"{}",
        b"",
    ],
)
def test_an_empty_poll_is_recognized_in_every_form(body: bytes, scripted: Scripted, backend: SwfBackend) -> None:
    scripted.script = [(200, body), (200, body)]
    assert not backend.call(POLL).task_token
    assert not backend.call(o.PollForActivityTask(domain="acme", task_list=TaskList("l"))).task_token


def test_unknown_members_are_ignored(scripted: Scripted, backend: SwfBackend) -> None:
    scripted.script = [(200, b'{"count":1,"reopenable":false}')]
    assert backend.call(COUNT).count == 1


def test_a_response_that_is_not_swfs_is_a_backend_error(scripted: Scripted, backend: SwfBackend) -> None:
    scripted.script = [(200, b'{"count":"many"}')] * 9
    with pytest.raises(BackendError):
        backend.call(COUNT)


def test_an_empty_name_is_refused_as_swf_refuses_it(backend: SwfBackend) -> None:
    with pytest.raises(ValidationException):
        backend.call(o.PollForDecisionTask(domain="", task_list=TaskList("")))


def test_a_refused_connection_is_reported_as_not_sent(backend: SwfBackend, scripted: Scripted) -> None:
    scripted.close()
    with pytest.raises(NotTaken):
        backend.call(POLL)
    scripted._listener = socket.create_server(("127.0.0.1", 0))


def test_waiting_for_a_close_survives_an_unavailable_service(scripted: Scripted, backend: SwfBackend) -> None:
    closed = {
        "eventId": 9,
        "eventTimestamp": 1.5e9,
        "eventType": "WorkflowExecutionTerminated",
        "workflowExecutionTerminatedEventAttributes": {"childPolicy": "TERMINATE"},
    }
    opened = closed | {
        "eventType": "DecisionTaskStarted",
        "decisionTaskStartedEventAttributes": {"scheduledEventId": 8},
    }
    del opened["workflowExecutionTerminatedEventAttributes"]
    pages = [json.dumps({"events": [event]}).encode() for event in (opened, closed)]
    scripted.script = [(200, pages[0]), THROTTLED, (200, pages[1])]
    assert backend.wait_until_closed(EXECUTION, timedelta(seconds=60))
    assert set(scripted.asked) == {"GetWorkflowExecutionHistory"}


def test_waiting_for_an_unknown_run_raises(scripted: Scripted, backend: SwfBackend) -> None:
    scripted.script = [fault("UnknownResourceFault")]
    with pytest.raises(UnknownResourceFault):
        backend.wait_until_closed(EXECUTION, timedelta(seconds=60))


# Time.

BEGIN = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)


def test_a_correct_clock_is_not_adjusted() -> None:
    clock = ServiceClock(lambda: BEGIN)
    clock.observe(BEGIN.replace(microsecond=0), BEGIN, BEGIN)
    assert clock() == BEGIN


@given(st.floats(-1e6, 1e6), st.lists(st.tuples(st.floats(0, 60), st.floats(0, 4)), min_size=1, max_size=20))
def test_a_wrong_clock_is_corrected_to_a_second_and_a_call(ahead: float, calls: list[tuple[float, float]]) -> None:
    time = BEGIN
    clock = ServiceClock(lambda: time)
    for pause, length in calls:
        time += timedelta(seconds=pause)
        sent = time
        time += timedelta(seconds=length)
        clock.observe((time + timedelta(seconds=ahead)).replace(microsecond=0), sent, time)
    error = abs(clock() - (time + timedelta(seconds=ahead)))
    assert error <= timedelta(seconds=1.1 + max(length for _, length in calls))


def test_a_clock_that_was_set_is_trusted_again() -> None:
    time = BEGIN
    clock = ServiceClock(lambda: time)
    clock.observe(BEGIN.replace(microsecond=0), BEGIN, BEGIN)
    time = BEGIN - timedelta(hours=1)
    clock.observe(BEGIN.replace(microsecond=0), time, time)
    assert abs(clock() - BEGIN) < timedelta(seconds=1)


def test_the_date_of_responses_sets_the_clock(scripted: Scripted, backend: SwfBackend) -> None:
    ahead = backend.now() + timedelta(days=2)
    scripted.headers = {"Date": format_datetime(ahead.replace(microsecond=0), usegmt=True)}
    scripted.script = [(200, b'{"count":1}')]
    backend.call(COUNT)
    assert abs(backend.now() - ahead) < timedelta(seconds=30)


@pytest.mark.parametrize("date", ["", "yesterday", "Sun, 99 Mar 2026 12:00:00 GMT"])
def test_an_invalid_date_is_ignored(date: str, scripted: Scripted, backend: SwfBackend) -> None:
    scripted.headers = {"Date": date}
    scripted.script = [(200, b'{"count":1}')]
    assert backend.call(COUNT).count == 1


def test_translating_leaves_defects_as_they_are() -> None:
    defect = RuntimeError("ours")
    assert translate_error(cast(Exception, defect)) is defect
