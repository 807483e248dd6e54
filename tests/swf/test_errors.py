"""Whatever goes wrong is told by the name of who should act, and sent again only where that is safe."""

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
def test_a_fault_is_known_by_its_code_in_every_form(code: str, prefix: str) -> None:
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
def test_every_other_error_says_whether_it_passes(code: str, status: int, kind: type, retryable: bool) -> None:
    error = classify(code, "said", status)
    assert (type(error), error.retryable) == (kind, retryable)


@given(st.text(max_size=30), st.text(max_size=30), st.integers(300, 599))
def test_no_error_is_without_a_class(code: str, message: str, status: int) -> None:
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
def test_what_fails_on_the_way_says_whether_it_was_sent(error: Exception, kind: type) -> None:
    assert type(translate_error(error)) is kind


# A server that says what it is told to.


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
            said = self.script.pop(0)
            if isinstance(said, str):
                if said == "cut":
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
                return
            status, body = said
            told = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
            head = f"HTTP/1.1 {status} Told\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{told}\r\n"
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
def test_a_change_that_was_refused_and_will_not_be_is_sent_again(
    refusal: tuple[int, bytes], scripted: Scripted, backend: SwfBackend
) -> None:
    scripted.script = [refusal, (200, b"")]
    backend.call(SIGNAL)
    assert scripted.asked == ["SignalWorkflowExecution"] * 2


@pytest.mark.parametrize("lost", ["drop", "cut"])
def test_a_change_whose_answer_is_lost_is_not_sent_again_by_itself(
    lost: str, scripted: Scripted, backend: SwfBackend
) -> None:
    scripted.script = [lost]
    with pytest.raises(ServiceUnavailable) as caught:
        backend.call(SIGNAL)
    assert caught.value.retryable
    assert len(scripted.asked) == 1


@pytest.mark.parametrize("said", [THROTTLED, "drop", "cut", (503, b"<html><body>busy</body></html>"), (500, b"")])
def test_a_poll_is_never_sent_again_by_itself(said: Any, scripted: Scripted, backend: SwfBackend) -> None:
    scripted.script = [said]
    with pytest.raises(BackendError) as caught:
        backend.call(POLL)
    assert caught.value.retryable
    assert len(scripted.asked) == 1


BROKEN_OFF = ["drop", *((status, b"<html><body>proxy</body></html>") for status in (408, 502, 503, 504))]


@pytest.mark.parametrize("said", BROKEN_OFF)
def test_a_held_poll_that_breaks_off_is_empty_and_logged_at_debug_alone(
    said: Any, scripted: Scripted, backend: SwfBackend, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG, "traction")
    monkeypatch.setattr("traction_swf.backend.HELD_SECONDS_MIN", 0.0)
    scripted.script = [said]
    assert not backend.call(POLL).task_token
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("DEBUG", None)
    assert "a poll of l was cut off after" in record.message


@pytest.mark.parametrize("said", BROKEN_OFF)
def test_a_poll_that_breaks_off_at_once_is_an_error(said: Any, scripted: Scripted, backend: SwfBackend) -> None:
    scripted.script = [said]
    with pytest.raises(ServiceUnavailable):
        backend.call(POLL)


@pytest.mark.parametrize("said", [THROTTLED, "cut", (500, b""), (400, b"{}")])
def test_a_held_poll_that_was_answered_is_never_taken_for_empty(
    said: Any, scripted: Scripted, backend: SwfBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traction_swf.backend.HELD_SECONDS_MIN", 0.0)
    scripted.script = [said]
    with pytest.raises(BackendError):
        backend.call(POLL)


def test_a_poll_that_reads_on_in_a_history_is_sent_again_since_it_is_given_no_task(
    scripted: Scripted, backend: SwfBackend
) -> None:
    more = o.PollForDecisionTask(domain="acme", task_list=TaskList("l"), next_page_token="p")
    page = b'{"taskToken":"t","startedEventId":3,"previousStartedEventId":0,"workflowType":{"name":"w","version":"1"},'
    page += b'"workflowExecution":{"workflowId":"w","runId":"r"},"events":[]}'
    scripted.script = ["drop", "cut", THROTTLED, (503, b""), (200, page)]
    assert backend.call(more).task_token == "t"
    assert len(scripted.asked) == 5


def test_a_read_is_sent_again_whatever_happened_to_the_first(scripted: Scripted, backend: SwfBackend) -> None:
    scripted.script = ["drop", "cut", EXPIRED, (200, b'{"count":3,"truncated":false}')]
    assert backend.call(COUNT).count == 3


def test_too_many_polls_are_a_fault_that_the_loop_of_workers_waits_after(
    scripted: Scripted, backend: SwfBackend
) -> None:
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
def test_a_poll_that_found_nothing_is_known_in_every_shape(
    body: bytes, scripted: Scripted, backend: SwfBackend
) -> None:
    scripted.script = [(200, body), (200, body)]
    assert not backend.call(POLL).task_token
    assert not backend.call(o.PollForActivityTask(domain="acme", task_list=TaskList("l"))).task_token


def test_members_that_nobody_knows_are_passed_over(scripted: Scripted, backend: SwfBackend) -> None:
    scripted.script = [(200, b'{"count":1,"reopenable":false}')]
    assert backend.call(COUNT).count == 1


def test_an_answer_that_is_none_of_swfs_is_an_error_of_the_backend(scripted: Scripted, backend: SwfBackend) -> None:
    scripted.script = [(200, b'{"count":"many"}')] * 9
    with pytest.raises(BackendError):
        backend.call(COUNT)


def test_an_empty_name_is_refused_as_swf_refuses_it(backend: SwfBackend) -> None:
    with pytest.raises(ValidationException):
        backend.call(o.PollForDecisionTask(domain="", task_list=TaskList("")))


def test_nobody_listening_is_told_as_not_sent(backend: SwfBackend, scripted: Scripted) -> None:
    scripted.close()
    with pytest.raises(NotTaken):
        backend.call(POLL)
    scripted._listener = socket.create_server(("127.0.0.1", 0))


def test_who_waits_for_a_close_waits_on_while_the_service_is_away(scripted: Scripted, backend: SwfBackend) -> None:
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


def test_who_waits_for_an_unknown_run_is_told(scripted: Scripted, backend: SwfBackend) -> None:
    scripted.script = [fault("UnknownResourceFault")]
    with pytest.raises(UnknownResourceFault):
        backend.wait_until_closed(EXECUTION, timedelta(seconds=60))


# Time.

BEGIN = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)


def test_a_clock_that_is_right_stays_as_it_is() -> None:
    clock = ServiceClock(lambda: BEGIN)
    clock.observe(BEGIN.replace(microsecond=0), BEGIN, BEGIN)
    assert clock() == BEGIN


@given(st.floats(-1e6, 1e6), st.lists(st.tuples(st.floats(0, 60), st.floats(0, 4)), min_size=1, max_size=20))
def test_a_clock_that_is_wrong_is_right_to_a_second_and_the_length_of_a_call(
    ahead: float, calls: list[tuple[float, float]]
) -> None:
    time = BEGIN
    clock = ServiceClock(lambda: time)
    for pause, length in calls:
        time += timedelta(seconds=pause)
        sent = time
        time += timedelta(seconds=length)
        clock.observe((time + timedelta(seconds=ahead)).replace(microsecond=0), sent, time)
    error = abs(clock() - (time + timedelta(seconds=ahead)))
    assert error <= timedelta(seconds=1.1 + max(length for _, length in calls))


def test_a_clock_that_is_set_is_believed_anew() -> None:
    time = BEGIN
    clock = ServiceClock(lambda: time)
    clock.observe(BEGIN.replace(microsecond=0), BEGIN, BEGIN)
    time = BEGIN - timedelta(hours=1)
    clock.observe(BEGIN.replace(microsecond=0), time, time)
    assert abs(clock() - BEGIN) < timedelta(seconds=1)


def test_the_date_of_answers_sets_the_clock(scripted: Scripted, backend: SwfBackend) -> None:
    ahead = backend.now() + timedelta(days=2)
    scripted.headers = {"Date": format_datetime(ahead.replace(microsecond=0), usegmt=True)}
    scripted.script = [(200, b'{"count":1}')]
    backend.call(COUNT)
    assert abs(backend.now() - ahead) < timedelta(seconds=30)


@pytest.mark.parametrize("date", ["", "yesterday", "Sun, 99 Mar 2026 12:00:00 GMT"])
def test_a_date_that_is_none_is_passed_over(date: str, scripted: Scripted, backend: SwfBackend) -> None:
    scripted.headers = {"Date": date}
    scripted.script = [(200, b'{"count":1}')]
    assert backend.call(COUNT).count == 1


def test_translating_leaves_defects_as_they_are() -> None:
    defect = RuntimeError("ours")
    assert translate_error(cast(Exception, defect)) is defect
