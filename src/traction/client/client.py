"""Start executions, find them, and complete activity tasks by token. Runs no workers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar, Unpack, overload

import pluggy

from traction.backend import Backend
from traction.client.batch import PER_SECOND, Action, ActionResult, find_targets, run_batch
from traction.client.completion import TaskCompleter
from traction.client.handle import Handle
from traction.client.listing import count_executions, list_executions
from traction.client.query import ExecutionCount, Filters, ListedExecution, make_query
from traction.client.registrar import Registrar
from traction.client.starts import IfClosed, IfRunning, Start
from traction.client.visibility import find_execution
from traction.definitions.checks import check_call
from traction.definitions.classes import Workflow
from traction.errors import DefinitionError
from traction.flow.durations import Span
from traction.model.names import WorkflowExecution, find_name_error
from traction.payloads.codec import JSON, Codec
from traction.plugins.loading import open_backend, open_payload_store

R = TypeVar("R")


class Client:
    """Starts executions and finds them, on the backend that a URL names. `WorkerSystem` is a client with workers.

    Close it, or use it in a `with` statement.

    Args:
        url: the backend.
        codec: how values become payloads; plain JSON by default.
        payloads: the URL of the store for payloads that exceed SWF's limit; the same in all processes that share
            executions.
        plugins: the plugins that open backends; by default those installed.
        backend: an open backend, instead of `url`.

    Example:
        with Client("local:orders.db") as client:
            handle = client.start(pay(500), workflow_id="order-7")
    """

    def __init__(
        self,
        url: str = "local:",
        *,
        codec: Codec = JSON,
        payloads: str | None = None,
        plugins: pluggy.PluginManager | None = None,
        backend: Backend | None = None,
    ) -> None:
        if payloads is not None:
            codec = codec.with_store(open_payload_store(payloads, plugins))
        self.backend = open_backend(url, plugins) if backend is None else backend
        self._codec = codec
        self._stop = threading.Event()
        self._registrar = Registrar(self.backend, self._stop)
        self._completer = TaskCompleter(self.backend, codec, self._stop.wait)

    def start(
        self,
        workflow: Workflow[R],
        *,
        workflow_id: str | None = None,
        if_running: IfRunning = "match",
        if_closed: IfClosed = "start",
    ) -> Handle[R]:
        """Start a workflow, or find the open execution that the same call started; return its handle.

        `handle.started` distinguishes the two. If the reply to a start is lost, the execution is found, open or closed,
        and counts as started.

        Args:
            workflow: a call of a workflow, with its input.
            workflow_id: the id to start it under, instead of what `workflow.workflow_id()` returns.
            if_running: what to do if an execution of that id is open: see `traction.client.starts.IfRunning`.
            if_closed: what to do if the last execution of that id has closed: see `IfClosed`.

        Raises:
            DefinitionError: something is wrong with the definition, the id, or a policy.
            PayloadError: the input cannot be encoded, or does not decode as its declared type.
            WorkflowAlreadyRunning, WorkflowAlreadyClosed: the policy does not accept an execution that has this id.
            BackendError: the service refused, or could not be reached.
        """
        check_call(workflow)
        self._registrar.register(type(workflow))
        id = workflow.workflow_id() if workflow_id is None else workflow_id
        if fault := find_name_error(id):
            raise DefinitionError(f"{type(workflow).__qualname__} cannot be started under the id {id!r}: {fault} (SWF)")
        start = Start(self.backend, workflow, id, self._codec, if_running=if_running, if_closed=if_closed)

        def register_again() -> None:
            self._registrar.forget(type(workflow))
            self._registrar.register(type(workflow))

        return start.run(register_again, self._stop.wait)

    def run(
        self,
        workflow: Workflow[R],
        *,
        workflow_id: str | None = None,
        if_running: IfRunning = "match",
        if_closed: IfClosed = "start",
        timeout: Span | None = None,
    ) -> R:
        """Start a workflow as `start` does, wait until it closes, and return its result.

        Args:
            workflow, workflow_id, if_running, if_closed: as for `start`.
            timeout: the longest wait, in seconds or as a `timedelta`; without it, unlimited.

        Raises:
            TimeoutError: the execution is still open after `timeout`; it continues.
            ExecutionFailed: it closed without a result; the subclass depends on how (see `Handle.result`).
            TractionError: as for `start`.
        """
        __tracebackhide__ = True  # pytest shows the caller's frame instead of this one
        handle = self.start(workflow, workflow_id=workflow_id, if_running=if_running, if_closed=if_closed)
        return handle.result(timeout)

    @overload
    def get_handle(self, execution: WorkflowExecution | str, workflow: Callable[..., Workflow[R]]) -> Handle[R]: ...
    @overload
    def get_handle(self, execution: WorkflowExecution | str) -> Handle[Any]: ...
    def get_handle(self, execution: WorkflowExecution | str, workflow: Any = None) -> Handle[Any]:
        """Return the handle of an execution that was started elsewhere.

        Args:
            execution: a run; or a workflow id, which means the open run, or else the last that closed.
            workflow: its definition, by which results and states are decoded.

        Raises:
            UnknownResourceFault: no execution has this workflow id, or lists do not show it yet (SWF).
        """
        if isinstance(execution, str):
            execution = find_execution(self.backend, execution)
        return Handle(self.backend, execution, workflow, codec=self._codec)

    # Executions by what they have in common.

    def list(self, **filters: Unpack[Filters]) -> Iterator[ListedExecution]:
        """Return an iterator of the executions that match all filters, open and closed, the newest start first.

        With `closed`, the newest close comes first. The iterator reads page by page as it is consumed. Lists are
        eventually consistent (SWF): an execution may be missing for some seconds after its start.

        Args:
            filters: see `traction.client.query.Filters`; `docs/finding.md` lists what each combination costs.

        Raises:
            DefinitionError: a filter is wrong: see `traction.client.Query`.
            BackendError: from the iterator: the service refused, or could not be reached.

        Example:
            for execution in client.list(workflow=order, status="failed", started=(yesterday, None)):
                print(execution.workflow_id, execution.closed_at)
        """
        return list_executions(self.backend, make_query(filters))

    def count(self, **filters: Unpack[Filters]) -> ExecutionCount:
        """Count the executions that match all filters, which are those of `list`.

        The service counts by one filter besides a range of time, and may stop early: then `truncated` is true. Other
        counts are made by listing, which costs a request for each page.

        Raises:
            DefinitionError: a filter is wrong: see `traction.client.Query`.
            BackendError: the service refused, or could not be reached.
        """
        return count_executions(self.backend, make_query(filters))

    def batch(
        self,
        action: Action,
        *,
        dry_run: bool = False,
        per_second: float = PER_SECOND,
        wait: Callable[[float], object] | None = None,
        on_result: Callable[[ActionResult, int, int], object] | None = None,
        **filters: Unpack[Filters],
    ) -> tuple[ActionResult, ...]:
        """Signal, cancel or terminate the open executions that match all filters, and return what became of each.

        The executions are listed first. A batch that was interrupted may be run again: what was done is not repeated.

        Args:
            action: `SendSignal(signal)`, `RequestCancel()` or `Terminate(reason)`.
            dry_run: send nothing; the outcomes are `planned`.
            per_second: how many requests are sent in a second, at most.
            wait: waits for some seconds between two requests; if it returns true, the batch ends. By default, a wait
                that `close` ends.
            on_result: called after each execution with its result, how many are done, and how many there are.
            filters: those of `list`; they must not exclude open executions.

        Raises:
            DefinitionError: a filter or the rate is wrong, or the filters match only closed executions.
            PayloadError: the signal cannot be encoded.
            BackendError: the service could not be reached.

        Example:
            client.batch(Terminate("the shop is closed"), workflow=order, started=(None, noon), dry_run=True)
        """
        targets = find_targets(self.backend, make_query(filters))
        results = run_batch(
            self.backend,
            targets,
            action,
            codec=self._codec,
            wait=wait or self._stop.wait,
            per_second=per_second,
            dry_run=dry_run,
        )
        collected = []
        for result in results:
            collected.append(result)
            if on_result is not None:
                on_result(result, len(collected), len(targets))
        return tuple(collected)

    # Completion of activity tasks that returned `COMPLETE_LATER`.

    def complete(self, token: str, value: object) -> None:
        """Complete an activity task with its result, from any process.

        Args:
            token: the task's token, from `current_task().token`.
            value: the result, as the activity would have returned it.

        Raises:
            UnknownResourceFault: the task is not open: it was completed, has timed out, or its execution closed.
            PayloadError: the value cannot be encoded.
            BackendError: the service could not be reached, after several attempts.
        """
        self._completer.complete(token, value)

    def fail(self, token: str, error: BaseException) -> None:
        """Fail an activity task; with `Cancelled()`, report it as cancelled.

        Raises:
            UnknownResourceFault: the task is not open.
            BackendError: the service could not be reached, after several attempts.
        """
        self._completer.fail(token, error)

    def heartbeat(self, token: str, details: object = None) -> None:
        """Record a heartbeat of an activity task. Once the activity has returned, its worker sends none.

        Raises:
            Cancelled: the task was cancelled, or is not open.
            BackendError: the service could not be reached, after several attempts.
        """
        self._completer.heartbeat(token, details)

    def close(self) -> int | None:
        """Close the backend. Pending waits return. Idempotent."""
        self._stop.set()
        self.backend.close()
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
