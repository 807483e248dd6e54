"""The contract between Traction and a backend.

A backend accepts SWF's requests (`traction.model.operations`) and returns their responses. It keeps histories and task
lists, and stamps time. `traction_swf` sends requests to Amazon SWF, `traction_local` handles them itself;
`traction.testing.conformance` tests every backend.

What a caller may rely on, whatever the backend. After a `ServiceFault` the request had no effect. After a
`BackendError` with `retryable` and no fault (a lost connection, `InternalFailure`) it may or may not have had its
effect, and then:

    Register*, Describe*, Get*, List*, Count*   call again; an *AlreadyExistsFault then means that the first call worked
    StartWorkflowExecution                      call again; WorkflowExecutionAlreadyStartedFault then means that it runs
    SignalWorkflowExecution                     a second call signals twice: the receiver must deduplicate
    RequestCancel..., Terminate...              call again; UnknownResourceFault then means that it has closed
    Respond*                                    call again; UnknownResourceFault then means: answered, or too late
    RecordActivityTaskHeartbeat                 call again
    PollFor*                                    call again; a task assigned to the lost call is rescheduled later

Source: Amazon SWF API reference; SWF has no client request tokens, so this is what its own state makes safe.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime, timedelta
from typing import TypeVar

from traction.model import events as e
from traction.model.correlation import EXECUTION_CLOSES
from traction.model.limits import Limits
from traction.model.names import WorkflowExecution
from traction.model.operations import GetWorkflowExecutionHistory, Request

T = TypeVar("T")

POLL_WAIT_MAX = timedelta(seconds=60)
"""How long a poll waits before it returns empty (SWF)."""


class Backend(ABC):
    """A service that keeps histories and task lists, in one domain. Its methods may be called from any thread."""

    url: str
    """The URL that opened it."""

    domain: str
    """The domain that its requests name."""

    limits: Limits
    """Its quotas."""

    retention_days: int | None = 30
    """For how many days a domain keeps closed executions that is registered on first use; `None` if none ever is."""

    sticky: timedelta | None = None
    """How long decision tasks wait for the worker that has their decider; `None` where any worker does as well."""

    linger: timedelta = timedelta(0)
    """How long polls in flight may last after `close`. Dropping their connections earlier loses tasks."""

    @abstractmethod
    def call(self, request: Request[T], wait: timedelta | None = None) -> T:
        """Send a request and return its response.

        Args:
            request: one of the 39 operations.
            wait: for a poll, the longest time to wait for a task; `POLL_WAIT_MAX` if `None`. A service that
                fixes the wait itself, as SWF does, may wait longer. An assigned task is always in the response: it is
                never dropped.

        Raises:
            ServiceFault: SWF's fault, by its own name; the request had no effect.
            BackendError: the service could not be reached; see `retryable` and the table above.
        """

    @abstractmethod
    def now(self) -> datetime:
        """Return the service's time: aware, in UTC, in whole milliseconds."""

    @abstractmethod
    def wait_until_closed(self, execution: WorkflowExecution, wait: timedelta) -> bool:
        """Wait up to `wait` until a run has closed; return whether it has.

        Raises:
            UnknownResourceFault: the run does not exist.
        """

    @abstractmethod
    def close(self) -> None:
        """Close connections, threads and files. Polls in flight return empty. Idempotent.

        Other calls still work afterwards, so that a worker can respond to its current task.
        """

    def find_pending_polls(self) -> tuple[int, float]:
        """Return how many polls are in flight after `close`, and for how many seconds the last of them may last."""
        return 0, 0.0

    # Made of the above.

    def find_closing_event(self, execution: WorkflowExecution) -> e.Event | None:
        """Return the event that closed a run, or `None` while it is open. Reads one event.

        Raises:
            UnknownResourceFault: the run does not exist.
        """
        request = GetWorkflowExecutionHistory(
            domain=self.domain, execution=execution, maximum_page_size=1, reverse_order=True
        )
        newest = self.call(request).events[0]
        return newest if type(newest) in EXECUTION_CLOSES else None

    def get_history(self, execution: WorkflowExecution) -> list[e.Event]:
        """Return all events of a run, from the first, reading page by page.

        Raises:
            UnknownResourceFault: the run does not exist.
        """
        events: list[e.Event] = []
        token: str | None = None
        while True:
            page = self.call(
                GetWorkflowExecutionHistory(domain=self.domain, execution=execution, next_page_token=token)
            )
            events += page.events
            if (token := page.next_page_token) is None:
                return events
