"""Handles of executions: wait for the result, read the state and history, send signals, cancel, terminate."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Generic, TypeVar, overload

from traction.backend import POLL_WAIT_MAX, Backend
from traction.client.looking import explain_execution, read_view
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
from traction.history.explanation import Explanation
from traction.history.views import ExecutionView
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import WorkflowExecution
from traction.payloads.causes import make_known
from traction.payloads.codec import HINT_READING, JSON, Codec
from traction.payloads.failure_text import read_failure
from traction.payloads.failures import revive

WAIT_REPORTED = timedelta(seconds=1)
"""How long a decision task waits before a timeout mentions it."""

R = TypeVar("R")
T = TypeVar("T")


class Handle(Generic[R]):
    """An execution whose result is an `R`.

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
        """Whether the call that returned this handle started the execution, rather than finding it."""
        self._workflow = workflow
        self.codec = codec
        """Decodes the payloads of the execution."""

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
            timeout: the longest wait, in seconds or as a `timedelta`; without it, unlimited.

        Raises:
            TimeoutError: it is still open after `timeout`. It continues.
            WorkflowFailed, WorkflowTimedOut, WorkflowCancelled, WorkflowTerminated: it closed without a result. A
                failure that its definition declares also has its own type, with its fields.
            PayloadError: its result does not decode as its declared type.
        """
        __tracebackhide__ = True  # pytest shows the caller's frame instead of this one
        try:
            return self.result_within(timeout)
        except TimeoutError:
            raise self.explain_timeout(timeout) from None

    def explain_timeout(self, timeout: Span | None) -> TimeoutError:
        """Return the error for an execution that is open after `timeout`, with the task list that it waits for."""
        text = f"{self.workflow_id} is still open after {to_timedelta(timeout or 0).total_seconds():g} s"
        waiting = explain_waiting(self._backend, self.execution, at_least=WAIT_REPORTED)
        return TimeoutError(f"{text}; {waiting}" if waiting else text)

    def result_within(self, timeout: Span | None) -> R:
        """Wait for the result as `result` does. The `TimeoutError` has no text."""
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
                raise TimeoutError

    def _read_result(self, closing: e.Event | None) -> R:
        __tracebackhide__ = True
        name = self.workflow_id
        match closing:
            case e.WorkflowExecutionCompleted():
                kind = Any if self._workflow is None else self._workflow.spec.result
                value: R = self.codec.decode(closing.result, kind, f"the result of {name}")
                return value
            case e.WorkflowExecutionFailed():
                info = read_failure(closing.reason, closing.details, self.codec)
                failed = WorkflowFailed(name, **make_known(info))
                raises = () if self._workflow is None else self._workflow.spec.raises
                raise revive(failed, info, raises, self.codec)
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

        If this raises because the service could not be reached, the signal may have arrived. Sent again, it may arrive
        twice, which its receiver should detect.

        Raises:
            TypeError: it is not a signal.
            PayloadError: it cannot be encoded, does not decode as its class, or exceeds SWF's limit without a payload
                store.
            UnknownResourceFault: the execution is not open.
        """
        check_sent("Handle.send", signal)
        name, input = signal.spec.name, self.codec.encode_call(signal)
        self._call_open_run(partial(o.SignalWorkflowExecution, signal_name=name, input=input))

    def cancel(self) -> None:
        """Request the cancellation of the execution: `Cancelled` is thrown into its flow, which may clean up.

        Raises:
            UnknownResourceFault: the execution is not open.
        """
        self._call_open_run(o.RequestCancelWorkflowExecution)

    def terminate(self, reason: str | None = None) -> None:
        """Close the execution at once, without notice to its flow; the child policy applies to its children.

        Raises:
            UnknownResourceFault: the execution is not open.
        """
        self._call_open_run(partial(o.TerminateWorkflowExecution, reason=reason))

    def _call_open_run(self, request: Callable[..., o.Request[None]]) -> None:
        """Send a request for the open run: the last one, if the execution was continued as new."""
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
                    text = f"{self.workflow_id} is not open any more: {type(closing).__name__}"
                    raise UnknownResourceFault(text) from None

    def _follow(self, closing: e.Event | None) -> bool:
        """Switch to the next run, if the execution was continued as new. Return whether it was."""
        if not isinstance(closing, e.WorkflowExecutionContinuedAsNew):
            return False
        self.execution = WorkflowExecution(self.workflow_id, closing.new_execution_run_id)
        return True

    def history(self) -> list[e.Event]:
        """Return all events so far.

        Raises:
            UnknownResourceFault: the run is unknown, or no longer stored.
        """
        return self._backend.get_history(self.execution)

    def describe(self) -> o.WorkflowExecutionDetail:
        """Return the service's description of the run.

        Raises:
            UnknownResourceFault: the run is unknown, or no longer stored.
        """
        return self._backend.call(o.DescribeWorkflowExecution(domain=self._backend.domain, execution=self.execution))

    def view(self) -> ExecutionView:
        """Return the view of the run: settings, links, steps, and what it waits for. Reads its whole history.

        With the definition of the workflow, the view also has the lines where the flow waits, the signals that it
        awaits, and what blocks it.

        Raises:
            UnknownResourceFault: the run is unknown, or no longer stored.
        """
        return read_view(self._backend, self.execution, workflows=self._list_workflows(), codec=self.codec)

    def why(self) -> Explanation:
        """Explain what the run waits for, since when, and who can answer; that it is stuck; or how it closed.

        Reads its whole history, and counts the tasks on the task lists for which it waits.

        Raises:
            UnknownResourceFault: the run is unknown, or no longer stored.
        """
        return explain_execution(self._backend, self.execution, workflows=self._list_workflows(), codec=self.codec)

    def _list_workflows(self) -> list[type[Workflow[Any]]]:
        return [] if self._workflow is None else [self._workflow]

    @overload
    def state(self, type: type[T]) -> T | None: ...
    @overload
    def state(self, type: Any = Any) -> Any: ...
    def state(self, type: Any = Any) -> Any:
        """Return the current state of the flow, decoded as `type`; `None` if it has set none.

        Reads the whole history and replays the flow in this process, including events that no decision task has
        delivered yet. The replay schedules and runs nothing: it stops at a new `side_effect` or local activity. A state
        may have any length.

        Raises:
            DefinitionError: the handle has no definition of the workflow, or one of another version.
            NonDeterminismError, FlowError: the history does not match the code, or the flow is stuck.
            UnknownResourceFault: the run is unknown, or no longer stored.
            PayloadError: the state does not decode as that type.
        """
        events = self.history()
        while self._follow(events[-1]):
            events = self.history()
        started: Any = events[0]
        of, mine = started.workflow_type, None if self._workflow is None else self._workflow.spec.type
        if self._workflow is None or of != mine:
            has = "no workflow" if mine is None else f"{mine.name} {mine.version}"
            raise DefinitionError(
                f"the state of {self.workflow_id} is computed by the workflow {of.name} {of.version}, and the handle "
                f"has {has}. Write get_handle(execution, workflow)"
            )
        decider = Decider(self._workflow, execution=self.execution, codec=self.codec)
        try:
            payload = decider.query(events)
        finally:
            decider.close()
        return None if payload is None else JSON.decode(payload, type, f"the state of {self.workflow_id}", HINT_READING)

    @overload
    def published_state(self, type: type[T]) -> T | None: ...
    @overload
    def published_state(self, type: Any = Any) -> Any: ...
    def published_state(self, type: Any = Any) -> Any:
        """Return the state that the service stores, decoded as `type`; `None` if there is none.

        That is the last state that was sent with a completed decision task and fits SWF's limit; see `state`.

        Raises:
            UnknownResourceFault: the run is unknown, or no longer stored.
            PayloadError: the state does not decode as that type.
        """
        payload = self.describe().latest_execution_context
        what = f"the state of {self.workflow_id}"
        return None if payload is None else self.codec.decode(payload, type, what, HINT_READING)

    def status(self) -> str:
        """Return `OPEN`, or how it closed: `COMPLETED`, `FAILED`, `CANCELED`, `TERMINATED`, `CONTINUED_AS_NEW`,
        `TIMED_OUT`.

        Raises:
            UnknownResourceFault: the run is unknown, or no longer stored.
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
        PayloadError: the input cannot be encoded, or does not decode as its declared type.
        WorkflowExecutionAlreadyStartedFault: an execution is open under this id.
        BackendError: the service rejected the request, or could not be reached.
    """
    spec = workflow.spec
    # Checked here, so that a wrong type is reported to the caller and not to a worker later.
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
