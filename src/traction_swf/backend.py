"""The backend for Amazon SWF. All methods can be called from any thread.

Theory of operation. There are three clients, each with its own connections. *Polls* are held for a minute, so they must
not occupy the connections of other requests. They are never retried automatically: a task in a response that was lost
is lost too. *Reads* have botocore's standard retries. *Changes* are retried automatically only if SWF refused or never
received them; otherwise the caller must know that the change may have taken effect.

SWF may assign a task to a pending poll at any moment, so its connection is never dropped: after `close` no new poll is
sent, pending polls return, and the connections are closed when the last call has returned. SWF cannot end a poll early.
`traction serve` can, if the client asks for it.
"""

from __future__ import annotations

import logging
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any, TypeVar

from traction.backend import POLL_WAIT_MAX, Backend
from traction.errors import BackendError, InternalFailure, ThrottlingException
from traction.extras import needed_by
from traction.model import operations as o
from traction.model.correlation import EXECUTION_CLOSES
from traction.model.limits import SWF, Limits
from traction.model.names import WorkflowExecution
from traction_swf import wire
from traction_swf.clock import ServiceClock
from traction_swf.error_codes import AnswerCut, NotTaken, ServiceUnavailable, SignatureExpired
from traction_swf.url import SwfOptions, read_url

with needed_by("the backend swf://"):
    from botocore import xform_name

from traction_swf.clients import (
    BODY,
    POLL_READ_TIMEOUT,
    POLLS,
    make_clients,
    name_client,
    prepare_client,
    release_polls,
    translate_error,
)

T = TypeVar("T")

log = logging.getLogger("traction.worker")

HELD_SECONDS_MIN = 1.0
"""A poll whose connection ended after this many seconds was held. Proxies and load balancers close idle connections,
so it counts as an empty poll, and the next one follows at once. If it ended sooner, the service is unavailable."""

ATTEMPTS_MAX = 5
"""How often a change is sent that SWF refused, and a read whose response was cut off or whose signature expired."""

PAUSE_MAX = 5.0
"""The longest pause before a retry, in seconds."""

CHECK_SECONDS_MIN = 0.05
"""The shortest interval between two checks for a close, in seconds. It grows in proportion to the wait."""

CHECK_SECONDS_MAX = 4.0
"""The longest interval, in seconds."""

CHECK_SHARE = 0.2
"""The interval as a share of the time waited so far: how late a close may be noticed."""

CHECKS_PER_SECOND_MAX = 20
"""The most checks per second of all waiting calls in this process: a third of an account's 60 per second (SWF)."""

CHANGES = frozenset(
    name
    for name in wire.OPERATIONS
    if not name.startswith(("Count", "Describe", "Get", "List", "Poll", "RecordActivityTaskHeartbeat"))
)
"""The operations that change the state of SWF. A heartbeat can be repeated like a read."""

TRANSIENT = (InternalFailure, ServiceUnavailable, ThrottlingException)
"""The errors after which a request that changes nothing is retried."""


def open_swf(url: str) -> SwfBackend:
    """Open a backend by its URL. Nothing is sent yet.

    Raises:
        BackendError: The URL is invalid, or AWS's configuration lacks a region or credentials.
    """
    return SwfBackend(read_url(url), url=url)


class SwfBackend(Backend):
    """Amazon SWF, or a server with the same API."""

    linger = timedelta(seconds=POLL_READ_TIMEOUT)

    def __init__(
        self,
        options: SwfOptions,
        *,
        url: str | None = None,
        limits: Limits | None = None,
        clock: ServiceClock | None = None,
    ) -> None:
        """Create the clients.

        Args:
            options: Where, as whom, and how.
            url: The URL that it was opened with.
            limits: The quotas of the account, if they differ from SWF's defaults.
            clock: The clock of the service.

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
        self._polls, self._reads, self._changes = make_clients(options)
        # AWS has https endpoints. A server with http may be `traction serve`, which can end polls early.
        plain = options.endpoint is not None and options.endpoint.startswith("http://")
        self._client_name = secrets.token_hex(16) if plain else None
        if self._client_name is not None:
            name_client(self._polls, self._client_name)
        clients = (self._polls, self._reads, self._changes)
        for client in clients:
            prepare_client(client, fast=options.decode == "fast", bytes_max=self.limits.request_bytes_max)
        self._methods: dict[type, Callable[..., Any]] = {
            kind: getattr(self._choose(name), xform_name(name)) for name, kind in wire.OPERATIONS.items()
        }
        self._retried = {kind: _choose_retried(name) for name, kind in wire.OPERATIONS.items()}
        self._clients = clients
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._pending = 0
        self._waiting = 0
        self._polls_began: dict[int, float] = {}
        self._poll_numbers = count()
        self._released = False

    def _choose(self, name: str) -> Any:
        return self._polls if name in POLLS else self._changes if name in CHANGES else self._reads

    def call(self, request: o.Request[T], wait: timedelta | None = None) -> T:
        """Send a request and return its response; see `Backend.call`. Polls wait for a minute, whatever `wait` is.

        Raises:
            ServiceFault: SWF's fault. The request had no effect.
            BackendError: The service could not be reached.
        """
        retried = TRANSIENT if _reads_on(request) else self._retried[type(request)]
        for attempt in range(1, ATTEMPTS_MAX):
            try:
                return self._call_once(request)
            except retried:
                # Full jitter, so that clients that were throttled together do not retry together.
                time.sleep(random.random() * min(PAUSE_MAX, 0.1 * 2**attempt))
        return self._call_once(request)

    def _call_once(self, request: o.Request[T]) -> T:
        kind = type(request)
        with self._count_pending():
            if self._closed.is_set() and _is_new_poll(request):
                return wire.make_empty_poll(wire.get_response_type(kind))  # type: ignore[no-any-return]
            sent, began = self._clock.local(), time.monotonic()
            number = self._note_poll(began) if _is_new_poll(request) else None
            try:
                response = self._methods[kind](**wire.to_plain(request))
            except Exception as error:
                known = translate_error(error)
                held = time.monotonic() - began
                if _is_new_poll(request) and _broke_off(known) and held >= HELD_SECONDS_MIN:
                    task_list = request.task_list.name  # type: ignore[attr-defined]
                    log.debug("a poll of %s was cut off after %.1f s: %s", task_list, held, known)
                    return wire.make_empty_poll(wire.get_response_type(kind))  # type: ignore[no-any-return]
                if known is error:
                    raise
                raise known from error
            finally:
                if number is not None:
                    with self._lock:
                        del self._polls_began[number]
            self._observe_date(response, sent)
        body = response.get(BODY)
        return wire.read_response(kind, response) if body is None else wire.decode_response(kind, body or b"{}")

    def _observe_date(self, response: Any, sent: datetime) -> None:
        """Update the clock from the date of a response, unless the request took too long."""
        header = response["ResponseMetadata"]["HTTPHeaders"].get("date")
        received = self._clock.local()
        if header is None or received - sent > timedelta(seconds=5):
            return
        try:
            date = parsedate_to_datetime(header)
        except ValueError:
            return
        if date.tzinfo is not None:
            self._clock.observe(date, sent, received)

    def now(self) -> datetime:
        """Return SWF's time: that of this machine, unless the dates of responses differ from it."""
        return self._clock()

    def wait_until_closed(self, execution: WorkflowExecution, wait: timedelta) -> bool:
        """Wait until a run has closed, or until the wait is over. Return whether it has closed.

        It reads only the newest event, at intervals that grow with the wait and with the number of waiting calls.
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
                pause = min(max(CHECK_SECONDS_MIN, (now - began) * CHECK_SHARE), CHECK_SECONDS_MAX)
                pause = max(pause, self._waiting / CHECKS_PER_SECOND_MAX) * (1.0 if failure is None else 4.0)
                self._closed.wait(min(pause * random.uniform(0.8, 1.2), deadline - now))
        finally:
            with self._lock:
                self._waiting -= 1

    def close(self) -> None:
        """Send no more polls, and close the connections once no call is pending.

        A pending poll returns within a minute, with its task if it was assigned one.
        """
        with self._count_pending():
            self._closed.set()
            if self._client_name is not None and self._polls_began:
                self._released = release_polls(self.options, self._client_name)

    def find_pending_polls(self) -> tuple[int, float]:
        """Return how many polls are pending after `close`, and how many seconds the last one may take."""
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
    def _count_pending(self) -> Iterator[None]:
        """Count a pending call. The last one after the close closes the connections."""
        with self._lock:
            self._pending += 1
        try:
            yield
        finally:
            with self._lock:
                self._pending -= 1
                if self._pending == 0 and self._closed.is_set():
                    # Later calls open connections retried, and close them retried.
                    for client in self._clients:
                        client.close()


def _reads_on(request: o.Request[Any]) -> bool:
    """Whether a poll requests another page of a history. It is not assigned a task."""
    return type(request).__name__ in POLLS and getattr(request, "next_page_token", None) is not None


def _is_new_poll(request: o.Request[Any]) -> bool:
    """Whether a request is a poll that may be assigned a task."""
    return type(request).__name__ in POLLS and not _reads_on(request)


def _broke_off(error: BaseException) -> bool:
    """Whether a connection ended without a response, here or behind a proxy."""
    return isinstance(error, ServiceUnavailable) and not isinstance(error, (NotTaken, AnswerCut))


def _choose_retried(name: str) -> tuple[type[BackendError], ...]:
    """Return the errors after which an operation is retried automatically."""
    if name in POLLS:
        return ()
    return (ThrottlingException, NotTaken) if name in CHANGES else (AnswerCut, SignatureExpired)
