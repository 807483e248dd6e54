"""Signals, and the steps that receive and send them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, dataclass_transform, overload

import msgspec

from traction.errors import DefinitionError
from traction.flow.specs import SignalSpec
from traction.flow.step import LeafStep, Step
from traction.model.names import NAME_CHARS_MAX, WorkflowExecution
from traction.payloads.json_types import OF_A_SIGNAL, check_fields, is_about_later
from traction.runtime.awaitables import name_thing

S = TypeVar("S", bound="Signal")
S2 = TypeVar("S2", bound="Signal")
R_co = TypeVar("R_co", covariant=True)

if TYPE_CHECKING:

    @dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
    class SignalMeta(msgspec.StructMeta):
        """The metaclass of signals, as type checkers see it: fields make the constructor."""

        def __new__(
            mcls, cls_name: str, bases: Any, namespace: Any, /, *, kw_only: bool = False, name: str = ...
        ) -> SignalMeta: ...

else:

    class SignalMeta(msgspec.StructMeta):
        """Make a frozen struct of a signal's class, and its name of the class keyword."""

        def __new__(mcls, cls_name, bases, namespace, /, *, kw_only=False, name=None, **options):
            where = f"{namespace.get('__module__')}.{namespace.get('__qualname__', cls_name)}"
            if options:
                raise DefinitionError(
                    f"{where}: unknown option {next(iter(options))!r}; the options of a signal are kw_only and name"
                )
            try:
                cls = super().__new__(mcls, cls_name, bases, namespace, frozen=True, kw_only=kw_only)
            except TypeError as error:
                raise DefinitionError(f"{where}: {error}") from error
            label = cls_name if name is None else name
            if not isinstance(label, str) or not 1 <= len(label) <= NAME_CHARS_MAX:
                raise DefinitionError(
                    f"{where}: name={label!r:.100}: a signal's name must be a string of 1 to {NAME_CHARS_MAX} "
                    "characters (SWF)"
                )
            if "spec" in cls.__struct_fields__:
                raise DefinitionError(
                    f"{where}: a field cannot be named 'spec', which is an attribute of every signal "
                    "(Traction); rename it to spec_"
                )
            cls.spec = SignalSpec(label)
            try:
                check_fields(cls, where, OF_A_SIGNAL)
            except DefinitionError as error:
                # A missing name may be defined further down; `receive` and `send` check again.
                if not is_about_later(error):
                    raise
                cls.__traction_unchecked__ = True
            return cls


class Signal(msgspec.Struct, metaclass=SignalMeta):
    """A message to an execution; its fields are the payload. The name defaults to the name of the class.

    Example:
        >>> class Approve(Signal):
        ...     by: str
        >>> Approve("Ann").spec.name
        'Approve'

    Raises:
        DefinitionError: when the class is created with a mistake; or when it is first sent or received, if its
            annotations name types that are defined later.
    """

    spec: ClassVar[SignalSpec]

    if TYPE_CHECKING:

        def __init_subclass__(cls, *, kw_only: bool = False, name: str = ...) -> None: ...


class Receive(LeafStep[R_co], msgspec.Struct, Generic[R_co], frozen=True):
    """The next unreceived signal of one of these types."""

    step_label: ClassVar[str] = "receive"
    signals: tuple[type[Signal], ...]


class Send(LeafStep[None], msgspec.Struct, frozen=True):
    """A signal to another execution."""

    step_label: ClassVar[str] = "send"
    workflow_id: str
    run_id: str | None
    signal: Any
    child: str = ""
    """The step that started the execution, if it is a child of this flow."""


class Signals(Generic[S]):
    """An endless iterator over signals: `async for approval in signals(Approve): ...`."""

    def __init__(self, kinds: tuple[type[S], ...]) -> None:
        self._kinds = kinds

    def __aiter__(self) -> Signals[S]:
        return self

    def __anext__(self) -> Step[S]:
        return Receive(self._kinds)


@overload
def receive(signal: type[S], /) -> Step[S]: ...
@overload
def receive(signal: type[S], other: type[S2], /) -> Step[S | S2]: ...
@overload
def receive(*signals: type[S]) -> Step[S]: ...
def receive(*signals: Any) -> Step[Any]:
    """Return the next signal of these types, waiting for one if none has arrived; each signal is received once.

    Signals are kept from the start of the run, in the order of their arrival. If several branches wait for one type,
    the first that waited receives the next signal.

    Example:
        approval = await receive(Approve)
        answer = await (receive(Approve) | sleep(days(30)))

    History:
        Sends nothing; completed by WorkflowExecutionSignaled.
    """
    return Receive(_check_signals("receive", signals))


def signals(*kinds: type[S]) -> Signals[S]:
    """Iterate over signals of these types as they arrive: `async for approval in signals(Approve)`."""
    return Signals(_check_signals("signals", kinds))


def send(execution: WorkflowExecution | str, signal: Signal) -> Step[None]:
    """Send a signal to another execution of the domain: to a run, or to the open run of a workflow id.

    Raises:
        SignalFailed: (in the flow) no such execution is open.

    History:
        Sends SignalExternalWorkflowExecution; completed by ExternalWorkflowExecutionSignaled.
    """
    check_sent("send", signal)
    return Send(*read_execution("send", execution), signal)


def read_execution(where: str, execution: WorkflowExecution | str) -> tuple[str, str | None]:
    """Read a run, or a workflow id, which means its open run.

    Raises:
        TypeError: it is neither.
        ValueError: it is empty, or too long for a workflow id.
    """
    if isinstance(execution, WorkflowExecution):
        return execution.workflow_id, execution.run_id
    if not isinstance(execution, str):
        raise TypeError(
            f"{where}: expected an execution, got {name_thing(execution)}; pass a workflow id, or a child's .execution"
        )
    # An existing execution may have an id that SWF accepts in no start, such as `runId:1`.
    if not 1 <= len(execution) <= NAME_CHARS_MAX:
        raise ValueError(f"{where}: {execution!r:.100}: a workflow id must have 1 to {NAME_CHARS_MAX} characters (SWF)")
    return execution, None


def _hint_signal(thing: Any) -> str:
    return f"write {thing.__qualname__}(...)" if is_signal(thing) else "define a subclass of Signal"


def is_signal(thing: object) -> bool:
    """Whether something is a class of signals."""
    return isinstance(thing, type) and issubclass(thing, Signal)


def check_sent(where: str, signal: object) -> None:
    """Check that a value is a signal whose fields can be encoded.

    Raises:
        TypeError, DefinitionError: it is not.
    """
    if not isinstance(signal, Signal):
        raise TypeError(f"{where}: expected a signal, got {name_thing(signal)}; {_hint_signal(signal)}")
    check_signal(where, type(signal))


def check_signal(where: str, signal: Any) -> None:
    """Check that a value is a class of signals whose fields can be encoded.

    Raises:
        TypeError, DefinitionError: it is not.
    """
    if not is_signal(signal):
        hint = f"write {type(signal).__qualname__}" if isinstance(signal, Signal) else "define a subclass of Signal"
        raise TypeError(f"{where}: expected a class of signals, got {name_thing(signal)}; {hint}")
    if signal is Signal:
        raise TypeError(f"{where}: Signal is the base class of signals and is never sent; name a subclass of it")
    if "__traction_unchecked__" in signal.__dict__:
        check_fields(signal, f"{signal.__module__}.{signal.__qualname__}", OF_A_SIGNAL)
        del signal.__traction_unchecked__


def _check_signals(where: str, signals: tuple[Any, ...]) -> tuple[Any, ...]:
    if not signals:
        raise ValueError(f"{where}() needs at least one class of signals")
    by_name: dict[str, Any] = {}
    for one in signals:
        check_signal(where, one)
        other = by_name.setdefault(one.spec.name, one)
        if other is not one:
            raise DefinitionError(
                f"{where}: {other.__module__}.{other.__qualname__} and {one.__module__}.{one.__qualname__} are both "
                f"named {one.spec.name!r}, so received signals would be ambiguous. Rename one"
            )
    return signals
