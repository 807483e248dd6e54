"""Run the local activities of flows one after the other, in the thread that decides, within the decision task.

Their outcomes are recorded as markers in the response to the decision task, so they run again if that is lost.

Theory of operation. SWF has no heartbeat for decision tasks. So only a part of the task's time is spent here: the rest
of the local activities run in the next decision task, which the decider forces with the same response.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextvars import copy_context
from datetime import datetime
from types import CoroutineType
from typing import Any, Final

from traction.decider.decider import Decider
from traction.decider.local_activities import PendingLocalActivity
from traction.definitions.classes import Activity
from traction.errors import DefinitionError, MissingDependencyError, PayloadUnavailableError, TractionError
from traction.history.local_records import HEAD_CHARS_MAX, Record, find_room, write_record
from traction.model.names import WorkflowExecution
from traction.payloads.codec import PAYLOAD_CHARS_MAX, Codec
from traction.payloads.failure_text import write_failure
from traction.payloads.failures import describe_exception
from traction.plugins.observer import Observer, build_task_fields, log_failure
from traction.runtime.activity_task import COMPLETE_LATER, CURRENT_TASK, RunningTask

log = logging.getLogger("traction.worker")

SHARE: Final = 0.5
"""The part of a decision task's time after which no more local activities are started."""


class LocalTask(RunningTask):
    """A running local activity. It has no token, is never cancelled, and its heartbeats are ignored."""

    def __init__(self, execution: WorkflowExecution, pending: PendingLocalActivity) -> None:
        self.token = ""
        self.execution = execution
        self.activity_type = pending.call.spec.type
        self.activity_id = pending.task_id
        self.attempt = pending.attempt

    @property
    def cancelled(self) -> bool:
        """Always false: the flow waits for the result."""
        return False

    def last_details(self, type: Any = Any) -> Any:
        """Return `None`: there are no heartbeats."""

    def heartbeat(self, details: object = None) -> None:
        """Do nothing."""


class LocalActivities:
    """Runs the local activities of flows.

    Args:
        provide: dependencies by activity.
        bodies: called with the call instead of an activity's `run`, by activity; then no dependency is needed.
        failure_level: the log level of failures that are not retried.

    Raises:
        DefinitionError: a key is not an activity.
    """

    def __init__(
        self,
        provide: Mapping[Callable[..., Activity[Any, Any]], Any] | None = None,
        bodies: Mapping[Callable[..., Activity[Any, Any]], Callable[[Any], Any]] | None = None,
        failure_level: int = logging.WARNING,
    ) -> None:
        self._failure_level = failure_level
        self._provide: dict[Any, Any] = dict(provide or {})
        self._bodies: dict[Any, Callable[[Any], Any]] = dict(bodies or {})
        for activity in (*self._provide, *self._bodies):
            if not (isinstance(activity, type) and issubclass(activity, Activity)):
                raise DefinitionError(f"the keys of provide must be activities, and {activity!r:.100} is not one")

    def do_all(
        self,
        decider: Decider,
        execution: WorkflowExecution,
        *,
        codec: Codec,
        clock: Callable[[], datetime],
        observer: Observer | None = None,
    ) -> None:
        """Run the flow's local activities, and those that follow, while the decision task's time allows.

        Raises:
            DefinitionError: an activity's dependency is not provided.
            PayloadUnavailableError: a payload store does not accept a result.
            NonDeterminismError, FlowError, PayloadError: as `Decider.decide`.
        """
        limit = None if decider.context.begun is None else decider.context.begun.task_start_to_close_timeout
        seconds, began = None if limit in (None, "NONE") else int(limit), clock()
        while (pending := decider.find_local()) is not None:
            task = LocalTask(execution, pending)
            decider.complete_local(pending, copy_context().run(self._do, pending, task, codec, clock, observer))
            took = (clock() - began).total_seconds()
            if seconds is not None and took >= seconds:
                message = (
                    "%s ended after %.1f s in a decision task that may take %d s: its result is lost, and it runs "
                    "again. Leave out .locally(), or set a longer task_start_to_close for the workflow"
                )
                log.warning(message, task.activity_id, took, seconds, extra=build_task_fields(task))
            if seconds is not None and took >= seconds * SHARE:
                return

    def _do(
        self,
        pending: PendingLocalActivity,
        task: LocalTask,
        codec: Codec,
        clock: Callable[[], datetime],
        observer: Observer | None,
    ) -> str:
        """Run one local activity and return its record."""
        call, began = pending.call, clock()
        type_ = call.spec.type

        def record(details: str, reason: str | None = None) -> str:
            seconds = (clock() - began).total_seconds()
            return write_record(Record(type_.name, type_.version, began, seconds, reason, details))

        body = self._find_body(type(call))
        # The body gets a copy of the call, so the flow does not see changes to it.
        call = codec.decode(codec.encode_call(call), type(call))
        ended: tuple[str, BaseException | None] = "LEFT", None
        reset = CURRENT_TASK.set(task)
        if observer is not None:
            observer.begin_task(task)
        try:
            text = record(_act(body, call, codec, find_room(type_.name, type_.version, began)))
            ended = "COMPLETED", None
        except PayloadUnavailableError:
            raise
        except BaseException as error:
            info = describe_exception(error)
            reason, details = write_failure(info, codec, chars_max=PAYLOAD_CHARS_MAX - HEAD_CHARS_MAX)
            name = f"{task.execution.workflow_id} {task.activity_id}"
            log_failure(name, error, info, call.spec, build_task_fields(task), self._failure_level)
            text = record(details, reason)
            ended = "FAILED", error
        finally:
            CURRENT_TASK.reset(reset)
            if observer is not None:
                observer.note_task(task, *ended)
                observer.end_task(task)
        return text

    def _find_body(self, activity: Any) -> Callable[[Any], Any]:
        if (body := self._bodies.get(activity)) is not None:
            return body
        needs = activity.spec.needs
        if needs is None:
            return lambda call: call.run()
        if activity in self._provide:
            return lambda call: call.run(self._provide[activity])
        name = activity.__qualname__
        raise MissingDependencyError(
            name,
            needs,
            "the workflow worker has none, so it cannot run locally. Write start_workflow_worker(..., "
            f"provide={{{name}: dependency}}), or run(..., provide=...), or on a command line "
            f"--provide {name}=module:factory",
        )


def _act(body: Callable[[Any], Any], call: Any, codec: Codec, room: int) -> str:
    """Run the body and return its result as a payload of at most `room` characters."""
    result, spec = body(call), call.spec
    if isinstance(result, CoroutineType):
        result = _run(result)
    if result is COMPLETE_LATER:
        raise TractionError(
            f"{type(call).__qualname__} returns COMPLETE_LATER, and a local activity has no task token; "
            "leave out .locally()"
        )
    what = f"the result of {spec.type.name} {spec.type.version}"
    # Checked here, because a result of another type than declared would leave the flow stuck.
    return codec.encode_as(result, spec.result, what, room)


def _run(coroutine: Any) -> Any:
    """Run an async activity on its own event loop."""
    import asyncio

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()
