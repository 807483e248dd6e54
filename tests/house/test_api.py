"""docs/api.md lists the public modules and names."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()

MODULES = (
    "traction",
    "traction.client",
    "traction.decider",
    "traction.errors",
    "traction.history",
    "traction.inspection",
    "traction.payloads",
    "traction.plugins",
    "traction.replay",
    "traction.testing",
    "traction.testing.strategies",
    "traction.ui",
    "traction.worker",
)


def list_names(module: str) -> set[str]:
    loaded = importlib.import_module(module)
    names = getattr(loaded, "__all__", None)
    if names is None:
        names = [name for name, value in vars(loaded).items() if getattr(value, "__module__", None) == module]
    return {name for name in names if not name.startswith("_") and len(name) > 1}


def read_section(title: str) -> str:
    section = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    assert section is not None, f"docs/api.md has no section {title!r}"
    return section[1]


def list_rows(title: str) -> set[str]:
    return set(re.findall(r"^\| `([\w.]+)` \|", read_section(title), re.M))


@pytest.mark.parametrize("module", MODULES)
def test_the_page_lists_the_public_names_of_a_module(module: str) -> None:
    assert list_rows(f"`{module}`") == list_names(module)
