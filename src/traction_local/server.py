"""Speak SWF's wire protocol over HTTP, for one service in this process.

Takes HTTP requests; gives SWF's answers and faults. `backend` holds the service, the polls that wait and the alarms;
`traction_swf.wire` reads and writes; here is what lies between: targets, headers, limits, clients that go away.

Theory of operation. Every operation is answered at once, in the loop, but a poll that finds nothing: that leaves a
waiter with the backend, and its coroutine sleeps until the waiter is woken, its time is up, or its client goes away.
A waiter is withdrawn whichever it was, so that no task goes to a client that is not there. As with SWF, a task that
was assigned in the last moment before its client left comes back when it times out.

The server is for one machine. It answers to loopback names alone (or to those it is given), and to no page of another
site: else any page in a browser could reach it by a name that is made to resolve to 127.0.0.1. Signatures are not
checked. Nothing that is sent may raise here: what is not well formed is SWF's fault, or a 4xx.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, Any, TypeAlias
from uuid import UUID

import msgspec

from traction import operations as o
from traction.backend import POLL_WAIT_MAX
from traction.decisions import CompleteWorkflowExecution
from traction.errors import (
    BackendError,
    InternalFailure,
    ServiceFault,
    UnknownOperationException,
    ValidationException,
)
from traction.extras import needed_by
from traction_local.backend import LocalBackend, Waiter
from traction_local.bodies import ClientGone, Headers, Receive, Refusal, read_body
from traction_local.guard import find_refusal
from traction_local.held_polls import HeldPolls, settle
from traction_local.paces import VirtualClock, advance
from traction_local.rules import tell
from traction_local.validation import CLOSE_NOT_LAST, DECISION_TYPES, Validator, get_validator
from traction_swf import wire

with needed_by("the server of the simulator"):
    import uvicorn
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

Scope: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

CONTENT_TYPES = frozenset({b"application/x-amz-json-1.0", b"application/x-amz-json-1.1", b"application/json"})
"""What clients have been seen to send. The answer's is `application/json`, as recorded."""

KEEP_ALIVE = 75
"""For how many seconds a connection may be idle: longer than clients keep theirs, so that none meets a closing one."""

CLIENT_BYTES_MAX = 64
"""How long the name of a client may be."""

_NEVER_TAKEN = (CompleteWorkflowExecution(), CompleteWorkflowExecution())

log = logging.getLogger("traction.server")


def check_client(headers: dict[bytes, bytes], allowed: frozenset[str]) -> None:
    """Refuse a client that reached this server by a name that is not its own, or for a page that is not its own."""
    if (refusal := find_refusal(headers, allowed)) is not None:
        raise Refusal(403, "AccessDeniedException", refusal)


# The operations.


class SwfEndpoint:
    """`POST /`: the 39 operations."""

    def __init__(self, backend: LocalBackend, hosts: frozenset[str], wait: timedelta, held: HeldPolls) -> None:
        self._backend = backend
        self._held = held
        self._hosts = hosts
        self._wait = wait.total_seconds()
        self._validator = get_validator(backend.limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        status = 200
        more: Headers = ()
        try:
            body = await self._answer(scope, headers, receive)
        except ClientGone:
            return
        except Refusal as refusal:
            status, more, body = refusal.status, refusal.headers, wire.encode_fault(refusal.code, str(refusal))
        except ServiceFault as fault:
            status, more, body = describe_fault(fault)
        except BackendError as error:
            log.error("a request was not answered: %s", error)
            status, body = 503, wire.encode_fault("ServiceUnavailable", str(error))
        except Exception:
            log.exception("a request was not answered: this is a defect of the simulator")
            status, more, body = describe_fault(InternalFailure())
        await respond(send, status, body, *more)

    async def _answer(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        check_client(headers, self._hosts)
        if scope["method"] != "POST":
            raise Refusal(405, "UnknownOperationException", "SWF is asked by POST", ((b"allow", b"POST"),))
        operation = find_operation(headers)
        body = await read_body(receive, self._backend.limits.request_bytes_max)
        request = wire.decode_request(operation, body)
        if type(request) is o.RespondDecisionTaskCompleted and request.decisions:
            request = self._fit_decisions(request)
        if operation is o.PollForDecisionTask or operation is o.PollForActivityTask:
            return wire.encode_answer(await self._poll(request, receive, headers.get(wire.CLIENT_HEADER.encode())))
        return wire.encode(self._backend.ask(request))

    def _fit_decisions(self, request: o.RespondDecisionTaskCompleted) -> o.RespondDecisionTaskCompleted:
        """Take decisions as they are meant. A token that is no good is told before a batch that is none."""
        try:
            return check_decisions(request, self._validator)
        except ValidationException as error:
            if any(self._validator.requests[type(request)].complain(request, "")):
                raise
            told = error
        try:
            self._backend.ask(msgspec.structs.replace(request, decisions=_NEVER_TAKEN))
        except ValidationException as error:
            raise told if str(error) == CLOSE_NOT_LAST else error from None
        raise AssertionError("a batch of two closes was taken")

    async def _poll(self, request: o.Request[Any], receive: Receive, client: bytes | None) -> Any:
        """Give a task as soon as there is one, or the empty answer when the time is up."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            loop.call_soon_threadsafe(settle, woken)

        held = self._wait > 0 and not self._held.has_left(client)
        answer = self._backend.ask(request, wake if held else None)
        if not isinstance(answer, Waiter):
            return answer
        # The body has been read: what comes next can only be that the client is gone.
        gone: asyncio.Future[Any] = asyncio.ensure_future(receive())
        either: set[asyncio.Future[Any]] = {woken, gone}
        try:
            with self._held.hold(client, woken):
                done, _ = await asyncio.wait(either, timeout=self._wait, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._backend.withdraw(answer)
            gone.cancel()
        if gone in done:
            if answer.answer is not None:
                log.warning("a task was assigned to a client that had just gone: it comes back when it times out")
            raise ClientGone
        return answer.get_answer()


def find_operation(headers: dict[bytes, bytes]) -> type[o.Request[Any]]:
    """Find which operation is asked for, by what stands after the last dot of its target."""
    kind = headers.get(b"content-type")
    if kind is not None and kind.partition(b";")[0].strip().lower() not in CONTENT_TYPES:
        raise Refusal(415, "SerializationException", "the content type is none of SWF's")
    target = headers.get(b"x-amz-target")
    if not target:
        raise Refusal(400, "MissingAction", "the header X-Amz-Target is missing, which names the operation")
    operation = wire.OPERATIONS.get(target.rpartition(b".")[2].decode("latin-1"))
    if operation is None:
        raise UnknownOperationException("The requested operation is not recognized by the service.")
    return operation


def check_decisions(request: o.RespondDecisionTaskCompleted, validator: Validator) -> o.RespondDecisionTaskCompleted:
    """Judge decisions that have no type, an unknown one, no attributes, or attributes of others besides their own.

    Attributes of others must be well formed, and do nothing. Source: measured, as implementers tell.
    """
    batch: Any = request.decisions or ()
    if not any(type(decision) is wire.UnfitDecision for decision in batch):
        return request
    complaints = list(validator.requests[type(request)].complain(request, ""))
    decisions: list[Any] = []
    for position, decision in enumerate(batch, 1):
        if type(decision) is wire.UnfitDecision:
            told, fit = _judge(position, decision, validator)
            complaints += told
            decisions.append(fit)
        else:
            complaints += _complain(position, decision, validator)
            decisions.append(decision)
    if complaints:
        errors = "error" if len(complaints) == 1 else "errors"
        raise ValidationException(f"{len(complaints)} validation {errors} detected: {'; '.join(complaints)}")
    if None in decisions:
        name = batch[decisions.index(None)].decision_type
        raise ValidationException(f"{name}DecisionAttributes must be specified for decision of type {name}")
    return msgspec.structs.replace(request, decisions=tuple(decisions))


def _judge(position: int, unfit: wire.UnfitDecision, validator: Validator) -> tuple[list[str], Any]:
    """Say what is wrong with an odd decision, and which decision it is, if it has the attributes of its type."""
    path, name = f"decisions.{position}.member", unfit.decision_type
    complaints: list[str] = []
    fit: Any = None
    if name is None:
        complaints.append(tell(None, f"{path}.decisionType", "not be null"))
    elif name not in DECISION_TYPES.split(", "):
        complaints.append(tell(name, f"{path}.decisionType", f"satisfy enum value set: [{DECISION_TYPES}]"))
    else:
        fit = next((decision for decision in unfit.attributes if type(decision).__name__ == name), None)
        if fit is None:
            fit = next((kind() for kind in wire.CLOSES_WITHOUT_ATTRIBUTES if kind.__name__ == name), None)
    for decision in unfit.attributes:
        complaints += _complain(position, decision, validator)
    return complaints, fit


def _complain(position: int, decision: Any, validator: Validator) -> Iterator[str]:
    """Say what is wrong with the attributes of a decision."""
    member = wire.name_attributes(type(decision).__name__, "Decision")
    return validator.decisions[type(decision)].complain(decision, f"decisions.{position}.member.{member}")


# Answers.


def describe_fault(fault: ServiceFault) -> tuple[int, Headers, bytes]:
    """Give status, headers and body of a fault."""
    whose, status, message = b"Sender", 400, str(fault)
    if isinstance(fault, InternalFailure):
        whose, status = b"Receiver", 500
    header = (b"x-amzn-query-error", fault.code.encode() + b";" + whose)
    return status, (header,), wire.encode_fault(fault.code, message if status == 400 else None)


async def respond(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    """Send an answer, with SWF's headers."""
    told = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-amzn-requestid", str(UUID(bytes=os.urandom(16), version=4)).encode()),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body})


# Time, by hand.


class _Advance(msgspec.Struct, forbid_unknown_fields=True):
    seconds: Annotated[float, msgspec.Meta(ge=0, le=10**9)] = 0


class AdvanceEndpoint:
    """`POST /_traction/advance`: let time pass, if it stands still."""

    def __init__(self, backend: LocalBackend, hosts: frozenset[str], clock: VirtualClock | None) -> None:
        self._backend, self._hosts, self._clock = backend, hosts, clock

    async def __call__(self, request: Request) -> Response:
        """Answer with the time, and when there is next something to do."""
        try:
            check_client(dict(request.scope["headers"]), self._hosts)
            body = await read_body(request.receive, 1024)
            if self._clock is None:
                raise Refusal(409, "Conflict", "time passes by itself here: start the server with --virtual")
            asked = msgspec.json.decode(body or b"{}", type=_Advance)
            now, alarm = advance(self._backend, self._clock, asked.seconds)
        except ClientGone:
            return Response(status_code=400)
        except Refusal as refusal:
            return _tell(refusal.status, {"message": str(refusal)})
        except BackendError as error:
            return _tell(503, {"message": str(error)})
        except (msgspec.MsgspecError, OverflowError, RecursionError) as error:
            return _tell(400, {"message": f'send {{"seconds": 60}}, at most a billion: {error}'})
        return _tell(200, {"now": now, "nextAlarm": alarm})


class ReleaseEndpoint:
    """`POST /_traction/release`: answer the polls of a client, named in its header, that is about to leave."""

    def __init__(self, hosts: frozenset[str], held: HeldPolls) -> None:
        self._hosts, self._held = hosts, held

    async def __call__(self, request: Request) -> Response:
        """Release them."""
        headers = dict(request.scope["headers"])
        try:
            check_client(headers, self._hosts)
        except Refusal as refusal:
            return _tell(refusal.status, {"message": str(refusal)})
        client = headers.get(wire.CLIENT_HEADER.encode(), b"")
        if not 0 < len(client) <= CLIENT_BYTES_MAX:
            return _tell(400, {"message": f"the header {wire.CLIENT_HEADER} names no client"})
        self._held.release(client)
        return _tell(200, {})


def _tell(status: int, said: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(said), status, media_type="application/json")


# The server.


def make_app(
    backend: LocalBackend,
    *,
    clock: VirtualClock | None = None,
    hosts: frozenset[str] = frozenset(),
    wait: timedelta = POLL_WAIT_MAX,
) -> Starlette:
    """Make the application.

    Args:
        backend: What answers.
        clock: Its clock, if it is to be moved by hand.
        hosts: The names, besides those of loopback, by which clients may reach it; `*` for any.
        wait: How long a poll is held, in real time.
    """

    async def refuse(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        headers = error.headers if isinstance(error, HTTPException) else None
        body = wire.encode_fault(
            "UnknownOperationException", f"{request.method} {request.url.path}: SWF is asked by POST /"
        )
        return Response(body, status, headers, media_type="application/json")

    held = HeldPolls()
    routes = [
        Route("/", SwfEndpoint(backend, hosts, wait, held)),
        Route(wire.RELEASE_PATH, ReleaseEndpoint(hosts, held).__call__, methods=["POST"]),
        Route("/_traction/advance", AdvanceEndpoint(backend, hosts, clock).__call__, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: refuse})


class Server(uvicorn.Server):
    """A server that says when it is ready, and answers its polls before it goes."""

    def __init__(self, app: App, backend: LocalBackend, ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=5,
            )
        )
        self._backend, self._ready = backend, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer the polls that wait, empty, and then stop."""
        self._backend.close()
        await super().shutdown(sockets)


def bind(host: str, port: int) -> tuple[socket.socket, str]:
    """Listen on an address, on a free port if that is 0; give the URL too.

    Raises:
        OSError: the address is not this machine's, or is taken.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
    )[0]
    # The loop sends small packets at once (TCP_NODELAY) only on sockets that say that they are TCP.
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    name = f"[{host}]" if ":" in host else host
    return listener, f"http://{name}:{listener.getsockname()[1]}"


def serve(
    backend: LocalBackend,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    clock: VirtualClock | None = None,
    hosts: frozenset[str] = frozenset(),
    wait: timedelta = POLL_WAIT_MAX,
    ready: Callable[[str], None],
) -> None:
    """Serve until a signal says to stop; `ready` is called with the URL.

    Raises:
        OSError: the address cannot be listened on.
    """
    listener, url = bind(host, port)
    # The server stops well at these, and then sends them to whoever had them before: to end well, they end here.
    before = {number: signal.signal(number, _ignore) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        Server(_make(backend, host, clock, hosts, wait), backend, lambda: ready(url)).run([listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore(_number: int, _frame: object) -> None:
    pass


@contextmanager
def serving(
    backend: LocalBackend,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    clock: VirtualClock | None = None,
    hosts: frozenset[str] = frozenset(),
    wait: timedelta = POLL_WAIT_MAX,
) -> Iterator[str]:
    """Serve in a thread of its own while the body runs; give the URL."""
    with serving_app(_make(backend, host, clock, hosts, wait), backend, host=host, port=port) as url:
        yield url


@contextmanager
def serving_app(app: App, backend: LocalBackend, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve an application that was made by `make_app`, or has some that were, in a thread of its own."""
    listener, url = bind(host, port)
    ready = threading.Event()
    server = Server(app, backend, ready.set)
    thread = threading.Thread(target=server.run, args=([listener],), name="traction server", daemon=True)
    thread.start()
    try:
        ready.wait()
        yield url
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _make(
    backend: LocalBackend, host: str, clock: VirtualClock | None, hosts: frozenset[str], wait: timedelta
) -> Starlette:
    return make_app(backend, clock=clock, hosts=hosts | {host.lower()}, wait=wait)
