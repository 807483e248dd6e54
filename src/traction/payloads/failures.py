"""Say failures in SWF's two strings, and read them back: as what they were, where that is declared.

Takes exceptions; gives a `reason` and `details`, and of those what is known of the exception. Of any exception that is
the name of its type, its text, its traceback. A `DeclaredError` keeps its fields besides, and who has declared it
catches it again with them. Imports nothing and runs nothing that a failure names.
"""

from __future__ import annotations

import builtins
import dataclasses
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import cache
from typing import Any, TypedDict, TypeVar, dataclass_transform

import msgspec

from traction import errors
from traction.errors import (
    ActivityFailed,
    ChildFailed,
    DefinitionError,
    ExecutionFailed,
    PayloadError,
    PayloadUnavailableError,
    StepFailed,
    StepTimedOut,
    WorkflowFailed,
)
from traction.model.limits import SWF
from traction.payloads.codec import JSON, PAYLOAD_CHARS_MAX, Codec, explain_without_values
from traction.payloads.json_types import OF_AN_ERROR, UNRESOLVED, check_fields, is_about_later
from traction.payloads.losses import find_loss
from traction.payloads.tracebacks import CAUSED, format_traceback

F = TypeVar("F", bound=StepFailed | ExecutionFailed)

REASON_CHARS_MAX = SWF.reason_chars_max
"""The most characters that the reason of a failure may have (SWF)."""

FIELDS_CHARS_MAX = 16_384
"""The most characters of its details that the fields of a declared error may take; longer ones go to the store."""

CAUSES_MAX = 8
"""How many causes travel with a failure; of more, the outermost ones and the innermost one."""

CAUSE_CHARS_MAX = 1_024
"""Where a text is cut that describes a cause."""

UNREADABLE = "traction.Unreadable"
"""The reason of a failure that is the worker's and not the work's: it could not read what it was given."""

INVALID = "traction.InvalidPayload"
"""The reason of a failure of a task whose input no worker can read, today or later. It is never scheduled again."""

SEALED = "(encrypted: give the codec that wrote it to read the message)"
"""What stands for the message of a failure whose details are sealed, where no codec is at hand."""

HANDED_BACK = "traction.HandedBack"
"""The reason of a failure that is the worker's and not the work's: it stopped before the work was done."""


# Errors with fields.


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
    """An error that definitions declare, with fields: whoever catches it on another machine has them too.

    Subclasses are made like dataclasses: annotations are fields, and make the constructor. An activity or a workflow
    names them in `raises`. Where its failure is read, it is caught under its own type, and also under the one that
    any failure has there: `ActivityFailed` or `ChildFailed` in a flow, `WorkflowFailed` for a caller. So to declare an
    error takes nothing from those who caught it before.

    Its fields travel as payloads do, encrypted if the codec encrypts. Its text does not, and is empty unless the class
    has a `__str__`; where the fields are not encrypted, people are shown them instead.

    Example:
        >>> class CardDeclined(DeclaredError):
        ...     code: str
        ...     retry_after: int = 60
        >>> CardDeclined("expired")
        CardDeclined(code='expired', retry_after=60)

    Laws:
        It is equal to what is caught of it, if its fields are.
        A field that the class has lost is passed over, and one that it has gained takes its default. What does not
        decode otherwise is the plain failure, with a note that says why, and its details.

    Raises:
        DefinitionError: when the class is made, if a field cannot be written as JSON and read back, or has a name that
            every failure has.
    """

    def __new__(cls, *_: object, **__: object) -> DeclaredError:
        # Exception would take the arguments for its text.
        return super().__new__(cls)

    def __init_subclass__(cls) -> None:
        if issubclass(cls, StepFailed | ExecutionFailed):
            return  # it is what is caught, and has its fields from the class that was declared
        where = f"{cls.__module__}.{cls.__qualname__}"
        try:
            dataclasses.dataclass(eq=False, repr=False)(cls)
        except (TypeError, ValueError) as error:
            raise DefinitionError(f"{where}: {_explain_fields(error)}") from error
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]
            if field.name in _TAKEN or hasattr(Exception, field.name):
                raise DefinitionError(
                    f"{where}: a field cannot be called {field.name!r}, because every failure has a {field.name!r} of "
                    f"its own (Traction); call it {field.name}_"
                )
        try:
            check_fields(cls, where, OF_AN_ERROR)
        except DefinitionError as error:
            # What is not defined yet may be defined further down; the definition that declares it checks again.
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
"""The attributes of the failures that a declared error may be caught as."""


def _restore(kind: Any, failure: Any, args: tuple[Any, ...]) -> DeclaredError:
    kind = kind if failure is None else _join(kind, failure)
    made: DeclaredError = kind.__new__(kind)
    made.args = args
    return made


@cache
def _join(kind: Any, failure: Any) -> Any:
    """Make the class of what is caught: the declared error, and the failure that any other would be there."""
    names = ("__module__", "__qualname__", "__doc__")
    return type(kind.__name__, (kind, failure), {name: getattr(kind, name) for name in names})


def _find_kinds(type: type) -> tuple[Any, ...]:
    """Find the declared errors that a class is: itself, then those that it is derived from."""
    return tuple(
        one for one in type.__mro__ if issubclass(one, DeclaredError) and "__dataclass_fields__" in one.__dict__
    )


# What is said of a failure.


class Cause(msgspec.Struct, frozen=True, omit_defaults=True):
    """A failure of a step or an execution that an exception was, or was raised from.

    If it reports an exception of another process, it also has what is known of that one.
    """

    failure: str
    """The name of its class in `traction.errors`."""
    text: str
    facts: dict[str, str | float | None]
    """Its attributes, such as `step`; spans in seconds."""
    type: str = ""
    message: str = ""
    traceback: str = ""
    bases: tuple[str, ...] = ()


class FailureInfo(msgspec.Struct, frozen=True):
    """What is known of an exception: the names of its type and its base classes, its text, traceback and causes.

    The traceback is that of one process; a cause has that of its own. Of a declared error also the names that it may be
    caught by, its own first, and its fields as JSON.
    """

    type: str
    message: str
    traceback: str = ""
    kinds: tuple[str, ...] = ()
    fields: str | None = None
    heartbeat: str | None = None
    """What the last heartbeat said, as a payload: SWF tells it of tasks that timed out alone."""
    bases: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    """The outermost first."""


_NO_FIELDS = msgspec.Raw()  # left out by msgspec if it is this very object


class FailureDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `details` is as JSON: an account, whose fields are JSON as it stands, or the string of a payload.

    With a codec that hides payloads, all but the type stands in `sealed`, which is such JSON as a payload.
    """

    type: str
    message: str
    traceback: str = ""
    kinds: tuple[str, ...] = ()
    fields: msgspec.Raw = _NO_FIELDS
    heartbeat: str | None = None
    bases: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    sealed: str | None = None


def name_exception(kind: type) -> str:
    """Name a type of exceptions: `ValueError`, `shop.errors.CardDeclined`.

    Example:
        >>> name_exception(ValueError), name_exception(PayloadError)
        ('ValueError', 'traction.errors.PayloadError')
    """
    if kind.__module__ == "builtins":
        return kind.__qualname__
    # A process that was spawned has the main module of its parent under another name.
    module = "__main__" if kind.__module__ == "__mp_main__" else kind.__module__
    return f"{module}.{kind.__qualname__}"


def describe_exception(error: BaseException) -> FailureInfo:
    """Say what is known of an exception. Another process may write it."""
    kind = type(error)
    try:
        message = str(error)
    except Exception:  # an error that cannot say itself is an error all the same
        message = "<its str() failed>"
    text = message
    kinds: tuple[Any, ...] = _find_kinds(kind)
    fields = None
    if kinds:
        try:
            written = JSON.write(error)
            # Fields of other types than the class says nobody could read: it is seen here.
            loss = find_loss(error, JSON.decode(written, kinds[0]), exact=False, show_keys=False)
            if loss is None:
                fields = written
            else:
                kinds, message = (), _note_loss(message, loss.explain(kind.__qualname__))
        except PayloadError as wrong:
            # Without the value, since the codec that says what is hidden may be in another process.
            why = "JSON has no nan or infinity" if wrong.__cause__ is None else explain_without_values(wrong.__cause__)
            kinds, message = (), _note_loss(message, why)
        except UNRESOLVED as wrong:
            kinds, message = (), _note_loss(message, str(wrong))
    trace = format_traceback(error)
    if len(text) > CAUSE_CHARS_MAX:
        # The text travels beside the traceback, which is cut in the middle: its frames are worth more.
        trace = trace.replace(text, cut_middle(text, CAUSE_CHARS_MAX))
    return FailureInfo(
        type=_mend_text(cut_middle(name_exception(kind), REASON_CHARS_MAX)),
        message=_mend_text(message),
        traceback=_mend_text(trace),
        kinds=tuple(one.__name__ for one in kinds),
        fields=fields,
        bases=_list_bases(kind),
        causes=_list_causes(error),
    )


def _list_bases(kind: type) -> tuple[str, ...]:
    own = name_exception(kind)
    names = [name_exception(one) for one in kind.__mro__[1:] if issubclass(one, Exception) and one is not Exception]
    return tuple(_mend_text(name) for name in dict.fromkeys(names) if name != own and "._" not in name)


def _list_causes(error: BaseException) -> tuple[Cause, ...]:
    """List the failures that an exception is, or was raised from, down to the first one."""
    causes: list[Cause] = []
    failure = _find_failure(error)
    while failure is not None:
        causes.append(_describe_cause(failure))
        failure = getattr(failure, "cause", None)
        failure = failure if isinstance(failure, StepFailed | ExecutionFailed) else None
    return _cut_causes(causes)


def _find_failure(error: BaseException | None) -> StepFailed | ExecutionFailed | None:
    met: set[int] = set()
    while error is not None and id(error) not in met:
        if isinstance(error, StepFailed | ExecutionFailed):
            return error
        met.add(id(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None


def _describe_cause(failure: StepFailed | ExecutionFailed) -> Cause:
    kind = next(one for one in type(failure).__mro__ if one.__module__ == StepFailed.__module__)
    text = cut_middle(str(failure.args[0] if failure.args else ""), CAUSE_CHARS_MAX)
    if not isinstance(failure, ActivityFailed | ChildFailed | WorkflowFailed):
        facts = {name: _write_fact(value) for name, value in vars(failure).items() if not name.startswith("_")}
        return Cause(kind.__name__, text, facts)
    # Not all attributes: of a declared error those are its fields.
    facts = {name: getattr(failure, name) for name in ("step", "execution", "status") if hasattr(failure, name)}
    trace = failure.traceback.removeprefix(f"{getattr(failure.cause, 'traceback', '')}{CAUSED}")
    message = cut_middle(failure.message, CAUSE_CHARS_MAX)
    return Cause(kind.__name__, text, facts, failure.type, message, trace, failure.bases)


def _write_fact(value: object) -> str | float | None:
    if isinstance(value, timedelta):
        return value.total_seconds()
    short = isinstance(value, str) and len(value) <= CAUSE_CHARS_MAX
    return value if short or isinstance(value, int | float) else None  # type: ignore[return-value]


def _restore_causes(causes: Sequence[Cause]) -> Exception | None:
    made: Exception | None = None
    for cause in reversed(causes):
        kind: Any = getattr(errors, cause.failure, None)
        if not (isinstance(kind, type) and issubclass(kind, StepFailed | ExecutionFailed)):
            kind = StepFailed  # of a later version of Traction
        facts: dict[str, Any] = dict(cause.facts)
        if kind is StepTimedOut:
            facts["limit"] = timedelta(seconds=facts.get("limit") or 0)
        if issubclass(kind, ActivityFailed | ChildFailed | WorkflowFailed):
            trace = _join_tracebacks(made, cause.traceback)
            facts |= {"type": cause.type, "message": cause.message, "traceback": trace, "bases": cause.bases}
            facts |= {"cause": made, "reason": cause.type, "details": ""}
        failure = kind.__new__(kind, cause.text)
        failure.__setstate__(facts)
        made = failure
    return made


def _join_tracebacks(cause: Exception | None, own: str) -> str:
    return CAUSED.join(filter(None, (getattr(cause, "traceback", ""), own)))


class Known(TypedDict):
    """What `ActivityFailed`, `ChildFailed` and `WorkflowFailed` are made of."""

    type: str
    message: str
    traceback: str
    bases: tuple[str, ...]
    cause: Exception | None


def make_known(said: FailureInfo) -> Known:
    """Make what an account tells into the arguments of a failure; its cause is a failure again."""
    cause = _restore_causes(said.causes)
    return Known(
        type=said.type,
        message=said.message,
        traceback=_join_tracebacks(cause, said.traceback),
        bases=said.bases,
        cause=cause,
    )


def is_one_of(error: BaseException, kinds: Iterable[str | type[BaseException]]) -> bool:
    """Whether an exception is of one of these types, or of a subclass of one.

    A failure of an activity or a child is of the type of the exception that it reports too. If that is a failure
    itself, because nothing in the child caught it, it is also what this one reports, and so on down to the first.

    Args:
        error: the exception.
        kinds: types, or names of types: whole, or without the modules and classes that they stand in.
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


def _fits(name: str, asked: str) -> bool:
    return name == asked or name.endswith(f".{asked}")


def _is_name_of(name: str, kind: type[BaseException]) -> bool:
    if name == name_exception(kind):
        return True
    qualified = kind.__qualname__
    if "." not in name:
        # The word of a worker that is not Traction's, which knows no modules.
        return name == qualified and not hasattr(builtins, name)
    # A module that is run as the program has another name where it is imported.
    is_program = name == f"__main__.{qualified}" or kind.__module__ in ("__main__", "__mp_main__")
    return is_program and name.endswith(f".{qualified}")


def _cut_causes(causes: Sequence[Cause], most: int = CAUSES_MAX) -> tuple[Cause, ...]:
    return tuple(causes) if len(causes) <= most else (*causes[: most - 1], causes[-1])


def write_failure(account: FailureInfo, codec: Codec, *, chars_max: int = PAYLOAD_CHARS_MAX) -> tuple[str, str]:
    """Say an account in SWF's two strings: `reason`, the name of the type; `details`, a `FailureDetails` as JSON.

    Both are cut to SWF's limits; of a long text or traceback the middle goes, since its ends tell most. Fields are
    written whole or not at all. If the codec hides payloads, nobody reads more than the type without it.

    Raises:
        PayloadUnavailableError: the fields should go to the payload store, which does not take them.
    """
    kinds, fields, message, heartbeat = account.kinds, _NO_FIELDS, account.message, account.heartbeat
    if account.fields is not None:
        try:
            payload = codec.pack(account.fields, FIELDS_CHARS_MAX, account.type)
            # A payload that is no JSON is written as a string.
            fields = msgspec.Raw(payload.encode() if payload is account.fields else msgspec.json.encode(payload))
        except PayloadUnavailableError:
            raise
        except PayloadError as error:
            kinds, message = (), _note_loss(message, str(error))
    bases, causes, kept, least = account.bases, account.causes, PAYLOAD_CHARS_MAX, _MESSAGE_CHARS_MIN
    while True:
        text = cut_middle(message, max(kept, least))
        cut = tuple(_cut_cause(cause, kept) for cause in causes)
        trace = cut_middle(account.traceback, kept)
        told = FailureDetails(account.type, text, trace, kinds, fields, heartbeat, bases, cut)
        details = msgspec.json.encode(told).decode()
        if (sealed := codec.seal(details)) is not None:
            details = msgspec.json.encode(FailureDetails(account.type, "", sealed=sealed)).decode()
        if len(details) <= chars_max:
            return account.type, details
        if kept:
            kept //= 2
        elif heartbeat is not None:
            heartbeat, kept = None, PAYLOAD_CHARS_MAX
        elif causes:
            causes = _cut_causes(causes, len(causes) - 1) if len(causes) > 1 else ()
        elif bases:
            bases = bases[:-1]
        elif least:
            least //= 2
        else:
            kinds = kinds[:-1]  # names without end


def _cut_cause(cause: Cause, chars_max: int) -> Cause:
    text, message = (cut_middle(text, max(chars_max, _CAUSE_CHARS_MIN)) for text in (cause.text, cause.message))
    trace = cut_middle(cause.traceback, chars_max)
    return msgspec.structs.replace(cause, text=text, message=message, traceback=trace)


def describe_failure(error: BaseException, codec: Codec, *, chars_max: int = PAYLOAD_CHARS_MAX) -> tuple[str, str]:
    """Say an exception in SWF's two strings.

    Raises:
        PayloadUnavailableError: its fields should go to the payload store, which does not take them.
    """
    return write_failure(describe_exception(error), codec, chars_max=chars_max)


def read_failure(reason: str | None, details: str | None, codec: Codec | None = None) -> FailureInfo:
    """Read what a worker said of a failure, Traction's or another's. Its `fields` are still a payload.

    An error without a text is told by its fields, where they are not encrypted.

    Args:
        reason, details: the two strings of SWF.
        codec: what reads sealed details. Without it, the type is known, and the message says that the rest is sealed.

    Laws:
        `read_failure(*describe_failure(e, c), c)` has the type, the message and the traceback of `e`, cut or whole.

    Raises:
        PayloadUnavailableError: a key or a transform is missing that it takes to read sealed details.
    """
    try:
        said = msgspec.json.decode(details or "", type=FailureDetails)
        if said.sealed is not None:
            said = _unseal(said, said.sealed, codec)
        fields = shown = bytes(said.fields).decode()
        if fields.startswith('"'):
            fields, shown = msgspec.json.decode(fields, type=str), ""
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return FailureInfo(reason or "unknown", details or "")
    return FailureInfo(
        type=said.type,
        message=said.message or shown,
        traceback=said.traceback,
        kinds=said.kinds,
        fields=fields or None,
        heartbeat=said.heartbeat,
        bases=said.bases,
        causes=said.causes,
    )


def _unseal(said: FailureDetails, sealed: str, codec: Codec | None) -> FailureDetails:
    if codec is None:
        return FailureDetails(said.type, SEALED)
    try:
        opened: FailureDetails = codec.decode(sealed, FailureDetails, f"the failure {said.type}")
        return opened
    except PayloadUnavailableError:
        raise
    except PayloadError as error:
        return FailureDetails(said.type, f"(its details cannot be read: {error})")


def revive(failed: F, said: FailureInfo, raises: Sequence[type[DeclaredError]], codec: Codec) -> F | DeclaredError:
    """Give a failure as the declared error that it is; as it is if it is none, or none that decodes.

    Args:
        failed: the failure as it is without a declaration.
        said: what its worker said of it.
        raises: the errors that its definition declares.

    Raises:
        PayloadUnavailableError: a key or a store is missing that it takes to read its fields.
    """
    kind: Any = next((one for name in said.kinds for one in raises if one.__name__ == name), None)
    if kind is None:
        return failed
    try:
        declared = codec.decode(said.fields, kind, f"the failure {said.type}")
    except PayloadUnavailableError:
        raise
    except PayloadError as error:
        failed.add_note(str(error))
        return failed
    caught = _restore(kind, type(failed), failed.args)
    caught.__setstate__(failed.__dict__ | declared.__dict__)
    return caught


def _note_loss(message: str, why: str) -> str:
    note = f"(its fields are left out: {why})"
    return f"{message} {note}" if message else note


def cut_middle(text: str, chars_max: int) -> str:
    """Keep both ends of a text that is too long, and say how much is left out where there is room to say it.

    Example:
        >>> cut_middle("a" * 50 + "b" * 50, 40)
        'aa\\n... 93 characters left out ...\\nbbbbb'
    """
    if len(text) <= chars_max:
        return text
    # The longest that the remark can be, so that what is kept does not depend on the number in it.
    room = max(chars_max - len(_REMARK.format(len(text))), 0)
    remark = _REMARK.format(len(text) - room)[: chars_max - room]
    head = room // 3
    return f"{text[:head]}{remark}{text[len(text) - (room - head) :]}"


_REMARK = "\n... {:,} characters left out ...\n"

_MESSAGE_CHARS_MIN = 2_048
"""What is kept of an exception's text, however long its traceback. Escaped, it is six times as long, and fits."""


_CAUSE_CHARS_MIN = 256


def _mend_text(text: str) -> str:
    """Write out the halves of characters, which UTF-8 does not have."""
    return text.encode("utf-8", "backslashreplace").decode()
