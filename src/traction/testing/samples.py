"""Sample values of types: the small values that a flow is likely to treat in different ways.

A sample of `bool` is true and false, of a list one of two items and an empty one, of an enum each member. The first
sample is the plain one. Equal types have equal samples, in every process. Types that only a codec of the user knows,
and constraints that no sample meets, are left to Hypothesis.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from traction.errors import DefinitionError, PayloadError
from traction.extras import needed_by
from traction.payloads.codec import JSON, Codec, name_type

SAMPLES_MAX: Final = 6
"""The most samples of a type."""


def sample_values(type: Any, codec: Codec = JSON) -> list[Any]:
    """Return samples of a type, at least one; each is another payload.

    Example:
        >>> sample_values(bool), sample_values(int), sample_values(list[str])
        ([True, False], [2, 0, 1], [['a', ''], [], ['a']])

    Raises:
        DefinitionError: neither this module nor Hypothesis knows a value of the type.
    """
    from msgspec.inspect import type_info

    try:
        found = _list_readable(_list_samples(type_info(type), ()), type, codec)
    except TypeError:
        found = []
    return found or _draw(type, codec)


def sample_calls(
    definition: Any, fields: Mapping[str, Any], codec: Codec = JSON, samples_max: int = SAMPLES_MAX
) -> list[Any]:
    """Return calls of a workflow, or signals: a plain one, then others that differ from it in one field.

    Args:
        definition: the class of the calls.
        fields: the values of some fields, which all calls have.
        codec: reads the samples of field types.
        samples_max: the most calls.

    Raises:
        DefinitionError: as `sample_values`.
    """
    hints = typing.get_type_hints(definition, include_extras=True)
    free = {
        field.name: (field.required, sample_values(hints[field.name], codec))
        for field in msgspec.structs.fields(definition)
        if field.name not in fields
    }
    plain = dict(fields) | {name: samples[0] for name, (required, samples) in free.items() if required}
    calls = [definition(**plain)]
    for number in range(SAMPLES_MAX):
        for name, (required, samples) in free.items():
            others = samples[1:] if required else samples
            if number < len(others) and len(calls) < samples_max:
                call = definition(**{**plain, name: others[number]})
                if call not in calls:
                    calls.append(call)
    return calls


def sample_errors(kinds: Sequence[type[Exception]]) -> list[Exception]:
    """Return an instance of each declared error, with samples as its fields; those without samples are left out."""
    errors = list[Exception]()
    for kind in kinds:
        hints = typing.get_type_hints(kind)
        try:
            errors.append(kind(*(sample_values(hints[field.name])[0] for field in dataclasses.fields(kind))))  # type: ignore[arg-type]
        except (DefinitionError, TypeError):
            continue
    return errors


def _list_readable(samples: Sequence[Any], type: Any, codec: Codec) -> list[Any]:
    values, payloads = list[Any](), set[str]()
    for sample in samples:
        payload = msgspec.json.encode(sample).decode()
        if payload in payloads or len(values) == SAMPLES_MAX:
            continue
        payloads.add(payload)
        try:
            value = codec.decode(payload, type)
            codec.encode(value)
        except PayloadError:
            continue
        values.append(value)
    return values


def _draw(type: Any, codec: Codec) -> list[Any]:
    """Return the first values that Hypothesis draws."""
    with needed_by(f"drawing values of {name_type(type)}", "Without it, pass a value of it"):
        from hypothesis import HealthCheck, Phase, given, settings
        from hypothesis import strategies as st
        from hypothesis.errors import HypothesisException
    values = list[Any]()

    def keep(value: Any) -> None:
        try:
            if codec.decode(codec.encode(value), type) == value and value not in values:
                values.append(value)
        except PayloadError:
            return

    configure = settings(
        max_examples=4 * SAMPLES_MAX,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    try:
        configure(given(st.from_type(type))(keep))()
    except (HypothesisException, TypeError) as error:
        raise DefinitionError(f"no sample of {name_type(type)} is known: {error}. Pass a value of it") from error
    if not values:
        raise DefinitionError(
            f"no value of {name_type(type)} that Hypothesis drew is read back equal. Pass a value of it"
        )
    return values[:SAMPLES_MAX]


# Samples as plain JSON data, from msgspec's description of a type.


def _list_samples(info: Any, around: tuple[Any, ...]) -> list[Any]:
    """Return samples of a type, the plain one first; none if it contains itself too deep."""
    kind = type(info).__name__
    match kind:
        case "Metadata":
            return _list_samples(info.type, around)
        case "IntType" | "FloatType":
            limits = [(info.ge, 0), (info.gt, 1), (info.le, 0), (info.lt, -1)]
            near = [limit + step for limit, step in limits if limit is not None]
            return [2, 0, 1, *near, *([info.multiple_of] if info.multiple_of else [])]
        case "StrType":
            return ["a", "", "a" * (info.min_length or 1)]
        case "EnumType":
            return [member.value for member in info.cls]
        case "LiteralType":
            return list(info.values)
        case "ListType" | "VarTupleType" | "SetType" | "FrozenSetType" | "CollectionType":
            items = _list_samples(info.item_type, around)
            return [(items if len(items) > 1 or not items else items * 2)[:2], [], *([one] for one in items[:1])]
        case "DictType" | "MappingType":
            keys, values = _list_samples(info.key_type, around), _list_samples(info.value_type, around)
            return [{str(keys[0]): values[0]}, {}] if keys and values else [{}]
        case "TupleType":
            return list(_vary([_list_samples(item, around) for item in info.item_types]))
        case "UnionType":
            members = [_list_samples(one, around) for one in sorted(info.types, key=_is_none)]
            rest = [sample for samples in members for sample in samples[1:]]
            return [samples[0] for samples in members if samples] + rest
        case "StructType" | "DataclassType" | "TypedDictType" | "NamedTupleType":
            return _list_structs(info, kind, around)
    return _OTHERS.get(kind, [])


def _is_none(info: Any) -> bool:
    return type(info).__name__ == "NoneType"


def _list_structs(info: Any, kind: str, around: tuple[Any, ...]) -> list[Any]:
    if around.count(info.cls) > 1:
        return []
    inner = (*around, info.cls)
    array = kind == "NamedTupleType" or getattr(info, "array_like", False)
    fields = [field for field in info.fields if field.required or array]
    optional = [] if array else [field for field in info.fields if not field.required]
    names = [field.encode_name for field in fields]
    tag = {} if getattr(info, "tag_field", None) is None else {info.tag_field: info.tag}
    found = list[Any]()
    for values in islice(_vary([_list_samples(field.type, inner) for field in fields]), SAMPLES_MAX):
        found.append(list(values) if array else {**tag, **dict(zip(names, values, strict=True))})
    if found and not array:
        for field in optional:
            found += [{**found[0], field.encode_name: one} for one in _list_samples(field.type, inner)[:2]]
    return found


def _vary(columns: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    """Yield the first of each column; then that again, but for one column."""
    if not all(columns):
        return
    plain = tuple(column[0] for column in columns)
    yield plain
    for row in range(1, max(map(len, columns), default=1)):
        for number, column in enumerate(columns):
            if row < len(column):
                yield (*plain[:number], column[row], *plain[number + 1 :])


_OTHERS: Final[Mapping[str, list[Any]]] = {
    "BoolType": [True, False],
    "NoneType": [None],
    "AnyType": [None],
    "DateTimeType": ["2030-01-01T00:00:00Z", "2030-01-01T00:00:00"],
    "DateType": ["2030-01-01"],
    "TimeType": ["12:00:00", "12:00:00Z"],
    "TimeDeltaType": ["PT60S"],
    "UUIDType": ["00000000-0000-4000-8000-000000000000"],
    "DecimalType": ["2.5", "0"],
    "BytesType": ["YQ==", ""],
    "ByteArrayType": ["YQ==", ""],
}
