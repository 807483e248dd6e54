"""Read a page of the events of a history, with decoded payloads, by a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from traction.history.contents import read_content
from traction.history.export import write_event
from traction.model import events as e
from traction.payloads.codec import JSON, Codec

PAGE: Final = 100
"""How many events a page has."""

PAYLOADS: Final = frozenset({"input", "result", "details", "executionContext", "control"})
"""The attributes of events that may be payloads."""

_ENVELOPE: Final = ("eventId", "eventTimestamp", "eventType")


class EventRow(msgspec.Struct, frozen=True):
    """An event."""

    id: int
    at: datetime
    type: str
    attributes: tuple[tuple[str, Any], ...]
    """Names of SWF, and plain JSON data or `Unreadable`."""


class EventPage(msgspec.Struct, frozen=True):
    """Events that match a search."""

    rows: list[EventRow]
    count: int
    """How many match."""
    search: str
    before: int | None
    """Where the page before begins."""
    after: int | None


def read_event_page(events: Sequence[e.Event], parameters: Mapping[str, str], codec: Codec) -> EventPage:
    """Return the page of events that `from` begins and `q` filters, the oldest first."""
    search = parameters.get("q", "").strip()
    found = [event for event in events if _matches(event, search.lower())] if search else events
    text = parameters.get("from", "")
    begin = min(int(text), max(len(found) - 1, 0)) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    return EventPage(
        [_make_row(event, codec) for event in found[begin : begin + PAGE]],
        len(found),
        search,
        max(begin - PAGE, 0) if begin else None,
        begin + PAGE if begin + PAGE < len(found) else None,
    )


def _matches(event: e.Event, search: str) -> bool:
    return search in msgspec.json.encode(write_event(event)).decode().lower()


def _make_row(event: e.Event, codec: Codec) -> EventRow:
    written = write_event(event)
    (attributes,) = (value for name, value in written.items() if name not in _ENVELOPE)
    reader = None if codec is JSON else codec
    shown = (
        (name, read_content(value, reader) if name in PAYLOADS and isinstance(value, str) else value)
        for name, value in attributes.items()
        if value is not None
    )
    return EventRow(event.event_id, event.event_timestamp, written["eventType"], tuple(shown))
