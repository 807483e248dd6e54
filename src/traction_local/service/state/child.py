"""A child of an execution, as its parent keeps it. `operations.start` starts children."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from traction.model import events as e
from traction_local.service.state.run import Run


class Child(msgspec.Struct, eq=False):
    """An open child of an execution: requested, and perhaps started."""

    parent: Run
    initiated_event_id: int
    siblings: dict[int, Child]
    run: Run | None = None
    """The open run: the successor's, after the child continued as new."""
    started_event_id: int = 0

    def __post_init__(self) -> None:
        self.siblings[self.initiated_event_id] = self

    def forget(self) -> None:
        """Remove it from the open children of its parent. It may be gone, if the parent has closed."""
        self.siblings.pop(self.initiated_event_id, None)

    def report_close(self, event: e.Event, now: datetime) -> None:
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
    e.WorkflowExecutionCompleted: e.ChildWorkflowExecutionCompleted,
    e.WorkflowExecutionFailed: e.ChildWorkflowExecutionFailed,
    e.WorkflowExecutionCanceled: e.ChildWorkflowExecutionCanceled,
    e.WorkflowExecutionTimedOut: e.ChildWorkflowExecutionTimedOut,
    e.WorkflowExecutionTerminated: e.ChildWorkflowExecutionTerminated,
}
"""The event that reports the close of a child to its parent."""
