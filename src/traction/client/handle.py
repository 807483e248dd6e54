"""Start an execution, and hold on to it: wait for it, look at it, tell it something, ask it to stop.

Takes a backend and calls of workflows; gives handles. Does no work itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Generic, TypeVar, overload

from traction.backend import POLL_WAIT_MAX, Backend
from traction.client.visibility import explain_waiting
from traction.decider.decider import Decider
from traction.definitions.classes import Workflow
from traction.errors import (
    DefinitionError,
    ExecutionFailed,
    UnknownResourceFault,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowTerminated,
    WorkflowTimedOut,
)
from traction.flow.durations import Span, to_timedelta
from traction.flow.signals import Signal, check_sent
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import WorkflowExecution
from traction.payloads.codec import JSON, MEND_READING, Codec
from traction.payloads.failures import make_known, read_failure, revive

WAIT_TOLD = timedelta(seconds=1)
"""How long a decision task waits before a timeout mentions it."""

R = TypeVar("R")
T = TypeVar("T")


class Handle(Generic[R]):
    """One execution, whose flow gives an `R`: wait for it, look at it, tell it something, ask it to stop.

    It follows the execution through `continue_as_new`: its result is that of the last run.
    """

    def __init__(
        self,
        backend: Backend,
        execution: WorkflowExecution,
        workflow: type[Workflow[R]] | None = None,
        *,
        codec: Codec = JSON,
        started: bool = False,
    ) -> None:
        self._backend = backend
        self.execution = execution
        self.started = started
        """Whether the call that returned this handle started the execution, and did not find it."""
        self._workflow = workflow
        self._codec = codec

    @property
    def workflow_id(self) -> str:
        """The id under which it was started."""
        return self.execution.workflow_id

    @property
    def run_id(self) -> str:
        """The id that the service gave to the run."""
        return self.execution.run_id

    def result(self, timeout: Span | None = None) -> R:
        """Wait until the execution has closed, and return its result.

        Args:
            timeout: how long to wait at the most, in seconds or as a `timedelta`; without it, for ever.

        Raises:
            TimeoutError: it is still open after `timeout`. It goes on; ask again.
            WorkflowFailed, WorkflowTimedOut, WorkflowCancelled, WorkflowTerminated: it closed so; a failure that its
                definition declares is also of its own type, with its fields.
            PayloadError: its result does not decode as the definition says.
        """
        __tracebackhide__ = True  # pytest shows the caller's frame instead of this one
        try:
            return self.result_within(timeout)
        except TimeoutError as error:
            waits = explain_waiting(self._backend, self.execution, at_least=WAIT_TOLD)
            raise TimeoutError(f"{error}; {waits}" if waits else str(error)) from None

    def result_within(self, timeout: Span | None) -> R:
        """Wait for the result as `result` does, without looking for what the execution waits for."""
        __tracebackhide__ = True
        deadline = None if timeout is None else time.monotonic() + to_timedelta(timeout).total_seconds()
        while True:
            left = POLL_WAIT_MAX
            if deadline is not None:
                left = min(left, timedelta(seconds=max(deadline - time.monotonic(), 0)))
            if self._backend.wait_until_closed(self.execution, left):
                closing = self._backend.find_closing_event(self.execution)
                if not self._follow(closing):
                    return self._read_result(closing)
            elif deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(
                    f"{self.workflow_id} is still open after {to_timedelta(timeout or 0).total_seconds():g} s"
                )

    def _read_result(self, closing: e.Event | None) -> R:
        __tracebackhide__ = True
        name = self.workflow_id
        match closing:
            case e.WorkflowExecutionCompleted():
                kind = Any if self._workflow is None else self._workflow.spec.result
                value: R = self._codec.decode(closing.result, kind, f"the result of {name}")
                return value
            case e.WorkflowExecutionFailed():
                said = read_failure(closing.reason, closing.details, self._codec)
                failed = WorkflowFailed(name, **make_known(said))
                raises = () if self._workflow is None else self._workflow.spec.raises
                raise revive(failed, said, raises, self._codec)
            case e.WorkflowExecutionTimedOut():
                raise WorkflowTimedOut(name)
            case e.WorkflowExecutionCanceled():
                raise WorkflowCancelled(name, details=closing.details)
            case e.WorkflowExecutionTerminated():
                raise WorkflowTerminated(name, cause=closing.cause, reason=closing.reason)
            case _:
                raise ExecutionFailed(name, f"closed with {type(closing).__name__}")

    def send(self, signal: Signal) -> None:
        """Send the execution a signal, which its flow may `receive`.

        If this raises because the service could not be reached, the signal may have arrived or not: one that is sent
        again may arrive twice, and its receiver should be able to tell.

        Raises:
            TypeError: it is no signal.
            PayloadError: it cannot be written, or not be read as its class says; or it is longer than SWF carries, and
                there is no payload store.
            UnknownResourceFault: it is not open any more.
        """
        check_sent("Handle.send", signal)
        name, input = signal.spec.name, self._codec.encode_call(signal)
        self._ask_open(partial(o.SignalWorkflowExecution, signal_name=name, input=input))

    def cancel(self) -> None:
        """Ask the execution to cancel: `Cancelled` is thrown into its flow, which may clean up.

        Raises:
            UnknownResourceFault: it is not open any more.
        """
        self._ask_open(o.RequestCancelWorkflowExecution)

    def terminate(self, reason: str | None = None) -> None:
        """Close the execution at once, without notice to its flow; the child policy applies to its children.

        Raises:
            UnknownResourceFault: it is not open any more.
        """
        self._ask_open(partial(o.TerminateWorkflowExecution, reason=reason))

    def _ask_open(self, request: Callable[..., o.Request[None]]) -> None:
        """Ask something of the run that is open: the last, if the execution was continued as new."""
        while True:
            try:
                self._backend.call(
                    request(domain=self._backend.domain, workflow_id=self.workflow_id, run_id=self.run_id)
                )
                return
            except UnknownResourceFault:
                closing = self._backend.find_closing_event(self.execution)
                if closing is None:
                    raise
                if not self._follow(closing):
                    closed = f"{self.workflow_id} is not open any more: {type(closing).__name__}"
                    raise UnknownResourceFault(closed) from None

    def _follow(self, closing: e.Event | None) -> bool:
        """Go on to the next run, if the execution was continued as new."""
        if not isinstance(closing, e.WorkflowExecutionContinuedAsNew):
            return False
        self.execution = WorkflowExecution(self.workflow_id, closing.new_execution_run_id)
        return True

    def history(self) -> list[e.Event]:
        """Return all events so far.

        Raises:
            UnknownResourceFault: the run is not known, or no longer kept.
        """
        return self._backend.get_history(self.execution)

    def describe(self) -> o.WorkflowExecutionDetail:
        """Return the service's description of the run.

        Raises:
            UnknownResourceFault: the run is not known, or no longer kept.
        """
        return self._backend.call(o.DescribeWorkflowExecution(domain=self._backend.domain, execution=self.execution))

    @overload
    def state(self, type: type[T]) -> T | None: ...
    @overload
    def state(self, type: Any = Any) -> Any: ...
    def state(self, type: Any = Any) -> Any:
        """Return the state of the flow as of now, decoded as `type`; `None` if it has set none.

        The whole history is read, and the flow replayed here, as a worker would: with the events that no decision task
        has brought to it yet. It asks for nothing, and does nothing that the history does not show: where it comes to
        a new `side_effect` or local activity, it stays. A state may be of any length.

        Raises:
            DefinitionError: the code of the workflow is needed, and the handle has none, or that of another version.
            NonDeterminismError, FlowError: the execution was made by other code, or cannot go on.
            UnknownResourceFault: the run is not known, or no longer kept.
            PayloadError: the state is not of that type.
        """
        events = self.history()
        while self._follow(events[-1]):
            events = self.history()
        asked: Any = events[0]
        of, mine = asked.workflow_type, None if self._workflow is None else self._workflow.spec.type
        if self._workflow is None or of != mine:
            has = "no code" if mine is None else f"that of {mine.name} {mine.version}"
            raise DefinitionError(
                f"the state of {self.workflow_id} needs the code of {of.name} {of.version}, the handle has {has}; "
                "write get_handle(execution, its workflow)"
            )
        decider = Decider(self._workflow, execution=self.execution, codec=self._codec)
        try:
            told = decider.query(events)
        finally:
            decider.close()
        return None if told is None else JSON.decode(told, type, f"the state of {self.workflow_id}", MEND_READING)

    @overload
    def published_state(self, type: type[T]) -> T | None: ...
    @overload
    def published_state(self, type: Any = Any) -> Any: ...
    def published_state(self, type: Any = Any) -> Any:
        """Return the state that the service stores, decoded as `type`; `None` if there is none.

        That is the last state that was sent with a completed decision task and fits SWF's limit; see `state`.

        Raises:
            UnknownResourceFault: the run is not known, or no longer kept.
            PayloadError: the state is not of that type.
        """
        told = self.describe().latest_execution_context
        what = f"the state of {self.workflow_id}"
        return None if told is None else self._codec.decode(told, type, what, MEND_READING)

    def status(self) -> str:
        """Say `OPEN`, or how it closed: `COMPLETED`, `FAILED`, `CANCELED`, `TERMINATED`, `CONTINUED_AS_NEW`,
        `TIMED_OUT`.

        Raises:
            UnknownResourceFault: the run is not known, or no longer kept.
        """
        info = self.describe().execution_info
        return info.close_status or info.execution_status

    def __repr__(self) -> str:
        return f"<Handle of {self.workflow_id}, run {self.run_id}>"


def start_execution(
    backend: Backend, workflow: Workflow[R], *, workflow_id: str | None = None, codec: Codec = JSON
) -> Handle[R]:
    """Start an execution of a registered workflow.

    Raises:
        PayloadError: the input does not decode as the definition says.
        WorkflowExecutionAlreadyStartedFault: an execution is open under this id.
        BackendError: the service refused, or could not be reached.
    """
    spec = workflow.spec
    # A wrong type is seen here, where the call is written, and not by a worker tomorrow.
    payload = codec.encode_as(workflow, type(workflow), f"the input of {spec.type.name} {spec.type.version}")
    id = workflow.workflow_id() if workflow_id is None else workflow_id
    run = backend.call(
        o.StartWorkflowExecution(
            domain=backend.domain,
            workflow_id=id,
            workflow_type=spec.type,
            task_list=spec.task_list,
            input=payload,
            tag_list=spec.tags or None,
        )
    )
    assert run.run_id is not None
    return Handle(backend, WorkflowExecution(id, run.run_id), type(workflow), codec=codec, started=True)
