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

import logging
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, Any, TypeAlias

import msgspec

from traction.backend import POLL_WAIT_MAX
from traction.errors import BackendError
from traction.extras import needed_by
from traction_local.backend import LocalBackend
from traction_local.server.endpoint import Scope, Send, SwfEndpoint, check_client
from traction_local.server.held_polls import HeldPolls
from traction_local.server.request_body import ClientGone, Receive, Refusal, read_body
from traction_local.virtual_clock import VirtualClock, advance
from traction_swf import wire

with needed_by("the server of the simulator"):
    import uvicorn
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route


App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


KEEP_ALIVE = 75
"""For how many seconds a connection may be idle: longer than clients keep theirs, so that none meets a closing one."""


CLIENT_BYTES_MAX = 64
"""How long the name of a client may be."""


log = logging.getLogger("traction.server")


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
