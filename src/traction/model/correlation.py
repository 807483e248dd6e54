"""Which events each decision causes, as one table from which all others are derived.

Source: Amazon SWF API reference, Decision and HistoryEvent; the links between events are those of HistoryEvent.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from traction.model import decisions as d
from traction.model import events as e
from traction.model.literals import CloseStatus


class Correlation(NamedTuple):
    """A decision and the events that it causes. A decision that closes the execution has no id."""

    decision: type
    accepted: type
    """The event that SWF writes when it carries out the decision. It opens a step if there are `closed` events."""
    refused: type | None
    id_name: str | None = None
    """The attribute that decision and events have in common, and that identifies them."""
    type_name: str | None = None
    """The attribute for the registered type, if there is one."""
    started: type | None = None
    """The event that starts what was opened."""
    link: str = ""
    """The attribute of the started and the closed events that has the id of the event that opened it."""
    closed: Mapping[type, CloseStatus] = MappingProxyType({})
    """The events that close what was opened, and how."""


CORRELATIONS: Final = (
    Correlation(
        d.ScheduleActivityTask,
        e.ActivityTaskScheduled,
        e.ScheduleActivityTaskFailed,
        "activity_id",
        "activity_type",
        e.ActivityTaskStarted,
        "scheduled_event_id",
        {
            e.ActivityTaskCompleted: "COMPLETED",
            e.ActivityTaskFailed: "FAILED",
            e.ActivityTaskTimedOut: "TIMED_OUT",
            e.ActivityTaskCanceled: "CANCELED",
        },
    ),
    Correlation(
        d.RequestCancelActivityTask, e.ActivityTaskCancelRequested, e.RequestCancelActivityTaskFailed, "activity_id"
    ),
    Correlation(
        d.StartTimer,
        e.TimerStarted,
        e.StartTimerFailed,
        "timer_id",
        link="started_event_id",
        closed={e.TimerFired: "COMPLETED", e.TimerCanceled: "CANCELED"},
    ),
    Correlation(d.CancelTimer, e.TimerCanceled, e.CancelTimerFailed, "timer_id"),
    Correlation(d.RecordMarker, e.MarkerRecorded, e.RecordMarkerFailed, "marker_name"),
    Correlation(
        d.StartChildWorkflowExecution,
        e.StartChildWorkflowExecutionInitiated,
        e.StartChildWorkflowExecutionFailed,
        "workflow_id",
        "workflow_type",
        e.ChildWorkflowExecutionStarted,
        "initiated_event_id",
        {
            e.ChildWorkflowExecutionCompleted: "COMPLETED",
            e.ChildWorkflowExecutionFailed: "FAILED",
            e.ChildWorkflowExecutionTimedOut: "TIMED_OUT",
            e.ChildWorkflowExecutionCanceled: "CANCELED",
            e.ChildWorkflowExecutionTerminated: "TERMINATED",
            e.StartChildWorkflowExecutionFailed: "FAILED",
        },
    ),
    Correlation(
        d.SignalExternalWorkflowExecution,
        e.SignalExternalWorkflowExecutionInitiated,
        None,
        "workflow_id",
        link="initiated_event_id",
        closed={e.ExternalWorkflowExecutionSignaled: "COMPLETED", e.SignalExternalWorkflowExecutionFailed: "FAILED"},
    ),
    Correlation(
        d.RequestCancelExternalWorkflowExecution,
        e.RequestCancelExternalWorkflowExecutionInitiated,
        None,
        "workflow_id",
        link="initiated_event_id",
        closed={
            e.ExternalWorkflowExecutionCancelRequested: "COMPLETED",
            e.RequestCancelExternalWorkflowExecutionFailed: "FAILED",
        },
    ),
    Correlation(
        d.ScheduleLambdaFunction,
        e.LambdaFunctionScheduled,
        e.ScheduleLambdaFunctionFailed,
        "id",
        None,
        e.LambdaFunctionStarted,
        "scheduled_event_id",
        {
            e.LambdaFunctionCompleted: "COMPLETED",
            e.LambdaFunctionFailed: "FAILED",
            e.LambdaFunctionTimedOut: "TIMED_OUT",
            e.StartLambdaFunctionFailed: "FAILED",
        },
    ),
    Correlation(d.CompleteWorkflowExecution, e.WorkflowExecutionCompleted, e.CompleteWorkflowExecutionFailed),
    Correlation(d.FailWorkflowExecution, e.WorkflowExecutionFailed, e.FailWorkflowExecutionFailed),
    Correlation(d.CancelWorkflowExecution, e.WorkflowExecutionCanceled, e.CancelWorkflowExecutionFailed),
    Correlation(
        d.ContinueAsNewWorkflowExecution, e.WorkflowExecutionContinuedAsNew, e.ContinueAsNewWorkflowExecutionFailed
    ),
)

BY_DECISION: Final = {row.decision: row for row in CORRELATIONS}

CAUSES: Final[dict[type, Correlation]] = {
    event: row for row in CORRELATIONS for event in (row.accepted, row.refused) if event is not None
}
"""The events that a decision causes directly, and their row."""

REFUSALS: Final = frozenset(row.refused for row in CORRELATIONS if row.refused is not None)
"""The events that report a refused decision."""

CLOSE_REFUSALS: Final = frozenset(
    row.refused for row in CORRELATIONS if row.refused is not None and row.id_name is None
)
"""The events that report that the execution could not be closed."""

CLOSE_DECISIONS: Final = tuple(row.decision for row in CORRELATIONS if row.id_name is None)
"""The decisions that close the execution."""

EXECUTION_CLOSES: Final = frozenset(
    {e.WorkflowExecutionTimedOut, e.WorkflowExecutionTerminated}
    | {row.accepted for row in CORRELATIONS if row.id_name is None}
)
"""The events that close an execution: nothing is ever appended after one (SWF)."""

OPENS: Final = {row.accepted: row.id_name for row in CORRELATIONS if row.closed and row.id_name is not None}
"""The events that open a step, and the attribute that holds its id."""

STARTS: Final = {row.started: (row.link, row.accepted) for row in CORRELATIONS if row.started is not None}
"""The events that start a step: the attribute that links to its opening, and that event's type."""

CLOSES: Final = {event: (row.link, row.accepted) for row in CORRELATIONS for event in row.closed}
"""The events that close a step: the attribute that links to its opening, and that event's type."""

CLOSE_STATUSES: Final[dict[type, CloseStatus]] = {
    event: status for row in CORRELATIONS for event, status in row.closed.items()
}
"""How each event that closes a step closes it, in SWF's words for executions."""

TRANSIENT: Final = frozenset(
    {
        "OPEN_ACTIVITIES_LIMIT_EXCEEDED",
        "ACTIVITY_CREATION_RATE_EXCEEDED",
        "OPEN_CHILDREN_LIMIT_EXCEEDED",
        "OPEN_WORKFLOWS_LIMIT_EXCEEDED",
        "CHILD_CREATION_RATE_EXCEEDED",
    }
)
"""The causes of refusals that are transient: a limit or a rate."""

UNKNOWN_TYPE: Final = frozenset({"ACTIVITY_TYPE_DOES_NOT_EXIST", "WORKFLOW_TYPE_DOES_NOT_EXIST"})
"""The causes of refusals that are transient only if the type was registered a moment ago."""


def is_caused_by(event: Any, completed_event_id: int) -> bool:
    """Return whether an event was caused directly by the decisions of that DecisionTaskCompleted.

    A child whose id is in use is refused later, by an event of its own that names the one that began it (SWF).
    """
    later = type(event) is e.StartChildWorkflowExecutionFailed and event.initiated_event_id != 0
    return bool(event.decision_task_completed_event_id == completed_event_id and not later)


def matches(event: Any, decision: Any) -> bool:
    """Return whether an event can be caused by a decision: they agree in kind, id and type."""
    row = CAUSES[type(event)]
    return (
        type(decision) is row.decision
        and (row.id_name is None or getattr(event, row.id_name) == getattr(decision, row.id_name))
        and (row.type_name is None or getattr(event, row.type_name) == getattr(decision, row.type_name))
    )
