"""Run workers in threads of this process, next to a client."""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
from collections.abc import Callable, Mapping
from functools import partial
from math import ceil
from typing import Any, TypeVar, overload

import pluggy

from traction.backend import Backend
from traction.client.client import Client
from traction.definitions.checks import check_dependency, check_kind
from traction.definitions.classes import Activity, Workflow
from traction.errors import DefinitionError, TractionError
from traction.flow.durations import Span, to_timedelta
from traction.model.names import ActivityType, WorkflowType
from traction.payloads.codec import JSON, Codec
from traction.plugins.loading import load_plugins
from traction.plugins.observer import find_observer
from traction.worker.activity_worker import ActivityWorker
from traction.worker.decider_cache import DeciderCache
from traction.worker.executors import Executor, create_workers
from traction.worker.heartbeats import Heartbeater
from traction.worker.hosted_activity import HostedActivity
from traction.worker.local_activities import LocalActivities
from traction.worker.loop import Worker, run_worker
from traction.worker.process_pool import PerProcess, ProcessPool
from traction.worker.shutdown import FINISHED, UNFINISHED, StopSignals, finish
from traction.worker.slots import Slots, WorkerThread
from traction.worker.sticky import make_sticky
from traction.worker.workflow_worker import StuckDecisionError, WorkflowWorker

C = TypeVar("C")

log = logging.getLogger("traction.client")


class WorkerSystem(Client):
    """A client that also runs workers: threads that poll the backend for tasks of workflows and activities.

    Close it, or use it in a `with` statement: its workers then finish their tasks and stop.

    Args:
        url: the backend.
        codec: how values become payloads; plain JSON by default.
        payloads: the URL of the store for payloads that exceed SWF's limit; the same in all processes that share
            executions.
        identity: the name of this process in histories; host and process id by default.
        plugins: the plugins that open backends and observe workers; by default those installed.
        backend: an open backend, instead of `url`.

    Example:
        with WorkerSystem("local:") as ws:
            ws.start_workflow_worker(IndexProjectData, instances=2)
            ws.start_activity_worker(CollectChanges, db, instances=4)
            print(ws.run(IndexProjectData(7)))
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
        if plugins is None and backend is None:
            plugins = load_plugins()
        super().__init__(url, codec=codec, payloads=payloads, plugins=plugins, backend=backend)
        self._observer = find_observer(plugins)
        self.identity = identity or f"{socket.gethostname()}:{os.getpid()}"
        self._threads: list[WorkerThread] = []
        self._slots: list[Slots] = []
        self._cache = DeciderCache()
        self._neighbours: dict[str, dict[ActivityType, HostedActivity]] = {}
        self._deciding: dict[str, dict[WorkflowType, type[Workflow[Any]]]] = {}
        self._lock = threading.Lock()
        self._heartbeater = Heartbeater()
        self._pools: list[ProcessPool] = []
        self._unfinished: bool | None = None

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
        """Start threads that decide for these workflows: `instances` of them for each task list.

        There may be several versions of one workflow: an execution keeps the version with which it started.

        Args:
            workflows: the definitions.
            instances: how many threads. With `sticky`, the same number of threads polls the sticky list.
            task_list: poll this list instead of the definitions' own.
            provide: the dependencies of local activities, by activity.
            on_definition: called once per activity or workflow type, before its first task is scheduled.
            on_stuck: called with every decision task that cannot be decided.
            sticky: how long the decision tasks of an execution wait for this system, which has cached its decider,
                before other systems may take them; 0 turns this off. The default depends on the backend.

        Raises:
            DefinitionError: a definition is wrong, or two have the same name and version.
            BackendError: the service rejected a definition. If it cannot be reached, the workers keep trying.
        """
        if not workflows:
            raise DefinitionError("start_workflow_worker() needs at least one workflow")
        lists: dict[str, list[Any]] = {}
        for workflow in workflows:
            check_kind(workflow, Workflow)
        for workflow in workflows:
            self._registrar.host(workflow)
            lists.setdefault(task_list or workflow.spec.task_list.name, []).append(workflow)  # type: ignore[attr-defined]

        def register(definition: type) -> None:
            # The service rejects a task of an unknown type for good. Registering the type before its first task is
            # scheduled allows workers to be started in any order, on any machine.
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
                on_definition=register,
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
        """Start workers that run the tasks of an activity.

        Args:
            activity: the definition.
            dependency: the activity's dependency, shared by all instances. For `executor="process"`, a picklable value
                or `PerProcess(make)`.
            instances: how many tasks run at a time.
            task_list: poll this list instead of the definition's own.
            executor: where the activity runs: in `instances` threads, in `instances` processes, or, if it is async,
                on one event loop.

        Raises:
            DefinitionError: the definition is wrong, its dependency is missing, another definition of
                its name and version has a worker here, or the executor cannot run it.
            BackendError: the service rejected the definition. If it cannot be reached, the workers keep trying.
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
            heartbeater=self._heartbeater,
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
            neighbours.setdefault(activity.spec.type, worker.hosted)
            self._spawn(name, worker)

    @property
    def lost_slots(self) -> int:
        """How many worker threads are occupied by activities whose tasks have ended.

        Each is replaced by another thread, up to 32 for each activity.
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
            # After the close, the thread would not be stopped.
            if not self._stop.is_set():
                thread.start()
                self._threads.append(thread)
                return
        worker.close()
        self._close_pools()

    # Shutdown.

    @property
    def mistake(self) -> TractionError | None:
        """The error that stopped the workers, raised by their registration once the service was reachable."""
        return self._registrar.mistake

    @property
    def stopped(self) -> threading.Event:
        """Set when the workers stop: by `close()`, or by a `mistake`."""
        return self._stop

    def run_until_stopped(self, grace: Span = 90) -> int:
        """Run the workers until SIGTERM or SIGINT, then close. Call it from the main thread.

        A second signal exits at once, with 128 plus the signal's number as the exit code.

        Returns:
            The exit code: 0 if all tasks were finished, 1 if some were handed back after `grace`.

        Raises:
            DefinitionError, BackendError: the service was unreachable when workers were started, and rejected a
                definition later.
        """
        with StopSignals() as signals:
            signals.wait(self._stop)
            code = self.close(grace)
        if self.mistake is not None:
            raise self.mistake
        return code

    def close(self, grace: Span = 90) -> int:
        """Stop the workers and close the backend.

        No more polls are sent. Pending polls end first, since a task assigned to a closed connection would be lost
        until it times out; that takes up to a minute (SWF). Workers finish their tasks. Tasks that still run after
        `grace` are handed back: they fail with a reason for which deciders schedule them again.

        This returns as soon as all tasks are done, so `grace` matters only while activities run or polls are pending.
        Activities whose tasks have timed out are not waited for. On a terminal, Ctrl-C ends the wait, and running tasks
        time out.

        Args:
            grace: the longest wait, in seconds or as a `timedelta`. The default allows for a poll of SWF; allow
                supervisors at least as much.

        Returns:
            0 if all tasks were finished, 1 if some were not.
        """
        with self._lock:
            self._stop.set()
            threads = [thread for thread in self._threads if thread is not threading.current_thread()]
        self.backend.close()
        # A second close waits for nothing: the first one has waited for `grace`.
        first = self._unfinished is None
        polls, seconds = self.backend.find_pending_polls()
        if first and polls:
            log.warning(
                "waiting for %d pending polls, up to %d s: the service may still assign tasks to them, which would be "
                "lost until they time out. A second signal or Ctrl-C ends the wait",
                *(polls, ceil(seconds)),
            )
        late = finish(threads, self._heartbeater, 0 if self._unfinished else to_timedelta(grace).total_seconds())
        lost = self.lost_slots
        if first and lost:
            log.warning("%d activities still run although their tasks have ended", lost)
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
