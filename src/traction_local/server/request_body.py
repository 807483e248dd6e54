"""Read request bodies up to a size limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]

DRAINED_BYTES_MAX = 16 * 1024 * 1024
"""How much of a body that is too large is read before it is refused, so that the client can read the response."""

BODY_WAIT = 60.0
"""The timeout for the rest of a body, in seconds."""


class Refusal(Exception):
    """A request is refused with an HTTP status other than 400, and the body of a fault."""

    def __init__(self, status: int, code: str, message: str, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers


class ClientGone(Exception):
    """The client has disconnected."""


async def read_body(receive: Receive, bytes_max: int) -> bytes:
    """Read the body, or refuse one that is too large."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
        return body
    return await _read_rest(body, receive, bytes_max)


async def _read_rest(first: bytes, receive: Receive, bytes_max: int) -> bytes:
    chunks, read = [first], len(first)
    try:
        async with asyncio.timeout(BODY_WAIT):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                chunk: bytes = message.get("body", b"")
                read += len(chunk)
                if read <= bytes_max:
                    chunks.append(chunk)
                if not message.get("more_body", False) or read > DRAINED_BYTES_MAX:
                    break
    except TimeoutError:
        raise Refusal(408, "RequestTimeout", "the request body was not received in time") from None
    if read > bytes_max:
        raise _too_large(bytes_max)
    return b"".join(chunks)


def _too_large(bytes_max: int) -> Refusal:
    return Refusal(
        413, "RequestEntityTooLarge", f"a request may have at most {bytes_max} bytes", ((b"connection", b"close"),)
    )
