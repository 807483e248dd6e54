"""Import definitions that are named on the command line."""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pluggy
import typer

from traction.definitions.classes import Activity, Workflow
from traction.errors import TractionError
from traction.flow.signals import Signal, is_signal
from traction.payloads.codec import JSON, Codec
from traction.plugins.loading import open_payload_store

T = TypeVar("T")


TARGET = re.compile(r"(?:[\w.]+|.*\.py)(?::[\w.]+)?")


class UsageError(TractionError):
    """A command line that says what cannot be: what, and what to write."""


# From names to definitions.


def load(target: str) -> Any:
    """Load what `module:Name` or `file.py:Name` names; the module alone, without a name.

    Raises:
        UsageError: there is no such module, or it has no such name, or it fails when it is imported.
    """
    place, _, name = target.partition(":")
    if place.endswith(".py"):
        path = Path(place)
        if not path.is_file():
            raise UsageError(f"there is no file {place!r}, which {target!r} names")
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
            raise UsageError(f"there is no module {missing!r} in {folder} or among what is installed") from None
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
            raise UsageError(f"{place} has no {name!r}{_suggest(found)}") from None
    return found


def load_workflow(target: str) -> type[Workflow[Any]]:
    """Load a workflow; a module that defines a single one may be named alone.

    Raises:
        UsageError: there is none.
    """
    found = load(target)
    if isinstance(found, ModuleType):
        own = _list_definitions(found, Workflow)
        if len(own) != 1:
            raise UsageError(f"{target} names a module, and not a workflow in it{_suggest(found)}")
        found = own[0]
    if not (isinstance(found, type) and issubclass(found, Workflow) and hasattr(found, "spec")):
        raise UsageError(f"{target} is {found!r:.100}, and not a workflow")
    return found


def load_definitions(target: str) -> list[Any]:
    """Load a workflow or an activity; or all that a module defines, if it is named alone.

    Raises:
        UsageError: there is none.
    """
    found = load(target)
    if isinstance(found, ModuleType):
        own = [one for one in _list_definitions(found, (Activity, Workflow)) if one.__module__ == found.__name__]
        if not own:
            raise UsageError(f"{target} defines neither a workflow nor an activity")
        return own
    if not (isinstance(found, type) and issubclass(found, (Activity, Workflow)) and hasattr(found, "spec")):
        raise UsageError(f"{target} is {found!r:.100}, and neither a workflow nor an activity")
    return [found]


def load_signal(target: str) -> type[Signal]:
    """Load a class of signals.

    Raises:
        UsageError: there is none.
    """
    found = load(target)
    if not is_signal(found) or found is Signal:
        raise UsageError(f"{target} is {found!r:.100}, and not a class of signals; write module:Signal")
    signal: type[Signal] = found
    return signal


def load_codec(target: str | None) -> Codec:
    """Load the codec that `module:name` names; plain JSON if nothing is named.

    Raises:
        UsageError: there is none of that name.
    """
    found = JSON if target is None else load(target)
    if not isinstance(found, Codec):
        raise UsageError(f"--codec {target} is {found!r:.100}, and not a traction.payloads.Codec")
    return found


def open_codec(target: str | None, payloads: str | None, context: typer.Context) -> Codec:
    """Load the codec that `module:name` names, and open the payload store of a URL, with the plugins of the command.

    Raises:
        UsageError: there is no codec of that name.
        UnknownSchemeError, BackendError: as `open_payload_store`.
    """
    codec = load_codec(target)
    plugins = context.find_object(pluggy.PluginManager)
    return codec if payloads is None else codec.with_store(open_payload_store(payloads, plugins))


def _list_definitions(module: Any, kind: type | tuple[type, ...]) -> list[Any]:
    things = vars(module).values() if isinstance(module, ModuleType) else ()
    return [thing for thing in things if isinstance(thing, type) and issubclass(thing, kind) and hasattr(thing, "spec")]


def _suggest(module: Any) -> str:
    names = [f"{module.__name__}:{one.__name__}" for one in _list_definitions(module, Workflow)]
    return f"; its workflows are {', '.join(names)}" if names else ""
