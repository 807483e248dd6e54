"""Prose is plain technical English: the worst habits of former texts are counted, and the counts only go down."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

RIDDLES = re.compile(
    r"\b(?:whoever|whomever|nobody|somebody|plainly|passed over|pass(?:es)? over|put(?:s)? aside|held against|"
    r"holds? (?:\w+ ){1,4}against|in hand|of no length|at the most|no longer wanted|a further one|what is new|"
    r"(?<!there )(?:is|are) no (?!longer\b|more\b)[a-z]+|lets? (?:it|them|him|go|pass|be|come)|let go|"
    r"comes? to (?:its|an) end|"
    r"mend(?:s|ed|ing)?|hears?|heard|say|says|said|saying|tell|tells|told|telling|so many|so long at)\b",
    re.IGNORECASE,
)
"""Words that read as riddles. A technical word stands for each: return, raise, send, record, log, describe, fix."""

MAXIMUM = {"docs": 0, "errors": 0, "src": 0, "tests": 0}
"""How often they stand in each part. Lower a number when a change lowers the count; never raise it."""


def _read_docs() -> Iterator[tuple[str, str]]:
    """Yield the lines of pages, without code."""
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").glob("*.md")]:
        fenced = False
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.startswith("```"):
                fenced = not fenced
            elif not fenced:
                yield f"{path.relative_to(ROOT)}:{number}", re.sub("`[^`]*`", "", line)


def _read_errors() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "tests" / "golden").rglob("*errors/*.txt")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            yield f"{path.relative_to(ROOT)}:{number}", line


def _read_python(folder: str) -> Iterator[tuple[str, str]]:
    """Yield docstrings and comments line by line; of tests, the names of functions too."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        source = path.read_text()
        name = path.relative_to(ROOT)
        for node in ast.walk(ast.parse(source)):
            body = getattr(node, "body", None)
            for one in body if isinstance(body, list) else []:
                if (
                    isinstance(one, ast.Expr)
                    and isinstance(one.value, ast.Constant)
                    and isinstance(one.value.value, str)
                ):
                    for offset, line in enumerate(one.value.value.splitlines()):
                        yield f"{name}:{one.lineno + offset}", line
                elif folder == "tests" and isinstance(one, ast.FunctionDef) and one.name.startswith("test_"):
                    yield f"{name}:{one.lineno}", one.name.replace("_", " ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                yield f"{name}:{token.start[0]}", token.string


READERS = {
    "docs": _read_docs,
    "errors": _read_errors,
    "src": lambda: _read_python("src"),
    "tests": lambda: _read_python("tests"),
}


@pytest.mark.parametrize("part", READERS)
def test_riddles_become_fewer(part: str) -> None:
    found = [f"{where}: {line.strip()[:120]}" for where, line in READERS[part]() if RIDDLES.search(line)]
    assert len(found) <= MAXIMUM[part], "\n".join(found[:50])


@pytest.mark.parametrize("part", READERS)
def test_every_part_is_read(part: str) -> None:
    assert sum(1 for _ in READERS[part]()) > 100
