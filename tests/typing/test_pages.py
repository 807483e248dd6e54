"""Both type checkers, at their strictest, accept the examples and what the documentation shows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_docs import PAGES, read_blocks

# Without a cache a type checker takes a while on a busy machine.
pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

PYRIGHT = {
    "typeCheckingMode": "strict",
    "pythonVersion": "3.11",
    # A block of a page stands for itself: it imports what it speaks of, and what another block has imported.
    "reportDuplicateImport": False,
    "reportUnusedImport": False,
    # boto3 has types for the services alone that are installed with them.
    "reportUnknownMemberType": False,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write each page's blocks as a module, whose lines have the numbers that they have in the page."""
    folder = tmp_path_factory.mktemp("typed")
    for page in PAGES:
        lines: list[str] = []
        for block in read_blocks(page):
            if block.language == "python":
                lines += [""] * (block.line - len(lines))
                lines += block.text.splitlines()
        if lines:
            (folder / f"{page.stem.lower().replace('-', '_')}_page.py").write_text("\n".join(lines) + "\n")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "pyrightconfig.json").write_text(json.dumps(PYRIGHT))
    return folder


def run(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BIN / program), *arguments], cwd=folder, capture_output=True, text=True)


def test_mypy_accepts_the_pages_and_the_examples(folder: Path) -> None:
    config = ROOT / "pyproject.toml"
    # With a cache of its own, since what lies in a temporary folder would drive out that of `make lint`.
    cache = ROOT / ".mypy_cache" / "pages"
    done = run(folder, "mypy", "--strict", "--config-file", str(config), "--cache-dir", str(cache), ".")
    assert re.fullmatch(r"Success: no issues found in \d+ source files\n", done.stdout), done.stdout + done.stderr


def test_pyright_accepts_the_pages_and_the_examples(folder: Path) -> None:
    report = json.loads(run(folder, "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", ".").stdout)
    assert report["summary"]["filesAnalyzed"] > len(list(folder.glob("*_page.py"))) > 5
    assert [
        f"{Path(found['file']).name}:{found['range']['start']['line'] + 1}: {found['message']}"
        for found in report["generalDiagnostics"]
    ] == []
