"""Cut answers into pages, and mint and read page tokens.

Takes a request and a position in its answer; gives a token that is good for that request alone and for a
day, and the position back. A token carries all it says, so that it costs no memory.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, TypeVar

import msgspec

from traction.errors import ValidationException
from traction_local.service.state.region import EPOCH, Region

_MILLISECOND = timedelta(milliseconds=1)
_PREFIX = b"AAAAKgAAAAEAAAAA"
_ITEM_BYTES_MAX = 1 << 16

ItemT = TypeVar("ItemT")


class _Sealed(msgspec.Struct, array_like=True):
    seal: str
    issued_ms: int
    position: tuple[int, ...]


def get_page_size(region: Region, asked: int | None) -> int:
    """How many items a page has. None and 0 both mean as many as the service gives."""
    return min(asked or region.limits.page_items_max, region.knobs.page_items_served_max)


def fit(region: Region, page: list[ItemT]) -> list[ItemT]:
    """Cut a page to what it has room for, and one item at least."""
    room = region.knobs.page_bytes_served_max
    # So few are hardly ever longer, and need not be measured.
    if len(page) * _ITEM_BYTES_MAX <= room or len(msgspec.json.encode(page)) <= room:
        return page
    for fitting, item in enumerate(page):
        room -= len(msgspec.json.encode(item))
        if room < 0:
            return page[: max(fitting, 1)]
    return page


def make_page_token(region: Region, request: Any, now: datetime, *position: int) -> str:
    """Make the token with which the same request goes on at this position."""
    issued_ms = (now - EPOCH) // _MILLISECOND
    sealed = _Sealed(_seal(region, request, issued_ms, position), issued_ms, position)
    return b64encode(_PREFIX + msgspec.json.encode(sealed)).decode()


def read_page_token(region: Region, request: Any, now: datetime, places: int) -> tuple[int, ...]:
    """Read where the request goes on: so many numbers. A token of another request is as good as none."""
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
    """Bind position and time to the request and the service."""
    query = msgspec.structs.replace(request, next_page_token=None)
    told = msgspec.json.encode((region.seed, type(request).__name__, query, issued_ms, position))
    return b64encode(sha256(told).digest()[:12]).decode()
