"""Poll for activity tasks, run their activities and send the results.

Whatever an activity raises fails its task, and never stops the worker. Here the body runs in the thread that polls;
`event_loop` and `process_pool` run it elsewhere.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import copy_context
from datetime import timedelta
from functools import partial
from types import CoroutineType
from typing import Any, TypeVar

from msgspec import structs

from traction.backend import Backend
from traction.definitions.checks import check_dependency
from traction.definitions.classes import Activity
from traction.errors import (
    BackendError,
    InvalidPayloadError,
    PayloadError,
    PayloadUnavailableError,
    UnknownResourceFault,
    ValidationException,
)
from traction.flow.step import Cancelled
from traction.model import operations as o
from traction.model.names import ActivityType, TaskList
from traction.payloads.codec import JSON, Codec
from traction.payloads.failures import (
    INVALID,
    UNREADABLE,
    FailureInfo,
    describe_exception,
    describe_failure,
    write_failure,
)
from traction.plugins.observer import Observer, build_task_fields, log_failure
from traction.runtime.activity_task import COMPLETE_LATER, _current
from traction.worker.heartbeats import Heartbeater, RunningActivity
from traction.worker.slots import Slots, WorkerThread

T = TypeVar("T")

log = logging.getLogger("traction.worker")


class WrongListError(PayloadError):
    """A task arrived at a worker that does not have its activity."""


class RemoteFailure(Exception):
    """The failure of an activity in another process. `begun` is false if the process could not start the activity."""

    def __init__(self, info: FailureInfo, *, begun: bool = True) -> None:
        self.info, self.begun = info, begun
        super().__init__(info.type)


class ActivityWorker:
    """Runs the tasks of one activity.

    Args:
        dependency: passed to each `run`. Several workers may share it if it is thread-safe.
        identity: the name of this worker in histories.
        body: called with the call instead of the activity's `run`; then no dependency is needed.
        neighbours: workers of other activities on the same task list. This worker runs their tasks as well.
        observer: calls the hooks of plugins.
        heartbeater: sends heartbeats for the tasks. Without one, only calls of `heartbeat` send them.
        slots: replaces this worker's thread while a body whose task has ended occupies it.
        failure_level: the log level of failures that are not retried.
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
        heartbeater: Heartbeater | None = None,
        observer: Observer | None = None,
        slots: Slots | None = None,
        failure_level: int = logging.WARNING,
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
        self._heartbeater = heartbeater
        self._observer = observer
        self.slots = Slots(spec.type.name) if slots is None else slots
        self._failure_level = failure_level
        self._runner: Any = None
        self._unsent: deque[tuple[o.ActivityTask, o.Request[None]]] = deque()

    @property
    def host(self) -> ActivityWorker:
        """The worker that runs this activity's tasks that another worker polled."""
        return self

    def work_once(self, wait: timedelta | None = None) -> bool:
        """Poll for one activity task for up to `wait`, and run it. Return whether there was one.

        Whatever the activity raises fails the task. An input that cannot be read also fails it, with a reason for which
        deciders schedule it again until a worker can read it.

        Raises:
            BackendError: the service could not be reached. The next turn sends unsent responses before it polls.
        """
        task = self.poll_once(wait)
        if task is None:
            return False
        self.answer(task, self.do(task))
        return True

    def close(self) -> None:
        """Close the event loop of async activities."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()

    # The parts of a turn, for the simulator, which lets time pass between them.

    def poll_once(self, wait: timedelta | None = None) -> o.ActivityTask | None:
        """Send unsent responses, then poll for a task for up to `wait`."""
        self.flush()
        task = self._backend.call(self._poll, wait)
        return task if task.task_token else None

    def flush(self) -> None:
        """Send the responses that could not be sent before."""
        while (unsent := _pop(self._unsent)) is not None:
            self.answer(*unsent, again=True)

    def answer(self, task: o.ActivityTask, answer: o.Request[None] | None, *, again: bool = False) -> None:
        """Send the response of a task. Ignore it if the task is closed, or if there is no response."""
        if answer is None:
            return
        try:
            self._backend.call(answer)
        except UnknownResourceFault as error:
            # For a response that is sent again, this may mean that the first one arrived.
            late = "already answered, or too late" if again else "the response was too late"
            log.info("%s: %s: %s", name_task(task), late, error, extra=build_task_fields(task))
        except ValidationException as error:
            # The service counts characters in its own way, or has limits of its own.
            if isinstance(answer, o.RespondActivityTaskFailed):
                raise
            refused = PayloadError(f"the service rejected the result: {error!s:.500}")
            log.warning("%s: %s", name_task(task), refused, extra=build_task_fields(task))
            self.answer(task, to_failed_response(task, refused, self._codec))
        except BackendError as error:
            if error.retryable:
                self._unsent.append((task, answer))
            raise

    def do(self, task: o.ActivityTask) -> o.Request[None] | None:
        """Run the activity and return the response; `None` if another process will send it.

        Each attempt runs in a fresh copy of the thread's context.
        """
        return copy_context().run(self._do, task)

    def _do(self, task: o.ActivityTask) -> o.Request[None] | None:
        host, call, unread = self.open(task)
        if unread is not None:
            return unread
        running = self.begin(host, task)
        lost = threading.Event()
        running.when_outlived(partial(self._lose, running, threading.current_thread(), lost))
        reset = _current.set(running)
        try:
            if running.handed_back:
                return None
            result = host.run_body(call)
            if isinstance(result, CoroutineType):
                result = self._await(result, running)
            return self.complete(host, running, task, result)
        except BaseException as error:
            return self.fail(running, task, error)
        finally:
            _current.reset(reset)
            self.end(running)
            running.when_outlived(None)
            if lost.is_set():
                self.slots.regain(running)

    def _lose(self, running: RunningActivity, thread: threading.Thread, lost: threading.Event) -> None:
        """Replace the thread of a body that outlived its task. The thread ends with the body."""
        lost.set()
        if self.slots.lose(running) and isinstance(thread, WorkerThread):
            thread.leave_behind()

    # The parts of `do`, for executors that run the activity elsewhere.

    def open(self, task: o.ActivityTask) -> tuple[ActivityWorker, Any, o.Request[None] | None]:
        """Return the task's worker and call, and a failure response if its input cannot be read."""
        # The neighbour has the activity; it runs in this thread and on this worker's loop.
        host = self._neighbours.get(task.activity_type, self)
        try:
            return host, host._read(task), None
        except BaseException as error:
            message = "%s: %s" if isinstance(error, WrongListError) else "%s: cannot read the input: %s"
            log.error(message, name_task(task), error, extra=build_task_fields(task))
            # An invalid payload stays unreadable. Any other input may be readable by newer code or with another key.
            reason = INVALID if isinstance(error, InvalidPayloadError) else UNREADABLE
            details = describe_failure(error, JSON)[1]
            failed = o.RespondActivityTaskFailed(task_token=task.task_token, reason=reason, details=details)
            return host, None, failed

    def run_body(self, call: Any) -> Any:
        """Run the body. For an async activity, return its coroutine."""
        return call.run(*self._arguments) if self._body is None else self._body(call)

    def begin(self, host: ActivityWorker, task: o.ActivityTask, *, aside: bool = False) -> RunningActivity:
        """Start heartbeats and hooks for a task."""
        spec = host.activity.spec
        running = RunningActivity(
            self._backend,
            task,
            self._codec,
            timeout=spec.heartbeat,
            limits=(spec.start_to_close, spec.schedule_to_close),
            heartbeater=self._heartbeater,
            aside=aside,
        )
        if self._heartbeater is not None:
            self._heartbeater.begin(running)
        if self._observer is not None:
            self._observer.begin_task(running)
        return running

    def end(self, running: RunningActivity) -> None:
        """Stop heartbeats and hooks for a task."""
        if self._observer is not None:
            self._observer.end_task(running)
        if self._heartbeater is not None:
            self._heartbeater.end(running)

    def complete(
        self, host: ActivityWorker, running: RunningActivity, task: o.ActivityTask, result: Any
    ) -> o.Request[None] | None:
        """Return the response for a result; `None` if the activity completes later.

        Raises:
            PayloadError: it cannot be encoded, or is not of the declared type.
        """
        if result is COMPLETE_LATER or running.handed_back:
            return None
        # Checked here, because a result of another type than declared would leave the flow stuck.
        payload = self._codec.encode_as(result, host.activity.spec.result, host._what[1])
        if self._observer is not None:
            self._observer.note_task(running, "COMPLETED")
        return o.RespondActivityTaskCompleted(task_token=task.task_token, result=payload)

    def fail(self, running: RunningActivity, task: o.ActivityTask, error: BaseException) -> o.Request[None] | None:
        """Return the response for an exception: failed or cancelled."""
        if running.handed_back:
            return None
        cancelled = isinstance(error, Cancelled) or (running.cancelled and type(error).__name__ == "CancelledError")
        if self._observer is not None:
            self._observer.note_task(running, *(("CANCELED", None) if cancelled else ("FAILED", error)))
        if cancelled:
            return o.RespondActivityTaskCanceled(task_token=task.task_token)
        spec = self._neighbours.get(task.activity_type, self).activity.spec
        info = error.info if isinstance(error, RemoteFailure) else describe_exception(error)
        log_failure(name_task(task), error, info, spec, build_task_fields(task), self._failure_level)
        return to_failed_response(task, error, self._codec, running.latest_details, info)

    def _read(self, task: o.ActivityTask) -> Any:
        got, has = task.activity_type, self.activity.spec.type
        if got is not has and got != has:
            raise WrongListError(
                f"a task of {got.name} {got.version} is on the list {self._poll.task_list.name}, and the worker that "
                f"polls it has only {has.name} {has.version}. Start a worker of {got.name} {got.version} for this "
                "list in the same process, or schedule it on its own list"
            )
        return self._codec.decode_call(task.input, self.activity, self._what[0])

    def _await(self, coroutine: Any, running: RunningActivity) -> Any:
        """Run an async activity on this worker's own event loop."""
        if self._runner is None:
            import asyncio

            self._runner = asyncio.Runner()
        # Not `Runner.run`: it handles signals, and shares one context between all tasks.
        loop = self._runner.get_loop()
        task = loop.create_task(coroutine, context=copy_context())
        cancel_at_await(loop, task, running)
        try:
            return loop.run_until_complete(task)
        finally:
            running.wake_when_cancelled(None)


async def settle(coroutine: Any) -> tuple[Any, BaseException | None]:
    """Return the result and the exception of an async activity, so that no exception stops the loop."""
    try:
        return await coroutine, None
    except BaseException as error:
        if type(error).__name__ == "CancelledError":
            raise
        return None, error


def cancel_at_await(loop: Any, task: Any, running: RunningActivity) -> None:
    """Cancel an async activity at its await when its task is cancelled, unless `heartbeat` has raised already."""

    def cancel() -> None:
        if not running.notified:
            running.notified = running.noticed = True
            task.cancel()
            if running.gone and not running.handed_back:
                # An execution that closed while the activity ran is normal.
                level = logging.INFO if running.gone_because.startswith("Unknown execution") else logging.WARNING
                log.log(
                    level, "%s: %s: cancelled", running.name, running.describe_loss(), extra=build_task_fields(running)
                )

    def wake() -> None:
        with suppress(RuntimeError):  # the loop is closed, and the activity has ended
            loop.call_soon_threadsafe(cancel)

    running.wake_when_cancelled(wake)


def to_failed_response(
    task: o.ActivityTask,
    error: BaseException,
    codec: Codec,
    heartbeat: str | None = None,
    info: FailureInfo | None = None,
) -> o.RespondActivityTaskFailed:
    """Build the response for a failure, with the details of the last heartbeat for the next attempt."""
    info = info or describe_exception(error)
    try:
        reason, details = write_failure(structs.replace(info, heartbeat=heartbeat), codec)
    except PayloadUnavailableError as unwritten:
        return to_failed_response(task, unwritten, codec, heartbeat)
    if isinstance(error, PayloadUnavailableError) or (isinstance(error, RemoteFailure) and not error.begun):
        reason = UNREADABLE  # scheduled again, until it can start and its outcome can be encoded
    return o.RespondActivityTaskFailed(task_token=task.task_token, reason=reason, details=details)


def name_task(task: o.ActivityTask) -> str:
    """Return the name of a task in logs."""
    return f"{task.workflow_execution.workflow_id} {task.activity_id}"


def _pop(queue: deque[T]) -> T | None:
    try:
        return queue.popleft() if queue else None
    except IndexError:
        return None
