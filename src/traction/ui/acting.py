"""Read the forms that act: signals by their fields, and the requests that the forms make. No web framework here."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from traction.backend import Backend
from traction.client.handle import Handle
from traction.errors import DefinitionError
from traction.flow.signals import Signal, is_signal
from traction.history.views import ExecutionView
from traction.model import operations as o
from traction.model.names import WorkflowExecution
from traction.payloads.codec import Codec

Action: TypeAlias = Literal["signal", "cancel", "terminate"]

ACTIONS: Final[tuple[Action, ...]] = ("signal", "cancel", "terminate")

PREFIX: Final = "field-"
"""What the names of a form's inputs for fields begin with."""


class Field(msgspec.Struct, frozen=True):
    """An input of a form."""

    name: str
    look: Literal["text", "choice", "json"]
    text: str
    """The text that the form begins with."""
    choices: tuple[str, ...] = ()
    is_required: bool = True


class SignalForm(msgspec.Struct, frozen=True):
    """The form of a signal."""

    name: str
    target: str
    """Module and class."""
    fields: tuple[Field, ...]


def list_signal_forms(view: ExecutionView, written: Mapping[str, str]) -> list[SignalForm]:
    """Return the forms of the signals that an execution awaits, whose classes are loaded.

    Args:
        view: the execution, read with its definition.
        written: the form as it was sent, if it was wrong.
    """
    targets = dict.fromkeys(target for awaited in view.awaited or () for target in awaited.targets)
    return [
        SignalForm(signal.spec.name, target, tuple(_list_fields(signal, written)))
        for target in targets
        if (signal := find_signal(target)) is not None
    ]


def find_signal(target: str) -> type[Signal] | None:
    """Return the signal `module:Name` if its module is loaded; nothing is imported."""
    module, _, path = target.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found if is_signal(found) and found is not Signal else None


def _list_fields(signal: type[Signal], written: Mapping[str, str]) -> Iterator[Field]:
    for field in msgspec.structs.fields(signal):
        kind: Any = msgspec.inspect.type_info(field.type)
        default = "" if field.required else msgspec.json.encode(_find_default(field)).decode()
        text = written.get(f"{PREFIX}{field.encode_name}")
        match kind:
            case msgspec.inspect.StrType():
                begin = default if field.required else str(_find_default(field))
                yield Field(field.encode_name, "text", begin if text is None else text, (), field.required)
            case msgspec.inspect.BoolType():
                yield Field(field.encode_name, "choice", text or default or "false", ("false", "true"), field.required)
            case msgspec.inspect.EnumType(cls=cls):
                choices = tuple(msgspec.json.encode(member).decode() for member in cls)
                yield Field(field.encode_name, "choice", text or default or choices[0], choices, field.required)
            case msgspec.inspect.LiteralType(values=values):
                choices = tuple(msgspec.json.encode(value).decode() for value in values)
                yield Field(field.encode_name, "choice", text or default or choices[0], choices, field.required)
            case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
                yield Field(field.encode_name, "text", default if text is None else text, (), field.required)
            case _:
                yield Field(field.encode_name, "json", default if text is None else text, (), field.required)


def _find_default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


class SignalToSend(msgspec.Struct, frozen=True):
    """A signal, as its form describes it."""

    name: str
    target: str
    """Module and class; empty if only the name is known."""
    payload: str
    """The fields as JSON."""


def read_signal(form: Mapping[str, str]) -> SignalToSend:
    """Return the signal of a form.

    Raises:
        DefinitionError: the form is wrong: what to correct.
    """
    target = form.get("target", "")
    if not target:
        name, text = form.get("name", ""), form.get("payload", "").strip()
        if not name:
            raise DefinitionError("the signal has no name")
        return SignalToSend(name, "", msgspec.json.encode(_parse("the payload", text or "null")).decode())
    signal = find_signal(target)
    if signal is None:
        raise DefinitionError(f"there is no signal {target!r:.200} in the definitions of this page")
    if "payload" in form:
        fields = _parse("the payload", form["payload"])
    else:
        fields = {
            field.encode_name: text if isinstance(kind, msgspec.inspect.StrType) else _parse(field.name, text)
            for field in msgspec.structs.fields(signal)
            for kind in [msgspec.inspect.type_info(field.type)]
            if (text := form.get(f"{PREFIX}{field.encode_name}", "")) or isinstance(kind, msgspec.inspect.StrType)
        }
    return SignalToSend(signal.spec.name, target, msgspec.json.encode(_convert(fields, signal)).decode())


def _parse(what: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise DefinitionError(f"{what}: {text[:80]!r} is not JSON ({error}); write text in double quotes") from None


def _convert(fields: Any, signal: type[Signal]) -> Signal:
    try:
        return msgspec.convert(fields, signal)
    except msgspec.ValidationError as error:
        raise DefinitionError(f"{signal.spec.name}: {error}") from None


def act(backend: Backend, execution: WorkflowExecution, action: Action, form: Mapping[str, str], codec: Codec) -> None:
    """Send the request of a confirmed form.

    Raises:
        DefinitionError: the form is wrong.
        UnknownResourceFault: the execution is not open.
        PayloadError: the signal cannot be encoded.
        BackendError: the service refused, or could not be reached.
    """
    handle: Handle[Any] = Handle(backend, execution, codec=codec)
    match action:
        case "cancel":
            handle.cancel()
        case "terminate":
            handle.terminate(form.get("reason", "").strip() or None)
        case "signal":
            sent = read_signal(form)
            signal = find_signal(sent.target)
            if signal is not None:
                handle.send(_convert(msgspec.json.decode(sent.payload), signal))
                return
            backend.call(
                o.SignalWorkflowExecution(
                    domain=backend.domain,
                    workflow_id=execution.workflow_id,
                    run_id=execution.run_id,
                    signal_name=sent.name,
                    input=codec.encode(msgspec.json.decode(sent.payload)),
                )
            )
