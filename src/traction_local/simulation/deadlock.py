"""Deadlock reports: what an open execution waits for, since when, and which worker has it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from traction.decider.decider import Decider
from traction.model import events as e
from traction.model.correlation import CLOSES, EXECUTION_CLOSES
from traction.model.names import WorkflowExecution, WorkflowType
from traction.payloads.codec import Codec

# The events that close a task, timer or child, and the attribute that links to its opening.
_LINKS = {event: link for event, (link, _) in CLOSES.items()} | dict.fromkeys(
    (e.DecisionTaskCompleted, e.DecisionTaskTimedOut), "scheduled_event_id"
)


class StuckExecutionError(AssertionError):
    """An execution waits for something that never happens although no faults are left, or it never ends."""


def explain_open(
    runs: Iterable[tuple[WorkflowExecution, Sequence[e.Event]]], workflows: Mapping[WorkflowType, Any], codec: Codec
) -> str:
    """Return what each open execution waits for, one line per pending item."""
    lines = []
    for execution, events in runs:
        begin = events[0]
        if type(events[-1]) in EXECUTION_CLOSES or not isinstance(begin, e.WorkflowExecutionStarted):
            continue
        for line in explain_waiting(workflows[begin.workflow_type], execution, events, codec):
            lines.append(f"{execution.workflow_id}: {line}")
    return "\n".join(lines)


def explain_waiting(workflow: Any, execution: WorkflowExecution, events: Sequence[e.Event], codec: Codec) -> list[str]:
    """Return what an open execution waits for, one line per pending item."""
    begin = events[0].event_timestamp
    open: dict[int, e.Event] = {}
    started: dict[int, e.Event] = {}
    for event in events:
        match event:
            case (
                e.ActivityTaskScheduled()
                | e.DecisionTaskScheduled()
                | e.TimerStarted()
                | e.StartChildWorkflowExecutionInitiated()
            ):
                open[event.event_id] = event
            case e.ActivityTaskStarted() | e.DecisionTaskStarted():
                started[event.scheduled_event_id] = event
            case _ if (link := _LINKS.get(type(event))) is not None:
                open.pop(getattr(event, link), None)
    lines = []
    for event in open.values():
        since = f"since {event.event_timestamp - begin} after its start (event {event.event_id})"
        taken = started.get(event.event_id)
        by = f"taken by {taken.identity}, which has not responded" if taken is not None else ""  # type: ignore[union-attr]
        match event:
            case e.ActivityTaskScheduled():
                where = f"no worker took it from the list {event.task_list.name}"
                lines.append(f"the activity {event.activity_id}, {since}: {by or where}")
            case e.DecisionTaskScheduled():
                where = f"no worker took it from the list {event.task_list.name}"
                lines.append(f"a decision, {since}: {by or where}")
            case e.TimerStarted():
                lines.append(f"the timer {event.timer_id} of {event.start_to_fire_timeout} s, {since}")
            case e.StartChildWorkflowExecutionInitiated():
                lines.append(f"the child {event.workflow_id}, {since}: it has not closed")
    lines += _list_signals(workflow, execution, events, codec)
    return lines or ["nothing: no task, timer or child is open, and no decision task is scheduled"]


def _list_signals(workflow: Any, execution: WorkflowExecution, events: Sequence[e.Event], codec: Codec) -> list[str]:
    decider = Decider(workflow, execution=execution, codec=codec)
    try:
        decider.feed(events)
        decider.end()
        waiting = [" or ".join(receiver.types) for receiver in decider.context.mailbox.receivers]
        spare = ", ".join(sorted({event.signal_name for event in decider.signals}))
    finally:
        decider.close()
    unreceived = f"; signals that arrived and are not received: {spare}" if spare else ""
    return [f"the signal {names}: it was not sent{unreceived}" for names in waiting]
