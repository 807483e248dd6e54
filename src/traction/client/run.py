"""Run a workflow the shortest way: a backend, workers for all that it needs, its result.

Takes a call of a workflow; gives its result. Workers for the activities and children that the flow asks for are started
when it first asks: importing their definitions is all that they need.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from traction.client.handle import Handle
from traction.client.starts import IfClosed, IfRunning
from traction.client.system import WorkerSystem
from traction.definitions.checks import check_call
from traction.definitions.classes import Activity, Workflow
from traction.errors import MissingDependencyError
from traction.flow.durations import Span, to_timedelta
from traction.payloads.codec import JSON, Codec
from traction.worker.workflow_worker import StuckDecisionError

R = TypeVar("R")

INSTANCES = 8
"""How many threads work on each activity."""

LOOK = timedelta(seconds=0.1)
"""How soon a mistake is noticed that keeps a flow from going on: at first, and then ever later, up to `LOOK_MAX`."""

LOOK_MAX = timedelta(seconds=2)
"""How soon a mistake is noticed in the end. Each look may be a call of the service."""

GRACE = timedelta(seconds=1)
"""How long workers may go on with what they have in hand when nobody waits for it: what lost a race, for one."""

LEAVING = "waits for polls"
"""The name of the thread that waits, after a run, for polls that last."""


def run(
    workflow: Workflow[R],
    *,
    provide: Mapping[Callable[..., Activity[Any, Any]], Any] | None = None,
    url: str = "local:",
    codec: Codec = JSON,
    payloads: str | None = None,
    timeout: Span | None = None,
    instances: int = INSTANCES,
    workflow_id: str | None = None,
    if_running: IfRunning = "match",
    if_closed: IfClosed = "start",
    on_start: Callable[[Handle[R]], None] | None = None,
) -> R:
    """Run a workflow to its end, and give its result.

    Args:
        workflow: a call of a workflow, with its input.
        provide: what activities need, by activity.
        url: the backend; in memory unless given. On one that lasts, an execution that is open and was started by the
            same call is taken up where it was. Polls of Amazon SWF last for a minute, and may be given tasks until
            then: they are waited for in the background, and the program does not end before.
        codec: how values become payloads; plain JSON unless given.
        payloads: the URL of the store for what is too long for SWF.
        timeout: how long to wait at the most.
        instances: how many tasks of one activity are done at a time.
        workflow_id, if_running, if_closed: as for `Client.start`.
        on_start: called with the handle once the execution has started.

    Example:
        >>> from traction import activity, workflow
        >>> @activity
        ... def greet(name: str) -> str:
        ...     return f"Hello, {name}!"
        >>> @workflow
        ... async def hello(name: str) -> str:
        ...     return await greet(name)
        >>> run(hello("world"))
        'Hello, world!'

    Raises:
        DefinitionError, FlowError, PayloadError: the flow cannot go on until its author mends it. On a backend that
            lasts, the execution stays open and goes on from there.
        WorkflowAlreadyRunning, WorkflowAlreadyClosed: another call was started under its id, as for `Client.start`.
        ExecutionFailed: it closed without a result; the subclass says how.
        TimeoutError: it is still open after `timeout`.
    """
    __tracebackhide__ = True  # pytest shows the caller's frame instead of this one
    check_call(workflow)
    dependencies = dict(provide or {})
    deadline = None if timeout is None else time.monotonic() + to_timedelta(timeout).total_seconds()
    system = WorkerSystem(url, codec=codec, payloads=payloads)
    stuck: list[StuckDecisionError] = []
    hosted: set[Any] = set()
    hosting = threading.Lock()

    def host(definition: Any) -> None:
        # Each workflow worker tells what its flows meet, so the same definition may be met often, and at once.
        with hosting:
            if definition in hosted:
                return
            if issubclass(definition, Activity):
                if definition.spec.needs is not None and definition not in dependencies:
                    raise _miss(definition)
                system.start_activity_worker(definition, dependencies.get(definition), instances=instances)
            else:
                system.start_workflow_worker(
                    definition, provide=dependencies, on_definition=host, on_stuck=stuck.append
                )
            hosted.add(definition)

    try:
        host(type(workflow))
        handle = system.start(workflow, workflow_id=workflow_id, if_running=if_running, if_closed=if_closed)
        if on_start is not None:
            on_start(handle)
        return _wait(handle, stuck, timeout, deadline)
    finally:
        _leave(system)


def _leave(system: WorkerSystem) -> None:
    """Close; polls that last are waited for beside the caller, since the result is there."""
    linger = system.backend.linger
    if linger:
        # No daemon: the program waits for it.
        threading.Thread(target=system.close, args=(GRACE + linger,), name=LEAVING, daemon=False).start()
    else:
        system.close(GRACE)


def _wait(handle: Handle[R], stuck: list[StuckDecisionError], timeout: Span | None, deadline: float | None) -> R:
    __tracebackhide__ = True
    look = LOOK
    while True:
        left = look if deadline is None else timedelta(seconds=max(deadline - time.monotonic(), 0))
        try:
            return handle.result_within(min(look, left))
        except TimeoutError:
            if stuck:
                raise stuck[0].error from None
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(
                    f"{handle.workflow_id} is still open after {to_timedelta(timeout or 0).total_seconds():g} s"
                ) from None
        look = min(look * 2, LOOK_MAX)


def _miss(definition: Any) -> MissingDependencyError:
    name, needs = definition.__qualname__, definition.spec.needs
    return MissingDependencyError(
        name,
        needs,
        f"none is provided. Write run(..., provide={{{name}: dependency}})",
    )
