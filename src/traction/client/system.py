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
        with StopSignals() as signals:
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
        late = finish(threads, self._heartbeater, 0 if self._unfinished else to_timedelta(grace).total_seconds())
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
