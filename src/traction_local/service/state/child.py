"""A child of an execution, as its parent keeps it. `operations.start` starts children."""

from __future__ import annotations

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
        kind = _REPORTS[type(event)]
        fields = {name: getattr(event, name) for name in kind.__struct_fields__ if name in event.__struct_fields__} | {
            "event_id": parent.next_event_id,
            "event_timestamp": now,
            "workflow_execution": run.execution,
            "workflow_type": run.type,
            "initiated_event_id": self.initiated_event_id,
            "started_event_id": self.started_event_id,
        }
        parent.append_trigger(kind(**fields))


_REPORTS: dict[type, Any] = {
    WorkflowExecutionCompleted: ChildWorkflowExecutionCompleted,
    WorkflowExecutionFailed: ChildWorkflowExecutionFailed,
    WorkflowExecutionCanceled: ChildWorkflowExecutionCanceled,
    WorkflowExecutionTimedOut: ChildWorkflowExecutionTimedOut,
    WorkflowExecutionTerminated: ChildWorkflowExecutionTerminated,
}
"""The event that reports the close of a child to its parent."""
