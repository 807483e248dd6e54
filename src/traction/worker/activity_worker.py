"""Poll for activity tasks, run their activities and send the results.

Whatever an activity raises fails its task, and never stops the worker. Here the body runs in the thread that polls;
`event_loop` and `process_pool` run it elsewhere.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import copy_context
from datetime import timedelta
from functools import partial
from types import CoroutineType
from typing import Any

from traction.backend import Backend
from traction.errors import (
    BackendError,
    PayloadError,
    UnknownResourceFault,
    ValidationException,
)
from traction.model import operations as o
from traction.model.names import ActivityType, TaskList
from traction.payloads.codec import JSON, Codec
from traction.plugins.observer import Observer, build_task_fields
from traction.worker.attempt import Attempt, AttemptContext, build_failed_response, name_task
from traction.worker.coroutines import cancel_at_await
from traction.worker.heartbeats import Heartbeater, RunningActivity
from traction.worker.hosted_activity import HostedActivity
from traction.worker.loop import pop_unsent
from traction.worker.slots import Slots, WorkerThread

log = logging.getLogger("traction.worker")


class ActivityWorker:
    """Runs the tasks of one activity.

    Args:
        dependency: passed to each `run`. Several workers may share it if it is thread-safe.
        identity: the name of this worker in histories.
        body: called with the call instead of the activity's `run`; then no dependency is needed.
        neighbours: activities of other workers on the same task list. This worker runs their tasks as well.
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
        neighbours: Mapping[ActivityType, HostedActivity] | None = None,
        heartbeater: Heartbeater | None = None,
        observer: Observer | None = None,
        slots: Slots | None = None,
        failure_level: int = logging.WARNING,
    ) -> None:
        self.hosted = HostedActivity(activity, dependency, body)
        spec = self.hosted.spec
        self._poll = o.PollForActivityTask(
            domain=backend.domain,
            task_list=TaskList(task_list) if task_list is not None else spec.task_list,
            identity=identity,
        )
        self._backend = backend
        self._neighbours = {} if neighbours is None else neighbours
        self._codec = codec
        self._context = AttemptContext(backend, codec, self._poll.task_list.name, heartbeater, observer, failure_level)
        self.slots = Slots(spec.type.name) if slots is None else slots
        self._runner: Any = None
        self._unsent: deque[tuple[o.ActivityTask, o.Request[None]]] = deque()

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
        self.respond(task, self.do(task))
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
        while (unsent := pop_unsent(self._unsent)) is not None:
            self.respond(*unsent, again=True)

    def respond(self, task: o.ActivityTask, response: o.Request[None] | None, *, again: bool = False) -> None:
        """Send the response of a task. Ignore it if the task is closed, or if there is no response."""
        if response is None:
            return
        try:
            self._backend.call(response)
        except UnknownResourceFault as error:
            # For a response that is sent again, this may mean that the first one arrived.
            late = "already answered, or too late" if again else "the response was too late"
            log.info("%s: %s: %s", name_task(task), late, error, extra=build_task_fields(task))
        except ValidationException as error:
            # The service counts characters in its own way, or has limits of its own.
            if isinstance(response, o.RespondActivityTaskFailed):
                raise
            refused = PayloadError(f"the service rejected the result: {error!s:.500}")
            log.warning("%s: %s", name_task(task), refused, extra=build_task_fields(task))
            self.respond(task, build_failed_response(task, refused, self._codec))
        except BackendError as error:
            if error.retryable:
                self._unsent.append((task, response))
            raise

    def do(self, task: o.ActivityTask) -> o.Request[None] | None:
        """Run the activity and return the response; `None` if another process will send it.

        Each attempt runs in a fresh copy of the thread's context.
        """
        return copy_context().run(self._do, task)

    def _do(self, task: o.ActivityTask) -> o.Request[None] | None:
        attempt = self.attempt(task, on_outlived=partial(self._replace, threading.current_thread()))
        try:
            with attempt:
                if attempt.started:
                    result = attempt.run_body()
                    if isinstance(result, CoroutineType):
                        result = self._await(result, attempt.running)
                    attempt.complete(result)
        finally:
            if attempt.outlived:
                self.slots.regain(attempt.running)
        return attempt.response

    def _replace(self, thread: threading.Thread, running: RunningActivity) -> None:
        """Replace the thread of a body that outlived its task. The thread ends with the body."""
        if self.slots.lose(running) and isinstance(thread, WorkerThread):
            thread.leave_behind()

    def attempt(
        self,
        task: o.ActivityTask,
        *,
        defer_heartbeats: bool = False,
        on_outlived: Callable[[RunningActivity], object] | None = None,
    ) -> Attempt:
        """Return an attempt of a task, to be used as a `with` statement. Its arguments are those of `Attempt`."""
        hosted = self._neighbours.get(task.activity_type, self.hosted)
        return Attempt(self._context, hosted, task, defer_heartbeats=defer_heartbeats, on_outlived=on_outlived)

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
