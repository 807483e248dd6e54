"""Make a test of each history that is kept in a folder: pytest finds this plugin by itself.

Takes files of JSON in folders named `histories`, as `traction history --export` writes them; replays each through the
definitions of the modules that pytest's settings name. Imports what it needs when there is such a file, and not before.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the settings."""
    parser.addini("traction_histories", "The name of the folders whose *.json are replayed.", default="histories")
    parser.addini("traction_definitions", "The modules that have the workflows to replay them through.", type="args")
    parser.addini("traction_codec", "What reads their payloads, as module:name; plain JSON unless given.", default="")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a history."""
    if file_path.suffix == ".json" and file_path.parent.name == parent.config.getini("traction_histories"):
        return HistoryFile.from_parent(parent, path=file_path)
    return None


class HistoryFile(pytest.File):
    """A history that was kept, which is one test."""

    def collect(self) -> Iterator[pytest.Item]:
        """Give the test."""
        yield HistoryItem.from_parent(self, name="replay")


class HistoryItem(pytest.Item):
    """Today's code is held against a history that was kept."""

    def runtest(self) -> None:
        """Replay it.

        Raises:
            TractionError: the code would have made another, or no code is known for it.
        """
        from traction.errors import DefinitionError
        from traction.replay import load_history, replay

        history = load_history(self.path)
        definitions, codec = _load(self.config)
        theirs = history.workflow_type
        if theirs not in definitions:
            known = ", ".join(f"{known.name} {known.version}" for known in definitions) or "none"
            raise DefinitionError(
                f"{self.path.name} is a history of {theirs.name} {theirs.version}, and traction_definitions names no "
                f"module that has this workflow (those that are known: {known}). Add its module to "
                "traction_definitions in pytest's settings, or drop the file if no execution of that version is left"
            )
        replay(history, definitions[theirs], codec=codec)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Tell an error of Traction's by its text alone."""
        from traction.errors import TractionError

        if isinstance(excinfo.value, TractionError):
            return f"{type(excinfo.value).__name__}: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Name the file, and what is done to it."""
        return self.path, None, f"replay {self.path.name}"


_LOADED: pytest.StashKey[tuple[dict[Any, Any], Any]] = pytest.StashKey()


def _load(config: pytest.Config) -> tuple[dict[Any, Any], Any]:
    """Give the definitions by their types, and the codec."""
    if _LOADED not in config.stash:
        from traction.definitions.checks import index_by_type
        from traction.payloads.codec import JSON, Codec
        from traction.replay import list_workflows

        modules = [_import("traction_definitions", name) for name in config.getini("traction_definitions")]
        definitions = index_by_type(workflow for module in modules for workflow in list_workflows(module))
        target = config.getini("traction_codec")
        codec = _import("traction_codec", target) if target else JSON
        if not isinstance(codec, Codec):
            _refuse(f"traction_codec = {target} is {codec!r:.100}, and not a traction.payloads.Codec")
        config.stash[_LOADED] = definitions, codec
    return config.stash[_LOADED]


def _import(setting: str, name: str) -> Any:
    """Import a module, or what `module:name` names in it."""
    from pkgutil import resolve_name

    try:
        return resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        _refuse(
            f"{setting} in pytest's settings names {name}, which cannot be imported: {error}. pytest imports as Python "
            'does; pythonpath = ["src"] adds a folder'
        )


def _refuse(message: str) -> NoReturn:
    from traction.errors import DefinitionError

    raise DefinitionError(message)
