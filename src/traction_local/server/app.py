"""SWF's wire protocol over HTTP, for one service in this process.

`backend` holds the service, the waiting polls and the alarms. `traction_swf.wire` encodes and decodes. This module
handles targets, headers, limits, and clients that disconnect.

Theory of operation. Every operation runs at once, in the event loop, except a poll that finds no task: it leaves a
waiter with the backend, and its coroutine sleeps until it is woken, the wait is over, or the client disconnects.
In each case the waiter is withdrawn, so that no task goes to a missing client. As in SWF, a task that was assigned just
before the client disconnected times out.

The server is for one machine. It accepts only loopback names (and `hosts`), and no requests from pages of other sites.
Otherwise any page in a browser could reach it through a name that resolves to 127.0.0.1. Signatures are not checked.
Invalid input never raises here: the response is SWF's fault, or a 4xx.
"""

from __future__ import annotations

import logging
import signal
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
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from traction.ui.http_server import HttpServer, bind, serving_in_thread


App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


KEEP_ALIVE = 75
"""How many seconds a connection may be idle: longer than clients keep theirs, so that they never use a closed one."""


CLIENT_BYTES_MAX = 64
"""The maximum length of a client's name."""


log = logging.getLogger("traction.server")


# Virtual time.


class _Advance(msgspec.Struct, forbid_unknown_fields=True):
    seconds: Annotated[float, msgspec.Meta(ge=0, le=10**9)] = 0


class AdvanceEndpoint:
    """`POST /_traction/advance`: advance the virtual clock."""

    def __init__(self, backend: LocalBackend, hosts: frozenset[str], clock: VirtualClock | None) -> None:
        self._backend, self._hosts, self._clock = backend, hosts, clock

    async def __call__(self, request: Request) -> Response:
        """Respond with the time, and the time of the next alarm."""
        try:
            check_client(dict(request.scope["headers"]), self._hosts)
            body = await read_body(request.receive, 1024)
            if self._clock is None:
                raise Refusal(409, "Conflict", "the clock of this server cannot be advanced: start it with --virtual")
            asked = msgspec.json.decode(body or b"{}", type=_Advance)
            now, alarm = advance(self._backend, self._clock, asked.seconds)
        except ClientGone:
            return Response(status_code=400)
        except Refusal as refusal:
            return _to_response(refusal.status, {"message": str(refusal)})
        except BackendError as error:
            return _to_response(503, {"message": str(error)})
        except (msgspec.MsgspecError, OverflowError, RecursionError) as error:
            return _to_response(400, {"message": f'send {{"seconds": 60}}, with at most a billion: {error}'})
        return _to_response(200, {"now": now, "nextAlarm": alarm})


class ReleaseEndpoint:
    """`POST /_traction/release`: release the polls of a client that stops. A header names the client."""

    def __init__(self, hosts: frozenset[str], held: HeldPolls) -> None:
        self._hosts, self._held = hosts, held

    async def __call__(self, request: Request) -> Response:
        headers = dict(request.scope["headers"])
        try:
            check_client(headers, self._hosts)
        except Refusal as refusal:
            return _to_response(refusal.status, {"message": str(refusal)})
        client = headers.get(wire.CLIENT_HEADER.encode(), b"")
        if not 0 < len(client) <= CLIENT_BYTES_MAX:
            return _to_response(400, {"message": f"the header {wire.CLIENT_HEADER} does not name a client"})
        self._held.release(client)
        return _to_response(200, {})


def _to_response(status: int, content: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


# The server.


def make_app(
    backend: LocalBackend,
    *,
    clock: VirtualClock | None = None,
    hosts: frozenset[str] = frozenset(),
    wait: timedelta = POLL_WAIT_MAX,
) -> Starlette:
    """Return the application.

    Args:
        backend: The backend that handles requests.
        clock: Its clock, if it is virtual.
        hosts: Host names that clients may use besides loopback names; `*` for any.
        wait: How long a poll waits, in real time.
    """

    async def refuse(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        headers = error.headers if isinstance(error, HTTPException) else None
        body = wire.encode_fault(
            "UnknownOperationException", f"{request.method} {request.url.path}: send SWF requests as POST /"
        )
        return Response(body, status, headers, media_type="application/json")

    held = HeldPolls()
    routes = [
        Route("/", SwfEndpoint(backend, hosts, wait, held)),
        Route(wire.RELEASE_PATH, ReleaseEndpoint(hosts, held).__call__, methods=["POST"]),
        Route("/_traction/advance", AdvanceEndpoint(backend, hosts, clock).__call__, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: refuse})


def serve(
    backend: LocalBackend,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    clock: VirtualClock | None = None,
    hosts: frozenset[str] = frozenset(),
    wait: timedelta = POLL_WAIT_MAX,
    ready: Callable[[str], None],
    page_domain: str | None = None,
    page_may_write: bool = False,
) -> None:
    """Serve until SIGINT or SIGTERM. `ready` is called with the URL.

    Args:
        backend, host, port, clock, hosts, wait: as for `make_app` and `bind`.
        ready: called with the URL.
        page_domain: the domain that the page at `/` shows first; without it, there is no page.
        page_may_write: whether the page may signal, cancel and terminate.

    Raises:
        OSError: the address is not local, or is in use.
    """
    listener, url = bind(host, port)
    # After a graceful shutdown the server sends these signals again, to the previous handlers. Ignore them there.
    before = {number: signal.signal(number, _ignore) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        app: App = _make(backend, host, clock, hosts, wait)
        page: ServiceWithPage | None = None
        if page_domain is not None:
            from traction_local.server.page import ServiceWithPage

            names = hosts | {host.lower()}
            app = page = ServiceWithPage(app, backend, hosts=names, domain=page_domain, may_write=page_may_write)

        def on_stop() -> None:
            if page is not None:
                page.close()
            backend.close()

        HttpServer(app, lambda: ready(url), on_stop, keep_alive=KEEP_ALIVE).run([listener])
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
    """Serve in a thread while the body runs. Yields the URL."""
    with serving_app(_make(backend, host, clock, hosts, wait), backend, host=host, port=port) as url:
        yield url


@contextmanager
def serving_app(app: App, backend: LocalBackend, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve an application made of `make_app` applications, in a thread. Yields the URL."""
    with serving_in_thread(
        lambda ready: HttpServer(app, ready, backend.close, keep_alive=KEEP_ALIVE),
        host=host,
        port=port,
        name="traction server",
    ) as url:
        yield url


def _make(
    backend: LocalBackend, host: str, clock: VirtualClock | None, hosts: frozenset[str], wait: timedelta
) -> Starlette:
    return make_app(backend, clock=clock, hosts=hosts | {host.lower()}, wait=wait)
