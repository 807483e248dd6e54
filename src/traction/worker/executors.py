"""Create the workers of an activity: in threads, in processes or on an event loop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from traction.errors import DefinitionError
from traction.worker.activity_worker import ActivityWorker
from traction.worker.event_loop import POLLERS_MAX, Loop, LoopPoller
from traction.worker.process_pool import PerProcess, ProcessPool
from traction.worker.slots import Slots

log = logging.getLogger("traction.worker")


Executor: TypeAlias = Literal["thread", "process", "async"]
"""Where the body of an activity runs."""


def create_workers(
    make: Callable[..., ActivityWorker],
    activity: Any,
    dependency: Any,
    *,
    executor: Executor,
    instances: int,
    leaving: Callable[[], bool],
    slots: Slots | None = None,
    spawn: Callable[[ActivityWorker], object] = lambda _: None,
) -> tuple[list[ActivityWorker | LoopPoller], list[ProcessPool]]:
    """Return the workers of an activity, and the process pools to close after them.

    Args:
        make: returns a worker for an activity and its dependency.
        activity: the definition.
        dependency: the dependency, or `PerProcess`.
        executor: where the bodies run.
        instances: how many tasks run at a time.
        leaving: returns whether the system is stopping and no more tasks are polled.
        slots: counts the slots lost to bodies that outlive their tasks. Its `replace` is set here.
        spawn: starts a thread for a worker that replaces a lost one.

    Raises:
        DefinitionError: the activity or its dependency cannot run there.
    """
    slots = slots or Slots(activity.__qualname__)
    if executor == "process":
        pool = ProcessPool(activity, dependency, ready=instances)
        return [make(activity, dependency, body=pool.run) for _ in range(instances)], [pool]
    if isinstance(dependency, PerProcess):
        dependency = dependency.make()
    if executor == "thread":
        slots.replace = lambda: spawn(make(activity, dependency))
        return [make(activity, dependency) for _ in range(instances)], []
    if executor != "async":
        raise DefinitionError(f'executor={executor!r} is not one of "thread", "process" and "async"')
    if not activity.spec.is_async:
        raise DefinitionError(
            f'{activity.__qualname__} cannot run with executor="async": it is not async, and would block the '
            'event loop. Write async def, or executor="thread"'
        )
    loop = Loop(instances, slots)
    worker = make(activity, dependency)
    return [LoopPoller(loop, worker, leaving) for _ in range(min(instances, POLLERS_MAX))], []
