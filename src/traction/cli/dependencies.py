"""Provide what activities need, as `--provide` names it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from traction.cli.loading import UsageError, load
from traction.definitions.classes import Activity

# What activities need.


def provide_all(provided: Sequence[str], stack: ExitStack, near: Sequence[Any]) -> dict[Any, Any]:
    """Make the dependencies that `--provide Activity=module:factory` names.

    An activity is looked for in the modules of the definitions that are `near`, then among all that are imported.

    A callable is called without arguments, and a context manager that it gives by `@contextmanager` is entered.

    Raises:
        UsageError: there is no such activity or factory, or the factory fails.
    """
    dependencies = {}
    for word in provided:
        name, equals, target = word.partition("=")
        if not equals or ":" not in target:
            raise UsageError(f"--provide {word}: write --provide Activity=module:factory")
        activity = _find_activity(name, near)
        factory = load(target)
        try:
            thing = factory() if callable(factory) else factory
            # Of context managers only these are nothing else: a connection is one too, and means a transaction.
            if isinstance(thing, AbstractContextManager) and hasattr(thing, "gen"):
                thing = stack.enter_context(thing)
        except Exception as error:
            raise UsageError(f"--provide {word}: {target}() failed: {type(error).__name__}: {error}") from error
        dependencies[activity] = thing
    return dependencies


def _find_activity(name: str, near: Sequence[Any]) -> Any:
    if ":" in name:
        return load(name)
    for definition in near:
        found = getattr(sys.modules.get(definition.__module__), name, None)
        if isinstance(found, type) and issubclass(found, Activity) and found.__dict__.get("spec"):
            return found
    known = {cls for cls in _walk_subclasses(Activity) if hasattr(cls, "spec")}
    named = [cls for cls in known if name in (cls.__name__, cls.__qualname__, cls.spec.type.name)]
    if len(named) != 1:
        names = ", ".join(sorted(cls.__name__ for cls in known if cls.spec.needs is not None)) or "none"
        why = "several are called so: write module:Activity" if named else f"those that need something: {names}"
        raise UsageError(f"--provide {name}=...: there is no one activity {name!r}; {why}")
    return named[0]


def _walk_subclasses(cls: type) -> Iterator[Any]:
    one: Any
    for one in type.__subclasses__(cls):
        yield one
        yield from _walk_subclasses(one)
