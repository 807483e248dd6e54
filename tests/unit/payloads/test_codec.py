"""Values are read back equal or rejected; long texts keep their ends."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from traction.errors import PayloadError
from traction.payloads.codec import JSON, PAYLOAD_CHARS_MAX, Codec, name_type, write_canonically

# Round trips.


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Rank(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Point(NamedTuple):
    x: int
    y: float


class Options(TypedDict):
    verbose: bool


@dataclass
class Author:
    name: str
    born: dt.date | None = None


class Added(msgspec.Struct, tag=True, frozen=True):
    path: str


class Removed(msgspec.Struct, tag=True, frozen=True):
    path: str


class Tree(msgspec.Struct):
    value: int
    children: list[Tree] = []


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
finite = st.floats(allow_nan=False, allow_infinity=False)
integers = st.integers(-(2**63), 2**64 - 1)
zones = st.none() | st.just(dt.UTC)
decimals = st.decimals(allow_nan=False, allow_infinity=False)
trees: st.SearchStrategy[Tree] = st.recursive(
    st.builds(Tree, integers), lambda inner: st.builds(Tree, integers, st.lists(inner, max_size=3)), max_leaves=5
)

TYPES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (type(None), st.none()),
    (bool, st.booleans()),
    (int, st.integers()),
    (float, finite),
    (str, text),
    (bytes, st.binary(max_size=20)),
    (bytearray, st.binary(max_size=20).map(bytearray)),
    (decimal.Decimal, decimals),
    (uuid.UUID, st.uuids()),
    (dt.datetime, st.datetimes(timezones=zones)),
    (dt.date, st.dates()),
    (dt.time, st.times(timezones=zones)),
    (dt.timedelta, st.timedeltas(dt.timedelta(days=-10_000), dt.timedelta(days=10_000))),
    (Color, st.sampled_from(Color)),
    (Rank, st.sampled_from(Rank)),
    (Literal["a", 1, None], st.sampled_from(["a", 1, None])),
    (list[int | None], st.lists(st.none() | integers, max_size=5)),
    (tuple[int, str], st.tuples(integers, text)),
    (tuple[int, ...], st.lists(integers, max_size=5).map(tuple)),
    (set[str], st.sets(text, max_size=5)),
    (frozenset[Added], st.frozensets(st.builds(Added, text), max_size=5)),
    (dict[str, list[float]], st.dictionaries(text, st.lists(finite, max_size=3), max_size=3)),
    (dict[int, str], st.dictionaries(integers, text, max_size=5)),
    (dict[uuid.UUID, Color], st.dictionaries(st.uuids(), st.sampled_from(Color), max_size=5)),
    (Point, st.builds(Point, integers, finite)),
    (Options, st.fixed_dictionaries({"verbose": st.booleans()})),
    (Author, st.builds(Author, text, st.none() | st.dates())),
    (list[Added | Removed], st.lists(st.builds(Added, text) | st.builds(Removed, text), max_size=5)),
    (Tree, trees),
]


@given(st.data(), st.sampled_from(TYPES))
def test_what_is_written_is_read_back(data: st.DataObject, case: tuple[Any, st.SearchStrategy[Any]]) -> None:
    type, values = case
    value = data.draw(values)
    assert JSON.decode(JSON.encode(value), type) == value


class Then(msgspec.Struct):
    id: int
    retired: str


class Now(msgspec.Struct):
    id: int
    added: list[str] = []


@given(integers, text)
def test_a_removed_field_is_ignored_and_an_added_one_has_its_default(id: int, retired: str) -> None:
    assert JSON.decode(JSON.encode(Then(id, retired)), Now) == Now(id, [])


@given(integers, st.lists(text, max_size=3))
def test_a_field_that_was_added_without_a_default_is_named(id: int, added: list[str]) -> None:
    with pytest.raises(PayloadError, match=r"the input of X 1 does not decode as Then: .*`retired`"):
        JSON.decode(JSON.encode(Now(id, added)), Then, "the input of X 1")


@pytest.mark.parametrize(
    ("payload", "type", "field"),
    [
        ('{"id": "7"}', Now, r"\$\.id"),
        ('{"id": 7, "added": [1]}', Now, r"\$\.added\[0\]"),
        ('[{"id": 1}, {"id": null}]', list[Now], r"\$\[1\]\.id"),
        ('{"value": 1, "children": [{"value": 2.5}]}', Tree, r"\$\.children\[0\]\.value"),
        ('{"a": {"born": 3, "name": "x"}}', dict[str, Author], r"\$\[\.\.\.\]\.born"),
    ],
)
def test_a_field_that_does_not_decode_is_named(payload: str, type: Any, field: str) -> None:
    with pytest.raises(PayloadError, match=field):
        JSON.decode(payload, type)


@given(st.text())
@example("")
@example('"\ud800"')
@example("[" * 100_000)
@example("1" * 5_000)
@example("null null")
def test_a_text_that_is_not_of_the_type_is_a_payload_error(payload: str) -> None:
    with pytest.raises(PayloadError):
        JSON.decode(payload, Now)


def test_an_absent_payload_is_read_as_null() -> None:
    assert JSON.decode(None, int | None) is None
    with pytest.raises(PayloadError, match="got `null`"):
        JSON.decode(None, int)


def test_an_annotation_that_cannot_be_hashed_is_read_all_the_same() -> None:
    unhashable = Annotated[int, ["a list"]]
    with pytest.raises(TypeError, match="unhashable"):
        hash(unhashable)
    assert Codec().decode("7", unhashable) == 7


nested: Any = []
for _ in range(100_000):
    nested = [nested]


@pytest.mark.parametrize(
    "value",
    [object(), {1: object()}, {(1, 2): 3}, "\ud800", nested, 1j],
    ids=["object", "inside", "key", "surrogate", "deep", "complex"],
)
def test_a_value_without_json_is_a_payload_error(value: Any) -> None:
    with pytest.raises(PayloadError, match="cannot be written as JSON"):
        JSON.encode(value)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")], ids=str)
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [None, x], lambda x: {"a": Point(1, x)}])
def test_a_number_that_json_does_not_have_is_not_quietly_null(number: float, wrap: Any) -> None:
    with pytest.raises(PayloadError, match=str(number)):
        JSON.encode(wrap(number))


def test_null_in_a_text_is_not_a_number() -> None:
    assert JSON.encode(["null", None]) == '["null",null]'


def test_a_payload_may_be_as_long_as_swf_carries_and_no_longer() -> None:
    longest = "x" * (PAYLOAD_CHARS_MAX - 2)
    assert len(JSON.encode(longest)) == PAYLOAD_CHARS_MAX
    with pytest.raises(PayloadError, match="32,769 characters"):
        JSON.encode(longest + "x")


# Names of values.


@given(st.dictionaries(text, st.sets(text, max_size=5), max_size=5), st.randoms())
def test_equal_values_have_one_canonical_text(value: dict[str, set[str]], chance: Any) -> None:
    items = list(value.items())
    chance.shuffle(items)
    other = {key: set(chance.sample(sorted(members), len(members))) for key, members in items}
    assert write_canonically(other) == write_canonically(value)


@given(st.frozensets(st.builds(Added, text), max_size=5))
def test_sets_of_what_has_no_order_have_a_canonical_text(value: frozenset[Added]) -> None:
    assert write_canonically(value) == write_canonically(frozenset(sorted(value, key=lambda one: one.path)))


@given(st.lists(integers, max_size=4), st.lists(integers, max_size=4))
def test_lists_in_different_orders_have_different_texts(left: list[int], right: list[int]) -> None:
    assert (write_canonically(left) == write_canonically(right)) == (left == right)


# Names of types.


@pytest.mark.parametrize(
    ("type", "name"),
    [(int, "int"), (None, "None"), (type(None), "None"), (list[int], "list[int]"), (int | None, "int | None")],
)
def test_a_type_is_named_as_its_reader_would_write_it(type: Any, name: str) -> None:
    assert name_type(type) == name
