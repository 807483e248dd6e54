"""Queues of pending tasks: one per task list and kind, ordered by priority, then by arrival.

SWF keeps this order on a "best effort" basis (developer guide); here it is exact. Lists exist from their first use. A
list of decision tasks and one of activity tasks may have the same name.
"""

from __future__ import annotations

from abc import abstractmethod
from heapq import heapify, heappop, heappush
from typing import Generic, Literal, NamedTuple, TypeVar

from traction_local.service.state.alarms import Alarm


class Ready(NamedTuple):
    """The key of a queue that got a task for pollers."""

    kind: Literal["decision", "activity"]
    domain: str
    task_list: str


class Task(Alarm, kw_only=True):
    """A task of an execution. `waiting` until it is assigned or withdrawn."""

    scheduled_event_id: int
    started_event_id: int = 0
    waiting: bool = False

    @abstractmethod
    def withdraw(self) -> None:
        """Remove the task from its queue, if it is still waiting."""


TaskT = TypeVar("TaskT", bound=Task)


class TaskQueue(Generic[TaskT]):
    """One task list of one kind."""

    __slots__ = ("_arrivals", "_heap", "_key", "_ready", "waiting")

    def __init__(self, key: Ready, ready: list[Ready]) -> None:
        self._key = key
        self._ready = ready
        self._arrivals = 0
        self._heap: list[tuple[int, int, TaskT]] = []
        self.waiting = 0

    def arrive(self, task: TaskT) -> int:
        """Count the task as waiting, and return its place in the order of arrival."""
        task.waiting = True
        self.waiting += 1
        self._arrivals += 1
        return self._arrivals

    def offer(self, task: TaskT, priority: int, arrival: int) -> None:
        heappush(self._heap, (-priority, arrival, task))
        self._ready.append(self._key)

    def take(self) -> TaskT | None:
        """Remove and return the next task, if there is one."""
        heap = self._heap
        while heap:
            task = heappop(heap)[2]
            if task.waiting:
                task.waiting = False
                self.waiting -= 1
                return task
        return None

    def withdraw(self, task: TaskT) -> None:
        """Remove a task. It leaves the heap when it reaches the top, or when the heap is rebuilt."""
        if not task.waiting:
            return
        task.waiting = False
        self.waiting -= 1
        if len(self._heap) > 2 * self.waiting + 64:
            self._heap = [place for place in self._heap if place[2].waiting]
            heapify(self._heap)


class TaskQueues(Generic[TaskT]):
    """The task lists of one kind in one domain."""

    __slots__ = ("_domain", "_kind", "_queues", "_ready")

    def __init__(self, kind: Literal["decision", "activity"], domain: str, ready: list[Ready]) -> None:
        self._kind: Literal["decision", "activity"] = kind
        self._domain = domain
        self._ready = ready
        self._queues: dict[str, TaskQueue[TaskT]] = {}

    def get(self, name: str) -> TaskQueue[TaskT]:
        """Return the queue of this name. It is created at its first use."""
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = TaskQueue(Ready(self._kind, self._domain, name), self._ready)
        return queue

    def find(self, name: str) -> TaskQueue[TaskT] | None:
        """Return the queue of this name, if it was ever used."""
        return self._queues.get(name)
