"""Read what classes and functions say of their types, and judge whether it will do.

Takes classes, functions and annotations; gives types, or a `DefinitionError` that tells the author what to mend. Calls
nothing that it reads, and makes no class.
"""

from __future__ import annotations

import types
import typing
from typing import Any, TypeVar

import msgspec

from traction.codec import name_type
from traction.errors import DefinitionError
from traction.step import Step, WorkflowStep


def find_arguments(cls: Any, root: type) -> tuple[Any, ...] | None:
    """Find the type arguments that a class gives `root`, or `None` if it leaves them open."""
    for base in cls.__mro__:
        for origin in base.__dict__.get("__orig_bases__", ()):
            if typing.get_origin(origin) is root:
                arguments = typing.get_args(origin)
                return None if any(isinstance(a, TypeVar) for a in arguments) else arguments
    return None


def check_method(cls: Any, where: str, name: str, result: Any, needs: Any) -> None:
    """Check that `run` or `flow` is there, takes what it will be given, and gives what the class says."""
    method = getattr(cls, name, None)
    inherited = name == "flow" and method is WorkflowStep.flow
    if method is None or inherited or not isinstance(method, types.FunctionType):
        what = "def run(self, ...)" if name == "run" else "async def flow(self)"
        raise DefinitionError(f"{where}: there is no method {name!r}; write {what} -> {name_type(result)}")
    code = method.__code__
    if code.co_flags & 0x0C:  # *args or **kwargs: takes whatever it is given
        return
    takes = code.co_varnames[1 : code.co_argcount]
    expected = 0 if needs is None else 1
    optional = len(method.__defaults__ or ())
    if not len(takes) - optional <= expected <= len(takes) or code.co_kwonlyargcount > len(method.__kwdefaults__ or {}):
        signature = f"{name}(self)" if needs is None else f"{name}(self, dependency: {name_type(needs)})"
        because = "needs nothing" if needs is None else f"needs {name_type(needs)}"
        if name == "flow":
            because = "takes its input from its fields"
        raise DefinitionError(
            f"{where}: {name} takes ({', '.join(('self', *takes))}), but the class {because}; write {signature}"
        )
    try:
        hints = typing.get_type_hints(method)
    except NameError:  # names what comes later: type checkers see it, we do not
        return
    said = hints.get("return", result)
    if name == "run" and said not in (result, type(None) if result is None else result):
        raise DefinitionError(
            f"{where}: run gives {name_type(said)}, but the class says {name_type(result)}; make them agree"
        )
    if name == "run" and takes and needs is not None and hints.get(takes[0], needs) != needs:
        raise DefinitionError(
            f"{where}: run takes {takes[0]}: {name_type(hints[takes[0]])}, but the class needs {name_type(needs)}; "
            "make them agree"
        )


def check_writable(where: str, what: str, annotation: Any) -> None:
    """Check that msgspec can write and read a type with no help."""
    from msgspec import inspect

    try:
        info = inspect.type_info(annotation)
    except (TypeError, NotImplementedError) as error:
        raise DefinitionError(
            f"{where}: {what} is {name_type(annotation)}, which cannot be written as JSON: {error}"
        ) from error
    if culprit := _find_custom(info, set()):
        raise DefinitionError(
            f"{where}: {what} is {name_type(annotation)}, and {name_type(culprit)} cannot be written as JSON. Make it "
            "a msgspec.Struct or a dataclass, or let the worker provide it as the dependency"
        )


def _find_custom(info: Any, seen: set[int]) -> Any:
    """Find a type within a type that msgspec would leave to a hook, or `None`."""
    from msgspec import inspect

    if isinstance(info, inspect.CustomType):
        return info.cls
    if not isinstance(info, msgspec.Struct) or id(info) in seen:
        return None
    seen.add(id(info))
    parts = [getattr(info, name) for name in info.__struct_fields__]
    for part in parts:
        for one in part if isinstance(part, tuple) else (part,):
            if isinstance(one, msgspec.Struct) and (found := _find_custom(one, seen)) is not None:
                return found
    return None


def read_function(f: Any, skip: int) -> tuple[dict[str, Any], Any]:
    """Read a function's parameters after the first `skip`, and its result."""
    where = f"{getattr(f, '__module__', '?')}.{getattr(f, '__qualname__', f)}"
    if not isinstance(f, types.FunctionType):
        raise DefinitionError(f"{where}: a definition is made of a function, not of {f!r:.100}")
    code = f.__code__
    if code.co_flags & 0x0C or code.co_posonlyargcount:
        raise DefinitionError(
            f"{where}: a definition's parameters have names; *args, **kwargs and / cannot be written down"
        )
    try:
        hints = typing.get_type_hints(f)
    except NameError as error:
        raise DefinitionError(f"{where}: {error}; define it above, or import it") from error
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    if len(names) < skip:
        raise DefinitionError(f"{where}: with needs=..., the first parameter is the dependency, and there is none")
    for name in names[skip:]:
        if name not in hints:
            raise DefinitionError(
                f"{where}: parameter {name!r} has no type; a call's input is written and read by type"
            )
    if "return" not in hints:
        raise DefinitionError(f"{where}: the result has no type; write -> None if there is none")
    result = hints["return"]
    if typing.get_origin(result) is Step or (isinstance(result, type) and issubclass(result, Step)):
        (result,) = typing.get_args(result) or (Any,)
    return {name: hints[name] for name in names[skip:]}, type(None) if result is None else result
