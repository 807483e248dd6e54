"""Serve the page until a signal stops it, or in a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from traction.ui.app import Page
from traction.ui.http_server import HttpServer, bind, serving_in_thread


def serve_page(page: Page, *, host: str = "127.0.0.1", port: int = 0, ready: Callable[[str], None]) -> None:
    """Serve the page until SIGINT or SIGTERM. `ready` is called with the URL. Live streams end before the server stops.

    Raises:
        OSError: the address is not local, or is in use.
    """
    listener, url = bind(host, port)
    try:
        HttpServer(page, lambda: ready(url), page.close).run([listener])
    except KeyboardInterrupt:
        pass
    finally:
        listener.close()


@contextmanager
def serving_page(page: Page, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve the page in a thread while the body runs. Yields the URL."""
    with serving_in_thread(
        lambda ready: HttpServer(page, ready, page.close), host=host, port=port, name="traction page"
    ) as url:
        yield url
