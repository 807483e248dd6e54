"""Text of others cannot control a terminal, a log or a page."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from traction.history.escaping import escape, escape_lines, is_safe

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT)
def test_an_escaped_text_has_no_control_or_format_character(text: str) -> None:
    assert all(is_safe(c) for c in escape(text))
    assert escape(text).splitlines() in ([escape(text)], [])
    assert all(is_safe(c) or c in "\n\t" for c in escape_lines(text))
    assert escape_lines(text).count("\n") == text.count("\n")


@given(ANY_TEXT)
def test_escaping_twice_is_escaping_once(text: str) -> None:
    assert escape(escape(text)) == escape(text)


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"])))
def test_a_printable_text_is_unchanged(text: str) -> None:
    assert escape(text) == escape_lines(text) == text


def test_every_character_that_is_unsafe_is_escaped() -> None:
    for code in range(0x110000):
        c = chr(code)
        safe = unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") or code in (0x200C, 0x200D)
        assert is_safe(c) is safe
