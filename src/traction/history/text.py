"""Fit text that others wrote into one line of a terminal. Pure."""

from __future__ import annotations

import unicodedata

from traction.history.escaping import escape


def shorten(text: str, width: int) -> str:
    """Put a text on one line, escaped, no wider than `width` columns."""
    return cut(escape(" ".join(text[: 4 * width].split())), width)


def cut(line: str, width: int) -> str:
    """Cut a line to `width` columns, the last of them an ellipsis if something is missing."""
    if measure(line) <= width:
        return line
    kept, columns = "", 0
    for c in line:
        columns += measure(c)
        if columns >= width:
            break
        kept += c
    return f"{kept}…"


def pad(text: str, width: int) -> str:
    """Cut or fill a text to exactly `width` columns."""
    text = cut(text, width)
    return text + " " * (width - measure(text))


def measure(text: str) -> int:
    """Count the columns that a text takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
