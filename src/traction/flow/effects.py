"""Steps that reach beyond the flow: other executions, markers, Lambda functions, the next run.

Some of these complete at once and leave a marker in the history (`side_effect`, `patched`), or none (`set_state`,
`history_length`, and `receive` when a signal waits). The others wait for an event.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar, Final, Generic, Never, TypeVar, overload

import msgspec

from traction.errors import DefinitionError
from traction.flow.durations import Span, to_duration
from traction.flow.signals import Send, Signal, check_sent, read_execution
from traction.flow.specs import ActivitySpec
from traction.flow.step import ActivityStep, AdjustedChild, LeafStep, Step, WorkflowStep
from traction.model.limits import SWF
from traction.model.names import WorkflowExecution
from traction.runtime.awaitables import name_thing

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

PATCH_CHARS_MAX: Final = 200
"""The most characters that the name of a patch may have, which is a part of a marker's name."""

# What `inspect` calls CO_COROUTINE.
_COROUTINE: Final = 0x80


class RequestCancel(LeafStep[None], msgspec.Struct, frozen=True):
    """A request to cancel another execution."""

    step_label: ClassVar[str] = "cancel"
    workflow_id: str
    run_id: str | None
    child: str = ""
    """The step that started the execution, if it is a child of this flow."""


class SideEffect(LeafStep[R_co], msgspec.Struct, Generic[R_co], frozen=True):
    """A value that is computed once and stored as a marker."""

    step_label: ClassVar[str] = "side_effect"
    f: Callable[[], R_co]
    type: Any


class Patched(LeafStep[bool], msgspec.Struct, frozen=True):
    """Whether the execution reached this point with the new code."""

    step_label: ClassVar[str] = "patched"
    name: str


class SetState(LeafStep[None], msgspec.Struct, frozen=True):
    """A state that a flow publishes."""

    step_label: ClassVar[str] = "set_state"
    status: Any


class HistoryLength(LeafStep[int], msgspec.Struct, frozen=True):
    """The number of events in the history."""

    step_label: ClassVar[str] = "history_length"


class RunDeadline(LeafStep[datetime], msgspec.Struct, frozen=True):
    """When the service ends the run."""

    step_label: ClassVar[str] = "run_deadline"


class ExecutionInfo(msgspec.Struct, frozen=True):
    """The ids, type, tags and origin of an execution, as `execution_info` returns them."""

    workflow_id: str
    run_id: str
    name: str
    """The name of the workflow's type."""
    version: str
    """The version of the workflow's type."""
    tags: tuple[str, ...] = ()
    parent: WorkflowExecution | None = None
    """The execution that started this one as a child, `None` if none did. It may have closed since."""
    continued_from: str | None = None
    """The run id of the run before, if this one was started by `continue_as_new`."""

    @property
    def execution(self) -> WorkflowExecution:
        """The workflow id and the run id: the argument of `send` and `cancel` in another flow."""
        return WorkflowExecution(self.workflow_id, self.run_id)


class GetExecutionInfo(LeafStep[ExecutionInfo], msgspec.Struct, frozen=True):
    """Which execution this is."""

    step_label: ClassVar[str] = "execution_info"


class InvokeLambda(LeafStep[R_co], msgspec.Struct, Generic[R_co], frozen=True):
    """A call of an AWS Lambda function."""

    step_label: ClassVar[str] = "lambda"
    name: str
    input: Any
    type: Any
    limit: Span | None


class Local(LeafStep[R_co], msgspec.Struct, Generic[R_co], frozen=True):
    """A local activity: a call that the workflow worker runs itself."""

    call: ActivityStep[R_co]

    @property
    def step_label(self) -> str:  # type: ignore[override]
        return self.call.step_label

    @property
    def spec(self) -> ActivitySpec:
        return self.call.spec


class StartChild(LeafStep["ChildHandle[R_co]"], msgspec.Struct, Generic[R_co], frozen=True):
    """A child that is started and not waited for."""

    step_label: ClassVar[str] = "start_child"
    call: WorkflowStep[R_co] | AdjustedChild[R_co]


class ChildResult(LeafStep[R_co], msgspec.Struct, Generic[R_co], frozen=True):
    """The result of a child that was started before."""

    step_label: ClassVar[str] = "child_result"
    child: str


class ContinueAsNew(LeafStep[Never], msgspec.Struct, frozen=True):
    """The end of this run, and the start of the next."""

    step_label: ClassVar[str] = "continue_as_new"
    call: WorkflowStep[Any]


class ContinuedAsNew(BaseException):
    """Raised in a flow that continues as new, so that its `finally` blocks run."""

    def __init__(self, call: WorkflowStep[Any]) -> None:
        self.call = call
        super().__init__(type(call).__qualname__)


class ChildHandle(Generic[R_co]):
    """A child execution that runs concurrently with its parent: wait for it, signal it, cancel it."""

    __slots__ = ("execution", "step")

    def __init__(self, step: str, execution: WorkflowExecution) -> None:
        self.step = step
        self.execution = execution

    @property
    def workflow_id(self) -> str:
        """The workflow id of the child."""
        return self.execution.workflow_id

    @property
    def run_id(self) -> str:
        """The id of its first run: a child that continues as new keeps its workflow id only."""
        return self.execution.run_id

    def result(self) -> Step[R_co]:
        """Wait until the child has closed, and return its result. May be called many times.

        The child is not cancelled if this step is.
        """
        return ChildResult(self.step)

    def send(self, signal: Signal) -> Step[None]:
        """Send the child a signal; if it has continued as new, its open run receives it.

        Raises:
            SignalFailed: (in the flow) the child has closed.
        """
        check_sent("Child.send", signal)
        return Send(self.workflow_id, self.run_id, signal, self.step)

    def cancel(self) -> Step[None]:
        """Request the child's cancellation. Returns when the request is delivered, or at once if the child has closed.

        If the child has continued as new, its open run receives the request.
        """
        return RequestCancel(self.workflow_id, self.run_id, self.step)


def cancel(execution: WorkflowExecution | str) -> Step[None]:
    """Request the cancellation of another execution of the domain. Returns when the request is delivered.

    Raises:
        CancelFailed: (in the flow) no such execution is open.

    History:
        Sends RequestCancelExternalWorkflowExecution; completed by ExternalWorkflowExecutionCancelRequested.
    """
    return RequestCancel(*read_execution("cancel", execution))


def side_effect(f: Callable[[], T], type: Any = None) -> Step[T]:
    """Run code once, in the workflow worker, and return the recorded value on every replay.

    For code that is quick and cannot fail, such as reading a setting. Use an activity for work that takes time or may
    fail. The value is decoded as `type`, or by the function's return annotation, or as plain JSON.

    Raises:
        TypeError: `f` is not a plain function.
        DefinitionError: its return annotation does not resolve.

    History:
        Sends RecordMarker, in the decision task that runs the code.
    """
    if not callable(f) or isinstance(f, Step):
        raise TypeError(f"side_effect({f!r:.100}): expected a function; write side_effect(lambda: ...)")
    code = getattr(f, "__code__", None)
    if code is not None and code.co_flags & _COROUTINE:
        raise TypeError(
            f"side_effect({f.__name__}): the function must not be async. Do asynchronous work in an activity"
        )
    kind = type if type is not None else getattr(f, "__annotations__", {}).get("return", Any)
    return SideEffect(f, _resolve(f) if isinstance(kind, str) else kind)


def patched(name: str) -> Step[bool]:
    """Return whether this execution reached this place with the patched code.

    `False` for executions that passed this place before the change, `True` for all others; for one execution it never
    changes. Put the new code under `if await patched("..."):`. When every open execution has the patch, remove the old
    branch and the call: markers of patches that the code does not contain are ignored.

    History:
        Sends RecordMarker, once for each name.
    """
    if not isinstance(name, str):
        raise TypeError(f"patched({name!r:.100}): the name of a patch must be a string")
    if not 1 <= len(name) <= PATCH_CHARS_MAX:
        raise ValueError(f"patched({name!r:.100}): the name of a patch must have 1 to {PATCH_CHARS_MAX} characters")
    return Patched(name)


def set_state(status: object) -> Step[None]:
    """Publish a state of the flow, which replaces the last one.

    `Handle.state` reads it at any length; `Handle.published_state` and SWF's console show it if it fits SWF's limit.

    History:
        Goes into the `executionContext` of DecisionTaskCompleted, if it has room there; sends nothing.
    """
    return SetState(status)


def history_length() -> Step[int]:
    """Return the number of events in the history. SWF closes an execution at 25,000; use `continue_as_new` before."""
    return HistoryLength()


def run_deadline() -> Step[datetime]:
    """Return when this run times out: its start time plus `execution_start_to_close`.

    At most one year (SWF). Use `continue_as_new` for longer work.
    """
    return RunDeadline()


def execution_info() -> Step[ExecutionInfo]:
    """Return which execution this is: its ids, type, tags, parent, and the run that it continues.

    Example:
        info = await execution_info()
        await request_callback(f"https://shop.example/orders/{info.workflow_id}")

    History:
        Sends nothing; read from WorkflowExecutionStarted.
    """
    return GetExecutionInfo()


@overload
def invoke_lambda(name: str, input: object = None, *, timeout: Span | None = None) -> Step[Any]: ...
@overload
def invoke_lambda(name: str, input: object = None, *, type: type[T], timeout: Span | None = None) -> Step[T]: ...
@overload
def invoke_lambda(name: str, input: object = None, *, type: Any, timeout: Span | None = None) -> Step[Any]: ...
def invoke_lambda(name: str, input: object = None, *, type: Any = Any, timeout: Span | None = None) -> Step[Any]:
    """Call an AWS Lambda function and return its result, decoded as `type`.

    The workflow's class needs `lambda_role`. `timeout` is at most 15 minutes (SWF).

    Raises:
        LambdaFailed: (in the flow) it raised, timed out, or could not be started.

    History:
        Sends ScheduleLambdaFunction; completed by LambdaFunctionCompleted, or its failures.
    """
    if not isinstance(name, str):
        raise TypeError(f"invoke_lambda({name!r:.100}): the name of a function must be a string")
    if not 1 <= len(name) <= SWF.lambda_name_chars_max:
        raise ValueError(
            f"invoke_lambda({name!r:.100}): the name of a function must have 1 to {SWF.lambda_name_chars_max} "
            "characters (SWF)"
        )
    if timeout is not None and not 1 <= int(to_duration(timeout)) <= SWF.lambda_seconds_max:
        raise ValueError(
            f"invoke_lambda(timeout={timeout!r}): the timeout must be 1 to {SWF.lambda_seconds_max} seconds (SWF)"
        )
    return InvokeLambda(name, input, type, timeout)


def start_child(call: WorkflowStep[R] | AdjustedChild[R]) -> Step[ChildHandle[R]]:
    """Start a child, and continue when it has started.

    When its parent closes, the `child_policy` of the parent applies: `TERMINATE` by default.

    Raises:
        ChildAlreadyRunning: (in the flow) an execution is open under its id.
        DecisionFailed: (in the flow) it could not be started otherwise.

    History:
        Sends StartChildWorkflowExecution; completed by ChildWorkflowExecutionStarted.
    """
    if not isinstance(call, WorkflowStep | AdjustedChild):
        raise TypeError(f"start_child: expected a call of a workflow, got {name_thing(call)}{_hint_call(call)}")
    return StartChild(call)


def continue_as_new(call: WorkflowStep[Any]) -> Step[Never]:
    """Close this run and start the next one, with an empty history, under the same workflow id.

    The call is of the same workflow; its version may be another. Task list, timeouts, child policy and tags are
    kept. `finally` blocks run first. Signals that were not received, and a cancel request that arrived too late for
    this run, are forwarded to the new one.

    Raises:
        PayloadError: (in the flow) the input is too long for SWF, or cannot be written.

    History:
        Sends ContinueAsNewWorkflowExecution, after the decisions of `finally` blocks.
    """
    if isinstance(call, AdjustedChild):
        raise TypeError("continue_as_new: the next run keeps the options of this one; remove .options(...)")
    if not isinstance(call, WorkflowStep):
        raise TypeError(f"continue_as_new: expected a call of a workflow, got {name_thing(call)}{_hint_call(call)}")
    return ContinueAsNew(call)


def _resolve(f: Any) -> Any:
    """Read a return annotation that is written as a string, as all are under `from __future__ import annotations`."""
    try:
        return typing.get_type_hints(f, include_extras=True)["return"]
    except Exception as error:
        raise DefinitionError(
            f"side_effect({f.__qualname__}): its return annotation does not resolve: {error}. The value is "
            "decoded by it; write side_effect(f, type=...)"
        ) from error


def _hint_call(thing: Any) -> str:
    """Return a hint if a definition was passed instead of a call."""
    return f"; write {thing.__qualname__}(...)" if isinstance(thing, type) and issubclass(thing, WorkflowStep) else ""
