"""The rules of names, and the errors for names that break them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from traction.model.names import NAME_CHARS_MAX, VERSION_CHARS_MAX, find_name_error

FORBIDDEN = [":", "/", "|", *map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0))]

allowed = st.characters(exclude_categories=["Cs"], exclude_characters=FORBIDDEN)
good_names = st.text(allowed, min_size=1, max_size=NAME_CHARS_MAX).filter(
    lambda name: name == name.strip() and name != "arn"
)


@given(good_names)
@example("charge card")
@example("CollectChanges-1")
@example("2.0.IndexStories-1")
@example("arn-like")
@example("an arn inside")
@example("ARN")
@example("ünïcödé, 名前")
def test_a_name_of_allowed_characters_has_no_fault(name: str) -> None:
    assert find_name_error(name) is None


@given(st.text(), st.sampled_from(FORBIDDEN), st.text())
def test_a_forbidden_character_is_a_fault_wherever_it_stands(before: str, character: str, after: str) -> None:
    assert find_name_error(before + character + after) is not None


@pytest.mark.parametrize("character", FORBIDDEN, ids=repr)
def test_a_forbidden_character_is_shown(character: str) -> None:
    assert find_name_error(f"charge{character}card") == f"it contains {character!r}"


@given(good_names, st.sampled_from([" ", "\u00a0", "\u2003", "\u3000"]))
def test_white_space_at_either_end_is_a_fault(name: str, space: str) -> None:
    longest = name[: NAME_CHARS_MAX - 1]
    assert find_name_error(space + longest) == find_name_error(longest + space) == "it begins or ends with white space"


def test_the_empty_name_is_a_fault() -> None:
    assert find_name_error("") == "it is empty"


def test_exactly_arn_is_a_fault() -> None:
    assert find_name_error("arn") == "it is exactly 'arn', which SWF reserves"


@pytest.mark.parametrize("chars_max", [NAME_CHARS_MAX, VERSION_CHARS_MAX])
def test_a_name_may_be_as_long_as_its_limit_and_no_longer(chars_max: int) -> None:
    assert find_name_error("x" * chars_max, chars_max) is None
    assert find_name_error("x" * (chars_max + 1), chars_max) == (
        f"it has {chars_max + 1} characters, and at most {chars_max} are allowed"
    )
