"""The two sides of a rule agree: what is well formed is not complained of, and what is not, is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from traction.model.limits import Limits
from traction_local.service.rules import Choice, Each, Members, Moment, Number, Rule, Text
from traction_local.service.validation import get_validator

SAMPLES: dict[type[Rule], list[Any]] = {
    Text: [
        *("", " ", "x", "x ", "arn", "a:b", "\x00", "0", "7", "-1", "007", "NONE", "none", "1.5", "٣", "null"),
        *("x" * count for count in (8, 9, 64, 65, 256, 257, 1_600, 1_601, 2_048, 2_049, 32_768, 32_769)),
        *("9" * count for count in (3, 8, 9, 11, 12)),
        *("900", "901", "90", "91", "31536000", "31536001", "2147483647", "2147483648", "-2147483648", "-2147483649"),
    ],
    Number: [-1, 0, 1, 1_000, 1_001],
    Choice: ["", "TERMINATE", "terminate", "OPEN", "COMPLETED", "REGISTERED"],
    Moment: [datetime(2024, 2, 29, tzinfo=UTC)],
    Each: [(), (None,), ("x",), ("",) * 5, ("x",) * 6, ("x" * 257,), ("x", "y" * 300, None)],
}


def find_rules(rule: Rule) -> Iterator[Rule]:
    """The rule and those within it."""
    yield rule
    if isinstance(rule, Members):
        for _, inner in rule._members:
            yield from find_rules(inner)


VALIDATOR = get_validator(Limits())
KINDS = [*VALIDATOR.requests.items(), *VALIDATOR.decisions.items()]


@pytest.mark.parametrize(("kind", "whole"), KINDS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_rule_complains_of_what_is_not_well_formed_and_of_nothing_else(kind: type, whole: Members) -> None:
    for rule in find_rules(whole):
        if isinstance(rule, Each) and isinstance(rule._item, Members):
            continue
        for value in SAMPLES.get(type(rule), ()):
            complaints = list(rule.complain(value, "member"))
            assert bool(rule.ok(value)) == (not complaints), (kind, value, complaints)
