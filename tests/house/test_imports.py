"""The structure of the source: no circles of files, and every package has its place in the import contract."""

from __future__ import annotations

import ast
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"


def _name_module(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _read_graph() -> dict[str, set[str]]:
    """Map each module to the modules that it imports, for type checkers too. Packages re-export, and are left out."""
    paths = {_name_module(path): path for path in SRC.rglob("*.py")}
    packages = {name for name, path in paths.items() if path.name == "__init__.py"}
    graph: dict[str, set[str]] = {}
    for name, path in paths.items():
        imported: set[str] = set()
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
        graph[name] = {one for one in imported if one in paths and one != name} - packages
    return {name: imported for name, imported in graph.items() if name not in packages}


def test_no_circle_of_files() -> None:
    try:
        TopologicalSorter(_read_graph()).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def test_every_package_has_its_place_in_the_import_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (one["layers"] for one in contracts if one["type"] == "layers")
    placed = {name.strip() for layer in layers for name in layer.split("|")}
    entries = (path for path in (SRC / "traction").iterdir() if path.is_dir() or path.suffix == ".py")
    present = {f"traction.{path.stem}" for path in entries if path.stem not in ("__init__", "__pycache__", "py")}
    assert present - placed == set()
