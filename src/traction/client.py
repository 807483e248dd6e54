"""Start work, wait for it, and spawn the workers that do it.

Takes definitions and a backend's URL; gives handles of executions, and keeps worker threads. Decides nothing itself.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Generic, Self, TypeVar, overload

import pluggy

from traction import events as e
from traction import operations as o
from traction.backend import POLL_WAIT_MAX, Backend
from traction.checks import check_call, check_dependency, check_kind, check_twins
from traction.codec import JSON, Codec, read_failure
from traction.deciders import make_sticky
from traction.definition import Activity, Workflow, check_definition
from traction.errors import (
    DefinitionError,
    ExecutionFailed,
    UnknownResourceFault,
    WorkflowCanceled,
    WorkflowExecutionAlreadyStartedFault,
    WorkflowFailed,
    WorkflowTerminated,
    WorkflowTimedOut,
)
from traction.names import ActivityType, WorkflowExecution, WorkflowType, find_fault
from traction.options import Span, to_timedelta
from traction.plugins import open_backend, open_payload_store
from traction.registration import register_type as register_type
from traction.worker import (
    ActivityWorker,
    DeciderCache,
    StuckDecision,
    Worker,
    WorkflowWorker,
    run_worker,
)

R = TypeVar("R")
C = TypeVar("C")

log = logging.getLogger("traction.client")

START_TRIES_MAX = 6
"""How often a start is tried that found an execution open which was closed when looked at."""


class Handle(Generic[R]):
    """One execution, whose flow gives an `R`: wait for it, look at it, ask it to stop.

    It follows the execution through `continue_as_new`: its result is that of the last run.
    """

    def __init__(self, backend: Backend, execution: WorkflowExecution, result: Any, *, codec: Codec = JSON) -> None:
        self._backend = backend
        self.execution = execution
        self._result = result
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
        """Wait until the execution has closed, and give its result.

        Args:
            timeout: how long to wait at the most, in seconds or as a `timedelta`; without it, for ever.

        Raises:
            TimeoutError: it is still open after `timeout`. It goes on; ask again.
            WorkflowFailed, WorkflowTimedOut, WorkflowCanceled, WorkflowTerminated: it closed so.
            PayloadError: its result does not decode as the definition says.
        """
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
        name = self.workflow_id
        match closing:
            case e.WorkflowExecutionCompleted():
                value: R = self._codec.decode(closing.result, self._result, f"the result of {name}")
                return value
            case e.WorkflowExecutionFailed():
                said = read_failure(closing.reason, closing.details)
                raise WorkflowFailed(name, type=said.type, message=said.message, traceback=said.traceback)
            case e.WorkflowExecutionTimedOut():
                raise WorkflowTimedOut(name)
            case e.WorkflowExecutionCanceled():
                raise WorkflowCanceled(name, details=closing.details)
            case e.WorkflowExecutionTerminated():
                raise WorkflowTerminated(name, cause=closing.cause, reason=closing.reason)
            case _:
                raise ExecutionFailed(name, f"closed with {type(closing).__name__}")

    def cancel(self) -> None:
        """Ask the execution to cancel: `Cancelled` is thrown into its flow, which may clean up.

        Raises:
            UnknownResourceFault: it is not open any more.
        """
        self._ask_open(o.RequestCancelWorkflowExecution)

    def terminate(self, reason: str | None = None) -> None:
        """Close the execution at once; its flow is told nothing, its children according to their policy.

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
                if not self._follow(self._backend.find_closing_event(self.execution)):
                    raise

    def _follow(self, closing: e.Event | None) -> bool:
        """Go on to the next run, if the execution was continued as new."""
        if not isinstance(closing, e.WorkflowExecutionContinuedAsNew):
            return False
        self.execution = WorkflowExecution(self.workflow_id, closing.new_execution_run_id)
        return True

    def history(self) -> list[e.Event]:
        """Give all events so far.

        Raises:
            UnknownResourceFault: the run is not known, or no longer kept.
        """
        return self._backend.get_history(self.execution)

    def describe(self) -> o.WorkflowExecutionDetail:
        """Give what the service tells of the run besides its events.

        Raises:
            UnknownResourceFault: the run is not known, or no longer kept.
        """
        return self._backend.call(o.DescribeWorkflowExecution(domain=self._backend.domain, execution=self.execution))

    def report(self, type: Any = Any) -> Any:
        """Give what the flow reported last with `traction.report`, read as `type`; `None` if it has not.

        Raises:
            UnknownResourceFault: the run is not known, or no longer kept.
            PayloadError: the report is not of that type.
        """
        told = self.describe().latest_execution_context
        return None if told is None else self._codec.decode(told, type, f"the report of {self.workflow_id}")

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


class WorkerSystem:
    """Runs workflows and spawns workers, on the backend that a URL names.

    Close it, or use it in a `with` statement: then its workers finish what they have in hand, and stop.

    Args:
        url: the backend.
        codec: how values become payloads; plain JSON unless given.
        payloads: the URL of the store for what is too long for SWF, the same for all who share executions.
        identity: what histories show as who took a task.

    Example:
        with WorkerSystem("local:") as ws:
            ws.start_workflow_worker(IndexProjectData, instances=2)
            ws.start_activity_worker(CollectChanges, db, instances=4)
            print(ws.run(IndexProjectData(7)).result())
    """

    def __init__(
        self,
        url: str = "local:",
        *,
        codec: Codec = JSON,
        payloads: str | None = None,
        identity: str | None = None,
        plugins: pluggy.PluginManager | None = None,
        backend: Backend | None = None,
    ) -> None:
        if payloads is not None:
            codec = codec.with_store(open_payload_store(payloads, plugins))
        self.backend = open_backend(url, plugins) if backend is None else backend
        self.identity = identity or f"{socket.gethostname()}:{os.getpid()}"
        self._codec = codec
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._cache = DeciderCache()
        self._hosted: dict[Any, Any] = {}
        self._neighbours: dict[str, dict[ActivityType, ActivityWorker]] = {}
        self._deciding: dict[str, dict[WorkflowType, type[Workflow[Any]]]] = {}
        self._registered: set[Any] = set()
        self._lock = threading.Lock()

    # Work.

    def run(self, workflow: Workflow[R], *, workflow_id: str | None = None) -> Handle[R]:
        """Start a workflow, or find the execution of the same id that is open.

        Args:
            workflow: a call of a workflow, with its input.
            workflow_id: the id to start it under, instead of what `workflow.workflow_id()` says.

        Raises:
            DefinitionError: something is wrong with the definition.
            PayloadError: the input does not decode as the definition says.
            WorkflowExecutionAlreadyStartedFault: an execution of another type is open under this id.
            BackendError: the service refused, or could not be reached.
        """
        check_call(workflow)
        self._register(type(workflow))
        id = workflow.workflow_id() if workflow_id is None else workflow_id
        if fault := find_fault(id):
            raise DefinitionError(f"{type(workflow).__qualname__} cannot be started under the id {id!r}: {fault} (SWF)")
        for tried in range(START_TRIES_MAX):
            # Lists of open executions are some time behind (SWF).
            self._stop.wait(0 if tried < 2 else 2.0 ** (tried - 3))
            try:
                return start_execution(self.backend, workflow, workflow_id=id, codec=self._codec)
            except WorkflowExecutionAlreadyStartedFault:
                if (found := self._find_open(workflow, id)) is not None:
                    return found
            except UnknownResourceFault:
                # A type that was registered a moment ago may still be unknown (SWF); or it was deleted since.
                if tried == START_TRIES_MAX - 1:
                    raise
                self._registered.discard(type(workflow))
                self._register(type(workflow))
        raise WorkflowExecutionAlreadyStartedFault(f"an execution {id!r} is open, and lists do not show it")

    def _find_open(self, workflow: Workflow[R], id: str) -> Handle[R] | None:
        backend, type = self.backend, workflow.spec.type
        request = o.ListOpenWorkflowExecutions(
            domain=backend.domain,
            start_time_filter=o.ExecutionTimeFilter(oldest_date=backend.now() - timedelta(days=366)),
            execution_filter=o.WorkflowExecutionFilter(workflow_id=id),
        )
        for info in backend.call(request).execution_infos:
            if info.workflow_type.name != type.name:
                raise WorkflowExecutionAlreadyStartedFault(
                    f"an execution {id!r} of {info.workflow_type.name} {info.workflow_type.version} is open, so "
                    f"{type.name} {type.version} cannot be started under the same id"
                )
            return Handle(backend, info.execution, workflow.spec.result, codec=self._codec)
        return None

    @overload
    def find(self, execution: WorkflowExecution, workflow: Callable[..., Workflow[R]]) -> Handle[R]: ...
    @overload
    def find(self, execution: WorkflowExecution) -> Handle[Any]: ...
    def find(self, execution: WorkflowExecution, workflow: Any = None) -> Handle[Any]:
        """Give the handle of a run that was started elsewhere; its result is read as the workflow says."""
        return Handle(self.backend, execution, Any if workflow is None else workflow.spec.result, codec=self._codec)

    # Workers.

    def start_workflow_worker(
        self,
        *workflows: Callable[..., Workflow[Any]],
        instances: int = 1,
        task_list: str | None = None,
        met: Callable[[type], None] | None = None,
        report: Callable[[StuckDecision], None] | None = None,
        sticky: Span | None = None,
    ) -> None:
        """Start threads that decide for these workflows, as many for each task list as `instances` says.

        Several versions of one workflow may be decided for here: an execution stays with the one that it began with.

        Args:
            workflows: the definitions.
            instances: how many threads. There are as many again for the executions whose deciders are kept here, if
                they are to come back here.
            task_list: poll this list instead of the definitions' own.
            met: called with each definition that a flow asks for the first time, before the service is asked.
            report: called with every decision task that cannot be decided.
            sticky: how long the decision tasks of an execution wait for this system, which has read its history
                already, before any other may take them; 0 if they do not, and as the backend says unless given.

        Raises:
            DefinitionError: something is wrong with a definition, or two have one name and version.
        """
        if not workflows:
            raise DefinitionError("start_workflow_worker() is given no workflow to decide for")
        lists: dict[str, list[Any]] = {}
        for workflow in workflows:
            check_kind(workflow, Workflow)
        for workflow in workflows:
            self._host(workflow)
            lists.setdefault(task_list or workflow.spec.task_list.name, []).append(workflow)  # type: ignore[attr-defined]

        def meet(definition: type) -> None:
            # A task of a type that the service does not know is refused for good. So that workers may be started in any
            # order, on any machine, the type is there before its first task is asked for.
            self._register(definition)
            if met is not None:
                met(definition)

        wait = self.backend.sticky if sticky is None else to_timedelta(sticky)
        for name, hosted in lists.items():
            worker = WorkflowWorker(
                self.backend,
                hosted,
                task_list=name,
                identity=self.identity,
                codec=self._codec,
                cache=self._cache,
                met=meet,
                report=report,
                neighbours=self._deciding.setdefault(name, {}),
                sticky=make_sticky(name, wait, self._stop.is_set) if wait else None,
            )
            for _ in range(instances):
                self._spawn(f"decide {name}", worker)
                if wait:
                    self._spawn(f"decide {name} again", worker.follow())

    @overload
    def start_activity_worker(
        self, activity: Callable[..., Activity[None, Any]], *, instances: int = 1, task_list: str | None = None
    ) -> None: ...
    @overload
    def start_activity_worker(
        self,
        activity: Callable[..., Activity[C, Any]],
        dependency: C,
        *,
        instances: int = 1,
        task_list: str | None = None,
    ) -> None: ...
    def start_activity_worker(
        self, activity: Any, dependency: Any = None, *, instances: int = 1, task_list: str | None = None
    ) -> None:
        """Start threads that do the tasks of an activity.

        Args:
            activity: the definition.
            dependency: what it needs; the threads share it.
            instances: how many threads.
            task_list: poll this list instead of the definition's own.

        Raises:
            DefinitionError: something is wrong with the definition, its dependency is missing, or another definition
                of its name and version has a worker here.
        """
        check_kind(activity, Activity)
        check_dependency(activity, dependency)
        self._host(activity)
        neighbours = self._neighbours.setdefault(task_list or activity.spec.task_list.name, {})
        for _ in range(instances):
            worker = ActivityWorker(
                self.backend,
                activity,
                dependency,
                task_list=task_list,
                identity=self.identity,
                codec=self._codec,
                neighbours=neighbours,
            )
            neighbours.setdefault(activity.spec.type, worker)
            self._spawn(f"work {activity.spec.task_list.name}", worker)

    def _host(self, definition: Any) -> None:
        with self._lock:
            check_twins(self._hosted.setdefault(definition.spec.type, definition), definition)
        self._register(definition)

    def _spawn(self, name: str, worker: Worker) -> None:
        thread = threading.Thread(
            target=run_worker, args=(worker, self._stop), kwargs={"jitter": random.random}, name=name, daemon=True
        )
        with self._lock:
            # Not after the close, which would not see it.
            if not self._stop.is_set():
                thread.start()
                self._threads.append(thread)

    def _register(self, definition: Any) -> None:
        """Register a type once; one that is there already is as good."""
        with self._lock:
            if definition in self._registered:
                return
        check_definition(definition)
        if (note := register_type(self.backend, definition, self._stop.wait)) is not None:
            log.warning("%s", note)
        with self._lock:
            self._registered.add(definition)

    # The end.

    def close(self, grace: Span = 90) -> None:
        """Stop the workers and let go of the backend.

        A worker finishes the task that it has; a poll in flight is answered first, since a task handed to a dropped
        connection would be lost until it times out. `grace` is how long to wait for that.
        """
        with self._lock:
            self._stop.set()
            threads = [thread for thread in self._threads if thread is not threading.current_thread()]
        self.backend.close()
        deadline = time.monotonic() + to_timedelta(grace).total_seconds()
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0))
        if late := [thread.name for thread in threads if thread.is_alive()]:
            log.warning("still working after %s: %s", grace, ", ".join(late))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
    payload = codec.encode(workflow)
    # A wrong type is seen here, where the call is written, and not by a worker tomorrow.
    codec.decode(payload, type(workflow), f"the input of {spec.type.name} {spec.type.version}")
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
    return Handle(backend, WorkflowExecution(id, run.run_id), spec.result, codec=codec)
