"""Make a call of a workflow from the words of a command line.

Takes `module:Workflow` and words; gives a call, and before that the options that a command has for its fields. A field
is an option of its name: of a simple type as one writes it, of any other as JSON.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
import traceback
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, TypeVar

import msgspec
import pluggy
import typer

from traction.codec import JSON, Codec, name_type
from traction.definition import Activity, Workflow
from traction.errors import TractionError
from traction.plugins import open_payload_store
from traction.signals import Signal, is_signal

T = TypeVar("T")

TARGET = re.compile(r"(?:[\w.]+|.*\.py)(?::[\w.]+)?")

RESERVED = {
    "codec",
    "deviations",
    "fails",
    "faults",
    "help",
    "instances",
    "json",
    "payloads",
    "provide",
    "rate",
    "runs",
    "seed",
    "step",
    "timeout",
    "trace",
    "url",
    "verbose",
    "workers",
    "workflow-id",
}
"""Options that commands have themselves: a field of that name is `--input-` and the name."""


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
        raise UsageError(f"--codec {target} is {found!r:.100}, and not a traction.codec.Codec")
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


# From fields to options.


def find_target(argv: Sequence[str], command: str, *, first: bool = True) -> str | None:
    """Find the definition that the arguments of a command name, if they are of that command.

    Args:
        argv: the arguments, the command first.
        command: its name.
        first: whether it stands right after the command, and may be a module alone.
    """
    words = argv[1:] if argv and argv[0] == command else ()
    for n, word in enumerate(words):
        # A module alone is told from the value of an option by its place, right after the command.
        named = (first and n == 0) or ":" in word or word.endswith(".py")
        if named and TARGET.fullmatch(word) and not word.endswith(":"):
            return word
    return None


def with_fields(f: Callable[..., None], definition: type[msgspec.Struct] | None) -> Callable[..., None]:
    """Give a command an option for each field of a workflow, or of a signal.

    What the options say is given to its parameter `said`, by field; fields that are not said are absent.
    """
    fields = {} if definition is None else _describe_fields(definition)
    hints = typing.get_type_hints(f, include_extras=True)
    own = [
        parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(f).parameters.values()
        if parameter.name != "said"
    ]
    parameters = [*fields.values(), *own]

    def command(**given: Any) -> None:
        said = {name: given.pop(parameter.name) for name, parameter in fields.items()}
        f(**given, said={name: value for name, value in said.items() if value is not None})

    command.__doc__ = f.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def name_option(field: str) -> str:
    """Say the option of a field."""
    name = field.replace("_", "-")
    return f"--input-{name}" if name in RESERVED else f"--{name}"


def write_option(field: str, word: str | bool) -> list[str]:
    """Write the words of a command line that say a field."""
    option = name_option(field)
    if isinstance(word, bool):
        return [option if word else f"--no-{option.removeprefix('--')}"]
    return [f"{option}={word}"]


def _describe_fields(definition: type[msgspec.Struct]) -> dict[str, inspect.Parameter]:
    hints = typing.get_type_hints(definition, include_extras=True)
    plain = typing.get_type_hints(definition)
    panel = f"Input of {definition.__name__}"
    described = {}
    for field in msgspec.structs.fields(definition):
        option, kind, required = name_option(field.name), hints[field.name], field.required
        shown = _tell_default(field)
        annotation: Any
        if kind is bool:
            name = option.removeprefix("--")
            info = typer.Option(f"--{name}/--no-{name}", help=f"{panel}{shown}", show_default=False)
            annotation = bool
        else:
            what = f"{name_type(plain[field.name])}{'' if is_simple(kind) else ', as JSON'}"
            help = f"{panel}: {what}{shown}"
            info = typer.Option(option, help=help, metavar=_name_kind(kind), show_default=False)
            annotation = str
        described[field.name] = inspect.Parameter(
            f"field_{field.name}",
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if required else None,
            annotation=Annotated[annotation if required else annotation | None, info],
        )
    return described


def _tell_default(field: Any) -> str:
    if field.required:
        return ""
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    text = msgspec.to_builtins(value)
    if isinstance(value, bool):
        text = "yes" if value else "no"
    elif value is None:
        text = "none"
    elif not isinstance(text, str) or not text:
        text = msgspec.json.encode(value).decode()
    return f"  [default: {text}]"


_SIMPLE = {
    "NoneType": "null",
    "BoolType": "BOOLEAN",
    "IntType": "INTEGER",
    "FloatType": "NUMBER",
    "StrType": "TEXT",
    "BytesType": "BASE64",
    "DateTimeType": "DATETIME",
    "DateType": "DATE",
    "TimeType": "TIME",
    "TimeDeltaType": "DURATION",
    "UUIDType": "UUID",
    "DecimalType": "DECIMAL",
    "EnumType": "CHOICE",
    "LiteralType": "CHOICE",
}


def is_simple(kind: Any) -> bool:
    """Whether a value of a type is one word, and needs no JSON."""
    return all(type(one).__name__ in _SIMPLE for one in _list_members(kind))


def _list_members(kind: Any) -> Iterable[Any]:
    info = msgspec.inspect.type_info(kind)
    while isinstance(info, msgspec.inspect.Metadata):
        info = info.type
    return info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)


def _name_kind(kind: Any) -> str:
    if not is_simple(kind):
        return "JSON"
    words = []
    for one in _list_members(kind):
        word = _SIMPLE[type(one).__name__]
        if word == "CHOICE":
            values = one.values if hasattr(one, "values") else [member.value for member in one.cls]
            word = "|".join(map(str, values))
        if word != "null":
            words.append(word)
    return "|".join(words) or "null"


# From words to calls.


def make_call(definition: type[T], said: dict[str, Any]) -> T:
    """Make a call of a workflow, or a signal, of what the options say.

    Raises:
        typer.BadParameter: a word is not of its field's type.
    """
    hints = typing.get_type_hints(definition, include_extras=True)
    values = {}
    for name, word in said.items():
        try:
            values[name] = read_word(word, hints[name])
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint=name_option(name)) from error
    try:
        return definition(**values)
    except (TypeError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint=definition.__name__) from error


def read_word(word: Any, kind: Any) -> Any:
    """Read one word as a type; as JSON, unless the type is simple.

    Example:
        >>> read_word("7", int), read_word("[7, 8]", list[int]), read_word("a", str | None)
        (7, [7, 8], 'a')

    Raises:
        ValueError: it is none of that type.
    """
    if not isinstance(word, str) or is_simple(kind):
        return msgspec.convert(word, kind, strict=False)
    try:
        return msgspec.json.decode(word, type=kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        # A union of text and something else takes plain text too.
        try:
            return msgspec.convert(word, kind)
        except msgspec.ValidationError:
            raise ValueError(f"it is read as JSON ({name_type(kind)}), and {word!r:.100} is none: {error}") from error


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
