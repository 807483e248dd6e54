"""Tie a parent to its children: report their ends to it, and its end to them.

Takes a run that closes; gives the effects on its parent and on its children, each after the batch that
closed it. Never starts a child (see `starting`).
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
    """A child as its parent knows it: asked for, perhaps started, not known to have closed."""

    __slots__ = ("run", "started_event_id")

    def __init__(self) -> None:
        self.run: Execution | None = None
        """The open run: the successor's, after the child continued as new."""
        self.started_event_id = 0


def follow_close(execution: Execution, event: Event, policy: ChildPolicy, now: datetime) -> None:
    """Arrange what follows from a close: the report to the parent, and the child policy.

    A run that continued as new has not ended in its parent's eyes: its successor takes its place.
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
    """Do to each open child what the policy of the run that closed says.

    What the child's own policy then does to its children is for the child's close.
    """
    for child in list(execution.children.values()):
        run = child.run
        # It was started, or refused, before: effects come in the order in which they were asked.
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
    """Tell the parent, if it is still open, how its child ended."""
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
