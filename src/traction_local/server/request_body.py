"""Read the bodies of requests, as far as they may be, and refuse the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]

DRAINED_BYTES_MAX = 16 * 1024 * 1024
"""How much of a body that is too large is read before it is refused, so that the client gets to read the refusal."""

BODY_WAIT = 60.0
"""For how many seconds the rest of a body is waited for."""


class Refusal(Exception):
    """A request that is answered with an HTTP status of its own, in the form of a fault."""

    def __init__(self, status: int, code: str, message: str, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers


class ClientGone(Exception):
    """There is nobody left to answer."""


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
        raise Refusal(408, "RequestTimeout", "the body did not come") from None
    if read > bytes_max:
        raise _too_large(bytes_max)
    return b"".join(chunks)


def _too_large(bytes_max: int) -> Refusal:
    return Refusal(413, "RequestEntityTooLarge", f"a request may have {bytes_max} bytes", ((b"connection", b"close"),))
