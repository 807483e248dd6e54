"""Escape text that others wrote, so that a terminal, a log or a page shows it and does not obey it.

Signal names, tags, failures and states may contain terminal escapes, line ends, or marks that reverse the direction of
writing. Each face shows them through these functions.
"""

from __future__ import annotations

import unicodedata

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of characters that control their surroundings: control, format, surrogate, line, paragraph."""

_JOINERS = "\u200c\u200d"
"""Format characters that Persian and Indian scripts and emoji need. They affect only their neighbours."""


def escape(text: str) -> str:
    r"""Return a text on one line, with control and format characters as Python writes them.

    Example:
        >>> escape("a\nb \x1b[31m \u202e")
        'a\\nb \\x1b[31m \\u202e'

    Laws:
        A text of printable characters is unchanged. The result has no character of the categories Cc, Cf, Cs, Zl and
        Zp, except the joiners U+200C and U+200D.
    """
    return text if text.isprintable() else "".join(_escape_one(c) for c in text)


def escape_lines(text: str) -> str:
    r"""Return a text of several lines, escaped as by `escape`, but for its line feeds and tabs.

    Example:
        >>> escape_lines("a\n\tb\r\x07")
        'a\n\tb\\r\\x07'
    """
    return text if text.isprintable() else "".join(c if c in "\n\t" else _escape_one(c) for c in text)


def is_safe(c: str) -> bool:
    """Return whether a character is shown as it is."""
    return c.isprintable() or c in _JOINERS or unicodedata.category(c) not in _UNSAFE


def _escape_one(c: str) -> str:
    return c if is_safe(c) else c.encode("unicode_escape").decode()
