"""Do the work: poll for a task, do it, answer it; once, or for as long as wanted.

Takes a backend and definitions; gives answers to tasks. Decides nothing itself: `decide` does. Each worker has a
`work_once()`, and `run_worker` is the loop around it that threads run; a simulation calls the same `work_once()`.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextvars import copy_context
from copy import copy
from datetime import timedelta
from types import CoroutineType
from typing import Any, Protocol, TypeVar

import msgspec

from traction import operations as o
from traction.backend import Backend
from traction.checks import check_dependency, index_by_type
from traction.codec import JSON, UNREADABLE, Codec, describe_failure, read_attempt, read_failure
from traction.decide import Decider
from traction.deciders import DeciderCache as DeciderCache
from traction.deciders import Sticky, store_payloads
from traction.decisions import (
    CancelWorkflowExecution,
    CompleteWorkflowExecution,
    ContinueAsNewWorkflowExecution,
    FailWorkflowExecution,
)
from traction.definition import Activity, Workflow
from traction.errors import (
    BackendError,
    DefinitionError,
    FlowError,
    PayloadError,
    PayloadUnavailable,
    ServiceFault,
    UnknownResourceFault,
    ValidationException,
)
from traction.events import Event
from traction.names import ActivityType, TaskList, WorkflowExecution, WorkflowType
from traction.step import Cancelled
from traction.tasks import RunningTask, _current

T = TypeVar("T")

log = logging.getLogger("traction.worker")

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

    def close(self) -> None:
        """Let go of what turns keep between them."""
        ...


class StuckDecision(Exception):
    """A decision task could not be decided: `execution`, and `error` as its author or an operator must mend it.

    The execution stays open. The task comes back when it times out, to whatever code is deployed then.
    """

    def __init__(self, execution: WorkflowExecution, error: Exception) -> None:
        self.execution = execution
        self.error = error
        super().__init__(f"{execution.workflow_id} (run {execution.run_id}) cannot go on: {error}")


class WorkflowWorker:
    """Decides for the executions of some workflows that wait on one task list. Several threads may take its turns.

    Args:
        workflows: the definitions, each of its own name or version.
        task_list: where their decision tasks wait.
        identity: what the history shows as who took the task.
        met: called with activities and workflows that flows asked for the first time, before they are asked of the
        service.
        report: called with every `StuckDecision`, besides the log.
        neighbours: what others decide for on the same list: those tasks come here as well, and are decided here. What
            is decided for here is added.
        sticky: where the decision tasks of executions shall come whose deciders are kept, if not to any worker.
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
        neighbours: dict[WorkflowType, type[Workflow[Any]]] | None = None,
        sticky: Sticky | None = None,
    ) -> None:
        self.workflows = index_by_type(workflows)
        lists = {workflow.spec.task_list for workflow in self.workflows.values()}
        if task_list is None and len(lists) != 1:
            names = ", ".join(sorted(one.name for one in lists)) or "none"
            raise DefinitionError(
                f"a workflow worker polls one task list, and its workflows wait on {names}; give it task_list=..."
            )
        if neighbours is not None:
            neighbours.update(self.workflows)
            self.workflows = neighbours
        self._sticky = sticky
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
        self._meeting = threading.Lock()
        self._report = report
        self._home = self._poll.task_list
        self._unsent: deque[tuple[WorkflowExecution, o.RespondDecisionTaskCompleted]] = deque()

    def follow(self) -> WorkflowWorker:
        """Give a worker like this one, with the same deciders, for the tasks that come back to them."""
        assert self._sticky is not None
        follower = copy(self)
        follower._poll = msgspec.structs.replace(self._poll, task_list=self._sticky.task_list)
        follower._unsent = deque()
        return follower

    def work_once(self, wait: timedelta | None = None) -> bool:
        """Poll, wait for a decision task for so long at the most, and decide; say whether there was one.

        What cannot be decided is reported and logged, and its task left to time out: the execution stays open.

        Raises:
            BackendError: the service could not be reached; the next turn may work.
        """
        while (unsent := _pop(self._unsent)) is not None:
            self._respond(*unsent)
        task = self._backend.call(self._poll, wait)
        if not task.task_token:
            return False
        answer = self._decide(task)
        if answer is not None:
            self._respond(task.workflow_execution, answer)
        return True

    def close(self) -> None:
        """Let go of what turns keep between them: nothing, but for the cache, which others may share."""

    def _decide(self, task: o.DecisionTask) -> o.RespondDecisionTaskCompleted | None:
        """Decide, or report why that is not possible."""
        decider: Decider | None = None
        try:
            decider = self._find_decider(task)
            decider.feed(self._read_news(task, decider))
            decisions = decider.decide()
            store_payloads(decider, decisions)
            self._meet(decider.met)
            if decider.notes or decider.signals:
                self._tell(task.workflow_execution, decider)
        except BaseException as error:
            if decider is not None:
                decider.close()
            self._explain(task.workflow_execution, error)
            return None
        closes = bool(decisions) and isinstance(decisions[-1], _CLOSES)
        if closes:
            decider.close()
        else:
            # Before the answer is sent, since the next task may come to another thread at once. If the answer is not
            # accepted, the entry is stale, and is seen to be when it is taken.
            self._cache.put(task.workflow_execution, decider)
        answer = o.RespondDecisionTaskCompleted(
            task_token=task.task_token, decisions=tuple(decisions), execution_context=decider.report
        )
        return answer if closes or self._sticky is None else self._sticky.direct(answer, self._home)

    def _tell(self, execution: WorkflowExecution, decider: Decider) -> None:
        """Tell what went wrong in a flow that fails nothing."""
        for note in decider.notes:
            log.error("%s: %s", execution.workflow_id, note)
        decider.notes.clear()
        if decider.signals and decider.flow.outcome is not None:
            names = ", ".join(dict.fromkeys(event.signal_name for event in decider.signals))
            log.warning("%s: %d signals were never received: %s", execution.workflow_id, len(decider.signals), names)

    def _meet(self, met: set[type]) -> None:
        if self._met is None or met <= self._seen:
            return
        with self._meeting:
            for definition in sorted(met - self._seen, key=repr):
                if issubclass(definition, (Activity, Workflow)):
                    self._met(definition)
                self._seen.add(definition)

    def _find_decider(self, task: o.DecisionTask) -> Decider:
        """Give the decider of the execution: the one in the cache if it is where the task goes on, or a new one."""
        decider = self._cache.take(task.workflow_execution)
        if decider is not None:
            if decider.decided_event_id == task.previous_started_event_id:
                return decider
            decider.close()
        workflow = self.workflows.get(task.workflow_type)
        if workflow is None:
            hosted = ", ".join(f"{type.name} {type.version}" for type in self.workflows)
            raise DefinitionError(
                f"a decision task of {task.workflow_type.name} {task.workflow_type.version} came to the list "
                f"{self._poll.task_list.name}, and the worker there has {hosted}. Start a worker that has it, "
                "or give it a list of its own"
            )
        return Decider(workflow, execution=task.workflow_execution, codec=self._codec)

    def _read_news(self, task: o.DecisionTask, decider: Decider) -> Iterable[Event]:
        """Read the events up to the task's start that a decider has not seen."""
        if decider.decided_event_id == (task.previous_started_event_id or 0):
            events = self._read_pages(task)
            return events[decider.history.last + 1 - events[0].event_id :]
        return self._backend.get_history(task.workflow_execution)[: task.started_event_id]

    def _read_pages(self, task: o.DecisionTask) -> tuple[Event, ...]:
        events = task.events
        while task.next_page_token is not None:
            # Page tokens are bound to the query: all else stays as it was (SWF).
            more = msgspec.structs.replace(self._poll, next_page_token=task.next_page_token)
            task = self._backend.call(more)
            events += task.events
        return events

    def _respond(self, execution: WorkflowExecution, answer: o.RespondDecisionTaskCompleted) -> None:
        try:
            self._backend.call(answer)
        except BackendError as error:
            if error.retryable:
                self._unsent.append((execution, answer))
            elif (stale := self._cache.take(execution)) is not None:
                stale.close()
            self._explain(execution, error)

    def _explain(self, execution: WorkflowExecution, error: BaseException) -> None:
        """Report what keeps an execution from going on; raise what may pass by itself."""
        if isinstance(error, UnknownResourceFault):
            # The task timed out or the execution closed while we decided: what matters happens elsewhere.
            log.info("%s: the decision came too late: %s", execution.workflow_id, error)
            return
        if isinstance(error, BackendError) and (error.retryable or not isinstance(error, ServiceFault)):
            raise error
        stuck = StuckDecision(execution, error if isinstance(error, Exception) else _judge_exit(error))
        log.error("%s", stuck, exc_info=error)
        if self._report is not None:
            try:
                self._report(stuck)
            except Exception:
                log.exception("%s: the report failed as well", execution.workflow_id)


class ActivityWorker:
    """Does the tasks of one activity.

    Args:
        dependency: what the activity needs, given to each `run`; several workers may share it if it allows that.
        identity: what the history shows as who took the task.
        body: what to do instead of the activity's `run`, given the call; then no dependency is needed.
        neighbours: workers of other activities on the same list: their tasks come here as well, and are done here.
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
        neighbours: Mapping[ActivityType, ActivityWorker] | None = None,
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
        self._neighbours = {} if neighbours is None else neighbours
        self._codec = codec
        self._what = tuple(f"the {part} of {spec.type.name} {spec.type.version}" for part in ("input", "result"))
        self._runner: Any = None
        self._unsent: deque[tuple[o.ActivityTask, o.Request[None]]] = deque()

    def work_once(self, wait: timedelta | None = None) -> bool:
        """Poll, wait for an activity task for so long at the most, and do it; say whether there was one.

        Whatever the activity raises is that task's failure. What it is given and cannot read is a failure too, of a
        kind that deciders schedule again until a worker can read it.

        Raises:
            BackendError: the service could not be reached; the next turn may work. An answer that could not be sent is
                sent by the next turn, before it polls.
        """
        task = self.poll_once(wait)
        if task is None:
            return False
        self.answer(task, self.do(task))
        return True

    def close(self) -> None:
        """Let go of the loop on which async activities ran."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()

    # The parts of a turn, for those who let time pass between them.

    def poll_once(self, wait: timedelta | None = None) -> o.ActivityTask | None:
        """Poll, and wait for a task for so long at the most; an answer that could not be sent goes first."""
        while (unsent := _pop(self._unsent)) is not None:
            self.answer(*unsent)
        task = self._backend.call(self._poll, wait)
        return task if task.task_token else None

    def answer(self, task: o.ActivityTask, answer: o.Request[None]) -> None:
        """Say how a task ended; if it is no longer wanted, let it be."""
        try:
            self._backend.call(answer)
        except UnknownResourceFault as error:
            log.info("%s: the answer came too late: %s", _name(task), error)
        except ValidationException as error:
            # The service counts characters in its own way, or has limits of its own.
            if isinstance(answer, o.RespondActivityTaskFailed):
                raise
            self.answer(task, _fail(task, PayloadError(f"the service does not take the result: {error!s:.500}")))
        except BackendError as error:
            if error.retryable:
                self._unsent.append((task, answer))
            raise

    def do(self, task: o.ActivityTask) -> o.Request[None]:
        """Run the activity and say how it ended."""
        # A neighbour tells what to do; it is done in this thread, and on this worker's loop.
        host = self._neighbours.get(task.activity_type, self)
        spec, token = host.activity.spec, task.task_token
        try:
            call = host._read(task)
        except BaseException as error:
            log.error("%s: its input cannot be read: %s", _name(task), error)
            return o.RespondActivityTaskFailed(task_token=token, reason=UNREADABLE, details=describe_failure(error)[1])
        reset = _current.set(_Running(self._backend, task, self._codec))
        try:
            result = call.run(*host._arguments) if host._body is None else host._body(call)
            if isinstance(result, CoroutineType):
                result = self._await(result)
            payload = self._codec.encode(result)
            # A result of another type than the definition says would leave the flow stuck: it is seen here.
            self._codec.decode(payload, spec.result, host._what[1])
            return o.RespondActivityTaskCompleted(task_token=token, result=payload)
        except Cancelled:
            return o.RespondActivityTaskCanceled(task_token=token)
        except BaseException as error:
            return _fail(task, error)
        finally:
            _current.reset(reset)

    def _read(self, task: o.ActivityTask) -> Any:
        got, has = task.activity_type, self.activity.spec.type
        if got is not has and got != has:
            raise PayloadError(f"the worker has {has.name} {has.version}, and the task is of {got.name} {got.version}")
        return self._codec.decode(task.input, self.activity, self._what[0])

    def _await(self, coroutine: Any) -> Any:
        """Run an async activity on a loop of this worker's own."""
        if self._runner is None:
            import asyncio

            self._runner = asyncio.Runner()
        # Not by `run`, which handles signals, and has the context of its first task for all.
        loop = self._runner.get_loop()
        return loop.run_until_complete(loop.create_task(coroutine, context=copy_context()))


def _fail(task: o.ActivityTask, error: BaseException) -> o.RespondActivityTaskFailed:
    reason, details = describe_failure(error)
    if isinstance(error, PayloadUnavailable):
        reason = UNREADABLE  # the work is done again when its result can be written
    # A failed attempt is data of the history, where the flow and people find it.
    log.info("%s failed: %s: %s", _name(task), reason, read_failure(reason, details).message)
    return o.RespondActivityTaskFailed(task_token=task.task_token, reason=reason, details=details)


def _name(task: o.ActivityTask) -> str:
    return f"{task.workflow_execution.workflow_id} {task.activity_id}"


def _judge_exit(error: BaseException) -> FlowError:
    return FlowError(
        f"a flow raises {type(error).__name__}, which ends programs, not flows; raise an Exception to fail it"
    )


def _pop(queue: deque[T]) -> T | None:
    try:
        return queue.popleft()
    except IndexError:
        return None


class _Running(RunningTask):
    def __init__(self, backend: Backend, task: o.ActivityTask, codec: Codec) -> None:
        self.execution = task.workflow_execution
        self.activity_type = task.activity_type
        self.activity_id = task.activity_id
        self._backend = backend
        self._token = task.task_token
        self._codec = codec
        told = read_attempt(task.input)
        self.attempt = told.number
        self._last_details = told.details

    def last_details(self, type: Any = Any) -> Any:
        if self._last_details is None:
            return None
        return self._codec.decode(self._last_details, type, f"the last heartbeat of {self.activity_id}")

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
        except BackendError as error:
            if not error.retryable:
                raise
            # What becomes of one heartbeat is no failure of the work; the next may get through.
            log.warning("%s %s: a heartbeat was lost: %s", self.execution.workflow_id, self.activity_id, error)
            return
        if status.cancel_requested:
            raise Cancelled


def run_worker(
    worker: Worker, stop: threading.Event, *, wait: timedelta | None = None, jitter: Callable[[], float] = lambda: 1.0
) -> None:
    """Do one turn after another until `stop` is set; a task that a poll was given is always answered first.

    After a turn that failed, pause: for a second, and twice as long each time up to half a minute, times `jitter()`.
    """
    failures = 0
    try:
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
    finally:
        worker.close()
