"""Keep the histories that were read last, and read only their new events.

A page is read again and again while an execution runs. The newest events are read from the end of a history, so that a
look at an execution without news costs one request, whatever the length of its history.
"""

from __future__ import annotations

import threading
from typing import Final

from traction.backend import Backend
from traction.errors import UnknownResourceFault
from traction.model import events as e
from traction.model import operations as o
from traction.model.correlation import EXECUTION_CLOSES
from traction.model.names import WorkflowExecution

EVENTS_MAX: Final = 200_000
"""How many events are kept, of all histories together."""

PAGE: Final = 100
"""How many of the newest events are read at a time, where the beginning is known."""


class Histories:
    """Histories of a backend. May be used from any thread."""

    def __init__(self, backend: Backend, *, events_max: int = EVENTS_MAX) -> None:
        self._backend, self._events_max = backend, events_max
        self._kept: dict[WorkflowExecution, tuple[e.Event, ...]] = {}
        self._lock = threading.Lock()

    def read(self, execution: WorkflowExecution) -> tuple[e.Event, ...]:
        """Return all events of a run, from the first.

        Raises:
            UnknownResourceFault: the run is unknown, or no longer stored.
            BackendError: the service refused, or could not be reached.

        Laws:
            Equals `backend.get_history(execution)`.
        """
        with self._lock:
            known = self._kept.pop(execution, ())
        if not known or type(known[-1]) not in EXECUTION_CLOSES:
            known = (*known, *self._read_after(execution, len(known))) if known else self._read_all(execution)
        with self._lock:
            self._kept[execution] = known
            while len(self._kept) > 1 and sum(map(len, self._kept.values())) > self._events_max:
                del self._kept[next(iter(self._kept))]
        return known

    def read_last(self, execution: WorkflowExecution) -> e.Event:
        """Return the newest event of a run. Reads one event.

        Raises:
            UnknownResourceFault, BackendError: as `read`.
        """
        return self._read_newest(execution, 1, None).events[0]

    def _read_all(self, execution: WorkflowExecution) -> tuple[e.Event, ...]:
        events = tuple(self._backend.get_history(execution))
        if not events:
            raise UnknownResourceFault(f"there is no run {execution.run_id!r} of {execution.workflow_id!r}")
        return events

    def _read_after(self, execution: WorkflowExecution, event_id: int) -> list[e.Event]:
        """Return the events after one, oldest first."""
        newer: list[e.Event] = []
        token: str | None = None
        while True:
            page = self._read_newest(execution, PAGE, token)
            newer += (event for event in page.events if event.event_id > event_id)
            token = page.next_page_token
            if token is None or page.events[-1].event_id <= event_id + 1:
                return newer[::-1]

    def _read_newest(self, execution: WorkflowExecution, count: int, token: str | None) -> o.History:
        return self._backend.call(
            o.GetWorkflowExecutionHistory(
                domain=self._backend.domain,
                execution=execution,
                maximum_page_size=count,
                reverse_order=True,
                next_page_token=token,
            )
        )
