"""Refuse test functions whose assertions would not run: coroutines, generators, and functions that return a value."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from traction.errors import DefinitionError


def get_name(test: Any) -> str:
    """Return the name of a function, of what a partial calls, or of the type of a callable object."""
    while isinstance(test, functools.partial):
        test = test.func
    return str(getattr(test, "__name__", type(test).__name__))


def check_body(test: Callable[..., Any], takes: str = "") -> None:
    """Check that calling a function runs its body.

    Args:
        test: a function, a method, a partial or another callable object.
        takes: its parameters, for the message.

    Raises:
        DefinitionError: it is an async function, a generator function or an async generator function.
    """
    kind = next(filter(None, map(_find_kind, _list_layers(test))), None)
    if kind is not None:
        name = get_name(test)
        how = "without yield" if kind == "a generator function" else f"as def {name}({takes}), without async"
        raise DefinitionError(
            f"{name} is {kind}: a call of it does not run its body, so it would always pass. Write it {how}. It need "
            "not await anything: the simulation has ended, or advances when the test calls it"
        )


def check_returned(test: Callable[..., Any], returned: object) -> None:
    """Check that a test has returned nothing: it fails only by raising.

    Raises:
        DefinitionError: it returned something, such as False or a coroutine that is never awaited.
    """
    if returned is None:
        return
    name = get_name(test)
    if inspect.iscoroutine(returned) or inspect.isgenerator(returned):
        returned.close()  # else Python warns that it was never awaited
    if inspect.isawaitable(returned) or inspect.isgenerator(returned) or inspect.isasyncgen(returned):
        raise DefinitionError(
            f"{name} returned {returned!r:.100}, which has not run, so its assertions were not checked. Write "
            f"def {name}(...) without async and yield, or run the coroutine in it"
        )
    raise DefinitionError(
        f"{name} returned {returned!r:.100}, and the result of a test is ignored: it fails only if it raises. Write "
        "assert instead of return"
    )


def _list_layers(test: Any) -> list[Any]:
    """Return a callable and the functions in it: of a partial, of a method, of a callable object."""
    layers = [test]
    while True:
        if isinstance(test, functools.partial):
            test = test.func
        elif isinstance(test, staticmethod | classmethod) or inspect.ismethod(test):
            test = test.__func__
        elif inspect.isroutine(test) or isinstance(test, type):
            return layers
        else:  # an object that can be called
            test = type(test).__call__
        layers.append(test)


def _find_kind(function: Any) -> str | None:
    if inspect.iscoroutinefunction(function):
        return "an async function"
    if inspect.isasyncgenfunction(function):
        return "an async generator function"
    if inspect.isgeneratorfunction(function):
        return "a generator function"
    return None
