"""Do the local activities of flows: in the thread that decides, one after the other, within the decision task.

Takes a decider whose flow asks for some, and what they need; gives it a record of each. Whatever an activity raises is
its failure. The records go into the answer to the decision task, so what is done is done again if that is lost.

Theory of operation. SWF has no way to say that a decision task is still being worked on. So only a part of its time is
spent here: what is not begun by then is left to the next decision task, which the decider asks for at once, in the
answer that records what has been done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextvars import copy_context
from datetime import datetime
from types import CoroutineType
from typing import Any, Final

from traction.decider.decider import Decider
from traction.decider.frames import Leaf
from traction.definitions.classes import Activity
from traction.errors import DefinitionError, MissingDependencyError, PayloadUnavailableError, TractionError
from traction.history.local_records import HEAD_CHARS_MAX, Record, find_room, write_record
from traction.model.names import WorkflowExecution
from traction.payloads.codec import PAYLOAD_CHARS_MAX, Codec
from traction.payloads.failures import describe_exception, write_failure
from traction.plugins.observer import Observer, log_failure, tell_task
from traction.runtime.activity_task import COMPLETE_LATER, RunningTask, _current

log = logging.getLogger("traction.worker")

SHARE: Final = 0.5
"""The part of a decision task's time after which no further local activity is begun."""


class LocalTask(RunningTask):
    """A local activity that is being done. It has no token, nobody cancels it, and its heartbeats go nowhere."""

    def __init__(self, execution: WorkflowExecution, leaf: Leaf) -> None:
        self.token = ""
        self.execution = execution
        self.activity_type = leaf.node.spec.type
        self.activity_id = leaf.task_id
        self.attempt = leaf.attempt

    @property
    def cancelled(self) -> bool:
        """Whether nobody wants the result: the flow waits for it."""
        return False

    def last_details(self, type: Any = Any) -> Any:
        """Give nothing: it has no heartbeats."""

    def heartbeat(self, details: object = None) -> None:
        """Tell nobody."""


class LocalActivities:
    """Does the local activities of flows.

    Args:
        provide: what activities need, by activity.
        bodies: what to do instead of an activity's `run`, by activity, given the call; then no dependency is needed.
        failure_level: the level at which it is logged that an activity failed and is not tried again.

    Raises:
        DefinitionError: a key is no activity.
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
                raise DefinitionError(f"provide goes by activity, and {activity!r:.100} is none")

    def do_all(
        self,
        decider: Decider,
        execution: WorkflowExecution,
        *,
        codec: Codec,
        clock: Callable[[], datetime],
        observer: Observer | None = None,
    ) -> None:
        """Do what the flow asks for, and what it asks for then, for as long as the decision task allows.

        Raises:
            DefinitionError: nobody provides what an activity needs.
            PayloadUnavailableError: a payload store does not take a result.
            NonDeterminismError, FlowError, PayloadError: as `Decider.decide`.
        """
        told = None if decider.begun is None else decider.begun.task_start_to_close_timeout
        seconds, began = None if told in (None, "NONE") else int(told), clock()
        while (leaf := decider.find_local()) is not None:
            task = LocalTask(execution, leaf)
            decider.tell_local(leaf, copy_context().run(self._do, leaf, task, codec, clock, observer))
            took = (clock() - began).total_seconds()
            if seconds is not None and took >= seconds:
                said = (
                    "%s ended after %.1f s in a decision task that may take %d s: what it gave is lost, and it is done "
                    "again. Leave out .locally(), or give the workflow a longer task_start_to_close"
                )
                log.warning(said, task.activity_id, took, seconds, extra=tell_task(task))
            if seconds is not None and took >= seconds * SHARE:
                return

    def _do(
        self, leaf: Leaf, task: LocalTask, codec: Codec, clock: Callable[[], datetime], observer: Observer | None
    ) -> str:
        """Do one, and give its record."""
        call, began = leaf.node.call, clock()
        type_ = call.spec.type

        def record(details: str, reason: str | None = None) -> str:
            seconds = (clock() - began).total_seconds()
            return write_record(Record(type_.name, type_.version, began, seconds, reason, details))

        body = self._find_body(type(call))
        # What the body does to its input, the flow must not see, as it would not of any other activity.
        call = codec.decode(codec.encode_call(call), type(call))
        ended: tuple[str, BaseException | None] = "LEFT", None
        reset = _current.set(task)
        if observer is not None:
            observer.begin_task(task)
        try:
            told = record(_act(body, call, codec, find_room(type_.name, type_.version, began)))
            ended = "COMPLETED", None
        except PayloadUnavailableError:
            raise
        except BaseException as error:
            account = describe_exception(error)
            reason, details = write_failure(account, codec, chars_max=PAYLOAD_CHARS_MAX - HEAD_CHARS_MAX)
            name = f"{task.execution.workflow_id} {task.activity_id}"
            log_failure(name, error, account, call.spec, tell_task(task), self._failure_level)
            told = record(details, reason)
            ended = "FAILED", error
        finally:
            _current.reset(reset)
            if observer is not None:
                observer.note_task(task, *ended)
                observer.end_task(task)
        return told

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
            "whoever decides has none, so it cannot be done locally. Write start_workflow_worker(..., "
            f"provide={{{name}: dependency}}), or run(..., provide=...), or on a command line "
            f"--provide {name}=module:factory",
        )


def _act(body: Callable[[Any], Any], call: Any, codec: Codec, room: int) -> str:
    """Run the body, and give its result as a payload of so many characters at the most."""
    result, spec = body(call), call.spec
    if isinstance(result, CoroutineType):
        result = _run(result)
    if result is COMPLETE_LATER:
        raise TractionError(
            f"{type(call).__qualname__} returns COMPLETE_LATER, and a local activity has no task token; "
            "leave out .locally()"
        )
    what = f"the result of {spec.type.name} {spec.type.version}"
    # A result of another type than the definition says would leave the flow stuck: it is seen here.
    return codec.encode_as(result, spec.result, what, room)


def _run(coroutine: Any) -> Any:
    """Run an async activity on a loop of its own."""
    import asyncio

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()
