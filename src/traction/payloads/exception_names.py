"""Name types of exceptions, and match exceptions and failures with types or names."""

from __future__ import annotations

import builtins
from collections.abc import Iterable

from traction.errors import ActivityFailed, ChildFailed, WorkflowFailed


def name_exception(kind: type) -> str:
    """Return the full name of a type of exceptions.

    Example:
        >>> name_exception(ValueError), name_exception(WorkflowFailed)
        ('ValueError', 'traction.errors.WorkflowFailed')
    """
    if kind.__module__ == "builtins":
        return kind.__qualname__
    # A process that was spawned has the main module of its parent under another name.
    module = "__main__" if kind.__module__ == "__mp_main__" else kind.__module__
    return f"{module}.{kind.__qualname__}"


def is_one_of(error: BaseException, kinds: Iterable[str | type[BaseException]]) -> bool:
    """Return whether an exception is of one of these types, or of a subclass of one.

    A failure of an activity or a child is also of the type of the exception that it reports. If that is a failure
    itself, because nothing in the child caught it, the types that it reports count too, and so on.

    Args:
        error: the exception.
        kinds: types, or names of types: whole, or without their modules and outer classes.
    """
    return any(_is_kind(error, kind) for kind in kinds)


def _is_kind(error: BaseException, kind: str | type[BaseException]) -> bool:
    if not isinstance(kind, str) and isinstance(error, kind):
        return True
    if isinstance(kind, str) and any(_fits(name_exception(one), kind) for one in type(error).__mro__):
        return True
    if not isinstance(error, ActivityFailed | ChildFailed | WorkflowFailed):
        return False
    names = (error.type, *error.bases)
    if isinstance(kind, str):
        if any(_fits(name, kind) for name in names):
            return True
    elif any(_is_name_of(name, kind) for name in names):
        return True
    cause = error.cause
    return cause is not None and error.type == name_exception(type(cause)) and _is_kind(cause, kind)


def _fits(name: str, pattern: str) -> bool:
    return name == pattern or name.endswith(f".{pattern}")


def _is_name_of(name: str, kind: type[BaseException]) -> bool:
    if name == name_exception(kind):
        return True
    qualified = kind.__qualname__
    if "." not in name:
        # From a worker that does not use Traction, which sends no modules.
        return name == qualified and not hasattr(builtins, name)
    # A module that is run as the program has another name where it is imported.
    is_program = name == f"__main__.{qualified}" or kind.__module__ in ("__main__", "__mp_main__")
    return is_program and name.endswith(f".{qualified}")
