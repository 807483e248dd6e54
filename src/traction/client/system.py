"""Start work, wait for it, and spawn the workers that do it.

Takes definitions and a backend's URL; gives handles of executions, and keeps worker threads. Decides nothing itself.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
from collections.abc import Callable, Mapping
from functools import partial
from math import ceil
from typing import Any, Self, TypeVar, overload

import pluggy

from traction.backend import Backend
from traction.client.completion import TaskCompleter
from traction.client.handle import Handle
from traction.client.registrar import Registrar
from traction.client.starts import IfClosed, IfRunning, Start
from traction.client.visibility import find_execution
from traction.definitions.checks import check_call, check_dependency, check_kind
from traction.definitions.classes import Activity, Workflow
from traction.errors import DefinitionError, TractionError
from traction.flow.durations import Span, to_timedelta
from traction.model.names import ActivityType, WorkflowExecution, WorkflowType, find_name_error
from traction.payloads.codec import JSON, Codec
from traction.plugins.loading import load_plugins, open_backend, open_payload_store
from traction.plugins.observer import find_observer
from traction.worker.activity_worker import ActivityWorker
from traction.worker.decider_cache import DeciderCache
from traction.worker.executors import Executor, create_workers
from traction.worker.heartbeats import Heartbeater
from traction.worker.local_activities import LocalActivities
from traction.worker.loop import Worker, run_worker
from traction.worker.process_pool import PerProcess, ProcessPool
from traction.worker.shutdown import FINISHED, UNFINISHED, Signals, finish
from traction.worker.slots import Slots, WorkerThread
from traction.worker.sticky import make_sticky
from traction.worker.workflow_worker import StuckDecisionError, WorkflowWorker

R = TypeVar("R")
C = TypeVar("C")

log = logging.getLogger("traction.client")


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
        if plugins is None and backend is None:
            plugins = load_plugins()
        self._observer = find_observer(plugins)
        self.backend = open_backend(url, plugins) if backend is None else backend
        self.identity = identity or f"{socket.gethostname()}:{os.getpid()}"
        self._codec = codec
        self._stop = threading.Event()
        self._threads: list[WorkerThread] = []
        self._slots: list[Slots] = []
        self._cache = DeciderCache()
        self._neighbours: dict[str, dict[ActivityType, ActivityWorker]] = {}
        self._deciding: dict[str, dict[WorkflowType, type[Workflow[Any]]]] = {}
        self._registrar = Registrar(self.backend, self._stop)
        self._lock = threading.Lock()
        self._pulse = Heartbeater()
        self._pools: list[ProcessPool] = []
        self._answers = TaskCompleter(self.backend, codec, self._stop.wait)
        self._unfinished: bool | None = None

    # Work.

    def run(
        self,
        workflow: Workflow[R],
        *,
        workflow_id: str | None = None,
        if_running: IfRunning = "match",
        if_closed: IfClosed = "start",
    ) -> Handle[R]:
        """Start a workflow, or find the execution that the same call started and that is open.

        The handle's `started` says which. A start whose reply is lost is found, open or closed, and counts as started.

        Args:
            workflow: a call of a workflow, with its input.
            workflow_id: the id to start it under, instead of what `workflow.workflow_id()` returns.
            if_running: what to do if an execution of that id is open: see `traction.client.starts.IfRunning`.
            if_closed: what to do if the last one of that id has closed: see `IfClosed`.

        Raises:
            DefinitionError: something is wrong with the definition, the id, or a policy.
            PayloadError: the input does not decode as the definition says.
            WorkflowAlreadyRunning, WorkflowAlreadyClosed: an execution has this id that the policy does not accept.
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

    @overload
    def find(self, execution: WorkflowExecution | str, workflow: Callable[..., Workflow[R]]) -> Handle[R]: ...
    @overload
    def find(self, execution: WorkflowExecution | str) -> Handle[Any]: ...
    def find(self, execution: WorkflowExecution | str, workflow: Any = None) -> Handle[Any]:
        """Give the handle of an execution that was started elsewhere; what it tells is read as the workflow says.

        Args:
            execution: a run; or a workflow id, which means the run that is open, or else the last that closed.
            workflow: its definition.

        Raises:
            UnknownResourceFault: there is no execution of this workflow id, or lists do not show it yet (SWF).
        """
        if isinstance(execution, str):
            execution = find_execution(self.backend, execution)
        return Handle(self.backend, execution, workflow, codec=self._codec)

    # Workers.

    def start_workflow_worker(
        self,
        *workflows: Callable[..., Workflow[Any]],
        instances: int = 1,
        task_list: str | None = None,
        provide: Mapping[Callable[..., Activity[Any, Any]], Any] | None = None,
        on_definition: Callable[[type], None] | None = None,
        on_stuck: Callable[[StuckDecisionError], None] | None = None,
        sticky: Span | None = None,
    ) -> None:
        """Start threads that decide for these workflows, as many for each task list as `instances` says.

        Several versions of one workflow may be decided for here: an execution stays with the one that it began with.

        Args:
            workflows: the definitions.
            instances: how many threads. There are as many again for the executions whose deciders are kept here, if
                they are to come back here.
            task_list: poll this list instead of the definitions' own.
            provide: what local activities need, by activity.
            on_definition: called with each definition that a flow asks for the first time, before the service is asked.
            on_stuck: called with every decision task that cannot be decided.
            sticky: how long the decision tasks of an execution wait for this system, which has read its history
                already, before any other may take them; 0 if they do not, and as the backend says unless given.

        Raises:
            DefinitionError: something is wrong with a definition, or two have one name and version.
            BackendError: the service refused a definition. If it cannot be reached, the workers keep trying.
        """
        if not workflows:
            raise DefinitionError("start_workflow_worker() is given no workflow to decide for")
        lists: dict[str, list[Any]] = {}
        for workflow in workflows:
            check_kind(workflow, Workflow)
        for workflow in workflows:
            self._registrar.host(workflow)
            lists.setdefault(task_list or workflow.spec.task_list.name, []).append(workflow)  # type: ignore[attr-defined]

        def meet(definition: type) -> None:
            # A task of a type that the service does not know is refused for good. So that workers may be started in any
            # order, on any machine, the type is there before its first task is asked for.
            self._registrar.register(definition)
            if on_definition is not None:
                on_definition(definition)

        local = LocalActivities(provide)
        wait = self.backend.sticky if sticky is None else to_timedelta(sticky)
        for name, hosted in lists.items():
            worker = WorkflowWorker(
                self.backend,
                hosted,
                task_list=name,
                identity=self.identity,
                codec=self._codec,
                cache=self._cache,
                on_definition=meet,
                on_stuck=on_stuck,
                neighbours=self._deciding.setdefault(name, {}),
                local=local,
                observer=self._observer,
                sticky=make_sticky(name, wait, self._stop.is_set) if wait else None,
            )
            for _ in range(instances):
                self._spawn(f"decide {name}", worker)
                if wait:
                    self._spawn(f"decide {name} again", worker.follow())

    @overload
    def start_activity_worker(
        self,
        activity: Callable[..., Activity[None, Any]],
        *,
        instances: int = 1,
        task_list: str | None = None,
        executor: Executor = "thread",
    ) -> None: ...
    @overload
    def start_activity_worker(
        self,
        activity: Callable[..., Activity[C, Any]],
        dependency: C | PerProcess[C],
        *,
        instances: int = 1,
        task_list: str | None = None,
        executor: Executor = "thread",
    ) -> None: ...
    def start_activity_worker(
        self,
        activity: Any,
        dependency: Any = None,
        *,
        instances: int = 1,
        task_list: str | None = None,
        executor: Executor = "thread",
    ) -> None:
        """Do the tasks of an activity.

        Args:
            activity: the definition.
            dependency: what it needs; all instances share it. For `executor="process"`, what pickle takes, or
                `PerProcess(make)`.
            instances: how many tasks are in hand at a time.
            task_list: poll this list instead of the definition's own.
            executor: where the activity runs: in as many threads, in as many processes, or, if it is async, together
                on one event loop.

        Raises:
            DefinitionError: something is wrong with the definition, its dependency is missing, another definition of
                its name and version has a worker here, or the executor cannot run it.
            BackendError: the service refused the definition. If it cannot be reached, the workers keep trying.
        """
        check_kind(activity, Activity)
        check_dependency(activity, dependency)
        self._registrar.host(activity)
        neighbours = self._neighbours.setdefault(task_list or activity.spec.task_list.name, {})
        slots = Slots(activity.spec.type.name)
        name = f"work {activity.spec.task_list.name}"
        make = partial(
            ActivityWorker,
            self.backend,
            task_list=task_list,
            identity=self.identity,
            codec=self._codec,
            neighbours=neighbours,
            pulse=self._pulse,
            observer=self._observer,
            slots=slots,
        )
        workers, pools = create_workers(
            make,
            activity,
            dependency,
            executor=executor,
            instances=instances,
            leaving=self._stop.is_set,
            slots=slots,
            spawn=partial(self._spawn, name),
        )
        with self._lock:
            self._pools += pools
            self._slots.append(slots)
        for worker in workers:
            neighbours.setdefault(activity.spec.type, worker.host)
            self._spawn(name, worker)

    @property
    def lost_slots(self) -> int:
        """How many threads of workers are held by activities that still run though their tasks have ended.

        Each was replaced by another, up to 32 for each activity.
        """
        with self._lock:
            return sum(slots.lost for slots in self._slots)

    def _spawn(self, name: str, worker: Worker) -> None:
        def work(left_behind: Callable[[], bool]) -> None:
            run_worker(
                worker, self._stop, jitter=random.random, prepare=self._registrar.prepare, left_behind=left_behind
            )

        thread = WorkerThread(name, work)
        with self._lock:
            # Not after the close, which would not see it.
            if not self._stop.is_set():
                thread.start()
                self._threads.append(thread)
                return
        worker.close()
        self._close_pools()

    # Tasks whose activities returned `COMPLETE_LATER`.

    def complete(self, token: str, value: object) -> None:
        """Answer an activity task with its result, from wherever that is known.

        Args:
            token: what `current_task().token` said.
            value: the result, as the activity would have returned it.

        Raises:
            UnknownResourceFault: the task is no longer open: it was answered, has timed out, or its execution closed.
            PayloadError: the value cannot be written.
            BackendError: the service could not be reached, though tried several times.
        """
        self._answers.complete(token, value)

    def fail(self, token: str, error: BaseException) -> None:
        """Answer an activity task with its failure; `Cancelled()` says that it stopped since nobody wanted it.

        Raises:
            UnknownResourceFault: the task is no longer open.
            BackendError: the service could not be reached, though tried several times.
        """
        self._answers.fail(token, error)

    def heartbeat(self, token: str, details: object = None) -> None:
        """Say that the work on an activity task goes on; its worker says it no longer.

        Raises:
            Cancelled: nobody wants the result any more.
            BackendError: the service could not be reached, though tried several times.
        """
        self._answers.heartbeat(token, details)

    # The end.

    @property
    def mistake(self) -> TractionError | None:
        """What stopped the workers: they could not start when the service could be reached at last."""
        return self._registrar.mistake

    @property
    def stopped(self) -> threading.Event:
        """Set when the workers stop: by `close()`, or by a `mistake`."""
        return self._stop

    def run_until_stopped(self, grace: Span = 90) -> int:
        """Work until SIGTERM or SIGINT, and then close; call it from the program's main thread.

        A second signal ends the program at once, with exit code 128 and the signal's number.

        Returns:
            The exit code: 0 if all was finished, 1 if something had to be handed back after the grace.

        Raises:
            DefinitionError, BackendError: the service could not be reached when workers were started, and when it
                could, it refused a definition; as `start_workflow_worker` and `start_activity_worker` otherwise do.
        """
        with Signals() as signals:
            signals.wait(self._stop)
            code = self.close(grace)
        if self.mistake is not None:
            raise self.mistake
        return code

    def close(self, grace: Span = 90) -> int:
        """Stop the workers and let go of the backend.

        No more polls are sent. Those in flight are answered first, since a task handed to a dropped connection would be
        lost until it times out; that takes a minute at the most (SWF). Workers finish the tasks that they have. What is
        left after `grace` is handed back: the task fails with a reason that deciders schedule again.

        It returns as soon as all is done, so `grace` matters only while an activity is at work, or a poll of SWF in
        flight. Activities that still run though their tasks have timed out are not waited for. On a terminal, a Ctrl-C
        ends the wait; what is in hand is then left to time out.

        Args:
            grace: how long to wait at the most, in seconds or as a `timedelta`. A minute and a half is what polls of
                SWF take, and what supervisors are told to allow.

        Returns:
            0 if all was finished, 1 if something was left.
        """
        with self._lock:
            self._stop.set()
            threads = [thread for thread in self._threads if thread is not threading.current_thread()]
        self.backend.close()
        # Twice is once: what was left after the first grace gets no other.
        first = self._unfinished is None
        polls, seconds = self.backend.find_pending_polls()
        if first and polls:
            log.warning(
                "waiting for %d polls in flight, up to %d s: the service may give them tasks, and one that is given to "
                "a dropped poll is lost until it times out. A second signal or Ctrl-C ends the wait",
                *(polls, ceil(seconds)),
            )
        late = finish(threads, self._pulse, 0 if self._unfinished else to_timedelta(grace).total_seconds())
        lost = self.lost_slots
        if first and lost:
            log.warning("%d activities are left behind that still run though their tasks have ended", lost)
        if first and late:
            log.warning("still working after %s: %s", grace, ", ".join(late))
        self._unfinished = bool(self._unfinished or late or lost)
        self._close_pools()
        self._cache.close()
        return UNFINISHED if self._unfinished else FINISHED

    def _close_pools(self) -> None:
        with self._lock:
            pools, self._pools = self._pools, []
        for pool in pools:
            pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
