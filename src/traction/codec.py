"""Turn values into payloads and back: the only place that does.

Takes a value and gives JSON text, or takes JSON text and a type and gives a value of that type. Typed both
ways, by msgspec; nothing else is ever evaluated or imported. Fields that a type no longer has are passed over,
fields that it has gained take their defaults; anything else that differs is a `PayloadError`.
"""

from __future__ import annotations

import builtins
from typing import Any

import msgspec

from traction.errors import PayloadError

PAYLOAD_CHARS_MAX = 32_768
"""The most characters that an input, a result, a detail or a control may have (SWF)."""


REASON_CHARS_MAX = 256
"""The most characters that the reason of a failure may have (SWF)."""


UNREADABLE = "traction.Unreadable"
"""The reason of a failure that is the worker's and not the work's: it could not read what it was given."""


class FailureDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of an exception: its type's name, its text, its traceback."""

    type: str
    message: str
    traceback: str = ""


def describe_failure(error: BaseException) -> tuple[str, str]:
    """Say an exception in SWF's two strings: `reason`, its type; `details`, a `FailureDetails` as JSON.

    Both are cut to SWF's limits; of a long traceback the middle goes, since its ends tell most.
    """
    import traceback

    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    trace = "".join(traceback.format_exception(error))
    message, kept = str(error), len(trace)
    while True:
        details = msgspec.json.encode(FailureDetails(name, message, cut_middle(trace, kept))).decode()
        if len(details) <= PAYLOAD_CHARS_MAX:
            return name[:REASON_CHARS_MAX], details
        kept //= 2
        message = cut_middle(message, PAYLOAD_CHARS_MAX // 8)


def read_failure(reason: str | None, details: str | None) -> FailureDetails:
    """Read what a worker said of a failure, Traction's or another's.

    Laws:
        `read_failure(*describe_failure(e))` has the type, the message and the traceback of `e`, cut or whole.
    """
    try:
        return msgspec.json.decode(details or "", type=FailureDetails)
    except msgspec.DecodeError:
        return FailureDetails(reason or "unknown", details or "")


def cut_middle(text: str, chars_max: int) -> str:
    """Keep both ends of a text that is too long."""
    if len(text) <= chars_max:
        return text
    head = chars_max // 3
    tail = text[len(text) - (chars_max - head) :]
    return f"{text[:head]}\n... {len(text) - chars_max:,} characters left out ...\n{tail}"


class Codec:
    """JSON by msgspec.

    Laws:
        `decode(encode(x), type(x)) == x` for every value that msgspec can read back.
    """

    __slots__ = ("_decoders", "_encoder")

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()
        self._decoders: dict[Any, msgspec.json.Decoder[Any]] = {}

    def encode(self, value: object) -> str:
        """Write a value.

        Raises:
            PayloadError: the value cannot be written, or the text is longer than SWF takes.
        """
        try:
            payload = self._encoder.encode(value).decode()
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            raise PayloadError(f"{value!r:.200} cannot be written as JSON: {error}") from error
        if len(payload) > PAYLOAD_CHARS_MAX:
            raise PayloadError(
                f"{type(value).__name__} takes {len(payload):,} characters as JSON, and SWF carries at most "
                f"{PAYLOAD_CHARS_MAX:,}; pass a reference (a key, a path) to what is larger"
            )
        return payload

    def decode(self, payload: str | None, type: Any, what: str = "payload") -> Any:
        """Read a value of the given type; an absent payload is read as `null`.

        `what` names the payload in errors, in the reader's words.

        Raises:
            PayloadError: the text is not JSON, or not of that type.
        """
        try:
            decoder = self._decoders[type]
        except KeyError:
            decoder = self._decoders[type] = msgspec.json.Decoder(type)
        except TypeError:  # an unhashable annotation
            decoder = msgspec.json.Decoder(type)
        try:
            return decoder.decode(payload if payload is not None else "null")
        except msgspec.DecodeError as error:
            raise PayloadError(
                f"{what} does not decode as {name_type(type)}: {error}; it reads {payload!r:.200}"
            ) from error


def name_type(type: Any) -> str:
    """Name a type as its reader would write it."""
    return type.__qualname__ if isinstance(type, builtins.type) and not hasattr(type, "__args__") else str(type)


JSON = Codec()
"""The codec that everything uses unless told otherwise."""
