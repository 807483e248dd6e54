"""What code inside an activity may use: its task, heartbeats, asynchronous completion."""

from __future__ import annotations

import builtins
from abc import ABC, abstractmethod
from contextvars import ContextVar
from typing import Any, TypeVar, overload

from traction.errors import TractionError
from traction.model.names import ActivityType, WorkflowExecution

T = TypeVar("T")


class RunningTask(ABC):
    """The activity task that is being worked on."""

    execution: WorkflowExecution
    """Whose task it is."""

    activity_type: ActivityType
    """What is being run."""

    activity_id: str
    """The id of the step, with the suffix of its attempt if it is not the first."""

    attempt: int
    """Which attempt this is, from 1."""

    token: str
    """The task token. Any process that has it can complete the task. See `COMPLETE_LATER`."""

    @property
    @abstractmethod
    def cancelled(self) -> bool:
        """Whether the last heartbeat reported that the task was cancelled. Sends no request, raises nothing."""

    @overload
    def last_details(self, type: builtins.type[T]) -> T | None: ...
    @overload
    def last_details(self, type: Any = ...) -> Any: ...
    @abstractmethod
    def last_details(self, type: Any = Any) -> Any:
        """Return the last heartbeat details of earlier attempts, decoded as `type`; `None` if there are none.

        Raises:
            PayloadError: it is not of that type.
        """

    @abstractmethod
    def heartbeat(self, details: object = None) -> None:
        """Send a heartbeat with details (at most 2,048 characters as JSON), which a timeout reports.

        Raises:
            Cancelled: the flow cancelled the activity, or the execution has closed. Clean up, and do not catch it.
        """


class _Later:
    """The type of `COMPLETE_LATER`."""

    def __repr__(self) -> str:
        return "COMPLETE_LATER"

    def __reduce__(self) -> str:
        # One and the same in every process.
        return "COMPLETE_LATER"


COMPLETE_LATER: Any = _Later()
"""Returned by an activity whose task is completed elsewhere, by the task's `token`.

Example:
    @activity(start_to_close=days(3))
    def ask(question: str) -> bool:
        send_mail(question, reply_to=current_task().token)
        return COMPLETE_LATER

The reply then comes from anywhere: `WorkerSystem(url).complete(token, True)`.
"""


CURRENT_TASK: ContextVar[RunningTask] = ContextVar("traction.running_task")
"""The task that `current_task` returns. Workers set it around the body of an activity."""


def find_task() -> RunningTask | None:
    """Return the task that is being worked on, if an activity runs here."""
    return CURRENT_TASK.get(None)


def current_task() -> RunningTask:
    """Return the activity task that runs here.

    Raises:
        TractionError: no activity is running.
    """
    task = find_task()
    if task is None:
        raise TractionError("no activity is running: call heartbeat() and current_task() only inside an activity")
    return task


def heartbeat(details: object = None) -> None:
    """Record the progress of the current activity task, and raise `Cancelled` if it should stop.

    The worker sends heartbeats by itself. The first call sends its details at once; of the calls within a second
    after that, only the latest details are sent.

    Example:
        @activity(heartbeat=30)
        def copy(pages: int) -> None:
            for page in range(pages):
                copy_page(page)
                heartbeat(page)

    Raises:
        Cancelled: the flow cancelled the activity, or the execution has closed. Clean up, and do not catch it.
        TractionError: no activity is running.
    """
    current_task().heartbeat(details)
