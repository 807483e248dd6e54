"""Read the view of an execution from its history. Pure.

`X-1~2` is the second attempt of the step `X-1`; `X-1~retry-1` and `X-1~wait-1` are pauses between attempts. Timers that
a decider starts for itself (`~more-…`) are not shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from traction.errors import PayloadUnavailableError
from traction.history.contents import read_content, show_content
from traction.history.local_records import find_step
from traction.history.state import HistoryState, HistoryStep
from traction.history.text import shorten
from traction.history.views import (
    AttemptView,
    CancelRequestView,
    DecisionTaskView,
    ExecutionView,
    FailureView,
    Kind,
    Link,
    Phase,
    State,
    StepView,
)
from traction.model import decisions as d
from traction.model import events as e
from traction.model.correlation import BY_DECISION, CLOSE_STATUSES, CORRELATIONS, EXECUTION_CLOSES
from traction.model.literals import CloseStatus
from traction.model.names import WorkflowExecution
from traction.payloads.codec import Codec
from traction.payloads.failure_text import read_failure
from traction.payloads.tracebacks import find_place

FAILURES_MAX = 5
"""How many failures `list_failures` shows with their tracebacks."""

NOTE_CHARS_MAX = 200
"""Where a note is cut; `render` cuts it further, to the width that there is."""


def read_execution(
    events: Iterable[e.Event],
    *,
    execution: WorkflowExecution | None = None,
    until: datetime | None = None,
    codec: Codec | None = None,
) -> ExecutionView:
    """Return the view of a run.

    Args:
        events: the history from event 1, or the part of it that exists.
        execution: whose history it is, which histories do not contain.
        until: the instant to show of an open run; by default that of its last event.
        codec: reads transformed and stored payloads, and encrypted failures; without it, they are `Unreadable`.

    Raises:
        HistoryError: no execution can have these events.
        ValueError: the list of events is empty.
    """
    reading = _Reading(codec)
    for event in events:
        reading.add(event)
    return reading.make_view(execution or WorkflowExecution("", ""), until)


def list_failures(view: ExecutionView) -> list[str]:
    """Return the last failures of a run that have a traceback, oldest first, each under the id of its step.

    Has the last failure of each step, then that of the flow, and of all only the last `FAILURES_MAX`.
    """
    failed = [
        (part.closed_at or step.scheduled_at, step.id, step.failure.traceback)
        for step in view.walk()
        if step.failure is not None and step.failure.traceback
        for part in step.parts[-1:]
    ]
    shown = [(id, trace) for _, id, trace in sorted(failed, key=lambda each: each[0])]
    if view.failure is not None and view.failure.traceback:
        shown.append(("the flow", view.failure.traceback))
    return [f"{id}:\n{trace}" for id, trace in shown[-FAILURES_MAX:]]


def read_failure_view(reason: str | None, details: str | None, codec: Codec | None = None) -> FailureView:
    """Return the view of a failure from SWF's two strings."""
    try:
        failure = read_failure(reason, details, codec)
    except PayloadUnavailableError:  # of another key, for one
        failure = read_failure(reason, details)
    return FailureView(failure.type, failure.message, find_place(failure.traceback) or "", failure.traceback)


# From events to a tree of steps.

_DECISIONS: dict[type, Kind] = {
    d.ScheduleActivityTask: "activity",
    d.StartTimer: "timer",
    d.StartChildWorkflowExecution: "child",
    d.ScheduleLambdaFunction: "lambda",
    d.SignalExternalWorkflowExecution: "send",
    d.RequestCancelExternalWorkflowExecution: "cancel",
}

_KINDS: dict[type, Kind] = {
    **{BY_DECISION[decision].accepted: kind for decision, kind in _DECISIONS.items()},
    **{refused: kind for decision, kind in _DECISIONS.items() if (refused := BY_DECISION[decision].refused)},
    e.WorkflowExecutionSignaled: "signal",
    e.WorkflowExecutionCancelRequested: "cancel",
    e.MarkerRecorded: "marker",
}

_REFUSALS = {row.refused: row.id_name for row in CORRELATIONS if row.closed and row.refused and row.id_name}

_MOMENTS = (e.WorkflowExecutionSignaled, e.WorkflowExecutionCancelRequested, e.MarkerRecorded)
"""Events that are steps by themselves."""

_SUFFIX = re.compile(r"~(?:\d{1,9}|(retry|wait)-\d{1,9})$")

_MACHINERY = "~more-"
"""How the ids begin of timers that a decider starts for itself."""

_STATUS: dict[type, str] = {
    kind: re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__.removeprefix("WorkflowExecution")).upper()
    for kind in EXECUTION_CLOSES
}
"""SWF's close statuses, which are the names of the closing events."""


class _Node:
    """A step in the making: the history of each attempt and pause, or the places and steps within."""

    __slots__ = ("id", "kind", "label", "steps", "within")

    def __init__(self, id: str, label: str, kind: Kind) -> None:
        self.id, self.label = id, label
        self.kind: Kind = kind
        self.within: dict[str, _Node] = {}
        self.steps: list[tuple[str, HistoryStep]] = []


class _Reading:
    """The state of a history while it is read."""

    def __init__(self, codec: Codec | None) -> None:
        self.codec = codec
        self.history = HistoryState()
        self.root = _Node("", "", "scope")
        self.cancelling: set[str] = set()
        self.cancel_requests: list[CancelRequestView] = []
        self.first: e.WorkflowExecutionStarted | None = None
        self.last: e.Event | None = None
        self.state: str | None = None
        # The decision task that is open, and those before it that timed out in a row.
        self.scheduled: e.DecisionTaskScheduled | None = None
        self.started: e.DecisionTaskStarted | None = None
        self.timeouts = 0
        self.failing_since: datetime | None = None

    def add(self, event: e.Event) -> None:
        history_step = self.history.add(event)
        if self.first is None:
            assert isinstance(event, e.WorkflowExecutionStarted)  # the state has checked that
            self.first = event
        self.last = event
        if history_step is not None:
            if history_step.opened is event:
                self.place(history_step)
            return
        match event:
            case e.DecisionTaskScheduled():
                self.scheduled, self.started = event, None
            case e.DecisionTaskStarted():
                self.started = event
            case e.DecisionTaskCompleted():
                self.scheduled = self.started = None
                self.timeouts, self.failing_since = 0, None
                if event.execution_context is not None:
                    self.state = event.execution_context
            case e.DecisionTaskTimedOut():
                if event.timeout_type == "START_TO_CLOSE":
                    self.timeouts += 1
                    if self.failing_since is None and self.scheduled is not None:
                        self.failing_since = self.scheduled.event_timestamp
                self.scheduled = self.started = None
            case e.ActivityTaskCancelRequested():
                self.cancelling.add(event.activity_id)
            case e.WorkflowExecutionCancelRequested():
                source = _link(event.external_workflow_execution)
                self.cancel_requests.append(CancelRequestView(event.event_timestamp, source, event.cause or ""))
                self.add_moment(event, "cancel")
            case e.WorkflowExecutionSignaled():
                self.add_moment(event, event.signal_name)
            case e.MarkerRecorded():
                if (local := find_step(event, self.first.event_timestamp)) is not None:
                    self.place(local)
                else:
                    self.add_moment(event, event.marker_name)
            case _ if type(event) in _REFUSALS:
                refused = HistoryStep(getattr(event, _REFUSALS[type(event)]), event)
                refused.closed = event
                self.place(refused)

    def add_moment(self, event: e.Event, name: str) -> None:
        moment = HistoryStep(name, event)
        moment.closed = event
        node = self.root.within[f"{event.event_id}"] = _Node(name, name, _KINDS[type(event)])
        node.steps.append(("", moment))

    def place(self, history_step: HistoryStep) -> None:
        """Put the history of a step into the tree, at the place that its id names."""
        kind: Kind = "local" if isinstance(history_step.opened, e.MarkerRecorded) else _KINDS[type(history_step.opened)]
        opened: Any = history_step.opened
        # The id of a child or a receiver is another execution's; the step's own is in `control`, except where
        # Traction itself sends or cancels.
        id = opened.control or "" if kind in ("child", "send", "cancel") else history_step.id
        if id.startswith(_MACHINERY):
            return
        segments = id.split(".")
        if not all(segments):
            segments = [history_step.id]
        node, prefix = self.root, ""
        for segment in segments[:-1]:
            prefix += f"{segment}."
            holds: Kind = "scope" if not segment.isdigit() else "branch" if node.kind == "group" else "group"
            label = f"{segment}."
            inner = node.within.get(label)
            if inner is None:
                inner = node.within[label] = _Node(prefix, label, holds)
            node = inner
        step, how = segments[-1], ""
        if found := _SUFFIX.search(step):
            step, how = step[: found.start()], found[1] or ""
        leaf = node.within.get(step)
        if leaf is None:
            leaf = node.within[step] = _Node(prefix + step, step, kind)
        if not how:
            leaf.kind = kind
        leaf.steps.append((how, history_step))

    # From the tree to views.

    def make_view(self, execution: WorkflowExecution, until: datetime | None) -> ExecutionView:
        first, last, closing = self.first, self.last, self.history.closed
        if first is None or last is None:
            raise ValueError("the history has no events, so there is no execution to read")
        failure, reason, result = None, "", None
        match closing:
            case e.WorkflowExecutionCompleted():
                result = closing.result
            case e.WorkflowExecutionFailed():
                failure = read_failure_view(closing.reason, closing.details, self.codec)
            case e.WorkflowExecutionTimedOut():
                failure = FailureView(closing.timeout_type)
            case e.WorkflowExecutionCanceled():
                reason = show_content(read_content(closing.details, self.codec))
            case e.WorkflowExecutionTerminated():
                reason = closing.reason or closing.cause or ""
        link = Link(execution.workflow_id, execution.run_id)
        continued_as = None
        if isinstance(closing, e.WorkflowExecutionContinuedAsNew):
            continued_as = Link(link.workflow_id, closing.new_execution_run_id)
        before = first.continued_execution_run_id
        timeout = _to_seconds(first.execution_start_to_close_timeout)
        return ExecutionView(
            workflow_id=link.workflow_id,
            run_id=link.run_id,
            workflow=first.workflow_type.name,
            version=first.workflow_type.version,
            status="OPEN" if closing is None else _STATUS[type(closing)],
            started_at=first.event_timestamp,
            closed_at=None if closing is None else closing.event_timestamp,
            until=last.event_timestamp if closing else max(until or last.event_timestamp, last.event_timestamp),
            due_at=None if closing is not None or timeout is None else first.event_timestamp + timeout,
            events=last.event_id,
            task_list=first.task_list.name,
            tags=first.tag_list or (),
            child_policy=first.child_policy,
            input=read_content(first.input, self.codec),
            result=read_content(result, self.codec),
            state=read_content(self.state, self.codec),
            failure=failure,
            reason=reason,
            parent=_link(first.parent_workflow_execution),
            continued_from=None if not before else Link(link.workflow_id, before),
            continued_as=continued_as,
            cancel_requests=tuple(self.cancel_requests),
            decision_task=None if closing is not None else self.make_decision_task(),
            steps=tuple(self.make_steps(self.root)),
        )

    def make_decision_task(self) -> DecisionTaskView | None:
        scheduled, started = self.scheduled, self.started
        if scheduled is None:
            return None
        if started is None:
            due = _add(scheduled.event_timestamp, scheduled.schedule_to_start_timeout)
        else:
            due = _add(started.event_timestamp, scheduled.start_to_close_timeout)
        return DecisionTaskView(
            task_list=scheduled.task_list.name,
            scheduled_at=scheduled.event_timestamp,
            started_at=None if started is None else started.event_timestamp,
            worker="" if started is None else started.identity or "",
            due_at=due,
            timeouts=self.timeouts,
            failing_since=self.failing_since,
        )

    def make_steps(self, parent: _Node) -> Iterator[StepView]:
        for node in parent.within.values():
            if node.steps:
                yield self.make_step(node)
                continue
            steps = tuple(self.make_steps(node))
            # A branch or scope with one member is shown on the line of that member.
            if len(steps) == 1 and node.kind != "group":
                yield msgspec.structs.replace(steps[0], label=node.label + steps[0].label)
            else:
                yield _sum_up(node, steps)

    def make_step(self, node: _Node) -> StepView:
        parts = tuple(self.make_attempt(how, history_step) for how, history_step in node.steps)
        last, (how, history_step) = parts[-1], node.steps[-1]
        opened: Any = next((step.opened for how, step in node.steps if not how), history_step.opened)
        # After a pause that has passed comes another attempt.
        waits = how != "" and last.state == "Done"
        is_open = waits or last.state == "Open"
        failure = next((part.failure for part in reversed(parts) if part.failure is not None), None)
        phase: Phase | None = None
        if is_open:
            if how:
                phase = "retrying"
            elif history_step.id in self.cancelling:
                phase = "cancelling"
            else:
                phase = "scheduled" if last.started_at is None and node.kind != "timer" else "started"
        result = None if is_open or how else read_content(getattr(history_step.closed, "result", None), self.codec)
        if node.kind == "marker":
            result = read_content(opened.details, self.codec)
        step = StepView(
            id=node.id,
            label=node.label,
            kind=node.kind,
            state="Open" if waits else last.state,
            scheduled_at=parts[0].scheduled_at,
            started_at=next((part.started_at for part in parts if part.started_at is not None), None),
            closed_at=None if waits else last.closed_at,
            phase=phase,
            due_at=last.due_at,
            name=_name(opened, node),
            task_list=opened.task_list.name if hasattr(opened, "task_list") else "",
            worker=last.worker,
            input=read_content(getattr(opened, "input", None), self.codec),
            result=result,
            failure=failure,
            execution=_find_link(history_step),
            attempts=sum(part.kind == "attempt" for part in parts),
            parts=parts,
            event_id=parts[0].event_id,
        )
        return msgspec.structs.replace(step, note=self.describe(step, history_step.closed))

    def make_attempt(self, how: str, history_step: HistoryStep) -> AttemptView:
        opened: Any = history_step.opened
        started: Any = history_step.started
        closed = history_step.closed
        return AttemptView(
            kind="pause" if how else "attempt",
            state=_find_state(closed),
            scheduled_at=opened.event_timestamp,
            started_at=None if started is None else started.event_timestamp,
            closed_at=None if closed is None else closed.event_timestamp,
            due_at=None if closed is not None or self.history.closed is not None else _find_due(opened, started),
            worker=getattr(started, "identity", None) or "",
            failure=self.read_close(closed),
            event_id=opened.event_id,
        )

    def read_close(self, closed: Any) -> FailureView | None:
        """Return how something failed; `None` if it did not."""
        if closed is None or isinstance(closed, _MOMENTS) or CLOSE_STATUSES.get(type(closed)) in _UNFAILED:
            return None
        if (cause := getattr(closed, "cause", None)) is not None:
            return FailureView(f"refused: {cause}")
        if (timeout := getattr(closed, "timeout_type", None)) is not None:
            return FailureView(timeout)
        return read_failure_view(getattr(closed, "reason", None), getattr(closed, "details", None), self.codec)

    def describe(self, step: StepView, closed: Any) -> str:
        """Return the note of a step."""
        notes = [f"attempt {step.attempts}"] if step.attempts > 1 else []
        if step.kind == "child" and step.execution is not None:
            notes.insert(0, step.execution.workflow_id)
        if step.phase is not None:
            if step.phase == "retrying":
                notes += ["will be retried", step.failure.summary if step.failure else ""]
            elif step.phase == "cancelling":
                notes.append("cancel requested")
            if self.history.closed is not None:
                notes.append("left open when the run closed")
        elif step.failure is not None and step.state not in ("Done", "Cancelled"):
            notes.append(step.failure.summary)
        elif hasattr(closed, "result"):
            notes.append(show_content(step.result))
        else:
            texts = (getattr(closed, "input", None), getattr(closed, "details", None))
            text = next(filter(None, texts), None)
            notes.append(show_content(read_content(text, self.codec)))
        return shorten("; ".join(filter(None, notes)), NOTE_CHARS_MAX)


_UNFAILED = ("COMPLETED", "CANCELED")

_STATES: dict[CloseStatus, State] = {"COMPLETED": "Done", "CANCELED": "Cancelled", "TIMED_OUT": "TimedOut"}

_WORSE: tuple[State, ...] = ("Open", "Failed", "TimedOut", "Done", "Cancelled")


def _sum_up(node: _Node, steps: tuple[StepView, ...]) -> StepView:
    states = {step.state for step in steps}
    closes = [step.closed_at for step in steps]
    return StepView(
        id=node.id,
        label=node.label,
        kind=node.kind,
        state=next(state for state in _WORSE if state in states),
        scheduled_at=min(step.scheduled_at for step in steps),
        started_at=min((step.started_at for step in steps if step.started_at is not None), default=None),
        closed_at=None if None in closes else max(filter(None, closes)),
        note=f"{len(steps)} {'branch' if len(steps) == 1 else 'branches'}" if node.kind == "group" else "",
        steps=steps,
    )


def _find_state(closed: e.Event | None) -> State:
    if closed is None:
        return "Open"
    if isinstance(closed, _MOMENTS):
        return "Done"
    return _STATES.get(CLOSE_STATUSES.get(type(closed), "FAILED"), "Failed")


def _find_due(opened: Any, started: Any) -> datetime | None:
    """Return when a timer fires, or when the next timeout of a task or child passes."""
    at = opened.event_timestamp
    if isinstance(opened, e.TimerStarted):
        return _add(at, opened.start_to_fire_timeout)
    dues = [_add(at, getattr(opened, "schedule_to_close_timeout", None))]
    if started is None:
        dues.append(_add(at, getattr(opened, "schedule_to_start_timeout", None)))
    else:
        timeout = getattr(opened, "start_to_close_timeout", None)
        dues.append(_add(started.event_timestamp, timeout or getattr(opened, "execution_start_to_close_timeout", None)))
    return min(filter(None, dues), default=None)


def _add(at: datetime, timeout: str | None) -> datetime | None:
    seconds = _to_seconds(timeout)
    return None if seconds is None else at + seconds


def _to_seconds(timeout: str | None) -> timedelta | None:
    return None if timeout is None or timeout == "NONE" else timedelta(seconds=int(timeout))


def _name(opened: Any, node: _Node) -> str:
    for attribute in ("activity_type", "workflow_type"):
        if (type := getattr(opened, attribute, None)) is not None:
            return f"{type.name} {type.version}"
    return str(getattr(opened, "signal_name", None) or getattr(opened, "name", None) or "") or (
        node.id if node.kind == "marker" else ""
    )


def _find_link(history_step: HistoryStep) -> Link | None:
    """Return the other execution of a step, with its run id if the history has it."""
    for event in (history_step.closed, history_step.started, history_step.opened):
        for attribute in ("workflow_execution", "external_workflow_execution"):
            if (execution := getattr(event, attribute, None)) is not None:
                return Link(execution.workflow_id, execution.run_id or "")
    opened: Any = history_step.opened
    if (id := getattr(opened, "workflow_id", None)) is not None:
        return Link(id, getattr(opened, "run_id", None) or "")
    return None


def _link(execution: WorkflowExecution | None) -> Link | None:
    return None if execution is None else Link(execution.workflow_id, execution.run_id)
