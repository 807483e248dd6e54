"""Every law of the step algebra, for generated parts, histories and places."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.profile import pick
from traction.testing.laws.flows import choices, contexts, parts
from traction.testing.laws.history_generator import Choose
from traction.testing.laws.laws import LAWS, Context, Law, check_law


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_a_law_holds(law: Law) -> None:
    @settings(max_examples=pick(20))
    @given(parts(law), choices(), contexts(), st.integers(0, 3))
    def check(parts: tuple[Any, ...], choose: Choose, context: Context, faults: int) -> None:
        check_law(law, parts, choose, context=context, faults=faults)

    check()
