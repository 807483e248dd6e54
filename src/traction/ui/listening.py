"""Listen on an address, and serve the page until a signal stops it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from traction.extras import needed_by
from traction.ui.app import Page

with needed_by("traction ui"):
    import uvicorn


class PageServer(uvicorn.Server):
    """A server that calls `ready` when it listens, and ends the live streams before it stops."""

    def __init__(self, page: Page, ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                page,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=5,
            )
        )
        self._page, self._ready = page, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then call `ready`."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the live streams, then stop."""
        self._page.close()
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


def serve_page(page: Page, *, host: str = "127.0.0.1", port: int = 0, ready: Callable[[str], None]) -> None:
    """Serve the page until SIGINT or SIGTERM. `ready` is called with the URL.

    Raises:
        OSError: the address is not local, or is in use.
    """
    listener, url = bind(host, port)
    try:
        PageServer(page, lambda: ready(url)).run([listener])
    except KeyboardInterrupt:
        pass
    finally:
        listener.close()


@contextmanager
def serving_page(page: Page, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve the page in a thread while the body runs. Yields the URL."""
    listener, url = bind(host, port)
    ready = threading.Event()
    server = PageServer(page, ready.set)
    thread = threading.Thread(target=server.run, args=([listener],), name="traction page", daemon=True)
    thread.start()
    try:
        ready.wait()
        yield url
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
