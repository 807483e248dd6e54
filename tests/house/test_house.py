"""Rules of the house that no other tool checks: what importing costs, how long a file is, what may not be written."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import traction

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "src").rglob("*.py"))

HEAVY = {
    "asyncio",
    "boto3",
    "botocore",
    "cryptography",
    "hypothesis",
    "jinja2",
    "opentelemetry",
    "pytest",
    "rich",
    "sqlite3",
    "starlette",
    "traction_local",
    "traction_swf",
    "typer",
    "uvicorn",
}
"""What `import traction` must not load: it is paid by every program that only defines work."""

LINES_MAX = 500

LONGER = {
    "src/traction/model/events.py": 600,
    "src/traction/model/operations.py": 690,
}
"""Catalogues of the service and of the algebra, longer than a file of ours should be. These numbers only go down."""

UNWANTED = re.compile(
    r"/(?:work|farm|root)/|[.][.]/shared|pypi[.]org|files[.]pythonhosted|registry[.]npmjs|deb[.]debian"
)
"""Paths of a machine and hosts of registries: a clean clone elsewhere has neither."""


def name_from_root(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def list_tracked_files() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git clone")
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def test_importing_traction_loads_nothing_heavy() -> None:
    code = "import sys; before = set(sys.modules); import traction; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()
    assert "traction" in loaded
    assert HEAVY & {name.partition(".")[0] for name in loaded} == set()


@pytest.mark.parametrize("module", MODULES, ids=name_from_root)
def test_a_module_has_a_docstring(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_bytes())), f"{name_from_root(module)} has no docstring"


@pytest.mark.parametrize("name", getattr(traction, "__all__", []))
def test_a_public_name_and_its_methods_are_documented(name: str) -> None:
    thing = getattr(traction, name)
    if inspect.isclass(thing):
        methods = [getattr(thing, key) for key, own in vars(thing).items() if key[0] != "_" and inspect.isroutine(own)]
        assert [method for method in methods if not inspect.getdoc(method)] == []
    if inspect.isclass(thing) or inspect.isroutine(thing):
        assert inspect.getdoc(thing)


@pytest.mark.parametrize("module", MODULES, ids=name_from_root)
def test_a_module_is_short_enough_to_hold_one_idea(module: Path) -> None:
    lines = len(module.read_text().splitlines())
    lines_max = LONGER.get(name_from_root(module), LINES_MAX)
    assert lines <= lines_max, f"{name_from_root(module)} has {lines} lines: look for the second idea in it"


@pytest.mark.parametrize("name", sorted(LONGER))
def test_an_exception_to_the_length_rule_is_still_needed(name: str) -> None:
    assert len((ROOT / name).read_text().splitlines()) > LINES_MAX


def test_no_tracked_file_names_a_machine_or_a_registry() -> None:
    found = [
        f"{name_from_root(path)}:{number}: {line.strip()[:120]}"
        for path in list_tracked_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if UNWANTED.search(line)
    ]
    assert found == []
