"""Do the work: poll for a task, do it, answer it; once, or for as long as wanted.

Takes a backend and definitions; gives answers to tasks. Decides nothing itself: `decide` does. Each worker has a
`work_once()`, and `run_worker` is the loop around it that threads run; a simulation calls the same `work_once()`.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import timedelta
from types import CoroutineType
from typing import Any, Protocol

import msgspec

from traction import operations as o
from traction.backend import Backend
from traction.codec import JSON, UNREADABLE, Codec, describe_failure
from traction.decide import Decider
from traction.decisions import (
    CancelWorkflowExecution,
    CompleteWorkflowExecution,
    ContinueAsNewWorkflowExecution,
    Decision,
    FailWorkflowExecution,
)
from traction.definition import Activity, Workflow
from traction.errors import (
    BackendError,
    DefinitionError,
    PayloadError,
    ServiceFault,
    TractionError,
    UnknownResourceFault,
)
from traction.events import Event
from traction.names import ActivityType, TaskList, WorkflowExecution, WorkflowType
from traction.step import Cancelled
from traction.tasks import RunningTask, _current

log = logging.getLogger("traction.worker")

EVENTS_CACHED_MAX = 200_000
"""How many events the deciders in a cache may have read between them: some hundred megabytes."""

BACKOFF_MAX = timedelta(seconds=30)
"""The longest pause between polls of a service that does not answer."""

HEARTBEAT_CHARS_MAX = 2_048
"""The most characters that the details of a heartbeat may have (SWF)."""

_CLOSES = (CompleteWorkflowExecution, FailWorkflowExecution, CancelWorkflowExecution, ContinueAsNewWorkflowExecution)


class Worker(Protocol):
    """What does one turn of work at a time."""

    def work_once(self, wait: timedelta | None = None) -> bool:
        """Poll, wait for a task for so long at the most, and do it; say whether there was one."""
        ...


class StuckDecision(Exception):
    """A decision task could not be decided: `execution`, and `error` as its author or an operator must mend it.

    The execution stays open. The task comes back when it times out, to whatever code is deployed then.
    """

    def __init__(self, execution: WorkflowExecution, error: Exception) -> None:
        self.execution = execution
        self.error = error
        super().__init__(f"{execution.workflow_id} (run {execution.run_id}) cannot go on: {error}")


class DeciderCache:
    """Deciders of live executions, those used least recently let go first. Safe to share between threads.

    A decider is taken out while it is used, so no two threads have the same one.
    """

    def __init__(self, events_max: int = EVENTS_CACHED_MAX) -> None:
        self._events_max = events_max
        self._events = 0
        self._deciders: OrderedDict[str, Decider] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, execution: WorkflowExecution) -> Decider | None:
        """Take out the decider of an execution, if there is one."""
        with self._lock:
            decider = self._deciders.pop(execution.run_id, None)
            if decider is not None:
                self._events -= decider.history.last
            return decider

    def put(self, execution: WorkflowExecution, decider: Decider) -> None:
        """Put back a decider whose decisions were accepted."""
        with self._lock:
            self._deciders[execution.run_id] = decider
            self._events += decider.history.last
            dropped = []
            while self._events > self._events_max and len(self._deciders) > 1:
                _, oldest = self._deciders.popitem(last=False)
                self._events -= oldest.history.last
                dropped.append(oldest)
        for oldest in dropped:
            oldest.close()

    def __len__(self) -> int:
        return len(self._deciders)


class WorkflowWorker:
    """Decides for the executions of some workflows that wait on one task list.

    Args:
        workflows: the definitions, each of its own name or version.
        task_list: where their decision tasks wait.
        identity: what the history shows as who took the task.
        met: called with activities and workflows that flows asked for the first time, before they are asked of the
        service.
        report: called with every `StuckDecision`, besides the log.
    """

    def __init__(
        self,
        backend: Backend,
        workflows: Iterable[type[Workflow[Any]]],
        *,
        task_list: str | None = None,
        identity: str | None = None,
        codec: Codec = JSON,
        cache: DeciderCache | None = None,
        met: Callable[[type], None] | None = None,
        report: Callable[[StuckDecision], None] | None = None,
    ) -> None:
        self.workflows = index_by_type(workflows)
        lists = {workflow.spec.task_list for workflow in self.workflows.values()}
        if task_list is None and len(lists) != 1:
            names = ", ".join(sorted(one.name for one in lists)) or "none"
            raise DefinitionError(f"a workflow worker polls one task list, and its workflows wait on {names}: name one")
        self._poll = o.PollForDecisionTask(
            domain=backend.domain,
            task_list=TaskList(task_list) if task_list is not None else lists.pop(),
            identity=identity,
            start_at_previous_started_event=True,
        )
        self._backend = backend
        self._codec = codec
        self._cache = DeciderCache() if cache is None else cache
        self._met = met
        self._seen: set[type] = set()
        self._report = report

    def work_once(self, wait: timedelta | None = None) -> bool:
        """Poll, wait for a decision task for so long at the most, and decide; say whether there was one.

        What cannot be decided is reported and logged, and its task left to time out: the execution stays open.

        Raises:
            BackendError: the service could not be reached; the next turn may work.
        """
        task = self._backend.call(self._poll, wait)
        if not task.task_token:
            return False
        execution = task.workflow_execution
        decider: Decider | None = None
        try:
            decider = self._find_decider(task)
            decisions = decider.decide()
            if self._met is not None:
                for definition in sorted(decider.met - self._seen, key=repr):
                    self._met(definition)
                    self._seen.add(definition)
            self._respond(task, decisions)
        except TractionError as error:
            if decider is not None:
                decider.close()
            self._explain(execution, error)
            return True
        if decisions and isinstance(decisions[-1], _CLOSES):
            decider.close()
        else:
            self._cache.put(execution, decider)
        return True

    def _find_decider(self, task: o.DecisionTask) -> Decider:
        """Give a decider that has read the task's history: the one in the cache and what is new, or a new one."""
        decider = self._cache.take(task.workflow_execution)
        if decider is not None and decider.decided_event_id == task.previous_started_event_id:
            events = self._read_pages(task)
            seen = decider.history.last + 1 - events[0].event_id
            decider.feed(events[seen:])
            return decider
        if decider is not None:
            decider.close()
        workflow = self.workflows.get(task.workflow_type)
        if workflow is None:
            hosted = ", ".join(f"{type.name} {type.version}" for type in self.workflows)
            raise DefinitionError(
                f"a decision task of {task.workflow_type.name} {task.workflow_type.version} came to the list "
                f"{self._poll.task_list.name}, and the worker there has {hosted}. Start a worker that has it, "
                "or give it a list of its own"
            )
        decider = Decider(workflow, execution=task.workflow_execution, codec=self._codec)
        if not task.previous_started_event_id:
            decider.feed(self._read_pages(task))
        else:
            history = self._backend.get_history(task.workflow_execution)
            decider.feed(history[: task.started_event_id])
        return decider

    def _read_pages(self, task: o.DecisionTask) -> tuple[Event, ...]:
        events = task.events
        while task.next_page_token is not None:
            # Page tokens are bound to the query: all else stays as it was (SWF).
            more = msgspec.structs.replace(self._poll, next_page_token=task.next_page_token)
            task = self._backend.call(more)
            events += task.events
        return events

    def _respond(self, task: o.DecisionTask, decisions: list[Decision]) -> None:
        self._backend.call(o.RespondDecisionTaskCompleted(task_token=task.task_token, decisions=tuple(decisions)))

    def _explain(self, execution: WorkflowExecution, error: TractionError) -> None:
        if isinstance(error, UnknownResourceFault):
            # The task timed out or the execution closed while we decided: what matters happens elsewhere.
            log.info("%s: the decision came too late: %s", execution.workflow_id, error)
            return
        if isinstance(error, BackendError) and not isinstance(error, ServiceFault):
            raise error
        stuck = StuckDecision(execution, error)
        log.error("%s", stuck, exc_info=error)
        if self._report is not None:
            self._report(stuck)


class ActivityWorker:
    """Does the tasks of one activity.

    Args:
        dependency: what the activity needs, given to each `run`; several workers may share it if it allows that.
        identity: what the history shows as who took the task.
        body: what to do instead of the activity's `run`, given the call; then no dependency is needed.
    """

    def __init__(
        self,
        backend: Backend,
        activity: Any,
        dependency: Any = None,
        *,
        task_list: str | None = None,
        identity: str | None = None,
        codec: Codec = JSON,
        body: Callable[[Any], Any] | None = None,
    ) -> None:
        if body is None:
            check_dependency(activity, dependency)
        self.activity: type[Activity[Any, Any]] = activity
        spec = self.activity.spec
        self._poll = o.PollForActivityTask(
            domain=backend.domain,
            task_list=TaskList(task_list) if task_list is not None else spec.task_list,
            identity=identity,
        )
        self._backend = backend
        self._dependency = dependency
        self._arguments = () if spec.needs is None else (dependency,)
        self._body = body
        self._codec = codec
        self._run_async: Callable[[Any], Any] | None = None

    def work_once(self, wait: timedelta | None = None) -> bool:
        """Poll, wait for an activity task for so long at the most, and do it; say whether there was one.

        Whatever the activity raises is that task's failure. What it is given and cannot read is a failure too, of a
        kind that deciders schedule again until a worker can read it.

        Raises:
            BackendError: the service could not be reached; the next turn may work.
        """
        task = self.poll_once(wait)
        if task is None:
            return False
        self.answer(task, self.do(task))
        return True

    # The parts of a turn, for those who let time pass between them.

    def poll_once(self, wait: timedelta | None = None) -> o.ActivityTask | None:
        """Poll, and wait for a task for so long at the most."""
        task = self._backend.call(self._poll, wait)
        return task if task.task_token else None

    def answer(self, task: o.ActivityTask, answer: o.Request[None]) -> None:
        """Say how a task ended; if it is no longer wanted, let it be."""
        try:
            self._backend.call(answer)
        except UnknownResourceFault as error:
            log.info(
                "%s %s: the answer came too late: %s", task.workflow_execution.workflow_id, task.activity_id, error
            )

    def do(self, task: o.ActivityTask) -> o.Request[None]:
        """Run the activity and say how it ended."""
        spec = self.activity.spec
        token = task.task_token
        try:
            if task.activity_type != spec.type:
                got, has = task.activity_type, spec.type
                raise PayloadError(
                    f"the worker has {has.name} {has.version}, and the task is of {got.name} {got.version}"
                )
            call = self._codec.decode(task.input, self.activity, f"the input of {spec.type.name} {spec.type.version}")
        except PayloadError as error:
            log.error("%s %s: %s", task.workflow_execution.workflow_id, task.activity_id, error)
            return o.RespondActivityTaskFailed(task_token=token, reason=UNREADABLE, details=describe_failure(error)[1])
        running = _Running(self._backend, task, self._codec)
        reset = _current.set(running)
        try:
            result = call.run(*self._arguments) if self._body is None else self._body(call)
            if isinstance(result, CoroutineType):
                result = self._await(result)
            return o.RespondActivityTaskCompleted(task_token=token, result=self._codec.encode(result))
        except Cancelled:
            return o.RespondActivityTaskCanceled(task_token=token)
        except BaseException as error:
            log.warning("%s %s failed: %r", task.workflow_execution.workflow_id, task.activity_id, error)
            reason, details = describe_failure(error)
            return o.RespondActivityTaskFailed(task_token=token, reason=reason, details=details)
        finally:
            _current.reset(reset)

    def _await(self, coroutine: Any) -> Any:
        """Run an async activity on a loop of this worker's own."""
        if self._run_async is None:
            import asyncio

            self._run_async = asyncio.Runner().run
        return self._run_async(coroutine)


class _Running(RunningTask):
    def __init__(self, backend: Backend, task: o.ActivityTask, codec: Codec) -> None:
        self.execution = task.workflow_execution
        self.activity_type = task.activity_type
        self.activity_id = task.activity_id
        self._backend = backend
        self._token = task.task_token
        self._codec = codec

    def heartbeat(self, details: object = None) -> None:
        payload = None if details is None else self._codec.encode(details)
        if payload is not None and len(payload) > HEARTBEAT_CHARS_MAX:
            raise PayloadError(
                f"the details of a heartbeat take {len(payload):,} characters; SWF takes {HEARTBEAT_CHARS_MAX:,}"
            )
        try:
            status = self._backend.call(o.RecordActivityTaskHeartbeat(task_token=self._token, details=payload))
        except UnknownResourceFault:
            raise Cancelled from None
        if status.cancel_requested:
            raise Cancelled


def index_by_type(workflows: Iterable[type[Workflow[Any]]]) -> dict[WorkflowType, type[Workflow[Any]]]:
    """Index definitions by their types.

    Raises:
        DefinitionError: two have one name and version.
    """
    index: dict[WorkflowType, type[Workflow[Any]]] = {}
    for workflow in workflows:
        check_twins(index.setdefault(workflow.spec.type, workflow), workflow)
    return index


def check_twins(one: Any, other: Any) -> None:
    """Refuse two definitions under one type.

    Raises:
        DefinitionError: they are not the same definition.
    """
    type: ActivityType | WorkflowType = one.spec.type
    if one is not other:
        raise DefinitionError(
            f"{one.__module__}.{one.__qualname__} and {other.__module__}.{other.__qualname__} are both called "
            f"{type.name} {type.version}, and a history could mean either. Give one another name or version"
        )


def check_dependency(activity: Any, dependency: Any) -> None:
    """Refuse to start a worker without what its activity needs.

    Raises:
        DefinitionError: the dependency is missing, or there is one too many.
    """
    needs = activity.spec.needs
    name = activity.__qualname__
    if needs is not None and dependency is None:
        raise DefinitionError(
            f"{name} needs {getattr(needs, '__qualname__', needs)}, and its worker is given none. Write "
            f"start_activity_worker({name}, dependency), or run(..., provide={{{name}: dependency}})"
        )
    if needs is None and dependency is not None:
        raise DefinitionError(f"{name} needs nothing, and its worker is given {dependency!r:.100}")


def run_worker(
    worker: Worker, stop: threading.Event, *, wait: timedelta | None = None, jitter: Callable[[], float] = lambda: 1.0
) -> None:
    """Do one turn after another until `stop` is set; a task that a poll was given is always answered first.

    After a turn that failed, pause: for a second, and twice as long each time up to half a minute, times `jitter()`.
    """
    failures = 0
    while not stop.is_set():
        try:
            worker.work_once(wait)
            failures = 0
        except Exception as error:
            pause = min(timedelta(seconds=2 ** min(failures, 10)), BACKOFF_MAX) * jitter()
            failures += 1
            known = isinstance(error, BackendError) and error.retryable
            log.warning("a turn failed, the next is in %s: %s", pause, error, exc_info=None if known else error)
            stop.wait(pause.total_seconds())
