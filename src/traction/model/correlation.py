"""Which event answers which decision.

Source: Amazon SWF API reference, Decision and HistoryEvent.
"""

from __future__ import annotations

from typing import Any

from traction.model import decisions as d
from traction.model import events as e

ANSWERS: dict[type, tuple[type, str | None, str | None]] = {
    e.ActivityTaskScheduled: (d.ScheduleActivityTask, "activity_id", "activity_type"),
    e.ScheduleActivityTaskFailed: (d.ScheduleActivityTask, "activity_id", "activity_type"),
    e.ActivityTaskCancelRequested: (d.RequestCancelActivityTask, "activity_id", None),
    e.RequestCancelActivityTaskFailed: (d.RequestCancelActivityTask, "activity_id", None),
    e.TimerStarted: (d.StartTimer, "timer_id", None),
    e.StartTimerFailed: (d.StartTimer, "timer_id", None),
    e.TimerCanceled: (d.CancelTimer, "timer_id", None),
    e.CancelTimerFailed: (d.CancelTimer, "timer_id", None),
    e.MarkerRecorded: (d.RecordMarker, "marker_name", None),
    e.RecordMarkerFailed: (d.RecordMarker, "marker_name", None),
    e.StartChildWorkflowExecutionInitiated: (d.StartChildWorkflowExecution, "workflow_id", "workflow_type"),
    e.StartChildWorkflowExecutionFailed: (d.StartChildWorkflowExecution, "workflow_id", "workflow_type"),
    e.SignalExternalWorkflowExecutionInitiated: (d.SignalExternalWorkflowExecution, "workflow_id", None),
    e.RequestCancelExternalWorkflowExecutionInitiated: (d.RequestCancelExternalWorkflowExecution, "workflow_id", None),
    e.LambdaFunctionScheduled: (d.ScheduleLambdaFunction, "id", None),
    e.ScheduleLambdaFunctionFailed: (d.ScheduleLambdaFunction, "id", None),
    e.WorkflowExecutionCompleted: (d.CompleteWorkflowExecution, None, None),
    e.CompleteWorkflowExecutionFailed: (d.CompleteWorkflowExecution, None, None),
    e.WorkflowExecutionFailed: (d.FailWorkflowExecution, None, None),
    e.FailWorkflowExecutionFailed: (d.FailWorkflowExecution, None, None),
    e.WorkflowExecutionCanceled: (d.CancelWorkflowExecution, None, None),
    e.CancelWorkflowExecutionFailed: (d.CancelWorkflowExecution, None, None),
    e.WorkflowExecutionContinuedAsNew: (d.ContinueAsNewWorkflowExecution, None, None),
    e.ContinueAsNewWorkflowExecutionFailed: (d.ContinueAsNewWorkflowExecution, None, None),
}
"""Which event answers which decision: the decision's type, the attribute of its id, the attribute of its type."""


CLOSE_REFUSALS = frozenset(
    {
        e.CompleteWorkflowExecutionFailed,
        e.FailWorkflowExecutionFailed,
        e.CancelWorkflowExecutionFailed,
        e.ContinueAsNewWorkflowExecutionFailed,
    }
)
"""The answers that refuse to close the execution."""


REFUSALS = CLOSE_REFUSALS | {
    e.ScheduleActivityTaskFailed,
    e.RequestCancelActivityTaskFailed,
    e.StartTimerFailed,
    e.CancelTimerFailed,
    e.RecordMarkerFailed,
    e.StartChildWorkflowExecutionFailed,
    e.ScheduleLambdaFunctionFailed,
}
"""The events that report a refused decision."""


CHILD_STATUS: dict[type, str] = {
    e.ChildWorkflowExecutionCanceled: "CANCELED",
    e.ChildWorkflowExecutionTimedOut: "TIMED_OUT",
    e.ChildWorkflowExecutionTerminated: "TERMINATED",
}
"""How a child closed that neither completed nor failed, in SWF's words for close statuses."""


TRANSIENT = frozenset(
    {
        "OPEN_ACTIVITIES_LIMIT_EXCEEDED",
        "ACTIVITY_CREATION_RATE_EXCEEDED",
        "OPEN_CHILDREN_LIMIT_EXCEEDED",
        "OPEN_WORKFLOWS_LIMIT_EXCEEDED",
        "CHILD_CREATION_RATE_EXCEEDED",
    }
)
"""The causes of refusals that are transient: a limit or a rate."""


UNKNOWN_TYPE = frozenset({"ACTIVITY_TYPE_DOES_NOT_EXIST", "WORKFLOW_TYPE_DOES_NOT_EXIST"})
"""The causes of refusals that are transient only if the type was registered a moment ago."""


def is_answer(event: Any, completed_event_id: int) -> bool:
    """Return whether an event was caused directly by the decisions of that DecisionTaskCompleted.

    A child whose id is in use is refused later, by an event of its own that names the one that began it (SWF).
    """
    later = type(event) is e.StartChildWorkflowExecutionFailed and event.initiated_event_id != 0
    return bool(event.decision_task_completed_event_id == completed_event_id and not later)


def is_answer_to(event: Any, decision: Any) -> bool:
    """Return whether an event matches a decision in kind, id and type."""
    asked, id_name, type_name = ANSWERS[type(event)]
    return (
        type(decision) is asked
        and (id_name is None or getattr(event, id_name) == getattr(decision, id_name))
        and (type_name is None or getattr(event, type_name) == getattr(decision, type_name))
    )
