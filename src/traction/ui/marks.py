"""Mark the open executions of a list that need attention: stuck ones, and those without a workflow worker.

A mark costs one request, so a list reads marks for a second at most, and keeps them for some seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal, TypeAlias

import msgspec

from traction.backend import Backend
from traction.client.query import ListedExecution
from traction.errors import BackendError
from traction.history.explanation import STUCK_TIMEOUTS, TAKEN_SOON
from traction.history.rendering import format_span
from traction.model import events as e
from traction.model import operations as o

EVENTS: Final = 50
"""How many of the newest events are read for a mark."""

SECONDS_MAX: Final = 1.0
"""How long a list reads marks."""

KEPT_SECONDS: Final = 5.0

Kind: TypeAlias = Literal["stuck", "unworked", ""]


class Attention(msgspec.Struct, frozen=True):
    """Why an execution needs attention; both empty if it does not."""

    kind: Kind = ""
    text: str = ""


def find_attention(events: Sequence[e.Event], now: datetime) -> Attention:
    """Return what the newest events of an open run show, from its decision tasks alone.

    Args:
        events: the newest events, oldest first.
        now: the time of the service.
    """
    timeouts, scheduled = 0, None
    for event in events:
        match event:
            case e.DecisionTaskTimedOut():
                timeouts += event.timeout_type == "START_TO_CLOSE"
                scheduled = None
            case e.DecisionTaskCompleted():
                timeouts, scheduled = 0, None
            case e.DecisionTaskScheduled():
                scheduled = event
            case e.DecisionTaskStarted():
                scheduled = None
    if timeouts >= STUCK_TIMEOUTS:
        return Attention("stuck", f"its decision task has timed out {timeouts} times or more")
    if scheduled is not None and (waited := now - scheduled.event_timestamp) > TAKEN_SOON:
        return Attention(
            "unworked", f"a decision task has waited on the list {scheduled.task_list.name} for {format_span(waited)}"
        )
    return Attention()


class AttentionReader:
    """Reads the marks of lists. May be used from any thread."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._kept: dict[str, tuple[float, Attention]] = {}
        self._lock = threading.Lock()

    def read(self, executions: Iterable[ListedExecution]) -> tuple[dict[str, Attention], bool]:
        """Return the marks of open executions by run id, and whether all of them were read."""
        begun = time.monotonic()
        with self._lock:
            known = {id: mark for id, (read_at, mark) in self._kept.items() if begun - read_at < KEPT_SECONDS}
        found: dict[str, Attention] = {}
        complete = True
        for one in executions:
            if one.status != "OPEN":
                continue
            if (mark := known.get(one.run_id)) is None:
                if time.monotonic() - begun > SECONDS_MAX:
                    complete = False
                    continue
                try:
                    mark = self._read_one(one)
                except BackendError:
                    complete = False
                    continue
                with self._lock:
                    self._kept[one.run_id] = (time.monotonic(), mark)
            found[one.run_id] = mark
        with self._lock:
            self._kept = {id: kept for id, kept in self._kept.items() if begun - kept[0] < KEPT_SECONDS}
        return found, complete

    def _read_one(self, one: ListedExecution) -> Attention:
        page = self._backend.call(
            o.GetWorkflowExecutionHistory(
                domain=self._backend.domain, execution=one.execution, maximum_page_size=EVENTS, reverse_order=True
            )
        )
        return find_attention(page.events[::-1], self._backend.now())
