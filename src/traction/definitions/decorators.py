"""`@activity` and `@workflow`: definitions from functions."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, Unpack, overload

import msgspec

from traction.definitions.classes import Activity, Workflow, make_struct, name_definition
from traction.definitions.options import (
    ActivityOptions,
    WorkflowOptions,
)
from traction.definitions.signatures import (
    Signature,
    read_function,
)
from traction.errors import DefinitionError
from traction.flow.step import Step, note_wrapped

C = TypeVar("C")
R = TypeVar("R")
P = ParamSpec("P")


class _PlainActivity(Protocol):
    @overload
    def __call__(self, f: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Activity[None, R]]: ...
    @overload
    def __call__(self, f: Callable[P, R], /) -> Callable[P, Activity[None, R]]: ...


class _NeedingActivity(Protocol[C]):
    @overload
    def __call__(self, f: Callable[Concatenate[C, P], Coroutine[Any, Any, R]], /) -> Callable[P, Activity[C, R]]: ...
    @overload
    def __call__(self, f: Callable[Concatenate[C, P], R], /) -> Callable[P, Activity[C, R]]: ...


class _PlainWorkflow(Protocol):
    @overload
    def __call__(self, f: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Workflow[R]]: ...
    @overload
    def __call__(self, f: Callable[P, Step[R]], /) -> Callable[P, Workflow[R]]: ...


@overload
def activity(f: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Activity[None, R]]: ...


@overload
def activity(f: Callable[P, R], /) -> Callable[P, Activity[None, R]]: ...


@overload
def activity(*, needs: Callable[..., C], **options: Unpack[ActivityOptions]) -> _NeedingActivity[C]: ...


@overload
def activity(**options: Unpack[ActivityOptions]) -> _PlainActivity: ...


def activity(f: Any = None, /, *, needs: Any = None, **options: Any) -> Any:
    """Make an activity from a function: its parameters become the fields, and its result the result.

    With `needs=Connection` the first parameter is the dependency, which the worker provides and the caller omits.

    Example:
        >>> @activity
        ... def greet(name: str) -> str:
        ...     return f"Hello, {name}!"
        >>> greet("world")
        greet(name='world')

    Raises:
        DefinitionError: a parameter or the result has no type, or its type cannot be encoded as JSON.
    """

    def define(f: Callable[..., Any]) -> Any:
        signature = read_function(f, needs, flow=False)

        def run(self: Any, *dependency: Any) -> Any:
            return f(*dependency, **msgspec.structs.asdict(self))

        methods = {"run": run, "_function": staticmethod(f)}
        return _make_class(f, typing.cast(Any, Activity)[needs, signature.result], signature, methods, options)

    return define if f is None else define(f)


@overload
def workflow(f: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Workflow[R]]: ...


@overload
def workflow(f: Callable[P, Step[R]], /) -> Callable[P, Workflow[R]]: ...


@overload
def workflow(**options: Unpack[WorkflowOptions]) -> _PlainWorkflow: ...


def workflow(f: Any = None, /, **options: Any) -> Any:
    """Make a workflow from a function: its parameters become the fields, and its result the result.

    The function is an `async def` that awaits steps, or it returns a step.

    Raises:
        DefinitionError: a parameter or the result has no type, or its type cannot be encoded as JSON.
    """

    def define(f: Callable[..., Any]) -> Any:
        signature = read_function(f, None, flow=True)
        note_wrapped(f)

        def flow(self: Any) -> Any:
            return f(**msgspec.structs.asdict(self))

        return _make_class(f, typing.cast(Any, Workflow)[signature.result], signature, {"flow": flow}, options)

    return define if f is None else define(f)


# How functions become classes.


def _make_class(f: Any, base: Any, signature: Signature, methods: dict[str, Any], options: dict[str, Any]) -> Any:
    if "kw_only" in options:
        raise DefinitionError(
            f"{name_definition(f)}: functions do not take kw_only; write a * before the keyword-only parameters"
        )

    def fill(names: list[str], **more: Any) -> Callable[[dict[str, Any]], None]:
        body = {name: signature.defaults[name] for name in names if name in signature.defaults}
        body |= {"__module__": f.__module__, "__qualname__": f.__qualname__, "__doc__": f.__doc__}
        body |= {"__annotations__": {name: signature.fields[name] for name in names}}
        return lambda namespace: namespace.update(body | more)

    positional = [name for name in signature.fields if name not in signature.keywords]
    keywords = [name for name in signature.fields if name in signature.keywords]
    if positional and keywords:
        # In one msgspec class all fields are positional or all keyword-only: positional ones go into a base class.
        namespace: dict[str, Any] = {"__orig_bases__": (base,)}
        fill(positional)(namespace)
        (root,) = types.resolve_bases((base,))
        base = make_struct(type(root), f.__name__, (root,), namespace, kw_only=False)
    own = keywords or positional
    return types.new_class(f.__name__, (base,), {"kw_only": bool(keywords)} | options, fill(own, **methods))
