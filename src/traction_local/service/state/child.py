"""Report the close of a child to its parent, and apply the child policy when a parent closes.

Both happen after the batch that closed the run. `operations.start` starts children.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

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
from traction.model.literals import ChildPolicy

if TYPE_CHECKING:
    from traction_local.service.state.execution import Execution


class Child:
    """An open child of an execution: requested, and perhaps started."""

    __slots__ = ("run", "started_event_id")

    def __init__(self) -> None:
        self.run: Execution | None = None
        """The open run: the successor's, after the child continued as new."""
        self.started_event_id = 0


def follow_close(execution: Execution, event: Event, policy: ChildPolicy, now: datetime) -> None:
    """Schedule the effects of a close: the report to the parent, and the child policy.

    For the parent, a run that continued as new has not closed: its successor takes its place.
    """
    if execution.parent is not None:
        if execution.close_status != "CONTINUED_AS_NEW":
            parent, initiated_event_id = execution.parent
            execution.region.follow(partial(_report, parent, initiated_event_id, execution, event), now)
        execution.parent = None
    if execution.children:
        if policy != "ABANDON" and execution.close_status in execution.region.knobs.child_policy_applies:
            execution.region.follow(partial(_apply_policy, execution, policy), now)
        else:
            execution.children = {}


def _apply_policy(execution: Execution, policy: ChildPolicy, now: datetime) -> None:
    """Apply the child policy of a closed run to each open child.

    The children of a child are handled when that child closes.
    """
    for child in list(execution.children.values()):
        run = child.run
        # Effects keep the order of their decisions, so the child was started or refused before.
        assert run is not None
        if not run.is_open:
            continue
        if policy == "TERMINATE":
            run.terminate(
                WorkflowExecutionTerminated(
                    event_id=run.next_event_id,
                    event_timestamp=now,
                    child_policy=run.settings.child_policy,
                    cause="CHILD_POLICY_APPLIED",
                ),
                now,
            )
        else:
            run.request_cancel(now, source=execution.execution, cause="CHILD_POLICY_APPLIED")
    execution.children = {}


def _report(parent: Execution, initiated_event_id: int, run: Execution, event: Event, now: datetime) -> None:
    """Write the close of a child into the history of its parent, if that is open."""
    if not parent.is_open:
        return
    child = parent.children.pop(initiated_event_id)
    common: dict[str, Any] = {
        "event_id": parent.next_event_id,
        "event_timestamp": now,
        "workflow_execution": run.execution,
        "workflow_type": run.type,
        "initiated_event_id": initiated_event_id,
        "started_event_id": child.started_event_id,
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
