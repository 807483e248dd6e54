"""Poll for decision tasks and complete them."""

from __future__ import annotations

import logging
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from copy import copy
from datetime import timedelta
from typing import Any

import msgspec

from traction.backend import Backend
from traction.decider.decider import Decider
from traction.decider.outcomes import Raised
from traction.definitions.checks import index_by_type
from traction.definitions.classes import Activity, Workflow
from traction.errors import BackendError, DefinitionError, FlowError, ServiceFault, TractionError, UnknownResourceFault
from traction.model import operations as o
from traction.model.correlation import CLOSE_DECISIONS
from traction.model.events import DecisionTaskTimedOut, Event
from traction.model.names import TaskList, WorkflowExecution, WorkflowType
from traction.model.sizes import explain_drop, measure
from traction.payloads.codec import JSON, Codec
from traction.plugins.observer import Observer, build_execution_fields
from traction.worker.decider_cache import DeciderCache, store_payloads
from traction.worker.forgotten_steps import watch_first_turns
from traction.worker.local_activities import LocalActivities
from traction.worker.loop import pop_unsent
from traction.worker.sticky import Sticky

log = logging.getLogger("traction.worker")


OUR_PACKAGES = frozenset({"traction", "traction_local", "traction_swf"})
"""The packages whose frames are left out of log records."""


TRIES_MAX = 5
"""How often a large response is sent to a service that cannot be reached."""


LARGE_BYTES = 256 * 1024
"""The request size from which a service may drop the connection instead of rejecting the request."""


class StuckDecisionError(Exception):
    """A decision task could not be decided: `execution`, and the `error` that its author or an operator must fix.

    The execution stays open. The task is rescheduled when it times out, and may be decided by newer code. This worker
    skips the execution for `pause`, which grows each time.
    """

    def __init__(self, execution: WorkflowExecution, error: Exception, pause: timedelta = timedelta(0)) -> None:
        self.execution = execution
        self.error = error
        self.pause = pause
        super().__init__(f"{execution.workflow_id} (run {execution.run_id}) cannot go on: {error}")


class WorkflowWorker:
    """Completes the decision tasks of some workflows on one task list. Thread-safe.

    Args:
        workflows: the definitions, each of its own name or version.
        task_list: where their decision tasks wait.
        identity: the name of this worker in histories.
        on_definition: called with each activity and workflow that a flow schedules for the first time, before the
            decisions are sent.
        on_stuck: called with every `StuckDecisionError`, in addition to the log record.
        neighbours: the workflows that other workers of this process decide on the same list. This worker decides
            them too, and adds its own.
        local: runs the local activities of flows.
        observer: calls the hooks of plugins.
        failure_level: the log level of exceptions that fail executions.
        sticky: the task list for executions whose deciders are cached here; `None` for the shared list.
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
        on_definition: Callable[[type], None] | None = None,
        on_stuck: Callable[[StuckDecisionError], None] | None = None,
        neighbours: dict[WorkflowType, type[Workflow[Any]]] | None = None,
        local: LocalActivities | None = None,
        sticky: Sticky | None = None,
        observer: Observer | None = None,
        failure_level: int = logging.ERROR,
    ) -> None:
        self.workflows = index_by_type(workflows)
        lists = {workflow.spec.task_list for workflow in self.workflows.values()}
        if task_list is None and len(lists) != 1:
            names = ", ".join(sorted(one.name for one in lists)) or "none"
            raise DefinitionError(
                f"a workflow worker polls one task list, but the task lists of its workflows are {names}; start a "
                "worker for each, or pass task_list=..."
            )
        if neighbours is not None:
            neighbours.update(self.workflows)
            self.workflows = neighbours
        self._local = LocalActivities() if local is None else local
        self._sticky = sticky
        self._observer = observer
        self._failure_level = failure_level
        self._poll = o.PollForDecisionTask(
            domain=backend.domain,
            task_list=TaskList(task_list) if task_list is not None else lists.pop(),
            identity=identity,
            start_at_previous_started_event=True,
        )
        self._backend = backend
        self._codec = codec
        self._cache = DeciderCache() if cache is None else cache
        self._on_definition = on_definition
        self._seen: set[type] = set()
        self._seen_lock = threading.Lock()
        self._on_stuck = on_stuck
        self._home = self._poll.task_list
        self._unsent: deque[tuple[WorkflowExecution, o.RespondDecisionTaskCompleted, int]] = deque()

    def follow(self) -> WorkflowWorker:
        """Return a worker with the same deciders that polls their sticky task list."""
        assert self._sticky is not None
        follower = copy(self)
        follower._use_list(self._sticky.task_list)
        return follower

    def _use_list(self, task_list: TaskList) -> None:
        """Poll this task list, with responses of its own."""
        self._poll = msgspec.structs.replace(self._poll, task_list=task_list)
        self._unsent = deque()

    def work_once(self, wait: timedelta | None = None) -> bool:
        """Poll for one decision task for up to `wait`, and complete it. Return whether there was one.

        If it cannot be decided, this is logged and passed to `on_stuck`, and the task times out. The execution stays
        open.

        Raises:
            BackendError: the service could not be reached; the next turn may work.
        """
        task = self.poll_once(wait)
        if task is None:
            return False
        self.respond(task.workflow_execution, self.do(task))
        return True

    # The parts of a turn, for the simulator, which lets time pass between them.

    def poll_once(self, wait: timedelta | None = None) -> o.DecisionTask | None:
        """Send unsent responses, then poll for a task for up to `wait`."""
        self.flush()
        task = self._backend.call(self._poll, wait)
        return task if task.task_token else None

    def flush(self) -> None:
        """Send the responses that could not be sent before."""
        while (unsent := pop_unsent(self._unsent)) is not None:
            execution, response, tries = unsent
            self.respond(execution, response, tries=tries + 1)

    def do(self, task: o.DecisionTask) -> o.RespondDecisionTaskCompleted | None:
        """Decide, and call the hooks of plugins. Return `None` if the execution is stuck."""
        if self._cache.stuck.is_skipped(task.workflow_execution, self._backend.now):
            return None
        if self._observer is None:
            return self._decide_watched(task)
        self._observer.begin_decision(task)
        response = None
        try:
            response = self._decide_watched(task)
        finally:
            self._observer.end_decision(task, None if response is None else response.decisions)
        return response

    def respond(
        self, execution: WorkflowExecution, response: o.RespondDecisionTaskCompleted | None, *, tries: int = 1
    ) -> None:
        """Send a response. Ignore it if the task is closed.

        A response that cannot be sent is kept for the next turn; a large one only for a few turns, since a service may
        drop the connection instead of rejecting a request that is too large.
        """
        if response is None:
            return
        try:
            self._backend.call(response)
        except BackendError as error:
            unanswered = error.retryable and not isinstance(error, ServiceFault)
            if unanswered and tries >= TRIES_MAX and (size := measure(response)) > LARGE_BYTES:
                error = explain_drop(size, tries, error)
            if error.retryable:
                self._unsent.append((execution, response, tries))
            elif (stale := self._cache.take(execution)) is not None:
                stale.close()
            self._handle_error(execution, error)
        else:
            self._cache.stuck.forget(execution)

    def close(self) -> None:
        """Do nothing: the cache may be shared with other workers."""

    def _decide_watched(self, task: o.DecisionTask) -> o.RespondDecisionTaskCompleted | None:
        """Decide, and warn once about each line that builds a step and does not await it."""
        response, forgotten = watch_first_turns(task.workflow_type, self._decide, task)
        for one in forgotten:
            log.warning("%s", one, extra=build_execution_fields(task.workflow_execution))
        return response

    def _decide(self, task: o.DecisionTask) -> o.RespondDecisionTaskCompleted | None:
        """Decide, or handle the error and return `None`."""
        decider: Decider | None = None
        try:
            decider = self._find_decider(task)
            decider.feed(self._read_new_events(task, decider))
            before = decider.outcome
            decisions = decider.decide()
            if decider.context.markers.unfinished:
                execution, clock = task.workflow_execution, self._backend.now
                self._local.do_all(decider, execution, codec=self._codec, clock=clock, observer=self._observer)
                decisions = decider.decide()
            store_payloads(decider, decisions)
            self._report_definitions(decider.context.definitions)
            if before is None and isinstance(decider.outcome, Raised):
                self._log_failure(task.workflow_execution, decider.outcome.error)
            if decider.notes or decider.signals:
                self._log_notes(task.workflow_execution, decider)
        except BaseException as error:
            if decider is not None:
                decider.close()
            self._handle_error(task.workflow_execution, error)
            return None
        closes = bool(decisions) and type(decisions[-1]) in CLOSE_DECISIONS
        if closes:
            decider.close()
        else:
            # Before the response is sent, since another thread may get the next task at once. If the response
            # is rejected, the entry is stale, which is detected when it is taken.
            self._cache.put(task.workflow_execution, decider)
        response = o.RespondDecisionTaskCompleted(
            task_token=task.task_token, decisions=tuple(decisions), execution_context=decider.context.state_payload
        )
        return response if closes or self._sticky is None else self._sticky.route(response, self._home)

    def _log_failure(self, execution: WorkflowExecution, outcome: object) -> None:
        """Log the exception that fails an execution. A flow that is replayed has raised it before."""
        if isinstance(outcome, Exception):
            message, name = "%s failed: its flow raised %s", type(outcome).__qualname__
            about = build_execution_fields(execution)
            log.log(self._failure_level, message, execution.workflow_id, name, exc_info=outcome, extra=about)

    def _log_notes(self, execution: WorkflowExecution, decider: Decider) -> None:
        """Log problems that do not fail the execution, and signals that were never received."""
        for note in decider.notes:
            log.error("%s: %s", execution.workflow_id, note, extra=build_execution_fields(execution))
        decider.notes.clear()
        if decider.signals and decider.outcome is not None:
            names = ", ".join(dict.fromkeys(event.signal_name for event in decider.signals))
            message = "%s: %d signals were never received: %s"
            log.warning(
                message, execution.workflow_id, len(decider.signals), names, extra=build_execution_fields(execution)
            )

    def _report_definitions(self, definitions: set[type]) -> None:
        if self._on_definition is None or definitions <= self._seen:
            return
        with self._seen_lock:
            for definition in sorted(definitions - self._seen, key=repr):
                if issubclass(definition, (Activity, Workflow)):
                    self._on_definition(definition)
                self._seen.add(definition)

    def _find_decider(self, task: o.DecisionTask) -> Decider:
        """Return the cached decider of the execution if the task continues from it, or a new one."""
        decider = self._cache.take(task.workflow_execution)
        if decider is not None:
            if decider.decided_event_id == task.previous_started_event_id and not _was_late(decider, task):
                return decider
            decider.close()
        workflow = self.workflows.get(task.workflow_type)
        if workflow is None:
            hosted = ", ".join(f"{type.name} {type.version}" for type in self.workflows)
            raise DefinitionError(
                f"a decision task of {task.workflow_type.name} {task.workflow_type.version} arrived on the list "
                f"{self._poll.task_list.name}, and the worker there has {hosted}. Start a worker that has it, "
                "or use another list for it"
            )
        return Decider(workflow, execution=task.workflow_execution, codec=self._codec)

    def _read_new_events(self, task: o.DecisionTask, decider: Decider) -> Iterable[Event]:
        """Return the events up to the task's start that the decider has not seen."""
        if decider.decided_event_id == (task.previous_started_event_id or 0):
            events = self._read_pages(task)
            return events[decider.history.last + 1 - events[0].event_id :]
        return self._backend.get_history(task.workflow_execution)[: task.started_event_id]

    def _read_pages(self, task: o.DecisionTask) -> tuple[Event, ...]:
        events = task.events
        while task.next_page_token is not None:
            # Page tokens are bound to the query, so the rest of the request is unchanged (SWF).
            more = msgspec.structs.replace(self._poll, next_page_token=task.next_page_token)
            task = self._backend.call(more)
            events += task.events
        return events

    def _handle_error(self, execution: WorkflowExecution, error: BaseException) -> None:
        """Log an error that blocks the execution and call `on_stuck`. Raise transient errors."""
        if isinstance(error, UnknownResourceFault):
            # The task timed out or the execution closed while we decided.
            about = build_execution_fields(execution)
            log.info("%s: the decision was too late: %s", execution.workflow_id, error, extra=about)
            return
        if isinstance(error, BackendError) and (error.retryable or not isinstance(error, ServiceFault)):
            raise error
        pause = self._cache.stuck.note(execution, self._backend.now())
        stuck = StuckDecisionError(execution, error if isinstance(error, Exception) else _to_flow_error(error), pause)
        about = build_execution_fields(execution)
        if isinstance(error, TractionError):
            # The message is complete without a traceback of Traction's code.
            log.error("skipped for %s: %s%s", pause, stuck, _find_line(error), extra=about)
        else:
            what = f"{execution.workflow_id} (run {execution.run_id}) cannot go on: {type(error).__name__}"
            log.error("skipped for %s: %s", pause, what, exc_info=error, extra=about)
        if self._on_stuck is not None:
            try:
                self._on_stuck(stuck)
            except Exception:
                log.exception("%s: on_stuck raised an exception", execution.workflow_id, extra=about)


def _was_late(decider: Decider, task: o.DecisionTask) -> bool:
    """Return whether the last response was too late: SWF may count its decision task as the previous one."""
    late = decider.decided_event_id
    return any(type(event) is DecisionTaskTimedOut and event.started_event_id == late for event in task.events)


def _find_line(error: BaseException) -> str:
    """Return ` (file, line n)` of the last frame outside Traction, or an empty string."""
    places = [
        f" ({frame.f_code.co_filename}, line {line})"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__", "").partition(".")[0] not in OUR_PACKAGES
    ]
    return places[-1] if places else ""


def _to_flow_error(error: BaseException) -> FlowError:
    return FlowError(
        f"the flow raised {type(error).__name__}, which ends a program; raise an Exception to fail the execution"
    )
