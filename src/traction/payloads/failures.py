"""Declared errors, the description of any exception, and the way back.

Of any exception, the name of its type, its text and its traceback are kept. A `DeclaredError` keeps its fields as well,
and a definition that declares it catches it with them. Imports nothing and runs nothing that a failure names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar, dataclass_transform

from traction.errors import DefinitionError, ExecutionFailed, PayloadError, PayloadUnavailableError, StepFailed
from traction.payloads.causes import CAUSE_CHARS_MAX, list_causes
from traction.payloads.codec import JSON, PAYLOAD_CHARS_MAX, Codec, explain_without_values
from traction.payloads.exception_names import name_exception
from traction.payloads.failure_info import REASON_CHARS_MAX, FailureInfo, cut_middle, note_loss
from traction.payloads.failure_text import write_failure
from traction.payloads.json_types import OF_AN_ERROR, UNRESOLVED, check_fields, is_about_later
from traction.payloads.losses import find_loss
from traction.payloads.tracebacks import format_traceback

F = TypeVar("F", bound=StepFailed | ExecutionFailed)


def _explain_fields(error: Exception) -> str:
    """Explain why a dataclass cannot be made; Python words one of the reasons differently in each version."""
    text = str(error)
    if not text.startswith("non-default argument"):
        return text
    return (
        f"field {text.split(chr(39))[1]!r} has no default and follows one that has; put it first, or give it a default"
    )


@dataclass_transform(field_specifiers=(dataclasses.field,))
class DeclaredError(Exception):
    """An error that definitions declare, with fields that are kept when it is caught on another machine.

    Subclasses are like dataclasses: annotations are fields and arguments of the constructor. An activity or a workflow
    lists them in `raises`. Where its failure is read, it is caught under its own type, and also under the type that
    any failure has there: `ActivityFailed` or `ChildFailed` in a flow, `WorkflowFailed` for a caller. So declaring an
    error does not break code that caught it before.

    Its fields are sent as payloads are, encrypted if the codec encrypts. Its text is not encrypted, and is empty unless
    the class has a `__str__`; then the fields are shown instead, if they are not encrypted.

    Example:
        >>> class CardDeclined(DeclaredError):
        ...     code: str
        ...     retry_after: int = 60
        >>> CardDeclined("expired")
        CardDeclined(code='expired', retry_after=60)

    Laws:
        It is equal to the error that is caught, if its fields are.
        A field that the class has lost is ignored, and one that it has gained has its default. If the fields do not
        decode, the plain failure is caught, with a note that describes why, and its details.

    Raises:
        DefinitionError: when the class is made, if a field cannot be written as JSON and read back, or has a name that
            every failure has.
    """

    def __new__(cls, *_: object, **__: object) -> DeclaredError:
        # Exception would use the arguments as its text.
        return super().__new__(cls)

    def __init_subclass__(cls) -> None:
        if issubclass(cls, StepFailed | ExecutionFailed):
            return  # the class of a caught error, whose fields are those of the declared class
        where = f"{cls.__module__}.{cls.__qualname__}"
        try:
            dataclasses.dataclass(eq=False, repr=False)(cls)
        except (TypeError, ValueError) as error:
            raise DefinitionError(f"{where}: {_explain_fields(error)}") from error
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]
            if field.name in _TAKEN or hasattr(Exception, field.name):
                raise DefinitionError(
                    f"{where}: a field cannot be named {field.name!r}, which is an attribute of every failure "
                    f"(Traction); rename it to {field.name}_"
                )
        try:
            check_fields(cls, where, OF_AN_ERROR)
        except DefinitionError as error:
            # A missing name may be defined further down; the definition that declares the error checks again.
            if not is_about_later(error):
                raise

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DeclaredError) or _find_kinds(type(self))[:1] != _find_kinds(type(other))[:1]:
            return NotImplemented
        return self._list_fields() == other._list_fields()

    def __hash__(self) -> int:
        return hash(_find_kinds(type(self))[:1])

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={value!r}' for name, value in self._list_fields())})"

    def __reduce__(self) -> tuple[Any, ...]:
        kind: Any = type(self)
        made_of = kind.__bases__ if issubclass(kind, StepFailed | ExecutionFailed) else (kind, None)
        return _restore, (*made_of, self.args), self.__dict__

    def _list_fields(self) -> list[tuple[str, Any]]:
        return [(field.name, getattr(self, field.name)) for field in dataclasses.fields(self)]  # type: ignore[arg-type]


_TAKEN = frozenset(
    {"step", "execution", "type", "message", "traceback", "bases", "cause", "reason", "details", "status"}
)
"""The attributes of the failures as which a declared error may be caught."""


def _restore(kind: Any, failure: Any, args: tuple[Any, ...]) -> DeclaredError:
    kind = kind if failure is None else _join(kind, failure)
    made: DeclaredError = kind.__new__(kind)
    made.args = args
    return made


@cache
def _join(kind: Any, failure: Any) -> Any:
    """Return the class of a caught error: the declared error, and the failure that any other error would be there."""
    names = ("__module__", "__qualname__", "__doc__")
    return type(kind.__name__, (kind, failure), {name: getattr(kind, name) for name in names})


def _find_kinds(type: type) -> tuple[Any, ...]:
    """Return the declared errors among a class and its bases, its own first."""
    return tuple(
        one for one in type.__mro__ if issubclass(one, DeclaredError) and "__dataclass_fields__" in one.__dict__
    )


def describe_exception(error: BaseException) -> FailureInfo:
    """Describe an exception, so that another process can write it."""
    kind = type(error)
    try:
        message = str(error)
    except Exception:  # an error with a faulty __str__ is an error all the same
        message = "<its str() failed>"
    text = message
    kinds: tuple[Any, ...] = _find_kinds(kind)
    fields = None
    if kinds:
        try:
            written = JSON.write(error)
            # Fields of other types than declared could not be read, so they are found here.
            loss = find_loss(error, JSON.decode(written, kinds[0]), exact=False, show_keys=False)
            if loss is None:
                fields = written
            else:
                kinds, message = (), note_loss(message, loss.explain(kind.__qualname__))
        except PayloadError as error_of_fields:
            # Without the value, since the codec that hides values may be in another process.
            cause = error_of_fields.__cause__
            why = "JSON has no nan or infinity" if cause is None else explain_without_values(cause)
            kinds, message = (), note_loss(message, why)
        except UNRESOLVED as unresolved:
            kinds, message = (), note_loss(message, str(unresolved))
    trace = format_traceback(error)
    if len(text) > CAUSE_CHARS_MAX:
        # The message has the text as well. The traceback is cut in the middle, and its frames are worth more.
        trace = trace.replace(text, cut_middle(text, CAUSE_CHARS_MAX))
    return FailureInfo(
        type=_escape_surrogates(cut_middle(name_exception(kind), REASON_CHARS_MAX)),
        message=_escape_surrogates(message),
        traceback=_escape_surrogates(trace),
        kinds=tuple(one.__name__ for one in kinds),
        fields=fields,
        bases=_list_bases(kind),
        causes=list_causes(error),
    )


def _list_bases(kind: type) -> tuple[str, ...]:
    own = name_exception(kind)
    names = [name_exception(one) for one in kind.__mro__[1:] if issubclass(one, Exception) and one is not Exception]
    return tuple(_escape_surrogates(name) for name in dict.fromkeys(names) if name != own and "._" not in name)


def describe_failure(error: BaseException, codec: Codec, *, chars_max: int = PAYLOAD_CHARS_MAX) -> tuple[str, str]:
    """Return SWF's `reason` and `details` for an exception.

    Raises:
        PayloadUnavailableError: the payload store does not accept its fields.
    """
    return write_failure(describe_exception(error), codec, chars_max=chars_max)


def revive(failed: F, info: FailureInfo, raises: Sequence[type[DeclaredError]], codec: Codec) -> F | DeclaredError:
    """Return a failure as the declared error that it is, if it is one that decodes; else as it is.

    Args:
        failed: the failure without a declaration.
        info: the description that its worker sent.
        raises: the errors that its definition declares.

    Raises:
        PayloadUnavailableError: a key or a store is missing that is needed to read its fields.
    """
    kind: Any = next((one for name in info.kinds for one in raises if one.__name__ == name), None)
    if kind is None:
        return failed
    try:
        declared = codec.decode(info.fields, kind, f"the failure {info.type}")
    except PayloadUnavailableError:
        raise
    except PayloadError as error:
        failed.add_note(str(error))
        return failed
    caught = _restore(kind, type(failed), failed.args)
    caught.__setstate__(failed.__dict__ | declared.__dict__)
    return caught


def _escape_surrogates(text: str) -> str:
    """Escape lone surrogates, which UTF-8 does not have."""
    return text.encode("utf-8", "backslashreplace").decode()
