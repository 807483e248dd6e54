"""Read and check the annotations of classes and functions, without calling them."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Awaitable
from typing import Any, TypeVar

import msgspec

from traction.errors import DefinitionError
from traction.flow.step import Both, Step, WorkflowStep, note_wrapped
from traction.payloads.codec import name_type
from traction.payloads.json_types import UNRESOLVED

# Flags of code objects, as `inspect` calls them: VARARGS, GENERATOR | ASYNC_GENERATOR, COROUTINE.
_VARARGS = 0x04
_GENERATOR = 0x20 | 0x200
_COROUTINE = 0x80


class Signature(msgspec.Struct, frozen=True):
    """The signature of a function: its fields, the keyword-only ones, their defaults, its result type."""

    fields: dict[str, Any]
    keywords: frozenset[str]
    defaults: dict[str, Any]
    result: Any


# Classes.


def find_arguments(cls: Any, root: Any) -> tuple[Any, ...] | None:
    """Return the type arguments of `root` in the bases of a class, also through generic bases; `None` without any."""
    for base in cls.__dict__.get("__orig_bases__", cls.__bases__):
        origin = typing.get_origin(base) or base
        if not isinstance(origin, type) or not issubclass(origin, root):
            continue
        direct = typing.get_args(base)
        if origin is root:
            return direct or None
        found = find_arguments(origin, root)
        if found is not None and direct:
            replaced = dict(zip(origin.__parameters__, direct, strict=True))  # type: ignore[attr-defined]
            return tuple(_replace(argument, replaced) for argument in found)
        return found
    return None


def is_open(annotation: Any) -> bool:
    """Return whether a type has type variables."""
    return isinstance(annotation, TypeVar) or bool(
        not isinstance(annotation, type) and getattr(annotation, "__parameters__", ())
    )


def read_arguments(cls: Any, where: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Resolve type arguments that are written as strings."""
    names = vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else {}
    holder = types.SimpleNamespace(__annotations__={str(n): argument for n, argument in enumerate(arguments)})
    try:
        return tuple(typing.get_type_hints(holder, names, include_extras=True).values())
    except Exception as error:
        raise DefinitionError(
            f"{where}: a type argument of the class does not resolve: {error}. The types of the dependency and the "
            "result are evaluated when the class is created: define or import them above it"
        ) from error


def check_needs(where: str, needs: Any) -> None:
    """Check that the dependency of an activity is declared by a type."""
    is_type = callable(needs) and not isinstance(needs, types.FunctionType | types.MethodType)
    if needs is not None and not is_type and typing.get_origin(needs) is None:
        raise DefinitionError(
            f"{where}: the dependency {needs!r:.100} is not a type. Write its type here; the worker provides the value"
        )


def check_run(cls: Any, where: str, needs: Any, result: Any) -> None:
    """Check the parameters and the result type of `run` against the class."""
    check_needs(where, needs)
    write = "run(self)" if needs is None else f"run(self, dependency: {name_type(needs)})"
    method = _find_method(cls, where, "run", f"def {write} -> {name_type(result)}")
    because = "no dependency" if needs is None else f"the dependency {name_type(needs)}"
    takes = _check_arity(method, where, 0 if needs is None else 1, f"the class declares {because}; write def {write}")
    hints = _find_hints(method, where)
    if hints is None:
        return
    if "return" in hints and not _agree(hints["return"], result):
        raise DefinitionError(
            f"{where}: run returns {name_type(hints['return'])}, but the class declares {name_type(result)}; "
            "make them equal"
        )
    if needs is not None and takes and takes[0] in hints and not _accepts(hints[takes[0]], needs):
        raise DefinitionError(
            f"{where}: run takes {takes[0]}: {name_type(hints[takes[0]])}, but the class declares the dependency "
            f"{name_type(needs)}; make them equal"
        )


def check_flow(cls: Any, where: str, result: Any) -> None:
    """Check the parameters and the result type of `flow` against the class."""
    method = _find_method(cls, where, "flow", f"async def flow(self) -> {name_type(result)}")
    note_wrapped(method)
    _check_arity(method, where, 0, "the input of a workflow is in its fields; write flow(self)")
    hints = _find_hints(method, where)
    if hints is None or hints.get("return", Any) is Any:
        return
    returned = hints["return"]
    if not method.__code__.co_flags & _COROUTINE:
        returned = _find_awaited(returned)
        if returned is None:
            raise DefinitionError(
                f"{where}: flow returns {name_type(hints['return'])}, not a step. Write async def flow(self) "
                f"and await steps, or return a Step[{name_type(result)}]"
            )
    if not _agree(returned, result):
        raise DefinitionError(
            f"{where}: flow returns {name_type(returned)}, but the class declares {name_type(result)}; make them equal"
        )


def _find_method(cls: Any, where: str, name: str, write: str) -> types.FunctionType:
    method = getattr(cls, name, None)
    if method is None or method is WorkflowStep.flow:
        raise DefinitionError(f"{where}: the method {name!r} is missing; write {write}")
    if not isinstance(method, types.FunctionType):
        raise DefinitionError(f"{where}: {name} is {method!r:.100}, not a plain method; write {write}")
    return method


def _check_arity(method: types.FunctionType, where: str, expected: int, because: str) -> tuple[str, ...]:
    """Check that a method takes `self` and `expected` more arguments; return their names."""
    code = method.__code__
    name = method.__name__
    if code.co_flags & _GENERATOR:
        raise DefinitionError(f"{where}: {name} is a generator, because it contains yield; return a list instead")
    if code.co_flags & _VARARGS:
        return ()
    names = code.co_varnames[: code.co_argcount]
    keywords = set(code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount])
    required = keywords - set(method.__kwdefaults__ or {})
    optional = len(method.__defaults__ or ())
    if not len(names) - optional <= expected + 1 <= len(names) or required:
        takes = ", ".join((*names, *(f"*, {keyword}" for keyword in sorted(required))))
        raise DefinitionError(f"{where}: {name} takes ({takes}), but {because}")
    return names[1:]


def _find_hints(method: Any, where: str) -> dict[str, Any] | None:
    """Return a method's annotations, or `None` if they name types that are defined later."""
    if method.__code__.co_flags & _VARARGS:  # the wrapper of a decorator, which accepts any arguments
        return None
    try:
        return typing.get_type_hints(method)
    except UNRESOLVED:
        return None
    except Exception as error:
        raise DefinitionError(f"{where}: an annotation of {method.__name__} is not a type: {error}") from error


def _agree(returned: Any, declared: Any) -> bool:
    """Return whether a method may return one type if the class declares another: payloads decode as exactly that."""
    if returned in (Any, typing.Never, typing.NoReturn) or declared is Any or is_open(returned):
        return True
    return _is_same(returned, _strip(declared))


def _is_same(left: Any, right: Any) -> bool:
    """Return whether two types are equal after their aliases (`type Ids = list[int]`) are resolved."""
    if left == right:
        return True
    left, right = _resolve_alias(left), _resolve_alias(right)
    if left == right:
        return True
    parts, others = typing.get_args(left), typing.get_args(right)
    return (
        bool(parts)
        and typing.get_origin(left) == typing.get_origin(right)
        and len(parts) == len(others)
        and all(map(_is_same, parts, others))
    )


def _resolve_alias(annotation: Any) -> Any:
    """Resolve a type alias, of the statement `type` of Python 3.12."""
    while isinstance(alias := typing.get_origin(annotation) or annotation, _ALIAS):
        replaced = dict(zip(alias.__type_params__, typing.get_args(annotation), strict=False))
        annotation = _replace(alias.__value__, replaced)
    return annotation


_ALIAS: Any = getattr(typing, "TypeAliasType", ())


def _accepts(parameter: Any, needs: Any) -> bool:
    """Return whether a parameter accepts a dependency of another type, as far as annotations show."""
    parameter, needs = _resolve_alias(parameter), _strip(needs)
    if parameter in (Any, needs) or is_open(parameter) or needs is Any:
        return True
    if members := typing.get_args(parameter) if typing.get_origin(parameter) in (typing.Union, types.UnionType) else ():
        return any(_accepts(member, needs) for member in members)
    parameter, needs = (typing.get_origin(each) or each for each in (parameter, needs))
    if not isinstance(parameter, type) or not isinstance(needs, type):
        return False
    try:
        return parameter is not needs and issubclass(needs, parameter)
    except TypeError:  # a protocol, which only type checkers can compare
        return True


def _find_awaited(annotation: Any) -> Any:
    """Return the result type of a step or coroutine type: `Any` if unknown, `None` if it is neither."""
    annotation = _resolve_alias(annotation)
    origin = typing.get_origin(annotation) or annotation
    arguments = typing.get_args(annotation)
    # Any is a class, from Python 3.11 on.
    if origin is Any or not isinstance(origin, type):
        return Any
    if issubclass(origin, Both):
        return types.GenericAlias(tuple, arguments) if arguments else Any
    if hasattr(origin, "spec"):
        return _strip(origin.spec.result)
    if issubclass(origin, Step) or issubclass(origin, Awaitable):
        return arguments[-1] if arguments else Any
    return None


def _strip(annotation: Any) -> Any:
    """Return a type without `Annotated` and aliases."""
    hints = typing.get_type_hints(types.SimpleNamespace(__annotations__={"it": _resolve_alias(annotation)}))
    return _resolve_alias(hints["it"])


def _replace(annotation: Any, replaced: dict[Any, Any]) -> Any:
    if isinstance(annotation, TypeVar):
        return replaced.get(annotation, annotation)
    if is_open(annotation):
        return annotation[tuple(replaced.get(parameter, parameter) for parameter in annotation.__parameters__)]
    return annotation


# Functions.


def read_function(f: Any, needs: Any, *, flow: bool) -> Signature:
    """Return the signature of a function, without its dependency.

    A wrapper made by `functools.wraps` has the parameters of the function that it wraps.
    """
    _check_function(f, flow=flow)
    where, wrapped = f"{f.__module__}.{f.__qualname__}", inspect.unwrap(f)
    if wrapped.__code__.co_flags & _GENERATOR:
        raise DefinitionError(f"{where}: the function is a generator, because it contains yield; return a list instead")
    try:
        parameters = list(inspect.signature(f).parameters.values())
        hints = _find_function_hints(f, wrapped)
    except Exception as error:
        raise DefinitionError(
            f"{where}: an annotation does not resolve: {error}. The annotations of a function are evaluated when it is "
            "defined: define or import the types above it, at module level"
        ) from error
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise DefinitionError(
                f"{where}: {str(parameter).partition(':')[0]} is not allowed. A call's input is stored by parameter "
                "name; take a list or a dict instead"
            )
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise DefinitionError(
                f"{where}: {parameter.name!r} is positional-only. A call's input is stored by parameter name; "
                "remove the /"
            )
    check_needs(where, needs)
    skip = 0 if needs is None else 1
    names = [parameter.name for parameter in parameters]
    keywords = frozenset(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)
    if len(names) - len(keywords) < skip:
        raise DefinitionError(
            f"{where}: with needs={name_type(needs)} the first parameter must be the dependency, but "
            "there are no parameters"
        )
    if skip and names[0] in hints and not _accepts(_strip(hints[names[0]]), needs):
        raise DefinitionError(
            f"{where}: the first parameter is {names[0]}: {name_type(hints[names[0]])}, but needs={name_type(needs)}; "
            "make them equal"
        )
    for name in names[skip:]:
        if name not in hints:
            raise DefinitionError(
                f"{where}: parameter {name!r} has no type annotation, which is needed to encode a call's input; write "
                f"{name}: int"
            )
    if "return" not in hints:
        raise DefinitionError(f"{where}: the return annotation is missing; write -> None if there is no result")
    if is_open(hints["return"]):
        raise DefinitionError(
            f"{where}: the result type {name_type(hints['return'])} is a type variable, but results are decoded by "
            "type; write a concrete type, or Any"
        )
    inputs = parameters[skip:]
    return Signature(
        fields={parameter.name: hints[parameter.name] for parameter in inputs},
        keywords=keywords,
        defaults={
            parameter.name: parameter.default for parameter in inputs if parameter.default is not parameter.empty
        },
        result=_read_result(where, hints["return"], inspect.iscoroutinefunction(wrapped), flow=flow),
    )


def _check_function(f: Any, *, flow: bool) -> None:
    """Check that a definition is made of a function at the top of a module, decorated or not."""
    bound = isinstance(f, staticmethod | classmethod | types.MethodType)
    function = inspect.unwrap(f.__func__ if bound else f)
    if not isinstance(function, types.FunctionType):
        example = "@workflow(version='2')" if flow else "@activity(needs=Connection)"
        hint = f"Pass options by keyword: {example}"
        if callable(function) and not isinstance(function, type):
            hint = "Write a function with typed parameters that calls it"
        raise DefinitionError(f"a definition must be made from a function, not from {function!r:.100}. {hint}")
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    owner, dot, name = function.__qualname__.rpartition("<locals>.")[2].rpartition(".")
    if not bound and not (names[:1] in (("self",), ("cls",)) and (dot or names[0] not in function.__annotations__)):
        return
    owner = owner or "Mailer"
    example = "".join(word.capitalize() for word in name.split("_")) or "Send"
    hint = (
        "pass what it works on as parameters"
        if flow
        else f"if it needs a {owner}, let the worker provide it: use @activity(needs={owner}), with the {owner} as the "
        f"first parameter, or class {example}(Activity[{owner}, None])"
    )
    raise DefinitionError(
        f"{function.__module__}.{function.__qualname__}: a method cannot be a definition, because the worker has no "
        f"instance to call it on. Write a function at module level; {hint}"
    )


def _find_function_hints(f: Any, wrapped: Any) -> dict[str, Any]:
    signed = inspect.unwrap(f, stop=lambda one: hasattr(one, "__signature__"))
    if not hasattr(signed, "__signature__"):
        return typing.get_type_hints(wrapped, include_extras=True)
    # A decorator that declares its parameters.
    signature = inspect.signature(signed)
    hints = {parameter.name: parameter.annotation for parameter in signature.parameters.values()}
    hints["return"] = signature.return_annotation
    hints = {name: annotation for name, annotation in hints.items() if annotation is not signature.empty}
    holder = types.SimpleNamespace(__annotations__=hints)
    return typing.get_type_hints(holder, wrapped.__globals__, include_extras=True)


def _read_result(where: str, declared: Any, is_async: bool, *, flow: bool) -> Any:
    step = _resolve_alias(declared)
    origin = typing.get_origin(step) or step
    is_step = isinstance(origin, type) and issubclass(origin, Step)
    if not flow or is_async:
        if is_step:
            hint = (
                "Write return await ..., and annotate its result type"
                if flow
                else "Activities cannot run steps; make this function a @workflow"
            )
            raise DefinitionError(f"{where}: the result is a step, which is never awaited. {hint}")
        return declared
    result = _find_awaited(step) if is_step else None
    if result is None or (result is Any and not typing.get_args(step)):
        problem = "a step without a result type" if is_step else f"{name_type(declared)}, not a step"
        raise DefinitionError(
            f"{where}: the result is {problem}. A workflow is an async def that awaits steps, or a function that "
            "returns one: write -> Step[int]"
        )
    return result
