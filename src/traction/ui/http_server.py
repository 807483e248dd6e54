"""Listen on an address, and run an HTTP server there until a signal or its caller stops it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from traction.extras import needed_by

with needed_by("a server of HTTP"):
    import uvicorn

KEEP_ALIVE: Final = 5
"""How many seconds an idle connection stays open, unless the caller sets it."""


class HttpServer(uvicorn.Server):
    """A server that calls `ready` when it listens, and `on_stop` before it stops."""

    def __init__(
        self, app: Any, ready: Callable[[], None], on_stop: Callable[[], object], *, keep_alive: int = KEEP_ALIVE
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=keep_alive,
                timeout_graceful_shutdown=5,
            )
        )
        self._ready, self._on_stop = ready, on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then call `ready`."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Call `on_stop`, then stop."""
        self._on_stop()
        await super().shutdown(sockets)


def bind(host: str, port: int) -> tuple[socket.socket, str]:
    """Listen on an address, on a free port if `port` is 0. Returns the socket and the URL.

    Raises:
        OSError: the address is not local, or is in use.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
    )[0]
    # The event loop sets TCP_NODELAY only on sockets whose protocol is TCP.
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


@contextmanager
def serving_in_thread(
    make_server: Callable[[Callable[[], None]], uvicorn.Server], *, host: str, port: int, name: str
) -> Iterator[str]:
    """Run a server in a thread of this name while the body runs. Yields the URL.

    Args:
        make_server: called with what the server calls when it listens.

    Raises:
        OSError: the address is not local, or is in use.
    """
    listener, url = bind(host, port)
    ready = threading.Event()
    server = make_server(ready.set)
    thread = threading.Thread(target=server.run, args=([listener],), name=name, daemon=True)
    thread.start()
    try:
        ready.wait()
        yield url
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
