"""Determinism checks: replay each history from the start, and compare the decisions with those made live."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from traction.decider.decider import Decider, decide
from traction.errors import NonDeterminismError, PayloadError
from traction.model import decisions as d
from traction.model import events as e
from traction.model.correlation import CLOSES
from traction.model.names import ActivityType, WorkflowExecution
from traction.payloads.codec import Codec

CUTS_MAX: Final = 24
"""The maximal number of cuts at which a history is replayed: the first, the last, and others evenly between."""


class UnsoundFlowError(AssertionError):
    """A flow, or a value of its steps, differs when its history is replayed."""


def audit(
    workflow: Any,
    execution: WorkflowExecution,
    events: Sequence[e.Event],
    decided: Mapping[int, Sequence[d.Decision]],
    *,
    activities: Mapping[ActivityType, Any],
    codec: Codec,
) -> None:
    """Run all checks on one run.

    Args:
        workflow: the definition of the run.
        execution: the execution of the run.
        events: its whole history.
        decided: the decisions made live, by the id of DecisionTaskStarted.
        activities: the known definitions of the activities that it called.
        codec: the codec of its payloads.

    Raises:
        UnsoundFlowError: a check fails.
    """
    check_cuts(workflow, execution, events, decided, codec)
    check_payloads(events, activities, codec)
    check_orphans(events)


def check_cuts(
    workflow: Any,
    execution: WorkflowExecution,
    events: Sequence[e.Event],
    decided: Mapping[int, Sequence[d.Decision]],
    codec: Codec,
) -> None:
    """Check that a new decider makes the decisions that were made live.

    Raises:
        UnsoundFlowError: it makes others.
    """
    for started in list_cuts(events, decided):
        live = decided[started]
        try:
            anew = decide(workflow, events[:started], execution=execution, codec=codec)
        except NonDeterminismError as error:
            raise UnsoundFlowError(
                f"{execution.workflow_id} cannot be replayed from the start up to event {started}: {error}"
            ) from error
        for number, (one, other) in enumerate(zip(map(_shorten, live), map(_shorten, anew), strict=False)):
            if one != other:
                raise UnsoundFlowError(_format_difference(execution, started, number, one, other))
        if len(live) != len(anew):
            number = min(len(live), len(anew))
            raise UnsoundFlowError(
                _format_difference(execution, started, number, _get(live, number), _get(anew, number))
            )


def check_payloads(events: Iterable[e.Event], activities: Mapping[ActivityType, Any], codec: Codec) -> None:
    """Check that inputs and results of activities survive encoding and decoding.

    Raises:
        UnsoundFlowError: one changes.
    """
    called: dict[int, Any] = {}
    seen: set[tuple[Any, str | None]] = set()
    for event in events:
        if type(event) is e.ActivityTaskScheduled:
            activity = called[event.event_id] = activities.get(event.activity_type)
            payload, kind = event.input, activity
        elif type(event) is e.ActivityTaskCompleted:
            activity = called.get(event.scheduled_event_id)
            payload, kind = event.result, None if activity is None else activity.spec.result
        else:
            continue
        if activity is None or (kind, payload) in seen:
            continue
        seen.add((kind, payload))
        try:
            value = codec.decode(payload, kind)
            again = codec.decode(codec.encode(value), kind)
        except PayloadError as error:
            raise UnsoundFlowError(f"event {event.event_id}: {activity.__qualname__}: {error}") from error
        if again != value:
            raise UnsoundFlowError(
                f"event {event.event_id}: {value!r:.200} of {activity.__qualname__} changes when it is encoded "
                f"and decoded: it becomes {again!r:.200}. Use a type whose values do not change"
            )


def check_orphans(events: Sequence[e.Event]) -> None:
    """Check that a completed execution leaves no open activity that was not cancelled.

    Raises:
        UnsoundFlowError: there is one.
    """
    if not events or type(events[-1]) is not e.WorkflowExecutionCompleted:
        return
    left: dict[int, e.ActivityTaskScheduled] = {}
    cancelled: set[str] = set()
    for event in events:
        if type(event) is e.ActivityTaskScheduled:
            left[event.event_id] = event
        elif type(event) is e.ActivityTaskCancelRequested:
            cancelled.add(event.activity_id)
        elif type(event) in CLOSES:
            left.pop(getattr(event, CLOSES[type(event)][0]), None)
    for event in left.values():
        if event.activity_id not in cancelled:
            raise UnsoundFlowError(
                f"{event.activity_id} (event {event.event_id}) is still open: its execution has completed "
                "without awaiting or cancelling it"
            )


def check_terminated(workflow: Any, execution: WorkflowExecution, events: Sequence[e.Event], codec: Codec) -> None:
    """Check that a child terminated with its parent had nothing to compensate, and was not being cancelled.

    Raises:
        UnsoundFlowError: it had, or was.
    """
    begin, closing = events[0], events[-1]
    if not isinstance(closing, e.WorkflowExecutionTerminated) or closing.cause != "CHILD_POLICY_APPLIED":
        return
    assert isinstance(begin, e.WorkflowExecutionStarted)
    with contextlib.closing(Decider(workflow, execution=execution, codec=codec)) as decider:
        decider.query(events[:-1])
        if decider.context.flow.owes_compensation():
            lost = "in the middle of a saga: what it did is never undone"
        elif decider.outcome is None and any(type(event) is e.WorkflowExecutionCancelRequested for event in events):
            lost = "before it had cancelled, as it was asked to: its clean-up is never done"
        else:
            return
    parent = begin.parent_workflow_execution
    raise UnsoundFlowError(
        f"the child {execution.workflow_id} was terminated with its parent {parent and parent.workflow_id}, {lost}. "
        'Await it in the parent, with cancellation="wait" (the default), or set child_policy="REQUEST_CANCEL" or '
        '"ABANDON" on the workflow of the parent'
    )


def show_decision(decision: d.Decision | None) -> str:
    """Return a decision with its fields that are set."""
    if decision is None:
        return "nothing"
    fields = msgspec.structs.asdict(decision).items()
    return f"{type(decision).__name__}({', '.join(f'{name}={value!r}' for name, value in fields if value is not None)})"


def list_cuts(events: Sequence[e.Event], decided: Mapping[int, Sequence[d.Decision]]) -> list[int]:
    """Return the ids of the DecisionTaskStarted events at which the history is replayed."""
    cuts = []
    for event in events:
        if type(event) is e.DecisionTaskCompleted:
            live = decided.get(event.started_event_id)
            # The value of a marker is known only after the history has it: later cuts check this turn.
            if live is not None and not any(type(decision) is d.RecordMarker for decision in live):
                cuts.append(event.started_event_id)
    if len(cuts) <= CUTS_MAX:
        return cuts
    return [cuts[n * (len(cuts) - 1) // (CUTS_MAX - 1)] for n in range(CUTS_MAX)]


def _shorten(decision: d.Decision) -> d.Decision:
    # A traceback is for people, and depends on how the flow was run.
    if type(decision) is d.FailWorkflowExecution:
        return msgspec.structs.replace(decision, details=None)
    return decision


def _get(decisions: Sequence[d.Decision], number: int) -> d.Decision | None:
    return decisions[number] if number < len(decisions) else None


def _format_difference(
    execution: WorkflowExecution, started: int, number: int, live: d.Decision | None, anew: d.Decision | None
) -> str:
    return (
        f"{execution.workflow_id} makes another decision when its history is replayed, at event {started}, "
        f"decision {number + 1}:\n  live:   {show_decision(live)}\n  again:  {show_decision(anew)}\n"
        "A flow may depend on its input and on the results of its steps, and on nothing else: no global, no order of a "
        "set, no clock"
    )
