"""A pytest plugin that replays stored histories: each JSON file in a folder named `histories` is a test.

`traction history --export` writes such files. The settings name the modules of the definitions. pytest loads the plugin
by its entry point; it imports the rest of Traction only if there is such a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the settings."""
    parser.addini("traction_histories", "The name of the folders whose *.json are replayed.", default="histories")
    parser.addini("traction_definitions", "The modules of the workflows that replay them.", type="args")
    parser.addini("traction_codec", "The codec of their payloads, as module:name; default: plain JSON.", default="")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a history."""
    if file_path.suffix == ".json" and file_path.parent.name == parent.config.getini("traction_histories"):
        return HistoryFile.from_parent(parent, path=file_path)
    return None


class HistoryFile(pytest.File):
    """A stored history."""

    def collect(self) -> Iterator[pytest.Item]:
        yield HistoryItem.from_parent(self, name="replay")


class HistoryItem(pytest.Item):
    """Replays a stored history with the current code."""

    def runtest(self) -> None:
        """Replay the history.

        Raises:
            TractionError: the code makes other decisions, or there is no definition for the history.
        """
        from traction.errors import DefinitionError
        from traction.replay import load_history, replay

        history = load_history(self.path)
        definitions, codec = _load(self.config)
        type = history.workflow_type
        if type not in definitions:
            known = ", ".join(f"{known.name} {known.version}" for known in definitions) or "none"
            raise DefinitionError(
                f"{self.path.name} is a history of {type.name} {type.version}, and traction_definitions names no "
                f"module with this workflow (known: {known}). Add its module to traction_definitions in pytest's "
                "settings, or delete the file if no execution of that version is left"
            )
        replay(history, definitions[type], codec=codec)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the text of an error of Traction, without a traceback."""
        from traction.errors import TractionError

        if isinstance(excinfo.value, TractionError):
            return f"{type(excinfo.value).__name__}: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return the file and the title of the test."""
        return self.path, None, f"replay {self.path.name}"


_LOADED: pytest.StashKey[tuple[dict[Any, Any], Any]] = pytest.StashKey()


def _load(config: pytest.Config) -> tuple[dict[Any, Any], Any]:
    """Return the definitions by their types, and the codec."""
    if _LOADED not in config.stash:
        from traction.definitions.checks import index_by_type
        from traction.payloads.codec import JSON, Codec
        from traction.replay import list_workflows

        modules = [_import("traction_definitions", name) for name in config.getini("traction_definitions")]
        definitions = index_by_type(workflow for module in modules for workflow in list_workflows(module))
        target = config.getini("traction_codec")
        codec = _import("traction_codec", target) if target else JSON
        if not isinstance(codec, Codec):
            _fail(f"traction_codec = {target} is {codec!r:.100}, not a traction.payloads.Codec")
        config.stash[_LOADED] = definitions, codec
    return config.stash[_LOADED]


def _import(setting: str, name: str) -> Any:
    """Import a module, or `name` from it for `module:name`."""
    from pkgutil import resolve_name

    try:
        return resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        _fail(
            f"{setting} in pytest's settings names {name}, which cannot be imported: {error}. pytest imports as Python "
            'does; pythonpath = ["src"] adds a folder'
        )


def _fail(message: str) -> NoReturn:
    from traction.errors import DefinitionError

    raise DefinitionError(message)
