"""Convert command-line options to the fields of a call."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from traction.cli.loading import TARGET
from traction.payloads.codec import name_type

T = TypeVar("T")


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
    "save",
    "seed",
    "signal",
    "step",
    "stub",
    "timeout",
    "url",
    "verbose",
    "workers",
    "workflow-id",
}
"""Options of the commands themselves. A field with such a name becomes `--input-` and the name."""


_NAMING = {"--codec", "--workflow"}
"""Options whose values look like the name of a definition."""


# From fields to options.


def find_target(argv: Sequence[str], command: str, *, first: bool = True) -> str | None:
    """Return the definition that the arguments name, if they are arguments of this command.

    Args:
        argv: the arguments, the command first.
        command: its name.
        first: whether it comes right after the command, where a module without a name is accepted.
    """
    words = argv[1:] if argv and argv[0] == command else ()
    for n, word in enumerate(words):
        if n and words[n - 1] in _NAMING:
            continue
        # Elsewhere, a module without a name could be the value of an option.
        named = (first and n == 0) or ":" in word or word.endswith(".py")
        if named and TARGET.fullmatch(word) and not word.endswith(":"):
            return word
    return None


def with_fields(
    f: Callable[..., None],
    definition: type[msgspec.Struct] | None,
    reserved: frozenset[str] = frozenset(),
    *,
    required: bool = True,
) -> Callable[..., None]:
    """Return a command with an option for each field of a workflow or signal.

    Its parameter `fields` receives the values by field, without the options that are absent. `reserved` are options of
    this command besides `RESERVED`. If `required` is false, all fields may be absent.
    """
    options = {} if definition is None else _describe_fields(definition, reserved, required=required)
    hints = typing.get_type_hints(f, include_extras=True)
    own = [
        parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(f).parameters.values()
        if parameter.name != "fields"
    ]
    parameters = [*options.values(), *own]

    def command(**arguments: Any) -> None:
        fields = {name: arguments.pop(parameter.name) for name, parameter in options.items()}
        f(**arguments, fields={name: value for name, value in fields.items() if value is not None})

    command.__doc__ = f.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def name_option(field: str, reserved: frozenset[str] = frozenset()) -> str:
    """Return the option of a field."""
    name = field.replace("_", "-")
    return f"--input-{name}" if name in RESERVED or name in reserved else f"--{name}"


def write_option(field: str, word: str | bool) -> list[str]:
    """Return the words that set a field on a command line."""
    option = name_option(field)
    if isinstance(word, bool):
        return [option if word else f"--no-{option.removeprefix('--')}"]
    return [f"{option}={word}"]


def _describe_fields(
    definition: type[msgspec.Struct], reserved: frozenset[str], *, required: bool
) -> dict[str, inspect.Parameter]:
    hints = typing.get_type_hints(definition, include_extras=True)
    plain = typing.get_type_hints(definition)
    panel = f"Input of {definition.__name__}"
    described = {}
    for field in msgspec.structs.fields(definition):
        option, kind = name_option(field.name, reserved), hints[field.name]
        needed = field.required and required
        default = _show_default(field)
        annotation: Any
        if kind is bool:
            name = option.removeprefix("--")
            info = typer.Option(f"--{name}/--no-{name}", help=f"{panel}{default}", show_default=False)
            annotation = bool
        else:
            what = f"{name_type(plain[field.name])}{'' if is_simple(kind) else ', as JSON'}"
            help = f"{panel}: {what}{default}"
            info = typer.Option(option, help=help, metavar=_name_kind(kind), show_default=False)
            annotation = str
        described[field.name] = inspect.Parameter(
            f"field_{field.name}",
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if needed else None,
            annotation=Annotated[annotation if needed else annotation | None, info],
        )
    return described


def _show_default(field: Any) -> str:
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
    """Return whether a value of a type is one word and needs no JSON."""
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


# From options to calls.


def make_call(definition: type[T], fields: dict[str, Any]) -> T:
    """Return a call of a workflow, or a signal, from the values of its options.

    Raises:
        typer.BadParameter: a value does not have its field's type.
    """
    values = read_fields(definition, fields)
    try:
        return definition(**values)
    except (TypeError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint=definition.__name__) from error


def read_fields(
    definition: type[Any], fields: dict[str, Any], reserved: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Return the values of fields from those of their options.

    Raises:
        typer.BadParameter: a value does not have its field's type.
    """
    hints = typing.get_type_hints(definition, include_extras=True)
    values = {}
    for name, word in fields.items():
        try:
            values[name] = read_word(word, hints[name])
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint=name_option(name, reserved)) from error
    return values


def read_word(word: Any, kind: Any) -> Any:
    """Convert one word to a type; from JSON, unless the type is simple.

    Example:
        >>> read_word("7", int), read_word("[7, 8]", list[int]), read_word("a", str | None)
        (7, [7, 8], 'a')

    Raises:
        ValueError: it does not have that type.
    """
    if not isinstance(word, str) or is_simple(kind):
        return msgspec.convert(word, kind, strict=False)
    try:
        return msgspec.json.decode(word, type=kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        # A union of text and other types accepts plain text too.
        try:
            return msgspec.convert(word, kind)
        except msgspec.ValidationError:
            raise ValueError(f"expected JSON ({name_type(kind)}), got {word!r:.100}: {error}") from error
