"""Do the tasks of activities: read what a task is given, run its activity, say how it ended.

Takes a backend and an activity; gives answers to tasks. Whatever an activity raises is its task's failure; nothing that
it does stops a worker. What runs the body is its own matter: here the thread that polls; `executors` and `processes`
have other places.
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
from traction.plugins.observer import Observer, log_failure, tell_task
from traction.runtime.activity_task import COMPLETE_LATER, _current
from traction.worker.heartbeats import Heartbeater, RunningActivity
from traction.worker.slots import Slots, WorkerThread

T = TypeVar("T")

log = logging.getLogger("traction.worker")


class WrongListError(PayloadError):
    """A task of an activity came to a worker that has only others."""


class Told(Exception):
    """A failure that another process has given account of; or why it could not begin, which is not the work's."""

    def __init__(self, account: FailureInfo, *, begun: bool = True) -> None:
        self.account, self.begun = account, begun
        super().__init__(account.type)


class ActivityWorker:
    """Does the tasks of one activity.

    Args:
        dependency: what the activity needs, given to each `run`; several workers may share it if it allows that.
        identity: what the history shows as who took the task.
        body: what to do instead of the activity's `run`, given the call; then no dependency is needed.
        neighbours: workers of other activities on the same list: their tasks come here as well, and are done here.
        observer: what tells plugins of tasks.
        pulse: what beats for the tasks; without one they beat only when the activity says so.
        slots: what replaces the thread of this worker while a body holds it whose task has ended.
        failure_level: the level at which it is logged that an activity failed and is not tried again.
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
        pulse: Heartbeater | None = None,
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
        self._pulse = pulse
        self._observer = observer
        self.slots = Slots(spec.type.name) if slots is None else slots
        self._failure_level = failure_level
        self._runner: Any = None
        self._unsent: deque[tuple[o.ActivityTask, o.Request[None]]] = deque()

    @property
    def host(self) -> ActivityWorker:
        """What does a task of this activity that came to another worker."""
        return self

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
        self.flush()
        task = self._backend.call(self._poll, wait)
        return task if task.task_token else None

    def flush(self) -> None:
        """Send the answers that could not be sent."""
        while (unsent := _pop(self._unsent)) is not None:
            self.answer(*unsent, again=True)

    def answer(self, task: o.ActivityTask, answer: o.Request[None] | None, *, again: bool = False) -> None:
        """Say how a task ended; if it is no longer wanted, or somebody else will say it, let it be."""
        if answer is None:
            return
        try:
            self._backend.call(answer)
        except UnknownResourceFault as error:
            # Of an answer that was sent before, this may say that it had arrived.
            late = "was answered already, or too late" if again else "the answer came too late"
            log.info("%s: %s: %s", name_task(task), late, error, extra=tell_task(task))
        except ValidationException as error:
            # The service counts characters in its own way, or has limits of its own.
            if isinstance(answer, o.RespondActivityTaskFailed):
                raise
            refused = PayloadError(f"the service does not take the result: {error!s:.500}")
            log.warning("%s: %s", name_task(task), refused, extra=tell_task(task))
            self.answer(task, fail(task, refused, self._codec))
        except BackendError as error:
            if error.retryable:
                self._unsent.append((task, answer))
            raise

    def do(self, task: o.ActivityTask) -> o.Request[None] | None:
        """Run the activity and say how it ended; `None` if that is for others to say.

        Each attempt runs in a fresh copy of the thread's context: what one sets, the next does not see.
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
            result = host.act(call)
            if isinstance(result, CoroutineType):
                result = self._await(result, running)
            return self.tell(host, running, task, result)
        except BaseException as error:
            return self.explain(running, task, error)
        finally:
            _current.reset(reset)
            self.end(running)
            running.when_outlived(None)
            if lost.is_set():
                self.slots.regain(running)

    def _lose(self, running: RunningActivity, thread: threading.Thread, lost: threading.Event) -> None:
        """Replace the thread of a body that outlived its task. It ends with the body, and takes no more tasks."""
        lost.set()
        if self.slots.lose(running) and isinstance(thread, WorkerThread):
            thread.leave_behind()

    # The parts of doing it, for those who run the activity elsewhere.

    def open(self, task: o.ActivityTask) -> tuple[ActivityWorker, Any, o.Request[None] | None]:
        """Read a task: whose it is, and the call; or the answer that it cannot be read."""
        # A neighbour tells what to do; it is done in this thread, and on this worker's loop.
        host = self._neighbours.get(task.activity_type, self)
        try:
            return host, host._read(task), None
        except BaseException as error:
            said = "%s: %s" if isinstance(error, WrongListError) else "%s: its input cannot be read: %s"
            log.error(said, name_task(task), error, extra=tell_task(task))
            # What no codec reads, no worker reads later. Anything else may be read by newer code, or with another key.
            reason = INVALID if isinstance(error, InvalidPayloadError) else UNREADABLE
            details = describe_failure(error, JSON)[1]
            failed = o.RespondActivityTaskFailed(task_token=task.task_token, reason=reason, details=details)
            return host, None, failed

    def act(self, call: Any) -> Any:
        """Run the body; of an async activity, give its coroutine."""
        return call.run(*self._arguments) if self._body is None else self._body(call)

    def begin(self, host: ActivityWorker, task: o.ActivityTask, *, aside: bool = False) -> RunningActivity:
        """Take a task in hand."""
        spec = host.activity.spec
        running = RunningActivity(
            self._backend,
            task,
            self._codec,
            timeout=spec.heartbeat,
            limits=(spec.start_to_close, spec.schedule_to_close),
            pulse=self._pulse,
            aside=aside,
        )
        if self._pulse is not None:
            self._pulse.begin(running)
        if self._observer is not None:
            self._observer.begin_task(running)
        return running

    def end(self, running: RunningActivity) -> None:
        """Let go of a task."""
        if self._observer is not None:
            self._observer.end_task(running)
        if self._pulse is not None:
            self._pulse.end(running)

    def tell(
        self, host: ActivityWorker, running: RunningActivity, task: o.ActivityTask, result: Any
    ) -> o.Request[None] | None:
        """Say that the activity gave a result.

        Raises:
            PayloadError: it cannot be written, or is of another type than the definition says.
        """
        if result is COMPLETE_LATER or running.handed_back:
            return None
        # A result of another type than the definition says would leave the flow stuck: it is seen here.
        payload = self._codec.encode_as(result, host.activity.spec.result, host._what[1])
        if self._observer is not None:
            self._observer.note_task(running, "COMPLETED")
        return o.RespondActivityTaskCompleted(task_token=task.task_token, result=payload)

    def explain(self, running: RunningActivity, task: o.ActivityTask, error: BaseException) -> o.Request[None] | None:
        """Say that the activity gave none."""
        if running.handed_back:
            return None
        cancelled = isinstance(error, Cancelled) or (running.cancelled and type(error).__name__ == "CancelledError")
        if self._observer is not None:
            self._observer.note_task(running, *(("CANCELED", None) if cancelled else ("FAILED", error)))
        if cancelled:
            return o.RespondActivityTaskCanceled(task_token=task.task_token)
        spec = self._neighbours.get(task.activity_type, self).activity.spec
        account = error.account if isinstance(error, Told) else describe_exception(error)
        log_failure(name_task(task), error, account, spec, tell_task(task), self._failure_level)
        return fail(task, error, self._codec, running.said, account)

    def _read(self, task: o.ActivityTask) -> Any:
        got, has = task.activity_type, self.activity.spec.type
        if got is not has and got != has:
            raise WrongListError(
                f"a task of {got.name} {got.version} is on the list {self._poll.task_list.name}, and the worker that "
                f"polls it has {has.name} {has.version} alone. Start a worker of {got.name} {got.version} for this "
                "list in the same process, or schedule it on a list of its own"
            )
        return self._codec.decode_call(task.input, self.activity, self._what[0])

    def _await(self, coroutine: Any, running: RunningActivity) -> Any:
        """Run an async activity on a loop of this worker's own."""
        if self._runner is None:
            import asyncio

            self._runner = asyncio.Runner()
        # Not by `run`, which handles signals, and has the context of its first task for all.
        loop = self._runner.get_loop()
        task = loop.create_task(coroutine, context=copy_context())
        cancel_at_await(loop, task, running)
        try:
            return loop.run_until_complete(task)
        finally:
            running.wake_when_cancelled(None)


async def settle(coroutine: Any) -> tuple[Any, BaseException | None]:
    """Await an async activity; what it raises is its own affair, and ends no loop, whatever it is."""
    try:
        return await coroutine, None
    except BaseException as error:
        if type(error).__name__ == "CancelledError":
            raise
        return None, error


def cancel_at_await(loop: Any, task: Any, running: RunningActivity) -> None:
    """Cancel an async activity at its await as soon as nobody wants its result, unless a heartbeat told it before."""

    def cancel() -> None:
        if not running.told:
            running.told = running.noticed = True
            task.cancel()
            if running.gone and not running.handed_back:
                # One whose execution closed while it ran is nothing to look into.
                level = logging.INFO if running.gone_because.startswith("Unknown execution") else logging.WARNING
                log.log(level, "%s: %s: cancelled", running.name, running.describe_loss(), extra=tell_task(running))

    def wake() -> None:
        with suppress(RuntimeError):  # the loop is closed, and the activity over
            loop.call_soon_threadsafe(cancel)

    running.wake_when_cancelled(wake)


def fail(
    task: o.ActivityTask,
    error: BaseException,
    codec: Codec,
    heartbeat: str | None = None,
    account: FailureInfo | None = None,
) -> o.RespondActivityTaskFailed:
    """Say a failure as the answer to a task, and what its last heartbeat said, for the next attempt."""
    account = account or describe_exception(error)
    try:
        reason, details = write_failure(structs.replace(account, heartbeat=heartbeat), codec)
    except PayloadUnavailableError as unwritten:
        return fail(task, unwritten, codec, heartbeat)
    if isinstance(error, PayloadUnavailableError) or (isinstance(error, Told) and not error.begun):
        reason = UNREADABLE  # the work is done again when it can begin, and what comes of it can be written
    return o.RespondActivityTaskFailed(task_token=task.task_token, reason=reason, details=details)


def name_task(task: o.ActivityTask) -> str:
    """Say what logs call a task."""
    return f"{task.workflow_execution.workflow_id} {task.activity_id}"


def _pop(queue: deque[T]) -> T | None:
    try:
        return queue.popleft() if queue else None
    except IndexError:
        return None
