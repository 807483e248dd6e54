"""Encode requests, responses, events, decisions and faults as SWF's JSON, and decode them. No clock and no socket.

Responses come from SWF and must match the model. Requests come from any client: they are decoded exactly, which is
fast, and if that fails loosely: any member may be missing and any word unknown, so that the service can report
everything that is wrong. No line is about one event, decision or operation: see `forms`.

Sources: the SWF service model 2012-01-25, and recorded traffic: keys in alphabetical order, times as `1.49737158914E9`,
absent members left out, links to events that do not exist written as 0, responses of void operations without bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from traction.errors import BackendError, SerializationException, ServiceFault
from traction.model import decisions as d
from traction.model import operations as o
from traction.model.decisions import Decision
from traction.model.events import BaseEvent, Event
from traction_swf.forms import Mode, get_form

T = TypeVar("T")

UNREADABLE = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)
"""What decoding raises: invalid JSON or UTF-8, a time out of range, or too deep a nesting."""

CLIENT_HEADER = "x-traction-client"
"""The header with the name of the client. `traction serve` ends the pending polls of a client that asks for it."""

RELEASE_PATH = "/_traction/release"
"""The path at which a client asks `traction serve` to end its pending polls."""

OPERATIONS: dict[str, type[o.Request[Any]]] = {kind.__name__: kind for kind in get_args(o.Operation)}
"""The operations, by SWF's names."""

FAULTS: dict[str, type[ServiceFault]] = {kind.__name__: kind for kind in ServiceFault.__subclasses__()}
"""The faults, by SWF's codes."""

# Writing.

_ENCODER = msgspec.json.Encoder(order="sorted")


def encode(value: Any) -> bytes:
    """Encode a request, a response, an event or a decision. `None`, the response of a void operation, has no bytes."""
    if value is None:
        return b""
    if (write := get_form(_find_union(value.__class__), "answer").write) is not None:
        value = write(value)
    return _ENCODER.encode(value)


@lru_cache(maxsize=1024)
def _find_union(kind: type) -> Any:
    """Return the union in whose form a type is encoded, or the type itself."""
    if issubclass(kind, BaseEvent):
        return Event
    return Decision if issubclass(kind, d.BaseDecision) else kind


def encode_response(answer: Any) -> bytes:
    """Encode a response. The empty response to a poll has only its token and event ids.

    Source: all three forms that are reported of it have these members or fewer.
    """
    if getattr(answer, "task_token", None) == "":
        links = {"taskToken": "", "startedEventId": 0}
        return _ENCODER.encode(links | ({"previousStartedEventId": 0} if isinstance(answer, o.DecisionTask) else {}))
    return encode(answer)


def to_plain(value: Any) -> Any:
    """Like `encode`, but return dicts, lists and scalars, which boto3 takes."""
    return msgspec.json.decode(encode(value))


# Reading.


@lru_cache(maxsize=1024)
def _get_decoder(hint: Any, mode: Mode) -> tuple[msgspec.json.Decoder[Any], Callable[[Any], Any] | None]:
    form = get_form(hint, mode)
    return msgspec.json.Decoder(form.type), form.read


def decode_request(operation: type[o.Request[Any]], body: bytes) -> o.Request[Any]:
    """Decode a request. A missing member is `None`, and an invalid decision an `UnfitDecision`.

    Raises:
        SerializationException: It is not JSON, or a member has the wrong type.
    """
    try:
        try:
            decoder, read = _get_decoder(operation, "exact")
            decoded = decoder.decode(body or b"{}")
        except msgspec.ValidationError:
            decoder, read = _get_decoder(operation, "loose")
            decoded = decoder.decode(body or b"{}")
        return decoded if read is None else read(decoded)  # type: ignore[no-any-return]
    except UNREADABLE as error:
        raise SerializationException(_translate_mismatch(str(error))) from None


def decode(hint: Any, data: bytes) -> Any:
    """Decode what SWF has encoded: a response, an `Event`, a `Decision`.

    Raises:
        BackendError: It does not match the model.
    """
    decoder, read = _get_decoder(hint, "answer")
    try:
        decoded = decoder.decode(data)
        return decoded if read is None else read(decoded)
    except UNREADABLE as error:
        raise BackendError(f"the service's response does not match SWF's model: {error}") from None


def from_plain(hint: Any, data: Any) -> Any:
    """Like `decode`, but from the dicts, lists, scalars and datetimes that boto3 returns."""
    form = get_form(hint, "answer")
    try:
        converted = msgspec.convert(data, form.type)
        return converted if form.read is None else form.read(converted)
    except UNREADABLE as error:
        raise BackendError(f"the service's response does not match SWF's model: {error}") from None


@lru_cache(maxsize=64)
def get_response_type(operation: type[o.Request[Any]]) -> Any:
    """Return the type of the response of an operation: `Run` for a `Request[Run]`."""
    (base,) = (base for base in operation.__orig_bases__ if get_origin(base) is o.Request)  # type: ignore[attr-defined]
    return get_args(base)[0]


def decode_response(operation: type[o.Request[T]], body: bytes) -> T:
    """Decode the response to an operation. The empty response to a poll may lack any member.

    Raises:
        BackendError: It does not match the model.
    """
    kind = get_response_type(operation)
    if kind is type(None):
        return None  # type: ignore[return-value]
    if "task_token" in kind.__struct_fields__ and not _get_token(body):
        return make_empty_poll(kind)  # type: ignore[no-any-return]
    return decode(kind, body)  # type: ignore[no-any-return]


def read_response(operation: type[o.Request[T]], data: Any) -> T:
    """Like `decode_response`, but from what boto3 returns."""
    kind = get_response_type(operation)
    if kind is type(None):
        return None  # type: ignore[return-value]
    if "task_token" in kind.__struct_fields__ and not data.get("taskToken"):
        return make_empty_poll(kind)  # type: ignore[no-any-return]
    return from_plain(kind, data)  # type: ignore[no-any-return]


class _Token(msgspec.Struct):
    taskToken: str | None = None


def _get_token(body: bytes) -> str | None:
    try:
        return msgspec.json.decode(body, type=_Token).taskToken
    except UNREADABLE as error:
        raise BackendError(f"the service's response does not match SWF's model: {error}") from None


@lru_cache(maxsize=64)
def make_empty_poll(kind: Any) -> Any:
    """Return the empty response to a poll."""
    members: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        hint = field.type
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            members[field.name] = make_empty_poll(hint)
        elif hint is str:
            members[field.name] = ""
        elif int in (hint, *get_args(hint)):
            members[field.name] = 0
        elif field.required:
            members[field.name] = ()
    return kind(**members)


# Faults.

_NAMESPACES = {
    "ValidationException": "com.amazon.coral.validate",
    "ThrottlingException": "com.amazon.coral.availability",
}


def encode_fault(code: str, message: str | None) -> bytes:
    """Encode the body of a fault. `InternalFailure` has no message."""
    namespace = "com.amazonaws.swf.base.model" if code.endswith("Fault") else "com.amazon.coral.service"
    fields = {"__type": f"{_NAMESPACES.get(code, namespace)}#{code}"}
    return _ENCODER.encode(fields if message is None else fields | {"message": message})


def decode_fault(body: bytes) -> ServiceFault | None:
    """Decode the body of a fault. `None` if it is not a fault of the model."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
    except UNREADABLE:
        return None
    kind = FAULTS.get(str(fields.get("__type", "")).rpartition("#")[2])
    return None if kind is None else kind(str(fields.get("message") or fields.get("Message") or ""))


_JAVA = {
    "str": "String",
    "int": "Integer",
    "float": "Double",
    "bool": "Boolean",
    "array": "ArrayList",
    "object": "LinkedHashMap",
}
_MISMATCH = re.compile(r"Expected `([a-z]+)[^`]*`, got `([a-z]+)`(?: - at `\$\.?(.*)`)?")


def _translate_mismatch(message: str) -> str:
    """Translate msgspec's message about a wrong type to SWF's."""
    found = _MISMATCH.fullmatch(message)
    if found is None:
        return message
    expected, got, path = found.groups()
    actual = "null" if got == "null" else f"class java.lang.{_JAVA.get(got, got)}"
    text = f"{actual} can not be converted to an {_JAVA.get(expected, expected)}"
    return f"{text}, at '{path}'" if path else text
