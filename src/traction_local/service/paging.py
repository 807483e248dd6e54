"""Cut responses into pages, and make and read page tokens.

A token is valid for one request and for one day. It contains the position itself, so it needs no memory.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, TypeVar

import msgspec

from traction.errors import ValidationException
from traction_local.service.state.environment import EPOCH
from traction_local.service.state.region import Region

_MILLISECOND = timedelta(milliseconds=1)
_PREFIX = b"AAAAKgAAAAEAAAAA"
_ITEM_BYTES_MAX = 1 << 16

ItemT = TypeVar("ItemT")


class _Sealed(msgspec.Struct, array_like=True):
    seal: str
    issued_ms: int
    position: tuple[int, ...]


def get_page_size(region: Region, asked: int | None) -> int:
    """Return the most items in a page. `None` and 0 both mean the maximum of the service."""
    return min(asked or region.limits.page_items_max, region.knobs.page_items_served_max)


def fit(region: Region, page: list[ItemT]) -> list[ItemT]:
    """Cut a page to its size limit, but keep at least one item."""
    room = region.knobs.page_bytes_served_max
    # Small pages hardly ever exceed the limit, so they are not measured.
    if len(page) * _ITEM_BYTES_MAX <= room or len(msgspec.json.encode(page)) <= room:
        return page
    for fitting, item in enumerate(page):
        room -= len(msgspec.json.encode(item))
        if room < 0:
            return page[: max(fitting, 1)]
    return page


def make_page_token(region: Region, request: Any, now: datetime, *position: int) -> str:
    """Return the token with which the same request continues at this position."""
    issued_ms = (now - EPOCH) // _MILLISECOND
    sealed = _Sealed(_seal(region, request, issued_ms, position), issued_ms, position)
    return b64encode(_PREFIX + msgspec.json.encode(sealed)).decode()


def read_page_token(region: Region, request: Any, now: datetime, places: int) -> tuple[int, ...]:
    """Return the position at which the request continues. The token of another request is invalid."""
    try:
        raw = b64decode(request.next_page_token, validate=True)
        sealed = msgspec.json.decode(raw.removeprefix(_PREFIX), type=_Sealed)
    except (Error, ValueError, msgspec.MsgspecError):
        raise ValidationException("Invalid token") from None
    issued = EPOCH + sealed.issued_ms * _MILLISECOND if abs(sealed.issued_ms) < 10**14 else EPOCH
    if sealed.seal != _seal(region, request, sealed.issued_ms, sealed.position) or len(sealed.position) != places:
        raise ValidationException("Invalid token")
    if now - issued > region.limits.page_token_lifetime:
        raise ValidationException("Specified token has exceeded its maximum lifetime")
    return sealed.position


def _seal(region: Region, request: Any, issued_ms: int, position: tuple[int, ...]) -> str:
    """Return a checksum of the position, time, request and service."""
    query = msgspec.structs.replace(request, next_page_token=None)
    sealed = msgspec.json.encode((region.seed, type(request).__name__, query, issued_ms, position))
    return b64encode(sha256(sealed).digest()[:12]).decode()
