"""Protect the page: accepted hosts, headers of responses, and tokens of forms.

The page has no accounts. Any client that can connect to it can read it, so it listens on the loopback address by
default. A browser on the same machine is such a client, and every site that it shows could use it:

    a page of another site that posts a form    `Origin` must be this server, and each form has a token
    a name that resolves to 127.0.0.1           `Host` must be a loopback name, or allowed
    text of others that contains markup         escaped by the templates; the policy below forbids inline scripts
    a frame around the page                     forbidden
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from traction.ui.trusted_hosts import find_refusal

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The content security policy of every response: nothing inline, and nothing from elsewhere."""

HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    # With no-referrer, browsers send forms with `Origin: null`.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Guard:
    """An ASGI application that refuses requests of other sites, and adds the headers to each response."""

    def __init__(self, app: App, hosts: frozenset[str]) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                named = {name.lower() for name, _ in message["headers"]}
                added = [*HEADERS] if b"cache-control" in named else [*HEADERS, (b"cache-control", b"no-store")]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        refusal = find_refusal(headers, self._hosts) or find_foreign_form(scope["method"], headers)
        if refusal is None:
            await self._app(scope, receive, send_guarded)
            return
        content_type = (b"content-type", b"text/plain; charset=utf-8")
        await send_guarded({"type": "http.response.start", "status": 403, "headers": [content_type]})
        await send_guarded({"type": "http.response.body", "body": f"{refusal}\n".encode("utf-8", "replace")})


def find_foreign_form(method: str, headers: dict[bytes, bytes]) -> str | None:
    """Return why a request that acts is refused: it does not come from a page of this server."""
    if method in ("GET", "HEAD"):
        return None
    if headers.get(b"sec-fetch-site", b"same-origin") not in (b"same-origin", b"none"):
        return "this server does not accept forms from pages of other sites"
    origin = headers.get(b"origin")
    if origin is None:
        return "this server accepts a form only with the header Origin, which browsers send"
    host = headers.get(b"host", b"").decode("latin-1")
    if urlsplit(origin.decode("latin-1")).netloc != host:
        return "this server does not accept forms from pages of other sites"
    return None


def make_token(secret: bytes, *parts: str) -> str:
    """Return the token of a form, which only pages of this process contain.

    Args:
        secret: random bytes of the process.
        parts: what the form is for.
    """
    text = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
    return hmac.new(secret, text, hashlib.sha256).hexdigest()


def is_token(token: str, secret: bytes, *parts: str) -> bool:
    """Return whether a token is that of the form."""
    return hmac.compare_digest(token.encode(), make_token(secret, *parts).encode())
