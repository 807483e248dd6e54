"""Answer to the contract with Amazon SWF, through boto3, which only this file and `payloads` import.

Takes requests from any thread; gives SWF's answers. `wire` says how they stand in JSON, `faults` what an error is,
`options` what a URL says, `clock` what SWF's time is. Decides nothing.

Theory of operation. Three clients, each with connections of its own. *Polls* are held for a minute, so they must not
take the connections of what is urgent; they are never sent twice by themselves, since the task given to an answer that
was lost is lost with it. *Reads* have botocore's standard retries. What *changes* something is sent again by itself
only if SWF refused it or never had it: else the caller must know that it may have had its effect.

botocore signs, sends, retries, and reads errors. Its parser, though, takes ten times as long for a history as
msgspec, so answers are taken from their bytes by a hook before that parser sees them (`decode=plain` leaves it to it).

A poll in flight may be given a task at any moment, so its connection is never dropped: after `close` no new poll is
sent, those in flight come back by themselves, and the connections go when the last call has come back. SWF has no way
to end a poll. `traction serve` has one: it answers those of a client that asks for it.
"""

from __future__ import annotations

import logging
import os
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from http.client import HTTPConnection, HTTPException
from itertools import count
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from traction.backend import POLL_WAIT_MAX, Backend
from traction.errors import BackendError, InternalFailure, ThrottlingException, ValidationException
from traction.extras import needed_by
from traction.model import operations as o
from traction.model.correlation import EXECUTION_CLOSES
from traction.model.limits import SWF, Limits
from traction.model.names import WorkflowExecution
from traction.model.sizes import explain_size
from traction_swf import wire
from traction_swf.clock import ServiceClock
from traction_swf.error_codes import AnswerCut, NotTaken, ServiceUnavailable, SignatureExpired, classify
from traction_swf.url import SwfOptions, read_url

with needed_by("the backend swf://"):
    import boto3
    import botocore.exceptions as b
    from botocore import xform_name
    from botocore.config import Config
    from botocore.parsers import ResponseParserError

T = TypeVar("T")

log = logging.getLogger("traction.worker")

HELD_SECONDS_MIN = 1.0
"""A poll that broke off after this many seconds was held. Proxies and load balancers end connections that look idle,
so it counts as an empty poll, and the next one follows at once. One that breaks sooner is a service in trouble."""

POLL_READ_TIMEOUT = 75
"""For how many seconds an answer to a poll is waited for: SWF holds it for 60, and asks clients to allow 70."""

READ_TIMEOUT = 30
"""For how many seconds any other answer is waited for."""

RELEASE_TIMEOUT = 5
"""For how many seconds an answer is waited for that says whether polls in flight are answered at once."""

CONNECT_TIMEOUT = 10
"""For how many seconds a connection is waited for."""

READ_TRIES = 5
"""How often botocore sends a read before it gives up."""

TRIES = 5
"""How often a change is sent that SWF did not take; and a read whose answer was cut, or whose signature expired."""

PAUSE_MAX = 5.0
"""The longest pause before something is sent again, in seconds."""

LOOK = 0.05
"""How soon whoever waits for a close looks again, in seconds; and then ever later, in proportion to the wait."""

LOOK_MAX = 4.0
"""How soon they look in the end."""

LOOK_SHARE = 0.2
"""By how much of the time waited so far a close may be noticed late."""

LOOKS_PER_SECOND = 20
"""How often all who wait for a close in this process look together: a third of an account's 60 per second (SWF)."""

POLLS = frozenset({"PollForActivityTask", "PollForDecisionTask"})

CHANGES = frozenset(
    name
    for name in wire.OPERATIONS
    if not name.startswith(("Count", "Describe", "Get", "List", "Poll", "RecordActivityTaskHeartbeat"))
)
"""The operations that change something for good. A heartbeat may be repeated as a read may."""

TIMED = frozenset(name for name in wire.OPERATIONS if name.endswith("WorkflowExecutions"))
"""The operations whose filters have times, of which botocore would send whole seconds only."""

PASSING = (InternalFailure, ServiceUnavailable, ThrottlingException)
"""The errors after which something that changes nothing is sent again."""

_BODY = "TractionBody"


def open_swf(url: str) -> SwfBackend:
    """Open a backend by its URL. Sends nothing yet.

    Raises:
        BackendError: the URL is wrong, or AWS's configuration lacks a region or credentials.
    """
    return SwfBackend(read_url(url), url=url)


class SwfBackend(Backend):
    """Amazon SWF, or what speaks as it does."""

    linger = timedelta(seconds=POLL_READ_TIMEOUT)

    def __init__(
        self,
        options: SwfOptions,
        *,
        url: str | None = None,
        limits: Limits | None = None,
        clock: ServiceClock | None = None,
    ) -> None:
        """Make the clients.

        Args:
            options: Where, as whom, and how.
            url: What this was opened by.
            limits: The quotas of the account, if they are others than SWF's defaults.
            clock: What keeps the service's time.

        Raises:
            BackendError: AWS's configuration lacks a region or credentials.
        """
        self.options = options
        self.url = url or f"swf://{options.domain}"
        self.domain = options.domain
        self.limits = limits or SWF
        self.sticky = options.sticky
        self.retention_days = options.retention_days
        self._clock = clock or ServiceClock()
        self._polls, self._reads, self._changes = _make_clients(options)
        # AWS is asked by https. What is asked by http may be `traction serve`, which can answer polls early.
        plain = options.endpoint is not None and options.endpoint.startswith("http://")
        self._client_name = secrets.token_hex(16) if plain else None
        if self._client_name is not None:
            _name_client(self._polls, self._client_name)
        clients = (self._polls, self._reads, self._changes)
        for client in clients:
            _prepare(client, fast=options.decode == "fast", bytes_max=self.limits.request_bytes_max)
        self._methods: dict[type, Callable[..., Any]] = {
            kind: getattr(self._choose(name), xform_name(name)) for name, kind in wire.OPERATIONS.items()
        }
        self._again = {kind: _choose_again(name) for name, kind in wire.OPERATIONS.items()}
        self._clients = clients
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._in_flight = 0
        self._waiting = 0
        self._polls_began: dict[int, float] = {}
        self._poll_numbers = count()
        self._released = False

    def _choose(self, name: str) -> Any:
        return self._polls if name in POLLS else self._changes if name in CHANGES else self._reads

    def call(self, request: o.Request[T], wait: timedelta | None = None) -> T:
        """Make a request and give its answer; see `Backend.call`. SWF says how long a poll waits: a minute.

        Raises:
            ServiceFault: SWF's fault, by its own name; the request had no effect.
            BackendError: the service could not be reached.
        """
        again = PASSING if _reads_on(request) else self._again[type(request)]
        for tried in range(1, TRIES):
            try:
                return self._call_once(request)
            except again:
                # Full jitter, so that those who were throttled together do not come back together.
                time.sleep(random.random() * min(PAUSE_MAX, 0.1 * 2**tried))
        return self._call_once(request)

    def _call_once(self, request: o.Request[T]) -> T:
        kind = type(request)
        with self._flying():
            if self._closed.is_set() and _is_new_poll(request):
                return wire.make_empty_poll(wire.get_response_type(kind))  # type: ignore[no-any-return]
            sent, began = self._clock.local(), time.monotonic()
            number = self._note_poll(began) if _is_new_poll(request) else None
            try:
                answer = self._methods[kind](**wire.to_plain(request))
            except Exception as error:
                known = _translate(error)
                held = time.monotonic() - began
                if _is_new_poll(request) and _broke_off(known) and held >= HELD_SECONDS_MIN:
                    log.debug("a poll of %s broke off after %.1f s: %s", request.task_list.name, held, known)  # type: ignore[attr-defined]
                    return wire.make_empty_poll(wire.get_response_type(kind))  # type: ignore[no-any-return]
                if known is error:
                    raise
                raise known from error
            finally:
                if number is not None:
                    with self._lock:
                        del self._polls_began[number]
            self._hear(answer, sent)
        body = answer.get(_BODY)
        return wire.read_response(kind, answer) if body is None else wire.decode_response(kind, body or b"{}")

    def _hear(self, answer: Any, sent: datetime) -> None:
        """Note what time the service has. The date of an answer that was long awaited tells nothing of the sending."""
        told = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        received = self._clock.local()
        if told is None or received - sent > timedelta(seconds=5):
            return
        try:
            date = parsedate_to_datetime(told)
        except ValueError:
            return
        if date.tzinfo is not None:
            self._clock.observe(date, sent, received)

    def now(self) -> datetime:
        """Tell the time as SWF has it: this machine's, unless SWF's answers say that it is wrong."""
        return self._clock()

    def wait_until_closed(self, execution: WorkflowExecution, wait: timedelta) -> bool:
        """Wait until a run has closed, or for so long; say whether it has.

        Reads the newest event alone, at intervals that grow with the wait, and with how many wait.
        """
        began = time.monotonic()
        deadline = began + max(wait.total_seconds(), 0.0)
        newest = o.GetWorkflowExecutionHistory(
            domain=self.domain, execution=execution, maximum_page_size=1, reverse_order=True
        )
        with self._lock:
            self._waiting += 1
        try:
            while True:
                failure: BackendError | None = None
                try:
                    if type(self.call(newest).events[0]) in EXECUTION_CLOSES:
                        return True
                except BackendError as error:
                    if not error.retryable:
                        raise
                    failure = error
                now = time.monotonic()
                if now >= deadline or self._closed.is_set():
                    if failure is not None:
                        raise failure
                    return False
                pause = min(max(LOOK, (now - began) * LOOK_SHARE), LOOK_MAX)
                pause = max(pause, self._waiting / LOOKS_PER_SECOND) * (1.0 if failure is None else 4.0)
                self._closed.wait(min(pause * random.uniform(0.8, 1.2), deadline - now))
        finally:
            with self._lock:
                self._waiting -= 1

    def close(self) -> None:
        """Send no more polls, and let go of connections as soon as no call is in flight.

        A poll in flight comes back by itself, within a minute, and with the task that it was given, if any.
        """
        with self._flying():
            self._closed.set()
            if self._client_name is not None and self._polls_began:
                self._released = _release(self.options, self._client_name)

    def find_pending_polls(self) -> tuple[int, float]:
        """Return how many polls are in flight after `close`, and for how many seconds the last of them may last."""
        with self._lock:
            began = list(self._polls_began.values())
        if not began or self._released:
            return 0, 0.0
        return len(began), max(max(began) + POLL_WAIT_MAX.total_seconds() - time.monotonic(), 0.0)

    def _note_poll(self, began: float) -> int:
        with self._lock:
            number = next(self._poll_numbers)
            self._polls_began[number] = began
        return number

    @contextmanager
    def _flying(self) -> Iterator[None]:
        """Hold the connections while a call is in flight; the last one after the close lets go of them."""
        with self._lock:
            self._in_flight += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1
                if self._in_flight == 0 and self._closed.is_set():
                    # Those that come later open connections anew, and let go of them again.
                    for client in self._clients:
                        client.close()


def _reads_on(request: o.Request[Any]) -> bool:
    """Say whether a poll reads on in the history that another one was given: it cannot be given a task."""
    return type(request).__name__ in POLLS and getattr(request, "next_page_token", None) is not None


def _is_new_poll(request: o.Request[Any]) -> bool:
    """Whether a request is a poll that may be given a task."""
    return type(request).__name__ in POLLS and not _reads_on(request)


def _broke_off(error: BaseException) -> bool:
    """Whether a connection was there and ended without any answer, or a proxy says so of its own connection."""
    return isinstance(error, ServiceUnavailable) and not isinstance(error, (NotTaken, AnswerCut))


def _choose_again(name: str) -> tuple[type[BackendError], ...]:
    """Say after which errors an operation is sent again by itself."""
    if name in POLLS:
        return ()
    return (ThrottlingException, NotTaken) if name in CHANGES else (AnswerCut, SignatureExpired)


# The clients.


def _make_clients(options: SwfOptions) -> tuple[Any, Any, Any]:
    """Make the clients for polls, for reads and for changes."""
    try:
        session = boto3.Session(profile_name=options.profile, region_name=options.region)
        given: dict[str, Any] = {"endpoint_url": options.endpoint}
        if options.is_local:
            given |= _find_local_credentials(options, session)
        # In this order: the first one loads the description of the service, the others share it.
        polls = session.client("swf", config=_configure(options, POLL_READ_TIMEOUT, 1), **given)
        reads = session.client("swf", config=_configure(options, READ_TIMEOUT, READ_TRIES), **given)
        changes = session.client("swf", config=_configure(options, READ_TIMEOUT, 1), **given)
    except b.NoRegionError as error:
        raise BackendError(
            f"swf://{options.domain} names no region, and neither does AWS's configuration: "
            f"write swf://{options.domain}?region=us-east-1"
        ) from error
    except (b.BotoCoreError, ValueError) as error:
        raise BackendError(f"swf://{options.domain} cannot be opened: {error}") from error
    return polls, reads, changes


def _find_local_credentials(options: SwfOptions, session: Any) -> dict[str, str]:
    """Find a region and credentials for a server on this machine, which asks for both and checks neither."""
    given = {} if session.region_name else {"region_name": "us-east-1"}
    if options.profile is None and "AWS_ACCESS_KEY_ID" not in os.environ:
        given |= {"aws_access_key_id": "nobody", "aws_secret_access_key": "nothing"}
    return given


def _configure(options: SwfOptions, read_timeout: int, tries: int) -> Config:
    return Config(
        read_timeout=read_timeout,
        connect_timeout=CONNECT_TIMEOUT,
        tcp_keepalive=True,
        max_pool_connections=options.pool,
        retries={"mode": "standard", "total_max_attempts": tries},
        user_agent_extra="traction",
    )


def _prepare(client: Any, *, fast: bool, bytes_max: int) -> None:
    """Hang our hooks into a client: the documented events of botocore, and nothing else of it."""
    events = client.meta.events
    for name in TIMED:
        events.register(f"before-parameter-build.swf.{name}", _keep_times)
        events.register(f"before-call.swf.{name}", _send_times)
    events.register_last("before-call.swf", partial(_check_size, bytes_max))
    events.register("before-parse.swf", _check_length)
    if fast:
        events.register("before-parse.swf", _take_body)


def _name_client(client: Any, name: str) -> None:
    """Send the name of this client with each poll."""

    def add(params: MutableMapping[str, Any], **_: Any) -> None:
        params["headers"][wire.CLIENT_HEADER] = name

    for poll in POLLS:
        client.meta.events.register(f"before-call.swf.{poll}", add)


def _release(options: SwfOptions, name: str) -> bool:
    """Ask `traction serve` to answer the polls of this client; return whether it does. Others do not know the path."""
    parts = urlsplit(options.endpoint or "")
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=RELEASE_TIMEOUT)
    try:
        connection.request("POST", wire.RELEASE_PATH, headers={wire.CLIENT_HEADER: name})
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _keep_times(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context[_BODY] = msgspec.json.encode(params)


def _send_times(params: MutableMapping[str, Any], context: dict[str, Any], **_: Any) -> None:
    params["body"] = context[_BODY]


def _check_size(bytes_max: int, model: Any, params: Mapping[str, Any], **_: Any) -> None:
    """Refuse a request that is too large before it is sent: SWF may drop the connection instead of answering."""
    if (size := len(params["body"])) > bytes_max:
        raise explain_size(model.name, size, bytes_max)


def _check_length(response_dict: dict[str, Any], **_: Any) -> None:
    """Refuse an answer that is shorter than it says: botocore would take what there is of it for an empty one."""
    headers = response_dict["headers"]
    told = headers.get("Content-Length", "")
    if told.isdigit() and int(told) != len(response_dict["body"]) and "Content-Encoding" not in headers:
        raise AnswerCut(f"the connection ended after {len(response_dict['body'])} of {told} bytes of the answer")


def _take_body(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Take the body of an answer before botocore parses it; errors are left to botocore."""
    if response_dict["status_code"] < 300:
        customized_response_dict[_BODY] = response_dict["body"]
        response_dict["body"] = b"{}"


# Errors.


def _translate(error: Exception) -> BaseException:
    """Give Traction's error for one of botocore's; what is neither is a defect, and stays what it is."""
    told = str(error)
    match error:
        case b.ClientError():
            answer: Any = error.response
            said = answer.get("Error", {})
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
            return classify(str(said.get("Code", "")), str(said.get("Message") or ""), status)
        case b.ParamValidationError():
            return ValidationException(told)
        case b.EndpointConnectionError() | b.ConnectTimeoutError() | b.ProxyConnectionError():
            return NotTaken(told)
        case b.HTTPClientError() | b.SSLError() | b.IncompleteReadError() | ResponseParserError():
            return ServiceUnavailable(told)
        case b.CredentialRetrievalError() | b.MetadataRetrievalError():
            return NotTaken(told)
        case b.NoCredentialsError() | b.PartialCredentialsError():
            return BackendError(f"{told}: see docs/production.md for where boto3 looks for them")
        case b.BotoCoreError():
            return BackendError(told)
    return error
