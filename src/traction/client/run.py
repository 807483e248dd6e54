"""Run a workflow with workers for all that it needs.

Workers for activities and children are started when the flow first schedules them.
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
"""How many threads run each activity."""

CHECK_INTERVAL = timedelta(seconds=0.1)
"""The first interval between checks for a stuck flow. It doubles up to `CHECK_INTERVAL_MAX`."""

CHECK_INTERVAL_MAX = timedelta(seconds=2)
"""The longest such interval. Each check may be a request to the service."""

GRACE = timedelta(seconds=1)
"""How long workers may continue after the result, with tasks that no longer matter, such as the loser of a race."""

LEAVING = "waits for polls"
"""The name of the thread that waits for pending polls after a run."""


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
    """Run a workflow and return its result.

    Args:
        workflow: a call of a workflow, with its input.
        provide: the dependencies of activities, by activity.
        url: the backend; in memory by default. On a persistent one, an open execution that the same call started is
            continued. Polls of Amazon SWF take up to a minute and may still return tasks, so a background thread waits
            for them and the program does not exit before.
        codec: how values become payloads; plain JSON by default.
        payloads: the URL of the store for payloads that exceed SWF's limit.
        timeout: the longest wait for the result.
        instances: how many tasks of one activity run at a time.
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
        DefinitionError, FlowError, PayloadError: the flow is stuck until its author fixes it. On a persistent backend
            the execution stays open and continues from there.
        WorkflowAlreadyRunning, WorkflowAlreadyClosed: another call was started under its id, as for `Client.start`.
        ExecutionFailed: it closed without a result; the subclass depends on how (see `Handle.result`).
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
        # Several workflow workers may report the same definition, also at the same time.
        with hosting:
            if definition in hosted:
                return
            if issubclass(definition, Activity):
                if definition.spec.needs is not None and definition not in dependencies:
                    raise _build_missing_error(definition)
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
    """Close the system. A background thread waits for pending polls, since the caller has the result."""
    linger = system.backend.linger
    if linger:
        # Not a daemon: the program waits for it.
        threading.Thread(target=system.close, args=(GRACE + linger,), name=LEAVING, daemon=False).start()
    else:
        system.close(GRACE)


def _wait(handle: Handle[R], stuck: list[StuckDecisionError], timeout: Span | None, deadline: float | None) -> R:
    __tracebackhide__ = True
    interval = CHECK_INTERVAL
    while True:
        left = interval if deadline is None else timedelta(seconds=max(deadline - time.monotonic(), 0))
        try:
            return handle.result_within(min(interval, left))
        except TimeoutError:
            if stuck:
                raise stuck[0].error from None
            if deadline is not None and time.monotonic() >= deadline:
                raise handle.explain_timeout(timeout) from None
        interval = min(interval * 2, CHECK_INTERVAL_MAX)


def _build_missing_error(definition: Any) -> MissingDependencyError:
    name, needs = definition.__qualname__, definition.spec.needs
    return MissingDependencyError(
        name,
        needs,
        f"there is none. Write run(..., provide={{{name}: dependency}})",
    )
