"""Describe how the current code and a history differ."""

from __future__ import annotations

from typing import Any

from traction.errors import NonDeterminismError
from traction.model import decisions as d
from traction.model import events as e
from traction.model.correlation import ANSWERS
from traction.model.names import WorkflowType


def describe(said: Any, decision: str) -> str:
    """Describe a decision, or the event that it caused, in one line."""
    type = getattr(said, "activity_type", None) or getattr(said, "workflow_type", None)
    what = f"{type.name} {type.version}" if type is not None else ""
    return f"{decision}  {what or describe_id(said)}".rstrip()


def describe_id(said: Any) -> str:
    """Return the step id of a decision, or of the event that it caused."""
    for name in ("control", "activity_id", "timer_id", "marker_name", "workflow_id", "id"):
        if (id := getattr(said, name, None)) is not None:
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
    expected = "nothing" if event is None else describe(event, ANSWERS[type(event)][0].__name__)
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
