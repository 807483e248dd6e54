"""One attempt of an activity task, wherever its body runs: from the decoded input to the response."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import Token
from typing import Any, NamedTuple, Self

from msgspec import structs

from traction.backend import Backend
from traction.errors import InvalidPayloadError, PayloadUnavailableError
from traction.flow.step import Cancelled
from traction.model import operations as o
from traction.payloads.codec import JSON, Codec
from traction.payloads.failure_info import FailureInfo
from traction.payloads.failure_text import INVALID, UNREADABLE, write_failure
from traction.payloads.failures import describe_exception, describe_failure
from traction.plugins.observer import Observer, build_task_fields, log_failure
from traction.runtime.activity_task import COMPLETE_LATER, CURRENT_TASK, RunningTask
from traction.worker.coroutines import is_cancelled_error
from traction.worker.heartbeats import Heartbeater, RunningActivity
from traction.worker.hosted_activity import HostedActivity, WrongListError

log = logging.getLogger("traction.worker")


class RemoteFailure(Exception):
    """The failure of an activity in another process. `begun` is false if the process could not start the activity."""

    def __init__(self, info: FailureInfo, *, begun: bool = True) -> None:
        self.info, self.begun = info, begun
        super().__init__(info.type)


class AttemptContext(NamedTuple):
    """What all attempts of one worker share.

    `task_list` is where their tasks are polled, and `failure_level` the log level of failures that are not retried.
    """

    backend: Backend
    codec: Codec
    task_list: str
    heartbeater: Heartbeater | None
    observer: Observer | None
    failure_level: int


class Attempt:
    """Runs one activity task as a `with` statement, and builds its response.

    Entering decodes the input, starts heartbeats and calls the hooks of plugins. Leaving ends them. An exception is not
    raised: it becomes the response.

    Example:
        with worker.attempt(task) as attempt:
            if attempt.started:
                attempt.complete(attempt.run_body())
        return attempt.response

    Args:
        hosted: the activity of the task.
        task: the task that was polled.
        defer_heartbeats: leave heartbeats to the heartbeater's threads, as for a body on an event loop.
        on_outlived: called by a thread of the heartbeater if the body still runs long after its task has ended.
    """

    def __init__(
        self,
        context: AttemptContext,
        hosted: HostedActivity,
        task: o.ActivityTask,
        *,
        defer_heartbeats: bool = False,
        on_outlived: Callable[[RunningActivity], object] | None = None,
    ) -> None:
        self._context, self._hosted, self._task = context, hosted, task
        self._defer_heartbeats, self._on_outlived = defer_heartbeats, on_outlived
        self._call: Any = None
        self._token: Token[RunningTask] | None = None
        self.running: RunningActivity
        """The task as the activity sees it, once the input was decoded."""
        self.started = False
        """Whether the body should run: the input was decoded, and the worker is not handing its tasks back."""
        self.outlived = False
        """Whether the body still ran long after its task had ended."""
        self.response: o.Request[None] | None = None
        """The response; `None` if the task was handed back or is completed elsewhere."""

    def __enter__(self) -> Self:
        context = self._context
        try:
            self._call = self._hosted.decode(self._task, context.codec, context.task_list)
        except BaseException as error:
            self._reject_input(error)
            return self
        spec = self._hosted.spec
        self.running = running = RunningActivity(
            context.backend,
            self._task,
            context.codec,
            timeout=spec.heartbeat,
            limits=(spec.start_to_close, spec.schedule_to_close),
            heartbeater=context.heartbeater,
            defer_heartbeats=self._defer_heartbeats,
        )
        if context.heartbeater is not None:
            context.heartbeater.begin(running)
        if context.observer is not None:
            context.observer.begin_task(running)
        if self._on_outlived is not None:
            running.when_outlived(self._outlive)
        self._token = CURRENT_TASK.set(running)
        self.started = not running.handed_back
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if self._token is None:
            return False
        try:
            if error is not None:
                self.fail(error)
            return True
        finally:
            CURRENT_TASK.reset(self._token)
            if self._context.observer is not None:
                self._context.observer.end_task(self.running)
            if self._context.heartbeater is not None:
                self._context.heartbeater.end(self.running)
            self.running.when_outlived(None)

    def _outlive(self) -> None:
        assert self._on_outlived is not None
        self.outlived = True
        self._on_outlived(self.running)

    def run_body(self) -> Any:
        """Run the body. For an async activity, return its coroutine."""
        return self._hosted.run(self._call)

    def complete(self, result: Any) -> None:
        """Build the response for a result.

        Raises:
            PayloadError: it cannot be encoded, or is not of the declared type.
        """
        if result is COMPLETE_LATER or self.running.handed_back:
            return
        payload = self._hosted.encode(result, self._context.codec)
        if self._context.observer is not None:
            self._context.observer.note_task(self.running, "COMPLETED")
        self.response = o.RespondActivityTaskCompleted(task_token=self._task.task_token, result=payload)

    def fail(self, error: BaseException) -> None:
        """Build the response for an exception: failed or cancelled."""
        running, task = self.running, self._task
        if running.handed_back:
            return
        cancelled = isinstance(error, Cancelled) or (running.cancelled and is_cancelled_error(error))
        if self._context.observer is not None:
            self._context.observer.note_task(running, *(("CANCELED", None) if cancelled else ("FAILED", error)))
        if cancelled:
            self.response = o.RespondActivityTaskCanceled(task_token=task.task_token)
            return
        info = error.info if isinstance(error, RemoteFailure) else describe_exception(error)
        log_failure(running.name, error, info, self._hosted.spec, build_task_fields(task), self._context.failure_level)
        self.response = build_failed_response(task, error, self._context.codec, running.latest_details, info)

    def _reject_input(self, error: BaseException) -> None:
        message = "%s: %s" if isinstance(error, WrongListError) else "%s: cannot read the input: %s"
        log.error(message, name_task(self._task), error, extra=build_task_fields(self._task))
        # An invalid payload stays unreadable. Any other input may be readable by newer code or with another key.
        reason = INVALID if isinstance(error, InvalidPayloadError) else UNREADABLE
        details = describe_failure(error, JSON)[1]
        self.response = o.RespondActivityTaskFailed(task_token=self._task.task_token, reason=reason, details=details)


def build_failed_response(
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
        return build_failed_response(task, unwritten, codec, heartbeat)
    if isinstance(error, PayloadUnavailableError) or (isinstance(error, RemoteFailure) and not error.begun):
        reason = UNREADABLE  # scheduled again, until a worker can start it and write the result
    return o.RespondActivityTaskFailed(task_token=task.task_token, reason=reason, details=details)


def name_task(task: o.ActivityTask) -> str:
    """Return the name of a task in logs."""
    return f"{task.workflow_execution.workflow_id} {task.activity_id}"
