"""Samples of types: small, different, and valid for the codec."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest

from traction import Signal, workflow
from traction.errors import DefinitionError
from traction.payloads import DeclaredError
from traction.payloads.codec import JSON
from traction.testing.samples import SAMPLES_MAX, sample_calls, sample_errors, sample_values


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Tree(msgspec.Struct, frozen=True):
    name: str
    children: list[Tree]
    colour: Colour = Colour.RED


class Declined(DeclaredError):
    code: int
    hint: str = ""


class Approve(Signal):
    yes: bool


@workflow
async def order(n: int, gift: bool = False) -> int:
    return n if gift else 0


@pytest.mark.parametrize(
    ("type", "expected"),
    [
        (int, [2, 0, 1]),
        (bool, [True, False]),
        (str, ["a", ""]),
        (int | None, [2, None, 0, 1]),
        (list[int], [[2, 0], [], [2]]),
        (Colour, [Colour.RED, Colour.BLUE]),
        (Literal["x", "y"], ["x", "y"]),
        (tuple[int, bool], [(2, True), (0, True), (2, False), (1, True)]),
        (Annotated[int, msgspec.Meta(ge=10)], [10]),
        (None, [None]),
        (timedelta, [timedelta(seconds=60)]),
    ],
)
def test_samples_are_the_small_values_of_a_type(type: Any, expected: Sequence[Any]) -> None:
    assert sample_values(type) == expected


@pytest.mark.parametrize("type", [Tree, datetime, Decimal, UUID, bytes, dict[str, int], set[int], Any, float])
def test_every_sample_is_read_back(type: Any) -> None:
    samples = sample_values(type)
    assert 1 <= len(samples) <= SAMPLES_MAX
    assert [JSON.decode(JSON.encode(sample), type) for sample in samples] == samples


def test_values_that_no_sample_meets_are_drawn_by_hypothesis() -> None:
    drawn = sample_values(Annotated[int, msgspec.Meta(ge=5, le=5_000, multiple_of=7)])
    assert all(value % 7 == 0 for value in drawn)


def test_a_type_without_values_is_rejected() -> None:
    with pytest.raises(DefinitionError, match="Pass a value of it"):
        sample_values(complex)


def test_calls_differ_in_one_field() -> None:
    plain, *others = sample_calls(order, {})
    assert plain == order(2)
    assert set(map(repr, others)) == set(map(repr, [order(0), order(1), order(2, True)]))
    assert sample_calls(order, {"n": 7, "gift": True}) == [order(7, True)]
    assert sample_calls(Approve, {}) == [Approve(True), Approve(False)]


def test_declared_errors_have_samples_as_fields() -> None:
    assert [repr(error) for error in sample_errors([Declined])] == ["Declined(code=2, hint='a')"]
