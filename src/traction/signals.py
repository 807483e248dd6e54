"""Say signals: what executions tell each other, and what people tell them.

Takes classes of yours; gives signals, and steps that receive and send them. `leaves` has the other steps that reach
beyond the flow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, dataclass_transform, overload

import msgspec

from traction.errors import DefinitionError
from traction.names import NAME_CHARS_MAX, WorkflowExecution
from traction.options import SignalSpec
from traction.step import Asked, Step

S = TypeVar("S", bound="Signal")
S2 = TypeVar("S2", bound="Signal")
R_co = TypeVar("R_co", covariant=True)

if TYPE_CHECKING:

    @dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
    class SignalMeta(msgspec.StructMeta):
        """The metaclass of signals, as type checkers see it: fields make the constructor."""

        def __new__(
            mcls, cls_name: str, bases: Any, namespace: Any, /, *, kw_only: bool = False, name: str = ""
        ) -> SignalMeta: ...

else:

    class SignalMeta(msgspec.StructMeta):
        """Make a frozen struct of a signal's class, and its name of the class keyword."""

        def __new__(mcls, cls_name, bases, namespace, /, *, kw_only=False, name=""):
            cls = super().__new__(mcls, cls_name, bases, namespace, frozen=True, kw_only=kw_only)
            where = f"{cls.__module__}.{cls.__qualname__}"
            told = name or cls_name
            if not isinstance(told, str) or len(told) > NAME_CHARS_MAX:
                raise DefinitionError(
                    f"{where}: a signal's name is a string of at most {NAME_CHARS_MAX} characters (SWF)"
                )
            if "spec" in cls.__struct_fields__:
                raise DefinitionError(f"{where}: a field cannot be called 'spec': every signal has one")
            cls.spec = SignalSpec(told)
            return cls


class Signal(msgspec.Struct, metaclass=SignalMeta):
    """A message to an execution, under a name, the class's own unless given: its fields are what it says.

    Example:
        >>> class Approve(Signal):
        ...     by: str
        >>> Approve("Ann").spec.name
        'Approve'

    Raises:
        DefinitionError: when the class is made, for whatever is wrong with it.
    """

    spec: ClassVar[SignalSpec]

    if TYPE_CHECKING:

        def __init_subclass__(cls, *, name: str = "") -> None: ...


class Receive(Asked[R_co], msgspec.Struct, Generic[R_co], frozen=True):
    """The next signal of one of these types that nobody has received."""

    step_label: ClassVar[str] = "receive"
    signals: tuple[type[Signal], ...]


class Send(Asked[None], msgspec.Struct, frozen=True):
    """A signal to another execution."""

    step_label: ClassVar[str] = "send"
    workflow_id: str
    run_id: str | None
    signal: Any


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
    """Give the next signal of these types, waiting for one if none has arrived; each signal is received once.

    Signals are kept in the order in which they arrived, from the start of the run on. Of several that wait for one
    type, the first to wait is the first to receive.

    Example:
        approval = await receive(Approve)
        answer = await (receive(Approve) | sleep(days(30)))

    History:
        Asks nothing; answered by WorkflowExecutionSignaled.
    """
    return Receive(_check_signals("receive", signals))


def signals(*kinds: type[S]) -> Signals[S]:
    """Iterate over signals of these types as they arrive: `async for approval in signals(Approve)`."""
    return Signals(_check_signals("signals", kinds))


def send(execution: WorkflowExecution | str, signal: Signal) -> Step[None]:
    """Send a signal to another execution of the domain: a run, or whichever is open under a workflow id.

    Raises:
        SignalFailed: (in the flow) no such execution is open.

    History:
        Asks SignalExternalWorkflowExecution; answered by ExternalWorkflowExecutionSignaled.
    """
    if not isinstance(signal, Signal):
        raise TypeError(f"send: {signal!r:.100} is no signal; make its class a Signal")
    return Send(*read_execution(execution), signal)


def read_execution(execution: WorkflowExecution | str) -> tuple[str, str | None]:
    """Read a run, or a workflow id, which means whichever run is open under it."""
    if isinstance(execution, WorkflowExecution):
        return execution.workflow_id, execution.run_id
    return execution, None


def _check_signals(where: str, signals: tuple[Any, ...]) -> tuple[Any, ...]:
    for one in signals:
        if not (isinstance(one, type) and issubclass(one, Signal)):
            raise TypeError(f"{where}: {one!r:.100} is no signal; make it a class: class Approve(Signal)")
    if not signals:
        raise ValueError(f"{where}() needs at least one signal: of none, none arrives")
    return signals
