"""How each type of SWF's model is represented in SWF's JSON, derived from its type hints.

Theory of operation. Most structs have the same members in JSON. Three types differ. A time is a number of seconds. An
event, flat here, is an envelope with a member for the attributes of each event type; and so is a decision. A struct
that contains one of the three has a *JSON struct*, made once, which msgspec decodes and encodes. What remains for
Python is the conversion between the two. A `Form` holds the JSON type and both conversions.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from types import UnionType
from typing import Any, Literal, NamedTuple, TypeAlias, Union, get_args, get_origin

import msgspec

from traction.model import decisions as d
from traction.model.decisions import Decision
from traction.model.events import Event

Mode: TypeAlias = Literal["exact", "answer", "loose"]
"""How a type is decoded: as in the model; the same with null tags allowed; or with any member missing."""

CLOSES_WITHOUT_ATTRIBUTES = (d.CompleteWorkflowExecution, d.FailWorkflowExecution, d.CancelWorkflowExecution)
"""The decisions that are accepted without attributes."""


class UnfitDecision(msgspec.Struct, frozen=True):
    """A decision without a known type, or without exactly the attributes of its type. The validator reports it."""

    decision_type: str | None
    attributes: tuple[Decision, ...]
    """All attributes that are present, each as the decision of its type."""


class Form(NamedTuple):
    """How a type is represented in JSON."""

    type: Any
    """The type that msgspec decodes."""

    read: Callable[[Any], Any] | None
    """Convert from that type to ours. `None` if they are the same."""

    write: Callable[[Any], Any] | None
    """Convert from our type to what msgspec encodes. `None` if they are the same."""


# Times.

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@lru_cache(maxsize=4096)
def read_time(value: float | datetime) -> datetime:
    """Return a UTC time in whole milliseconds, from seconds or from a datetime in any zone."""
    if isinstance(value, datetime):
        return _EPOCH + (value - _EPOCH) // _MILLISECOND * _MILLISECOND
    return _EPOCH + timedelta(milliseconds=round(value * 1000))


@lru_cache(maxsize=4096)
def _write_time(time: datetime) -> msgspec.Raw:
    """Return seconds in whole milliseconds, in the notation of a Java double: with an exponent from ten million on."""
    milliseconds = (time - _EPOCH) // _MILLISECOND
    sign, digits = ("-", str(-milliseconds)) if milliseconds < 0 else ("", str(milliseconds))
    if len(digits) > 10:
        return msgspec.Raw(f"{sign}{digits[0]}.{digits[1:].rstrip('0') or '0'}E{len(digits) - 4}".encode())
    return msgspec.Raw(repr(milliseconds / 1000).encode())


# Forms, from type hints.


@lru_cache(maxsize=1024)
def get_form(hint: Any, mode: Mode = "exact") -> Form:
    """Return the form of a type."""
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
    json_struct = _make_json_struct(kind, mode)
    names = tuple(field.name for field in fields)
    reads = [(name, attrgetter(name), form.read) for name, form in zip(names, forms, strict=True)]
    writes = [(attrgetter(name), form.write) for name, form in zip(names, forms, strict=True)]

    def read(decoded: Any) -> Any:
        members: dict[str, Any] = {}
        for name, get, convert in reads:
            value = get(decoded)
            members[name] = value if value is None or convert is None else convert(value)
        return kind(**members)

    def write(struct: Any) -> Any:
        values = ((get(struct), convert) for get, convert in writes)
        return json_struct(
            *[value if value is None or convert is None else convert(value) for value, convert in values]
        )

    return Form(json_struct, read, None if all(form.write is None for form in forms) else write)


def _make_json_struct(kind: type[msgspec.Struct], mode: Mode) -> Any:
    """Make the struct that has the members of a type as in JSON, without a tag."""
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
    """Return the name of the member with the attributes of one type of event or decision."""
    return f"{type_name[0].lower()}{type_name[1:]}{suffix}Attributes"


def _make_wide(common: list[Any], json_structs: dict[str, Any], suffix: Literal["Event", "Decision"]) -> Any:
    """Make the envelope for decoding, with a member for the attributes of each type."""
    places = [
        (name, json_struct | None, msgspec.field(name=name_attributes(name, suffix), default=None))
        for name, json_struct in json_structs.items()
    ]
    return msgspec.defstruct(suffix, [*common, *places], gc=False)


COMMON_TO_EVENTS = ("event_id", "event_timestamp")


def _make_event_form() -> Form:
    kinds: dict[str, Any] = {kind.__name__: kind for kind in get_args(Event)}
    # The struct of an event's attributes also has the common members, so that it can be converted to the event at once.
    json_structs = {name: _make_attributes(kind, COMMON_TO_EVENTS) for name, kind in kinds.items()}
    envelope = [
        ("event_id", int, msgspec.field(name="eventId")),
        ("event_timestamp", float | datetime, msgspec.field(name="eventTimestamp")),
        ("event_type", str, msgspec.field(name="eventType")),
    ]
    wide = _make_wide(envelope, json_structs, "Event")

    def read(envelope: Any) -> Any:
        kind = kinds.get(envelope.event_type)
        if kind is None:
            raise msgspec.ValidationError(f"Unknown event type {envelope.event_type!r} - at `$.eventType`")
        attributes = getattr(envelope, envelope.event_type)
        if attributes is None:
            attributes = json_structs[envelope.event_type]()
        attributes.event_id = envelope.event_id
        attributes.event_timestamp = read_time(envelope.event_timestamp)
        try:
            return msgspec.convert(attributes, kind, from_attributes=True)
        except msgspec.ValidationError:
            return _make_with_null_tags(kind, attributes)

    return Form(wide, read, lambda event: _get_event_write(event.__class__)(event))


@lru_cache(maxsize=1024)
def _make_attributes(kind: type[msgspec.Struct], common: tuple[str, ...] = ()) -> Any:
    """Make the JSON struct of the attributes alone, each of which may be missing."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        if field.name not in common:
            hint = get_form(field.type, "answer").type | None
            fields.append((field.name, hint, msgspec.field(name=field.encode_name, default=None)))
    fields += [(name, Any, None) for name in common]
    return msgspec.defstruct(f"{kind.__name__}Attributes", fields, omit_defaults=True, gc=False)


def _make_with_null_tags(kind: type[msgspec.Struct], attributes: Any) -> Any:
    """Make an event without msgspec, which refuses null tags. Old histories have them."""
    members = {field.name: (getattr(attributes, field.name), field) for field in msgspec.structs.fields(kind)}
    for value, field in members.values():
        if value is None and field.required:
            raise msgspec.ValidationError(f"{kind.__name__} is missing required member `{field.encode_name}`")
    return kind(**{name: value for name, (value, _) in members.items()})


@lru_cache(maxsize=1024)
def _get_event_write(kind: Any) -> Callable[[Any], Any]:
    """Return the conversion of one type of event to an envelope that has only its own attributes."""
    name = kind.__name__
    fields: list[Any] = [
        ("attributes", Any, msgspec.field(name=name_attributes(name, "Event"))),
        ("event_id", int, msgspec.field(name="eventId")),
        ("event_timestamp", Any, msgspec.field(name="eventTimestamp")),
        ("event_type", str, msgspec.field(name="eventType")),
    ]
    narrow: Any = msgspec.defstruct("Event", fields, gc=False)
    json_struct = _make_attributes(kind, COMMON_TO_EVENTS)
    get = _make_get([field.name for field in msgspec.structs.fields(kind) if field.name not in COMMON_TO_EVENTS])
    return lambda event: narrow(json_struct(*get(event)), event.event_id, _write_time(event.event_timestamp), name)


def _make_get(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that returns some members of a struct as a tuple, however many there are."""
    get = attrgetter(*names)
    return get if len(names) > 1 else lambda struct: (get(struct),)


def _make_decision_form(mode: Mode) -> Form:
    kinds: dict[str, Any] = {kind.__name__: kind for kind in get_args(Decision)}
    forms: dict[str, Form] = {name: get_form(kind, mode) for name, kind in kinds.items()}
    types = {name: form.type for name, form in forms.items()}
    envelope = [("decision_type", str | None, msgspec.field(name="decisionType", default=None))]
    wide = _make_wide(envelope, types, "Decision")
    others = len(kinds) - 1
    bare = {kind.__name__ for kind in CLOSES_WITHOUT_ATTRIBUTES}

    def read_attributes(name: str, attributes: Any) -> Any:
        convert = forms[name].read
        return attributes if convert is None else convert(attributes)

    def read(decoded: Any) -> Any:
        name = decoded.decision_type
        if name in kinds:
            attributes = getattr(decoded, name)
            absent = msgspec.structs.astuple(decoded).count(None)
            if attributes is not None and absent == others:
                return read_attributes(name, attributes)
            if name in bare and absent == others + 1:
                return kinds[name]()
        members = [(name, getattr(decoded, name)) for name in kinds]
        return UnfitDecision(name, tuple(read_attributes(*member) for member in members if member[1] is not None))

    return Form(wide, read, lambda decision: _get_decision_write(decision.__class__)(decision))


@lru_cache(maxsize=1024)
def _get_decision_write(kind: Any) -> Callable[[Any], Any]:
    """Return the conversion of one type of decision to an envelope that has only its own attributes."""
    name = kind.__name__
    fields: list[Any] = [
        ("attributes", Any, msgspec.field(name=name_attributes(name, "Decision"))),
        ("decision_type", str, msgspec.field(name="decisionType")),
    ]
    narrow: Any = msgspec.defstruct("Decision", fields, gc=False)
    json_struct = _make_attributes(kind)
    get = _make_get([field.name for field in msgspec.structs.fields(kind)])
    return lambda decision: narrow(json_struct(*get(decision)), name)
