"""Turn SWF's shapes into its JSON and back, all of them by one rule.

Takes requests, answers, events, decisions, and JSON; gives each for the other. Holds no clock, no socket, and no
line that is about one event, decision or operation.

Theory of operation. Most shapes stand on the wire as they stand here. Three do not. A time is a number of seconds. An
event, flat here, is there an envelope with a member of its own for the attributes of each type; and so is a decision.
A shape in which one of the three occurs has a *twin*, a struct made once, which msgspec reads and writes; what remains
to be done in Python is to go from the one to the other. A `Form` says how, and is made from the type hints alone.

What is read comes from one of two sides. An answer is SWF's, and must be what the model says. A request is a
stranger's: it is first read exactly, which is quick, and if that fails loosely: every member may be missing and
every word may be unknown, so that it is the service that says what is wrong, and says all of it.

Sources: the SWF service model 2012-01-25, and recorded traffic: keys in alphabetical order, times as `1.49737158914E9`,
absent members left out, links to no event written as 0, void answers of no bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from types import UnionType
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar, Union, get_args, get_origin

import msgspec

from traction.errors import BackendError, SerializationException, ServiceFault
from traction.model import decisions as d
from traction.model import operations as o
from traction.model.decisions import Decision
from traction.model.events import BaseEvent, Event

T = TypeVar("T")

Mode: TypeAlias = Literal["exact", "answer", "loose"]
"""How a shape is read: as the model says; so too, but that a tag may be null; or with any member missing."""

UNREADABLE = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)
"""What reading raises: no JSON, no UTF-8, a time that is none, and too deep a nesting."""

CLIENT_HEADER = "x-traction-client"
"""The header by which `traction serve` knows whose poll it holds, so that a client that leaves can ask for it back."""

RELEASE_PATH = "/_traction/release"
"""Where a client asks `traction serve` to answer the polls that it holds for it."""

OPERATIONS: dict[str, type[o.Request[Any]]] = {kind.__name__: kind for kind in get_args(o.Operation)}
"""The operations, by SWF's names."""

FAULTS: dict[str, type[ServiceFault]] = {kind.__name__: kind for kind in ServiceFault.__subclasses__()}
"""The faults, by SWF's codes."""

CLOSES_WITHOUT_ATTRIBUTES = (d.CompleteWorkflowExecution, d.FailWorkflowExecution, d.CancelWorkflowExecution)
"""The decisions that are accepted without their attributes."""


class UnfitDecision(msgspec.Struct, frozen=True):
    """A decision that is not of one known type with its own attributes and no others: for a validator to judge."""

    decision_type: str | None
    attributes: tuple[Decision, ...]
    """All the attributes that are there, each as the decision of its type."""


class Form(NamedTuple):
    """How a type stands on the wire."""

    type: Any
    """What msgspec reads there."""

    read: Callable[[Any], Any] | None
    """From that to ours; `None` where it is the same."""

    write: Callable[[Any], Any] | None
    """From ours to what msgspec writes; `None` where it is the same."""


# Times.

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@lru_cache(maxsize=4096)
def read_time(told: float | datetime) -> datetime:
    """Read a time to the millisecond, from seconds or from a datetime of any zone."""
    if isinstance(told, datetime):
        return _EPOCH + (told - _EPOCH) // _MILLISECOND * _MILLISECOND
    return _EPOCH + timedelta(milliseconds=round(told * 1000))


@lru_cache(maxsize=4096)
def _write_time(time: datetime) -> msgspec.Raw:
    """Write seconds to the millisecond, as Java writes a double: from ten million on with an exponent."""
    milliseconds = (time - _EPOCH) // _MILLISECOND
    sign, digits = ("-", str(-milliseconds)) if milliseconds < 0 else ("", str(milliseconds))
    if len(digits) > 10:
        return msgspec.Raw(f"{sign}{digits[0]}.{digits[1:].rstrip('0') or '0'}E{len(digits) - 4}".encode())
    return msgspec.Raw(repr(milliseconds / 1000).encode())


# Forms, from type hints.


@lru_cache(maxsize=1024)
def get_form(hint: Any, mode: Mode = "exact") -> Form:
    """Say how a type stands on the wire, and how it is read there."""
    if hint is datetime:
        return Form(float if mode == "loose" else float | datetime, read_time, _write_time)
    if hint == Event:
        return _make_event_form()
    if hint == Decision:
        return _make_decision_form(mode)
    origin = get_origin(hint)
    if origin is Literal:
        return Form(str if mode == "loose" else hint, None, None)
    if origin is tuple:
        item = get_form(get_args(hint)[0], mode)
        nullable = item.type is str and mode != "exact"
        read, write = item.read, item.write
        hint = tuple[item.type | None if nullable else item.type, ...]  # type: ignore[misc]
        return Form(
            hint,
            None if read is None else lambda items: tuple(map(read, items)),
            None if write is None else lambda items: tuple(map(write, items)),
        )
    if origin in (Union, UnionType):
        (present,) = (get_form(arg, mode) for arg in get_args(hint) if arg is not type(None))
        return present._replace(type=present.type | None)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _make_struct_form(hint, mode)
    return Form(hint, None, None)


def _make_struct_form(kind: type[msgspec.Struct], mode: Mode) -> Form:
    fields = msgspec.structs.fields(kind)
    forms = [get_form(field.type, mode) for field in fields]
    if mode != "loose" and all(form.type == field.type for form, field in zip(forms, fields, strict=True)):
        return Form(kind, None, None)
    twin = _make_twin(kind, mode)
    names = tuple(field.name for field in fields)
    reads = [(name, attrgetter(name), form.read) for name, form in zip(names, forms, strict=True)]
    writes = [(attrgetter(name), form.write) for name, form in zip(names, forms, strict=True)]

    def read(told: Any) -> Any:
        members: dict[str, Any] = {}
        for name, get, of_member in reads:
            value = get(told)
            members[name] = value if value is None or of_member is None else of_member(value)
        return kind(**members)

    def write(shape: Any) -> Any:
        values = ((get(shape), of_member) for get, of_member in writes)
        return twin(*[value if value is None or change is None else change(value) for value, change in values])

    return Form(twin, read, None if all(form.write is None for form in forms) else write)


def _make_twin(kind: type[msgspec.Struct], mode: Mode) -> Any:
    """Make the struct that has a shape's members as they stand on the wire. It has no tag."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        hint = get_form(field.type, mode).type
        if field.required and mode != "loose":
            fields.append((field.name, hint, msgspec.field(name=field.encode_name)))
        else:
            fields.append((field.name, hint | None, msgspec.field(name=field.encode_name, default=None)))
    return msgspec.defstruct(kind.__name__, fields, omit_defaults=True, gc=False)


# The two envelopes.


def name_attributes(type_name: str, suffix: Literal["Event", "Decision"]) -> str:
    """Name the member that holds the attributes of one type of event or decision."""
    return f"{type_name[0].lower()}{type_name[1:]}{suffix}Attributes"


def _make_wide(common: list[Any], twins: dict[str, Any], suffix: Literal["Event", "Decision"]) -> Any:
    """Make the envelope to read: it has a member for the attributes of each type."""
    places = [
        (name, twin | None, msgspec.field(name=name_attributes(name, suffix), default=None))
        for name, twin in twins.items()
    ]
    return msgspec.defstruct(suffix, [*common, *places], gc=False)


COMMON_TO_EVENTS = ("event_id", "event_timestamp")


def _make_event_form() -> Form:
    kinds: dict[str, Any] = {kind.__name__: kind for kind in get_args(Event)}
    # The twin of an event's attributes also has room for what is common, so that the event can be made of it at once.
    twins = {name: _make_attributes(kind, COMMON_TO_EVENTS) for name, kind in kinds.items()}
    envelope = [
        ("event_id", int, msgspec.field(name="eventId")),
        ("event_timestamp", float | datetime, msgspec.field(name="eventTimestamp")),
        ("event_type", str, msgspec.field(name="eventType")),
    ]
    wide = _make_wide(envelope, twins, "Event")

    def read(told: Any) -> Any:
        kind = kinds.get(told.event_type)
        if kind is None:
            raise msgspec.ValidationError(f"Unknown event type {told.event_type!r} - at `$.eventType`")
        attributes = getattr(told, told.event_type)
        if attributes is None:
            attributes = twins[told.event_type]()
        attributes.event_id = told.event_id
        attributes.event_timestamp = read_time(told.event_timestamp)
        try:
            return msgspec.convert(attributes, kind, from_attributes=True)
        except msgspec.ValidationError:
            return _make_with_null_tags(kind, attributes)

    return Form(wide, read, lambda event: _get_event_write(event.__class__)(event))


@lru_cache(maxsize=1024)
def _make_attributes(kind: type[msgspec.Struct], common: tuple[str, ...] = ()) -> Any:
    """Make the twin of the attributes alone, each of which may be missing."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        if field.name not in common:
            hint = get_form(field.type, "answer").type | None
            fields.append((field.name, hint, msgspec.field(name=field.encode_name, default=None)))
    fields += [(name, Any, None) for name in common]
    return msgspec.defstruct(f"{kind.__name__}Attributes", fields, omit_defaults=True, gc=False)


def _make_with_null_tags(kind: type[msgspec.Struct], attributes: Any) -> Any:
    """Make an event without asking msgspec, which knows no null tags. Old histories have them."""
    members = {field.name: (getattr(attributes, field.name), field) for field in msgspec.structs.fields(kind)}
    for value, field in members.values():
        if value is None and field.required:
            raise msgspec.ValidationError(f"{kind.__name__} is missing required member `{field.encode_name}`")
    return kind(**{name: value for name, (value, _) in members.items()})


@lru_cache(maxsize=1024)
def _get_event_write(kind: Any) -> Callable[[Any], Any]:
    """Give the way to write one type of event: into an envelope that has room for its own attributes alone."""
    name = kind.__name__
    fields: list[Any] = [
        ("attributes", Any, msgspec.field(name=name_attributes(name, "Event"))),
        ("event_id", int, msgspec.field(name="eventId")),
        ("event_timestamp", Any, msgspec.field(name="eventTimestamp")),
        ("event_type", str, msgspec.field(name="eventType")),
    ]
    narrow: Any = msgspec.defstruct("Event", fields, gc=False)
    twin = _make_attributes(kind, COMMON_TO_EVENTS)
    get = _make_get([field.name for field in msgspec.structs.fields(kind) if field.name not in COMMON_TO_EVENTS])
    return lambda event: narrow(twin(*get(event)), event.event_id, _write_time(event.event_timestamp), name)


def _make_get(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Make what gives some members of a struct as a tuple, however many they are."""
    get = attrgetter(*names)
    return get if len(names) > 1 else lambda shape: (get(shape),)


def _make_decision_form(mode: Mode) -> Form:
    kinds: dict[str, Any] = {kind.__name__: kind for kind in get_args(Decision)}
    forms: dict[str, Form] = {name: get_form(kind, mode) for name, kind in kinds.items()}
    types = {name: form.type for name, form in forms.items()}
    envelope = [("decision_type", str | None, msgspec.field(name="decisionType", default=None))]
    wide = _make_wide(envelope, types, "Decision")
    others = len(kinds) - 1
    bare = {kind.__name__ for kind in CLOSES_WITHOUT_ATTRIBUTES}

    def read_attributes(name: str, told: Any) -> Any:
        of_attributes = forms[name].read
        return told if of_attributes is None else of_attributes(told)

    def read(told: Any) -> Any:
        name = told.decision_type
        if name in kinds:
            attributes = getattr(told, name)
            absent = msgspec.structs.astuple(told).count(None)
            if attributes is not None and absent == others:
                return read_attributes(name, attributes)
            if name in bare and absent == others + 1:
                return kinds[name]()
        there = [(name, getattr(told, name)) for name in kinds]
        return UnfitDecision(name, tuple(read_attributes(*place) for place in there if place[1] is not None))

    return Form(wide, read, lambda decision: _get_decision_write(decision.__class__)(decision))


@lru_cache(maxsize=1024)
def _get_decision_write(kind: Any) -> Callable[[Any], Any]:
    """Give the way to write one type of decision: into an envelope that has room for its own attributes alone."""
    name = kind.__name__
    fields: list[Any] = [
        ("attributes", Any, msgspec.field(name=name_attributes(name, "Decision"))),
        ("decision_type", str, msgspec.field(name="decisionType")),
    ]
    narrow: Any = msgspec.defstruct("Decision", fields, gc=False)
    twin = _make_attributes(kind)
    get = _make_get([field.name for field in msgspec.structs.fields(kind)])
    return lambda decision: narrow(twin(*get(decision)), name)


# Writing.

_ENCODER = msgspec.json.Encoder(order="sorted")


def encode(shape: Any) -> bytes:
    """Write a request, an answer, an event or a decision; `None`, the answer of a void operation, has no bytes."""
    if shape is None:
        return b""
    if (write := get_form(_find_union(shape.__class__), "answer").write) is not None:
        shape = write(shape)
    return _ENCODER.encode(shape)


@lru_cache(maxsize=1024)
def _find_union(kind: type) -> Any:
    """Give the union that a type is written as a member of, or the type."""
    if issubclass(kind, BaseEvent):
        return Event
    return Decision if issubclass(kind, d.BaseDecision) else kind


def encode_answer(answer: Any) -> bytes:
    """Write an answer; the empty one to a poll has no members but its token and its event ids.

    Source: all three shapes that are reported of it have these or fewer.
    """
    if getattr(answer, "task_token", None) == "":
        links = {"taskToken": "", "startedEventId": 0}
        return _ENCODER.encode(links | ({"previousStartedEventId": 0} if isinstance(answer, o.DecisionTask) else {}))
    return encode(answer)


def to_plain(shape: Any) -> Any:
    """Write as `encode` does, into dicts, lists and scalars: what boto3 takes."""
    return msgspec.json.decode(encode(shape))


# Reading.


@lru_cache(maxsize=1024)
def _get_decoder(hint: Any, mode: Mode) -> tuple[msgspec.json.Decoder[Any], Callable[[Any], Any] | None]:
    form = get_form(hint, mode)
    return msgspec.json.Decoder(form.type), form.read


def decode_request(operation: type[o.Request[Any]], body: bytes) -> o.Request[Any]:
    """Read a request, whatever it lacks; a member that is missing is `None`, and an odd decision an `UnfitDecision`.

    Raises:
        SerializationException: it is not JSON, or a member is not of its type.
    """
    try:
        try:
            decoder, read = _get_decoder(operation, "exact")
            told = decoder.decode(body or b"{}")
        except msgspec.ValidationError:
            decoder, read = _get_decoder(operation, "loose")
            told = decoder.decode(body or b"{}")
        return told if read is None else read(told)  # type: ignore[no-any-return]
    except UNREADABLE as error:
        raise SerializationException(_tell(str(error))) from None


def decode(hint: Any, data: bytes) -> Any:
    """Read what SWF has written: an answer, an `Event`, a `Decision`.

    Raises:
        BackendError: it is not what the model says.
    """
    decoder, read = _get_decoder(hint, "answer")
    try:
        told = decoder.decode(data)
        return told if read is None else read(told)
    except UNREADABLE as error:
        raise BackendError(f"the service's answer is not what SWF's model says: {error}") from None


def from_plain(hint: Any, data: Any) -> Any:
    """Read as `decode` does, from dicts, lists and scalars: what boto3 gives, with its datetimes."""
    form = get_form(hint, "answer")
    try:
        told = msgspec.convert(data, form.type)
        return told if form.read is None else form.read(told)
    except UNREADABLE as error:
        raise BackendError(f"the service's answer is not what SWF's model says: {error}") from None


@lru_cache(maxsize=64)
def get_answer_type(operation: type[o.Request[Any]]) -> Any:
    """Give the type that an operation is answered by: `Run` for a `Request[Run]`."""
    (base,) = (base for base in operation.__orig_bases__ if get_origin(base) is o.Request)  # type: ignore[attr-defined]
    return get_args(base)[0]


def decode_answer(operation: type[o.Request[T]], body: bytes) -> T:
    """Read the answer to an operation. The empty one to a poll may lack everything, and is then blank.

    Raises:
        BackendError: it is not what the model says.
    """
    kind = get_answer_type(operation)
    if kind is type(None):
        return None  # type: ignore[return-value]
    if "task_token" in kind.__struct_fields__ and not _get_token(body):
        return blank(kind)  # type: ignore[no-any-return]
    return decode(kind, body)  # type: ignore[no-any-return]


def read_answer(operation: type[o.Request[T]], data: Any) -> T:
    """Read as `decode_answer` does, from what boto3 gives."""
    kind = get_answer_type(operation)
    if kind is type(None):
        return None  # type: ignore[return-value]
    if "task_token" in kind.__struct_fields__ and not data.get("taskToken"):
        return blank(kind)  # type: ignore[no-any-return]
    return from_plain(kind, data)  # type: ignore[no-any-return]


class _Token(msgspec.Struct):
    taskToken: str | None = None


def _get_token(body: bytes) -> str | None:
    try:
        return msgspec.json.decode(body, type=_Token).taskToken
    except UNREADABLE as error:
        raise BackendError(f"the service's answer is not what SWF's model says: {error}") from None


@lru_cache(maxsize=64)
def blank(kind: Any) -> Any:
    """Give the answer to a poll that found nothing: every member empty, as the service would leave it."""
    members: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        hint = field.type
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            members[field.name] = blank(hint)
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
    """Write the body of a fault. `InternalFailure` has no message."""
    namespace = "com.amazonaws.swf.base.model" if code.endswith("Fault") else "com.amazon.coral.service"
    told = {"__type": f"{_NAMESPACES.get(code, namespace)}#{code}"}
    return _ENCODER.encode(told if message is None else told | {"message": message})


def decode_fault(body: bytes) -> ServiceFault | None:
    """Read the body of a fault, or find that it is none that has a name here."""
    try:
        told = msgspec.json.decode(body, type=dict[str, Any])
    except UNREADABLE:
        return None
    kind = FAULTS.get(str(told.get("__type", "")).rpartition("#")[2])
    return None if kind is None else kind(str(told.get("message") or told.get("Message") or ""))


_JAVA = {
    "str": "String",
    "int": "Integer",
    "float": "Double",
    "bool": "Boolean",
    "array": "ArrayList",
    "object": "LinkedHashMap",
}
_MISMATCH = re.compile(r"Expected `([a-z]+)[^`]*`, got `([a-z]+)`(?: - at `\$\.?(.*)`)?")


def _tell(complaint: str) -> str:
    """Word a mismatch of types as SWF does, and say where it is."""
    found = _MISMATCH.fullmatch(complaint)
    if found is None:
        return complaint
    expected, got, path = found.groups()
    given = "null" if got == "null" else f"class java.lang.{_JAVA.get(got, got)}"
    told = f"{given} can not be converted to an {_JAVA.get(expected, expected)}"
    return f"{told}, at '{path}'" if path else told
