"""Write an example of the JSON that a type is read from, for error texts."""

from __future__ import annotations

from typing import Any

import msgspec


def write_sample(type: Any) -> str:
    """Return a JSON text with the fields of a type that have no default.

    Example:
        >>> class Approve(msgspec.Struct):
        ...     by: str
        ...     amount: int
        ...     note: str = ""
        >>> write_sample(Approve)
        '{"by":"...","amount":0}'
    """
    from msgspec.inspect import type_info

    try:
        return msgspec.json.encode(_make(type_info(type), ())).decode()
    except (TypeError, ValueError, msgspec.MsgspecError):
        return "{...}"


def _make(info: Any, around: tuple[Any, ...]) -> Any:
    """Return an example of a type as plain values; `around` are the classes that contain it."""
    kind = type(info).__name__
    match kind:
        case "StructType" | "DataclassType" | "TypedDictType" | "NamedTupleType":
            if info.cls in around:
                return {}
            fields = {
                field.encode_name: _make(field.type, (*around, info.cls)) for field in info.fields if field.required
            }
            if kind == "NamedTupleType" or getattr(info, "array_like", False):
                return list(fields.values())
            tag = {} if getattr(info, "tag_field", None) is None else {info.tag_field: info.tag}
            return tag | fields
        case "UnionType":
            return _make(info.types[0], around)
        case "EnumType":
            return next(iter(info.cls)).value
        case "LiteralType":
            return info.values[0]
        case "TupleType":
            return [_make(item, around) for item in info.item_types]
        case "Metadata":
            return _make(info.type, around)
        case _:
            return _SIMPLE.get(kind, "...")


_SIMPLE: dict[str, Any] = {
    "IntType": 0,
    "FloatType": 0.0,
    "BoolType": False,
    "NoneType": None,
    "AnyType": None,
    "ListType": [],
    "VarTupleType": [],
    "SetType": [],
    "FrozenSetType": [],
    "CollectionType": [],
    "DictType": {},
    "MappingType": {},
    "DateTimeType": "2026-01-31T12:00:00Z",
    "DateType": "2026-01-31",
    "TimeType": "12:00:00",
    "TimeDeltaType": "PT1S",
    "UUIDType": "00000000-0000-0000-0000-000000000000",
    "DecimalType": "0",
    "BytesType": "",
}
