"""The page of the domains of a simulator, on the server that also answers SWF's requests.

`GET /` and the addresses below it belong to the page, `POST /` and `/_traction/` to the service. A cookie has the
domain that a browser has chosen; it has no secret.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import unquote

from traction.backend import Backend
from traction.model import operations as o
from traction.model.names import WorkflowExecution
from traction.ui.app import DOMAIN_COOKIE, Page, Site
from traction.ui.safety import App, Receive, Scope, Send
from traction_local.backend import LocalBackend


class DomainView(Backend):
    """A backend as it is seen from another domain. Closing it does nothing."""

    def __init__(self, backend: Backend, domain: str) -> None:
        self._backend = backend
        self.url, self.limits, self.domain = backend.url, backend.limits, domain

    def call(self, request: o.Request[Any], wait: timedelta | None = None) -> Any:
        """Send a request: see `Backend.call`."""
        return self._backend.call(request, wait)

    def now(self) -> datetime:
        """Return the service's time."""
        return self._backend.now()

    def wait_until_closed(self, execution: WorkflowExecution, wait: timedelta) -> bool:
        """Wait until a run has closed: see `Backend.wait_until_closed`. Only the domain of the backend can wait."""
        return self._backend.wait_until_closed(execution, wait)

    def close(self) -> None:
        """Do nothing: the backend belongs to the server."""


class ServiceWithPage:
    """An ASGI application of the service and the page.

    Args:
        service: answers SWF's requests.
        backend: the backend of the service.
        hosts: names besides loopback names that browsers may use.
        domain: the domain that is shown first.
        may_write: whether the page may signal, cancel and terminate.
    """

    def __init__(
        self, service: App, backend: LocalBackend, *, hosts: frozenset[str], domain: str, may_write: bool = False
    ) -> None:
        self._service, self._backend, self._hosts = service, backend, hosts
        self._domain, self._may_write = domain, may_write
        self._pages: dict[str, Page] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and _is_for_page(scope["method"], scope["path"]):
            # Reading the domains takes no longer than a request of the service, which also runs in the event loop.
            page = self._find_page(dict(scope["headers"]).get(b"cookie", b""))
            await page(scope, receive, send)
        else:
            await self._service(scope, receive, send)

    def close(self) -> None:
        """End the live streams. Idempotent."""
        for page in self._pages.values():
            page.close()

    def _find_page(self, cookies: bytes) -> Page:
        """Return the page of the domain that a cookie names, or else of the first domain."""
        domain = _read_domain(cookies)
        if domain not in self._pages:
            domains = self._list_domains()
            if domain not in domains:
                domain = self._domain if self._domain in domains or not domains else domains[0]
        if domain not in self._pages:
            site = Site(
                backend=DomainView(self._backend, domain),
                hosts=self._hosts,
                may_write=self._may_write,
                list_domains=self._list_domains,
            )
            self._pages[domain] = Page(site)
        return self._pages[domain]

    def _list_domains(self) -> list[str]:
        names: list[str] = []
        token: str | None = None
        while True:
            page = self._backend.call(o.ListDomains(registration_status="REGISTERED", next_page_token=token))
            names += (info.name for info in page.domain_infos)
            if (token := page.next_page_token) is None:
                return sorted(names)


def _is_for_page(method: str, path: str) -> bool:
    return method in ("GET", "HEAD") if path == "/" else not path.startswith("/_traction/")


def _read_domain(cookies: bytes) -> str:
    try:
        found = SimpleCookie(cookies.decode("latin-1")).get(DOMAIN_COOKIE)
    except CookieError:
        return ""
    return "" if found is None else unquote(found.value)
