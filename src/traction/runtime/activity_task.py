"""Let an activity know its own task: say that it is alive, learn that it should stop, leave the answer to another.

Takes calls from inside an activity's `run`; gives them to the worker that runs it. Knows no backend.
"""

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
    """What names the task to the service: whoever has it may answer, from any process. See `COMPLETE_LATER`."""

    @property
    @abstractmethod
    def cancelled(self) -> bool:
        """Whether nobody wants the result any more, as far as the last heartbeat told. Asks nobody, raises nothing."""

    @overload
    def last_details(self, type: builtins.type[T]) -> T | None: ...
    @overload
    def last_details(self, type: Any = ...) -> Any: ...
    @abstractmethod
    def last_details(self, type: Any = Any) -> Any:
        """Give what the last heartbeat of the attempts before this one said, read as `type`; `None` if nothing.

        Raises:
            PayloadError: it is not of that type.
        """

    @abstractmethod
    def heartbeat(self, details: object = None) -> None:
        """Say that the task is alive, with details (at most 2,048 characters as JSON) that a time-out will carry.

        Raises:
            Cancelled: the flow no longer wants the result, or the execution has closed. Clean up, and let it pass.
        """


class _Later:
    """The type of `COMPLETE_LATER`."""

    def __repr__(self) -> str:
        return "COMPLETE_LATER"

    def __reduce__(self) -> str:
        # One and the same in every process.
        return "COMPLETE_LATER"


COMPLETE_LATER: Any = _Later()
"""What an activity returns when somebody else will answer its task, by the task's `token`.

Example:
    @activity(start_to_close=days(3))
    def ask(question: str) -> bool:
        send_mail(question, reply_to=current_task().token)
        return COMPLETE_LATER

The reply then comes from anywhere: `WorkerSystem(url).complete(token, True)`.
"""


_current: ContextVar[RunningTask] = ContextVar("traction.running_task")


def find_task() -> RunningTask | None:
    """Return the task that is being worked on, if an activity runs here."""
    return _current.get(None)


def current_task() -> RunningTask:
    """Give the task that is being worked on.

    Raises:
        TractionError: no activity runs here.
    """
    task = find_task()
    if task is None:
        raise TractionError("no activity is running: call heartbeat() and current_task() only inside an activity")
    return task


def heartbeat(details: object = None) -> None:
    """Say how far the current activity task is, and learn whether it is still wanted.

    That it is alive its worker says by itself. The first call sends what it is given at once; of the calls within a
    second after that, the details of the latest are sent.

    Example:
        @activity(heartbeat=30)
        def copy(pages: int) -> None:
            for page in range(pages):
                copy_page(page)
                heartbeat(page)

    Raises:
        Cancelled: the flow no longer wants the result, or the execution has closed. Clean up, and let it pass.
        TractionError: no activity runs here.
    """
    current_task().heartbeat(details)
