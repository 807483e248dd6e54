"""The documentation is correct: its blocks run, its links resolve, its tables are complete."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import os
import pkgutil
import re
import shlex
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import traction
from traction.backend import Backend
from traction.cli.app import COMMANDS, load_command
from traction.plugins import hookspecs
from traction.testing.laws.laws import LAWS
from traction_local.service.knobs import Knobs

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = [*PAGES, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs" / "decisions").glob("*.md"))]

BLOCK = re.compile(r"(?P<mark><!-- terminal -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
"""A fenced block. One below `<!-- terminal -->` needs a terminal or installs something, and does not run."""

LANGUAGES = {"python", "text", "mermaid", "console", "toml"}


class Block(NamedTuple):
    line: int
    language: str
    text: str
    terminal: bool
    after: int


def read_blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            text.count("\n", 0, found.start("text")),
            found["language"],
            found["text"],
            found["mark"] is not None,
            found.end(),
        )
        for found in BLOCK.finditer(text)
    ]


def name_page(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_a_block_names_its_language(page: Path) -> None:
    assert [block.line for block in read_blocks(page) if block.language not in LANGUAGES] == []


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_the_blocks_of_a_page_run_one_after_the_other(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # Definitions find their types in the module that they are made in.
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    printed = ""
    before: Block | None = None
    for block in read_blocks(page):
        where = f"{name_page(page)}:{block.line}"
        if block.language == "python":
            printed = run_python(block, module, where, tmp_path)
        elif block.language in ("text", "mermaid") and before is not None and before.language == "python":
            assert hide_lines(printed) == hide_lines(block.text), f"{where}: this is not what the block above prints"
        elif block.language == "console" and not block.terminal:
            run_console(block, where, tmp_path)
        before = block


def hide_lines(text: str) -> str:
    """Leave out at which line of the page something failed, which changes with the text above it."""
    return re.sub(r"(?<=\.md:)\d+", "N", text)


def run_python(block: Block, module: types.ModuleType, where: str, folder: Path) -> str:
    """Run a block and its tests; keep it as a file if its first line names one. Give what it prints."""
    if named := re.match(r"# (\w+\.py)\n", block.text):
        (folder / named[1]).write_text(block.text, encoding="utf-8")
    known = set(vars(module))
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        # The lines of a block are those of its page.
        exec(compile("\n" * block.line + block.text, where.rpartition(":")[0], "exec"), vars(module))
        for name in sorted(set(vars(module)) - known):
            if name.startswith("test_"):
                vars(module)[name]()
    return out.getvalue()


def run_console(block: Block, where: str, folder: Path) -> None:
    """Run each command of a block, and compare what it prints with the lines below it."""
    for entry in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        line, _, expected = entry.partition("\n")
        program, *words = shlex.split(line.removesuffix("2>/dev/null"))
        module = {"python": [], "traction": ["-m", "traction"]}[program]
        done = subprocess.run(
            [sys.executable, *module, *words],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            env=dict(os.environ),
        )
        assert (done.returncode, done.stdout) == (0, expected), f"{where}: {done.stderr}"


@pytest.mark.parametrize("page", LINKED, ids=name_page)
def test_links_lead_somewhere(page: Path) -> None:
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+://", target):
            continue
        name, _, heading = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), f"{name_page(page)}: {target}"
        if heading:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_paths_in_code_are_there(page: Path) -> None:
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    named = re.findall(r"`((?:src|tests|docs|examples)/[\w./]*)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []


# Doctests.


def list_modules() -> Iterator[str]:
    yield traction.__name__
    for found in pkgutil.walk_packages(traction.__path__, "traction."):
        yield found.name


@pytest.mark.parametrize("name", sorted(list_modules()))
def test_the_examples_in_a_module_are_true(name: str) -> None:
    module = importlib.import_module(name)
    report = io.StringIO()
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, module.__name__):
        runner.run(test, out=report.write)
    assert runner.summarize(verbose=False).failed == 0, report.getvalue()


# Tables.


def find_row(page: str, first: str) -> bool:
    """Whether a table of a page has a row whose first column names this, in code."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.search(rf"^\| (`[^|]*`, )*`{re.escape(first)}[`(]", text, re.MULTILINE) is not None


HOOKS = sorted(name for name, thing in vars(hookspecs).items() if hasattr(thing, f"{hookspecs.PROJECT}_spec"))


def test_there_are_hooks() -> None:
    assert "traction_backend" in HOOKS


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_is_documented(name: str) -> None:
    assert find_row("backends.md", name)


@pytest.mark.parametrize("name", sorted({*vars(Backend), *Backend.__annotations__} - set(dir(object))))
def test_a_member_of_the_contract_is_documented(name: str) -> None:
    if not name.startswith("_"):
        assert find_row("backends.md", name)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: str(law.number))
def test_a_law_is_documented(law: object) -> None:
    number, text, reach = (getattr(law, name) for name in ("number", "text", "reach"))
    row = f"| {number} | `{text.replace('|', chr(92) + '|')}` | {reach} |"
    assert row in (ROOT / "docs" / "steps.md").read_text(encoding="utf-8").splitlines()


def test_the_invariants_are_numbered_without_gaps() -> None:
    text = (ROOT / "docs" / "internals.md").read_text(encoding="utf-8")
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert numbers


def test_the_swf_page_names_every_knob() -> None:
    text = (ROOT / "docs" / "swf-semantics.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`Knobs\.(\w+)`", text)) - {"name"} == set(Knobs.__struct_fields__)


def test_the_swf_page_defines_its_evidence_tags() -> None:
    text = re.sub(r"`[^`]*`", "", (ROOT / "docs" / "swf-semantics.md").read_text(encoding="utf-8"))
    defined = set(re.findall(r"^\| \[(\w+)\] \|", text, re.MULTILINE))
    assert set(re.findall(r"\[([a-z]+)\](?!\()", text)) == defined


def test_every_command_has_a_module_with_a_docstring() -> None:
    docs = {name: sys.modules[load_command(name).__module__].__doc__ or "" for name in COMMANDS}
    assert [name for name, doc in docs.items() if not doc.startswith(f"`traction {name}`: ")] == []
