"""Find what a value loses when it is written and read back by its declared type."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import msgspec


class Loss(NamedTuple):
    """A part of a value that is not read back equal: its path, its value, and the value that is read."""

    path: str
    live: object
    read: object

    def explain(self, what: str) -> str:
        """Describe the loss, and what to declare instead. Shows types, never values."""
        live, read = type(self.live), type(self.read)
        part = f"{self.path} is" if self.path else "it is"
        if live is read:
            return f"{what} would not come back equal: {part} another {live.__qualname__} when it is read back"
        found = f"{what} would not come back equal: {part} {_name(live)}, and is read back as {_name(read)}"
        if self.path.startswith("a key of"):
            return f"{found}. JSON has keys of str alone; declare the type of keys: dict[{live.__name__}, ...]"
        if _is_record(live) and _is_record(read):
            return (
                f"{found}, by the type that is declared. Declare {live.__qualname__}, or a tagged union: write "
                f"class {read.__qualname__}(msgspec.Struct, tag=True) and class {live.__qualname__}(msgspec.Struct, "
                f"tag=True), and declare {read.__qualname__} | {live.__qualname__}"
            )
        return (
            f"{found}. Declare the type that the value has: what is declared as Any is read as plain JSON. For several "
            "classes, declare a union of classes made with (msgspec.Struct, tag=True)"
        )


def find_loss(
    live: Any, read: Any, path: str = "", *, exact: bool = True, by_class: bool = False, show_keys: bool = True
) -> Loss | None:
    """Return the first part of a value that is not read back equal, or `None`.

    Args:
        live: the value that was written.
        read: the value that was read back.
        path: the path of the value, as errors show it.
        exact: whether equal values of different types differ; an int for a float does not.
        show_keys: whether paths show the keys of dicts.
        by_class: whether parts that were read as plain JSON may be read by the class that they have.
    """
    kind = type(live)
    if kind is not type(read):
        if (kind is int and type(read) is float and live == read) or (not exact and _equals(live, read)):
            return None
        if by_class and kind not in _PLAIN and (found := _convert(read, kind)) is not None:
            return find_loss(live, found, path, exact=exact, show_keys=show_keys)
        return Loss(path, live, read)
    if _equals(live, read) and (_is_atom(kind) or _has_own_equality(kind)):
        return None

    def go(one: Any, other: Any, trail: str) -> Loss | None:
        return find_loss(one, other, trail, exact=exact, by_class=by_class, show_keys=show_keys)

    if isinstance(live, dict):
        keys = {key: key for key in read}
        for key, value in live.items():
            if key not in keys:
                other = next((one for one in read if str(one) == str(key)), None)
                return Loss(f"a key of {path or 'it'}", key, other)
            found = go(key, keys[key], f"a key of {path or 'it'}") or go(
                value, read[key], f"{path}[{key!r:.40}]" if show_keys else f"{path}[...]"
            )
            if found:
                return found
        return None if len(live) == len(read) else Loss(path, live, read)
    if isinstance(live, list | tuple):
        if len(live) != len(read):
            return Loss(path, live, read)
        pairs = enumerate(zip(live, read, strict=True))
        return next((found for n, (one, other) in pairs if (found := go(one, other, f"{path}[{n}]"))), None)
    if isinstance(live, set | frozenset):
        members = {one: one for one in read}
        if live != read:
            return Loss(path, live, read)
        return next((found for one in live if (found := go(one, members[one], f"a member of {path or 'it'}"))), None)
    if (names := _list_fields(live)) is not None:
        dot = f"{path}." if path else ""
        pairs_ = ((name, getattr(live, name, None), getattr(read, name, None)) for name in names)
        return next((found for name, one, other in pairs_ if (found := go(one, other, f"{dot}{name}"))), None)
    if _equals(live, read) or (live != live and read != read):  # NaN
        return None
    return Loss(path, live, read)


def is_lossless(call: Any) -> bool:
    """Return whether every field of a call surely decodes to an equal value: a scalar of exactly its declared type."""
    kind = type(call)
    try:
        scalars = _scalars[kind]
    except KeyError:
        scalars = _scalars[kind] = _find_scalars(kind)
    if scalars is None:
        return False
    # A loop, since a generator takes twice the time, on the path of every call.
    for name, declared in scalars:  # noqa: SIM110
        if type(getattr(call, name)) is not declared:
            return False
    return True


_SCALARS = frozenset({str, int, float, bool, type(None)})
_scalars: dict[type, tuple[tuple[str, Any], ...] | None] = {}


def _find_scalars(kind: type) -> tuple[tuple[str, Any], ...] | None:
    """Return the names and the types of a class's fields if all are scalars without constraints, else `None`."""
    if hasattr(kind, "__post_init__"):
        return None
    fields = tuple((field.name, field.type) for field in msgspec.structs.fields(kind))
    return fields if all(isinstance(declared, type) and declared in _SCALARS for _, declared in fields) else None


_PLAIN = frozenset({dict, list, tuple, set, frozenset, str, int, float, bool, type(None)})


def _is_atom(kind: type) -> bool:
    return not issubclass(kind, dict | list | tuple | set | frozenset) and not _is_record(kind)


def _is_record(kind: type) -> bool:
    return issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind)


def _has_own_equality(kind: Any) -> bool:
    """Return whether a class has an `__eq__` of its own."""
    if issubclass(kind, msgspec.Struct):
        return kind.__eq__ not in (msgspec.Struct.__eq__, object.__eq__)
    if dataclasses.is_dataclass(kind):
        made: Any = kind
        return not made.__dataclass_params__.eq and made.__eq__ is not object.__eq__
    return False


def _list_fields(value: Any) -> list[str] | None:
    if isinstance(value, msgspec.Struct):
        return list(value.__struct_fields__)
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value) if field.compare]
    return None


def _equals(live: Any, read: Any) -> bool:
    try:
        return bool(live == read)
    except Exception:  # a faulty __eq__ of the user's
        return False


def _convert(read: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(read, kind)
    except Exception:  # msgspec.ValidationError, or what a __post_init__ raises
        return None


def _name(kind: type) -> str:
    article = "an" if kind.__qualname__[:1].lower() in "aeiou" else "a"
    return "None" if kind is type(None) else f"{article} {kind.__qualname__}"
