"""Create the dependencies of activities that `--provide` names."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from traction.cli.loading import UsageError, load
from traction.definitions.classes import Activity
from traction.flow.specs import ActivitySpec


def provide_all(provided: Sequence[str], stack: ExitStack, near: Sequence[Any]) -> dict[Any, Any]:
    """Return the dependencies that `--provide NAME=module:factory` names, by activity.

    The name is that of an activity, or of the type that activities need: then all of them get it. An activity is
    searched for in the modules of the definitions `near`, then among all that are imported. A factory is called without
    arguments. If it is decorated with `@contextmanager`, its context is entered.

    Raises:
        UsageError: there is no such activity or factory, or the factory fails.
    """
    dependencies: dict[Any, Any] = {}
    for word in provided:
        name, equals, target = word.partition("=")
        if not equals or ":" not in target:
            raise UsageError(f"--provide {word}: write --provide Activity=module:factory, or the type that it needs")
        users = find_users(name, near)
        factory = load(target)
        try:
            thing = factory() if callable(factory) else factory
            # Other context managers are not entered: for a connection, this would begin a transaction.
            if isinstance(thing, AbstractContextManager) and hasattr(thing, "gen"):
                thing = stack.enter_context(thing)
        except Exception as error:
            raise UsageError(f"--provide {word}: {target}() failed: {type(error).__name__}: {error}") from error
        dependencies |= dict.fromkeys(users, thing)
    return dependencies


def find_users(name: str, near: Sequence[Any]) -> list[Any]:
    """Return the activities that a name of `--provide` means: one activity, or those that need the type of this name.

    Raises:
        UsageError: there are none, or several types have the name.
    """
    activities = [cls for cls in _walk_subclasses(Activity) if _is_definition(cls)]
    if ":" in name:
        needs = [load(name, {"activities": Activity})]
    elif any(name in _list_names(cls) for cls in activities):
        needs = []
    else:
        needs = [cls.spec.needs for cls in activities if getattr(cls.spec.needs, "__name__", None) == name]
        # A type that a module of the command has by this name is meant before others of the same name.
        own = [getattr(sys.modules.get(definition.__module__), name, None) for definition in near]
        needs = [one for one in needs if one in own] or needs
    if any(one is not needs[0] for one in needs):
        raise UsageError(f"--provide {name}=...: several types have this name: write module:{name}")
    users = [cls for cls in activities if needs and cls.spec.needs is needs[0]]
    return users or [find_activity(name, near)]


def find_activity(name: str, near: Sequence[Any], option: str = "--provide") -> Any:
    """Return the activity with a name, in the modules of the definitions `near`, or among all that are imported.

    Raises:
        UsageError: there is none, or several have the name.
    """
    if ":" in name:
        return load(name, {"activities": Activity})
    for definition in near:
        found = getattr(sys.modules.get(definition.__module__), name, None)
        if isinstance(found, type) and issubclass(found, Activity) and _is_definition(found):
            return found
    known = {cls for cls in _walk_subclasses(Activity) if _is_definition(cls)}
    named = [cls for cls in known if name in _list_names(cls)]
    if len(named) != 1:
        names = ", ".join(sorted(cls.__name__ for cls in known if cls.spec.needs is not None)) or "none"
        hint = "several have this name: write module:Activity" if named else f"activities with a dependency: {names}"
        raise UsageError(f"{option} {name}=...: {'more than one' if named else 'no'} activity {name!r}; {hint}")
    return named[0]


def _is_definition(cls: type) -> bool:
    """Return whether an activity class can be called: abstract and generic bases cannot."""
    return isinstance(cls.__dict__.get("spec"), ActivitySpec)


def _list_names(activity: Any) -> tuple[str, ...]:
    return activity.__name__, activity.__qualname__, activity.spec.type.name


def _walk_subclasses(cls: type) -> Iterator[Any]:
    one: Any
    for one in type.__subclasses__(cls):
        yield one
        yield from _walk_subclasses(one)
