"""Write failures as SWF's `reason` and `details`, and read them."""

from __future__ import annotations

import msgspec

from traction.errors import PayloadError, PayloadUnavailableError
from traction.payloads.causes import cut_causes
from traction.payloads.codec import PAYLOAD_CHARS_MAX, Codec
from traction.payloads.failure_info import Cause, FailureInfo, cut_middle, note_loss

FIELDS_CHARS_MAX = 16_384
"""The most characters of its details that the fields of a declared error may take; longer ones go to the store."""

UNREADABLE = "traction.Unreadable"
"""The reason of a failure of the worker, not of the work: it could not read its input."""

INVALID = "traction.InvalidPayload"
"""The reason of a failure of a task whose input no worker can ever read. It is never scheduled again."""

HANDED_BACK = "traction.HandedBack"
"""The reason of a failure of the worker, not of the work: it stopped before the work was done."""

SEALED = "(encrypted: give the codec that wrote it to read the message)"
"""The message of a failure whose details are sealed, for readers without a codec."""

_MESSAGE_CHARS_MIN = 2_048
"""The length of a text that is kept, however long the traceback. Escaped, it is six times as long, and fits."""


_CAUSE_CHARS_MIN = 256


_NO_FIELDS = msgspec.Raw()  # left out by msgspec if it is this very object


class FailureDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """The JSON in `details`: a `FailureInfo`, whose fields are plain JSON, or a string if they are a payload.

    With a codec that hides payloads, all but the type is in `sealed`: the whole JSON as a payload.
    """

    type: str
    message: str
    traceback: str = ""
    kinds: tuple[str, ...] = ()
    fields: msgspec.Raw = _NO_FIELDS
    heartbeat: str | None = None
    bases: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    sealed: str | None = None


def write_failure(info: FailureInfo, codec: Codec, *, chars_max: int = PAYLOAD_CHARS_MAX) -> tuple[str, str]:
    """Return SWF's `reason`, the name of the type, and `details`, a `FailureDetails` as JSON.

    Both are cut to SWF's limits; a long text or traceback is cut in the middle, since its ends are most useful. Fields
    are written whole or not at all. If the codec hides payloads, only the type can be read without it.

    Raises:
        PayloadUnavailableError: the payload store does not accept the fields.
    """
    kinds, fields, message, heartbeat = info.kinds, _NO_FIELDS, info.message, info.heartbeat
    if info.fields is not None:
        try:
            payload = codec.pack(info.fields, FIELDS_CHARS_MAX, info.type)
            # A payload that is not plain JSON is written as a string.
            fields = msgspec.Raw(payload.encode() if payload is info.fields else msgspec.json.encode(payload))
        except PayloadUnavailableError:
            raise
        except PayloadError as error:
            kinds, message = (), note_loss(message, str(error))
    bases, causes, kept, least = info.bases, info.causes, PAYLOAD_CHARS_MAX, _MESSAGE_CHARS_MIN
    while True:
        text = cut_middle(message, max(kept, least))
        cut = tuple(_cut_cause(cause, kept) for cause in causes)
        trace = cut_middle(info.traceback, kept)
        plain = FailureDetails(info.type, text, trace, kinds, fields, heartbeat, bases, cut)
        details = msgspec.json.encode(plain).decode()
        if (sealed := codec.seal(details)) is not None:
            details = msgspec.json.encode(FailureDetails(info.type, "", sealed=sealed)).decode()
        if len(details) <= chars_max:
            return info.type, details
        if kept:
            kept //= 2
        elif heartbeat is not None:
            heartbeat, kept = None, PAYLOAD_CHARS_MAX
        elif causes:
            causes = cut_causes(causes, len(causes) - 1) if len(causes) > 1 else ()
        elif bases:
            bases = bases[:-1]
        elif least:
            least //= 2
        else:
            kinds = kinds[:-1]  # very long names


def _cut_cause(cause: Cause, chars_max: int) -> Cause:
    text, message = (cut_middle(text, max(chars_max, _CAUSE_CHARS_MIN)) for text in (cause.text, cause.message))
    trace = cut_middle(cause.traceback, chars_max)
    return msgspec.structs.replace(cause, text=text, message=message, traceback=trace)


def read_failure(reason: str | None, details: str | None, codec: Codec | None = None) -> FailureInfo:
    """Read the failure that a worker sent, with Traction or without. Its `fields` are still a payload.

    The message of an error without a text is its fields, if they are not encrypted.

    Args:
        reason, details: the two strings of SWF.
        codec: reads sealed details. Without it, only the type is known, and the message is `SEALED`.

    Laws:
        `read_failure(*describe_failure(e, c), c)` has the type, the message and the traceback of `e`, cut or whole.

    Raises:
        PayloadUnavailableError: a key or a transform is missing that is needed to read sealed details.
    """
    try:
        stored = msgspec.json.decode(details or "", type=FailureDetails)
        if stored.sealed is not None:
            stored = _unseal(stored, stored.sealed, codec)
        fields = shown = bytes(stored.fields).decode()
        if fields.startswith('"'):
            fields, shown = msgspec.json.decode(fields, type=str), ""
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return FailureInfo(reason or "unknown", details or "")
    return FailureInfo(
        type=stored.type,
        message=stored.message or shown,
        traceback=stored.traceback,
        kinds=stored.kinds,
        fields=fields or None,
        heartbeat=stored.heartbeat,
        bases=stored.bases,
        causes=stored.causes,
    )


def _unseal(stored: FailureDetails, sealed: str, codec: Codec | None) -> FailureDetails:
    if codec is None:
        return FailureDetails(stored.type, SEALED)
    try:
        opened: FailureDetails = codec.decode(sealed, FailureDetails, f"the failure {stored.type}")
        return opened
    except PayloadUnavailableError:
        raise
    except PayloadError as error:
        return FailureDetails(stored.type, f"(its details cannot be read: {error})")
