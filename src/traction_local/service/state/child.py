"""A child of an execution, as its parent keeps it. `operations.start` starts children."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from traction.model.events import (
    ChildWorkflowExecutionCanceled,
    ChildWorkflowExecutionCompleted,
    ChildWorkflowExecutionFailed,
    ChildWorkflowExecutionTerminated,
    ChildWorkflowExecutionTimedOut,
    Event,
    WorkflowExecutionCanceled,
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
    WorkflowExecutionTerminated,
    WorkflowExecutionTimedOut,
)
from traction_local.service.state.run import Run


class Child:
    """An open child of an execution: requested, and perhaps started."""

    __slots__ = ("_siblings", "initiated_event_id", "parent", "run", "started_event_id")

    def __init__(self, parent: Run, initiated_event_id: int, siblings: dict[int, Child]) -> None:
        self.parent = parent
        self.initiated_event_id = initiated_event_id
        self.run: Run | None = None
        """The open run: the successor's, after the child continued as new."""
        self.started_event_id = 0
        self._siblings = siblings
        siblings[initiated_event_id] = self

    def forget(self) -> None:
        """Remove it from the open children of its parent. It may be gone, if the parent has closed."""
        self._siblings.pop(self.initiated_event_id, None)

    def report_close(self, event: Event, now: datetime) -> None:
        """Write the close of the child into the history of its parent, if that is open."""
        parent, run = self.parent, self.run
        if not parent.is_open:
            return
        assert run is not None
        self.forget()
        common: dict[str, Any] = {
            "event_id": parent.next_event_id,
            "event_timestamp": now,
            "workflow_execution": run.execution,
            "workflow_type": run.type,
            "initiated_event_id": self.initiated_event_id,
            "started_event_id": self.started_event_id,
        }
        parent.append_trigger(_REPORTS[type(event)](event, common))


def _completed(event: WorkflowExecutionCompleted, common: dict[str, Any]) -> Event:
    return ChildWorkflowExecutionCompleted(**common, result=event.result)


def _failed(event: WorkflowExecutionFailed, common: dict[str, Any]) -> Event:
    return ChildWorkflowExecutionFailed(**common, reason=event.reason, details=event.details)


def _canceled(event: WorkflowExecutionCanceled, common: dict[str, Any]) -> Event:
    return ChildWorkflowExecutionCanceled(**common, details=event.details)


def _timed_out(event: WorkflowExecutionTimedOut, common: dict[str, Any]) -> Event:
    return ChildWorkflowExecutionTimedOut(**common, timeout_type=event.timeout_type)


def _terminated(_event: WorkflowExecutionTerminated, common: dict[str, Any]) -> Event:
    return ChildWorkflowExecutionTerminated(**common)


_REPORTS: dict[type, Callable[[Any, dict[str, Any]], Event]] = {
    WorkflowExecutionCompleted: _completed,
    WorkflowExecutionFailed: _failed,
    WorkflowExecutionCanceled: _canceled,
    WorkflowExecutionTimedOut: _timed_out,
    WorkflowExecutionTerminated: _terminated,
}
