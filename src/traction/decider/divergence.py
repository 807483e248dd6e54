"""Describe how the current code and a history differ."""

from __future__ import annotations

from typing import Any

from traction.decider.context import DecisionContext
from traction.decider.diagnostics import find_place
from traction.decider.frames import Leaf
from traction.errors import NonDeterminismError
from traction.model import decisions as d
from traction.model import events as e
from traction.model.correlation import CAUSES
from traction.model.names import WorkflowType


def describe(thing: Any, decision: str) -> str:
    """Describe a decision, or the event that it caused, in one line."""
    type = getattr(thing, "activity_type", None) or getattr(thing, "workflow_type", None)
    what = f"{type.name} {type.version}" if type is not None else ""
    return f"{decision}  {what or describe_id(thing)}".rstrip()


def describe_id(thing: Any) -> str:
    """Return the step id of a decision, or of the event that it caused."""
    for name in ("control", "activity_id", "timer_id", "marker_name", "workflow_id", "id"):
        if (id := getattr(thing, name, None)) is not None:
            return str(id)
    return "the end"


def explain(
    workflow: WorkflowType,
    event: e.Event | None,
    decision: d.Decision | None,
    completed_event_id: int,
    place: str | None,
) -> NonDeterminismError:
    """Return the error for an event without a decision, or a decision without an event."""
    expected = "nothing" if event is None else describe(event, CAUSES[type(event)].decision.__name__)
    actual = "nothing" if decision is None else describe(decision, type(decision).__name__)
    if event is not None and decision is not None and expected == actual:
        # The same work in another place: the two differ only in their ids.
        expected, actual = f"{expected} as {describe_id(event)}", f"{actual} as {describe_id(decision)}"
    return NonDeterminismError(
        f"{workflow.name} {workflow.version}",
        step=describe_id(decision if decision is not None else event),
        event_id=event.event_id if event is not None else completed_event_id,
        event="DecisionTaskCompleted" if event is None else type(event).__name__,
        expected=expected,
        actual=actual,
        place=place,
    )


def explain_marker(
    context: DecisionContext, leaf: Leaf, task_id: str, expected: str, actual: str
) -> NonDeterminismError:
    """Return the error for a marker that is missing, or that another activity recorded."""
    type = context.workflow.spec.type
    return NonDeterminismError(
        f"{type.name} {type.version}",
        step=task_id,
        event_id=context.completed_event_id,
        event="DecisionTaskCompleted",
        expected=expected,
        actual=f"RecordMarker  {actual}",
        place=find_place(leaf.fiber),
    )
