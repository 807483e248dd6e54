"""Read the payloads of a history as plain JSON data, for people to look at."""

from __future__ import annotations

from typing import Any

import msgspec

from traction.errors import PayloadError, PayloadUnavailableError
from traction.history.views import Unreadable
from traction.payloads.codec import JSON, Codec

NEEDS_CODEC = "it is transformed or stored, and no codec or store was given that reads it"


def read_content(payload: str | None, codec: Codec | None = None) -> Any:
    """Return a payload as plain JSON data; other text as a string; `Unreadable` if it cannot be read.

    Args:
        payload: as the history has it.
        codec: reads transformed and stored payloads.
    """
    if payload is None:
        return None
    try:
        return (codec or JSON).decode(payload, Any)
    except PayloadUnavailableError as error:
        return Unreadable(NEEDS_CODEC if codec is None else str(error))
    except PayloadError:  # another program wrote it
        return payload


def show_content(content: Any) -> str:
    """Write content on one line: JSON, or why it cannot be read, in angle brackets; nothing for `None`."""
    if content is None:
        return ""
    if isinstance(content, Unreadable):
        return f"<unreadable: {content.unreadable}>"
    return msgspec.json.encode(content).decode()
