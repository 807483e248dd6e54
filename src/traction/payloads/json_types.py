"""Check at definition that fields and results can be written as JSON and read back.

Covers the fields and results of definitions, and the fields of signals and of declared errors.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

import msgspec

from traction.errors import DefinitionError
from traction.payloads.codec import name_type

OF_A_CALL = (
    "Inputs and results are sent as JSON: use numbers, strings, lists, dicts, dataclasses or msgspec.Structs; the "
    "worker can provide other objects, as the dependency"
)
"""What to do about a part of a call that cannot be written."""

OF_A_SIGNAL = (
    "Signals are sent as JSON: use numbers, strings, lists, dicts, dataclasses or msgspec.Structs, and send "
    "references to other objects"
)
"""What to do about a part of a signal that cannot be written."""

OF_AN_ERROR = (
    "The fields of a declared error are sent as JSON: use numbers, strings, lists, dicts, dataclasses or "
    "msgspec.Structs, and attach other objects to its __cause__"
)
"""What to do about a part of an error that cannot be written."""

UNRESOLVED = (NameError, AttributeError)
"""Errors of annotations that use names which are defined further down."""


def check_fields(cls: Any, where: str, hint: str = OF_A_CALL) -> None:
    """Check that every field of a class can be written and read; `hint` is for the author of one that cannot.

    Raises:
        DefinitionError: one cannot, or (from a `NameError` or `AttributeError`) its annotation does not resolve.
    """
    try:
        if dataclasses.is_dataclass(cls):
            hints = typing.get_type_hints(cls, include_extras=True)
            fields = [(field.name, hints[field.name]) for field in dataclasses.fields(cls)]
        else:
            fields = [(field.name, field.type) for field in msgspec.structs.fields(cls)]
    except UNRESOLVED as error:
        raise DefinitionError(
            f"{where}: the annotation of a field does not resolve: {error}. Values are decoded by "
            f"it: define or import the name in {cls.__module__}, at module level and not under TYPE_CHECKING"
        ) from error
    except Exception as error:
        raise DefinitionError(f"{where}: the annotation of a field is not a type: {error}") from error
    for name, annotation in fields:
        check_writable(where, f"field {name!r}", annotation, hint)


def is_about_later(error: DefinitionError) -> bool:
    """Return whether a definition uses names that may be defined further down."""
    return isinstance(error.__cause__, UNRESOLVED)


def check_writable(where: str, what: str, annotation: Any, hint: str = OF_A_CALL) -> None:
    """Check that msgspec can write and read a type without hooks."""
    if annotation is None or (isinstance(annotation, type) and annotation in _PLAIN):
        return
    from msgspec import inspect

    try:
        info = inspect.type_info(annotation)
    except UNRESOLVED as error:
        raise DefinitionError(
            f"{where}: {what} is {name_type(annotation)}, and an annotation within it does not resolve: {error}"
        ) from error
    except Exception as error:
        raise DefinitionError(
            f"{where}: {what} is {name_type(annotation)}, which cannot be written as JSON: {error}. "
            f"{_advise_union(annotation) or hint}"
        ) from error
    if culprit := _find_culprit(info, "", set()):
        raise DefinitionError(f"{where}: {what} is {name_type(annotation)}, and {culprit}. {hint}")


def _advise_union(annotation: Any) -> str | None:
    """Return how to write a union of classes that msgspec cannot distinguish, if a type has one."""
    members = typing.get_args(annotation)
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        classes = [one for one in members if dataclasses.is_dataclass(one) or hasattr(one, "__struct_fields__")]
        if len(classes) > 1:
            tagged = ", ".join(f"class {name_type(one)}(msgspec.Struct, tag=True)" for one in classes)
            return f"To distinguish the classes of a union, tag them: {tagged}"
    return next(filter(None, map(_advise_union, members)), None)


_PLAIN = frozenset({int, str, float, bool, bytes, type(None)})
"""Types that are known to be writable."""

_KEYS = frozenset(
    [
        "Any",
        "Str",
        "Int",
        "Float",
        "Bytes",
        "DateTime",
        "Date",
        "Time",
        "TimeDelta",
        "Decimal",
        "UUID",
        "Enum",
        "Literal",
    ]
)
"""Types that msgspec can write as the key of a JSON object. Other types fail only when a key is written."""


def _find_culprit(info: Any, trail: str, seen: set[int]) -> str | None:
    """Describe the part of a type that msgspec cannot write or read, if there is one."""
    from msgspec import inspect

    if isinstance(info, inspect.CustomType | inspect.ExtType):
        culprit = info.cls if isinstance(info, inspect.CustomType) else msgspec.msgpack.Ext
        return f"{trail or 'it'} is a {name_type(culprit)}" if trail else f"{name_type(culprit)} cannot be written"
    if id(info) in seen:
        return None
    seen.add(id(info))
    if isinstance(info, inspect.DictType):
        members = info.key_type.types if isinstance(info.key_type, inspect.UnionType) else (info.key_type,)
        for member in members:
            if type(member).__name__.removesuffix("Type") not in _KEYS:
                return "the keys of a JSON object are strings or numbers"
    owner = name_type(getattr(info, "cls", None))
    for name in info.__struct_fields__:
        part = getattr(info, name)
        for one in part if isinstance(part, tuple) else (part,):
            if isinstance(one, inspect.Field):
                found = _find_culprit(one.type, f"{owner}.{one.name}", seen)
            elif isinstance(one, inspect.Type):
                found = _find_culprit(one, trail, seen)
            else:
                continue
            if found:
                return found
    return None
