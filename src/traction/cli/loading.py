"""Import the definitions, and open the backends, that a command line names."""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, TypeVar

import pluggy
import typer

from traction.backend import Backend
from traction.definitions.classes import Activity, Workflow
from traction.errors import TractionError
from traction.flow.signals import Signal, is_signal
from traction.payloads.codec import JSON, Codec
from traction.plugins.loading import open_backend, open_payload_store

T = TypeVar("T")


TARGET = re.compile(r"(?:[\w.]+|.*\.py)(?::[\w.]+)?")


class UsageError(TractionError):
    """The command line is wrong."""


# From names to definitions.

WORKFLOWS: Mapping[str, type] = MappingProxyType({"workflows": Workflow})
"""What `load` suggests where a workflow is needed."""


def load(target: str, kinds: Mapping[str, type] = MappingProxyType({})) -> Any:
    """Import `module:Name` or `file.py:Name`; without a name, the module.

    Args:
        target: the module or file, and the name.
        kinds: what may be named, by its word in the plural. The error for an unknown name lists what the module has.

    Raises:
        UsageError: the module or the name does not exist, or the import fails.
    """
    place, _, name = target.partition(":")
    if place.endswith(".py"):
        path = Path(place)
        if not path.is_file():
            raise UsageError(f"there is no file {place!r} (from {target!r})")
        folder, place = str(path.resolve().parent), path.stem
    else:
        folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: Any = importlib.import_module(place)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing == place or place.startswith(f"{missing}."):
            raise UsageError(f"there is no module {missing!r} in {folder} or among the installed packages") from None
        raise UsageError(f"{place} cannot be imported: {error}") from error
    except TractionError as error:
        raise UsageError(f"{place} cannot be imported: {error}") from error
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise UsageError(
            f"{place} cannot be imported: {type(error).__name__}: {error} ({frame.filename}, line {frame.lineno})"
        ) from error
    for part in filter(None, name.split(".")):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise UsageError(f"{place} has no {name!r}{_suggest(found, kinds)}") from None
    return found


def load_workflow(target: str) -> type[Workflow[Any]]:
    """Import a workflow. A module that defines only one may be named instead.

    Raises:
        UsageError: there is none.
    """
    found = load(target, WORKFLOWS)
    if isinstance(found, ModuleType):
        own = _list_definitions(found, Workflow)
        if len(own) != 1:
            raise UsageError(f"{target} is a module: name a workflow in it{_suggest(found, WORKFLOWS)}")
        found = own[0]
    if not (isinstance(found, type) and issubclass(found, Workflow) and hasattr(found, "spec")):
        raise UsageError(f"{target} is {found!r:.100}, not a workflow")
    return found


def load_workflows(modules: Sequence[str] | None) -> list[type[Workflow[Any]]]:
    """Import the workflows of modules, each `module` or `module:Workflow`.

    Raises:
        UsageError: a module does not exist, or has no workflow.
    """
    found: list[type[Workflow[Any]]] = []
    for target in modules or ():
        thing = load(target)
        own = _list_definitions(thing, Workflow) if isinstance(thing, ModuleType) else [load_workflow(target)]
        if not own:
            raise UsageError(f"--definitions {target}: the module defines no workflow")
        found += own
    return list(dict.fromkeys(found))


def load_definitions(target: str) -> list[Any]:
    """Import a workflow or an activity, or all that a module defines.

    Raises:
        UsageError: there is none.
    """
    found = load(target, {"workflows": Workflow, "activities": Activity})
    if isinstance(found, ModuleType):
        own = [one for one in _list_definitions(found, (Activity, Workflow)) if one.__module__ == found.__name__]
        if not own:
            raise UsageError(f"{target} defines neither a workflow nor an activity")
        return own
    if not (isinstance(found, type) and issubclass(found, (Activity, Workflow)) and hasattr(found, "spec")):
        raise UsageError(f"{target} is {found!r:.100}, neither a workflow nor an activity")
    return [found]


def load_signal(target: str) -> type[Signal]:
    """Import a signal class.

    Raises:
        UsageError: there is none.
    """
    found = load(target, {"signals": Signal})
    if not is_signal(found) or found is Signal:
        raise UsageError(f"{target} is {found!r:.100}, not a signal class; write module:Signal")
    signal: type[Signal] = found
    return signal


def load_codec(target: str | None) -> Codec:
    """Import the codec `module:name`; without a name, return the codec of plain JSON.

    Raises:
        UsageError: there is no such codec.
    """
    found = JSON if target is None else load(target)
    if not isinstance(found, Codec):
        raise UsageError(f"--codec {target} is {found!r:.100}, not a traction.payloads.Codec")
    return found


def open_codec(target: str | None, payloads: str | None, context: typer.Context) -> Codec:
    """Import the codec `module:name`, and open the payload store of a URL with the plugins of the command.

    Raises:
        UsageError: there is no such codec.
        UnknownSchemeError, BackendError: as `open_payload_store`.
    """
    codec = load_codec(target)
    plugins = context.find_object(pluggy.PluginManager)
    return codec if payloads is None else codec.with_store(open_payload_store(payloads, plugins))


@contextmanager
def open_for(context: typer.Context, url: str) -> Iterator[Backend]:
    """Open a backend with the plugins of the command, and close it at the end."""
    backend = open_backend(url, context.find_object(pluggy.PluginManager))
    try:
        yield backend
    finally:
        backend.close()


def _list_definitions(module: Any, kind: type | tuple[type, ...]) -> list[Any]:
    things = vars(module).values() if isinstance(module, ModuleType) else ()
    return [thing for thing in things if isinstance(thing, type) and issubclass(thing, kind) and hasattr(thing, "spec")]


def _suggest(module: Any, kinds: Mapping[str, type]) -> str:
    lists = []
    for plural, kind in kinds.items():
        names = [f"{module.__name__}:{one.__name__}" for one in _list_definitions(module, kind)]
        if names:
            lists.append(f"; its {plural} are {', '.join(names)}")
    return "".join(lists)
