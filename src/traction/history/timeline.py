"""Read a history as a timeline: the tree of steps, each with its attempts and times.

Pure: an open run lasts until its last event, or until an instant that the caller passes.

The tree is read back from the ids. `1.0.IndexStories-1` is the first `IndexStories` of branch 0 of group 1. A
part before a dot that is not a number is a scope of `.named`. `X-1~2` is the second attempt of `X-1`; `X-1~retry-1` and
`X-1~wait-1` are pauses between attempts. The labels from the root to a row, joined together, are its id.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

import msgspec

from traction.errors import PayloadUnavailableError
from traction.history.local_records import find_step
from traction.history.state import HistoryState, HistoryStep
from traction.model import decisions as d
from traction.model import events as e
from traction.model.correlation import BY_DECISION, CLOSE_STATUSES, CORRELATIONS, EXECUTION_CLOSES
from traction.model.literals import CloseStatus
from traction.payloads.codec import Codec
from traction.payloads.failure_info import FailureInfo
from traction.payloads.failure_text import read_failure
from traction.payloads.tracebacks import find_place

State: TypeAlias = Literal["Open", "Done", "Failed", "Cancelled", "TimedOut"]
"""What is known of a step."""


Kind: TypeAlias = Literal[
    "activity", "local", "timer", "child", "lambda", "send", "cancel", "signal", "marker", "group", "branch", "scope"
]
"""What a row is: a step, or (the last three) a place that holds steps."""


NOTE_CHARS_MAX = 200
"""Where a note is cut; `render` cuts it further, to the width that there is."""


ZERO = timedelta(0)


class Part(msgspec.Struct, frozen=True):
    """One stretch of a step: an attempt, or a pause between two; times are since the start of the run."""

    kind: Literal["attempt", "pause"]
    state: State
    scheduled: timedelta
    started: timedelta | None
    closed: timedelta | None


class Row(msgspec.Struct, frozen=True):
    """A step, or a group, branch or scope of steps; times are since the start of the run.

    A group, branch or scope is `Open` while one of its steps is, and otherwise has the worst state of its steps; a
    cancelled step next to a completed one counts as done.
    """

    id: str
    label: str
    kind: Kind
    state: State
    scheduled: timedelta
    started: timedelta | None
    closed: timedelta | None
    note: str = ""
    attempts: int = 0
    parts: tuple[Part, ...] = ()
    rows: tuple[Row, ...] = ()

    @property
    def duration(self) -> timedelta | None:
        """How long it took, waiting included; `None` while it is open."""
        return None if self.closed is None else self.closed - self.scheduled


class Timeline(msgspec.Struct, frozen=True):
    """One run: `status` is `OPEN` or how it closed, in SWF's words."""

    workflow: str
    status: str
    began: datetime
    lasted: timedelta
    note: str
    rows: tuple[Row, ...]


# From events to rows.

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


_SUFFIX = re.compile(r"~(?:\d{1,9}|(retry|wait)-\d{1,9})$")


_MACHINERY = "~more-"
"""How the ids begin of timers that a decider starts for itself."""


class _Node:
    """A row in the making: the history of each attempt and pause, or the places and steps within."""

    def __init__(self, id: str, label: str, kind: Kind) -> None:
        self.id, self.label = id, label
        self.kind: Kind = kind
        self.within: dict[str, _Node] = {}
        self.steps: list[tuple[str, HistoryStep]] = []


def read_timeline(events: Iterable[e.Event], *, until: datetime | None = None, codec: Codec | None = None) -> Timeline:
    """Return the timeline of a run.

    Args:
        events: the history from event 1, or the part of it that exists.
        until: the end of the timeline of an open run; by default its last event.
        codec: decodes encrypted texts of failures. Without it they are not shown.

    Raises:
        HistoryError: no execution can have these events.
        ValueError: the list of events is empty.
    """
    history, root, cancelling = HistoryState(), _Node("", "", "scope"), set[str]()
    first: e.WorkflowExecutionStarted | None = None
    last: e.Event | None = None
    for event in events:
        history_step = history.add(event)
        first, last = first or event, event  # type: ignore[assignment]  # the fold has seen that event 1 is a start
        assert first is not None
        if history_step is not None and history_step.opened is event:
            _place(root, history_step)
        elif type(event) in _REFUSALS and history_step is None:
            _place(root, _refuse(event, _REFUSALS[type(event)]))
        elif isinstance(event, e.MarkerRecorded) and (local := find_step(event, first.event_timestamp)) is not None:
            _place(root, local)
        elif isinstance(event, _MOMENTS):
            name = str(getattr(event, "signal_name", None) or getattr(event, "marker_name", "cancel"))
            moment = HistoryStep(name, event)
            moment.closed = event
            key = f"{event.event_id}"
            root.within[key] = node = _Node(moment.id, moment.id, _KINDS[type(event)])
            node.steps.append(("", moment))
        elif isinstance(event, e.ActivityTaskCancelRequested):
            cancelling.add(event.activity_id)
    if first is None or last is None:
        raise ValueError("there are no events, and so no run to show")
    end = (
        last.event_timestamp if history.closed is not None else max(until or last.event_timestamp, last.event_timestamp)
    )
    closing, note = history.closed, ""
    if isinstance(closing, e.WorkflowExecutionTerminated):
        note = _shorten(closing.reason or closing.cause or "")
    elif closing is not None:
        note = _describe_closing(closing, codec)
    type_ = first.workflow_type
    return Timeline(
        workflow=f"{type_.name} {type_.version}",
        status="OPEN" if closing is None else _STATUS[type(closing)],
        began=first.event_timestamp,
        lasted=end - first.event_timestamp,
        note=note,
        rows=tuple(_make_rows(root, first.event_timestamp, history.closed is not None, cancelling, codec)),
    )


_STATUS: dict[type, str] = {
    kind: re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__.removeprefix("WorkflowExecution")).upper()
    for kind in EXECUTION_CLOSES
}
"""SWF's close statuses, which are the names of the closing events."""


def _refuse(event: Any, id_name: str) -> HistoryStep:
    history_step = HistoryStep(getattr(event, id_name), event)
    history_step.closed = event
    return history_step


def _place(root: _Node, history_step: HistoryStep) -> None:
    """Put the history of a step into the tree, at the place that its id names."""
    kind: Kind = "local" if isinstance(history_step.opened, e.MarkerRecorded) else _KINDS[type(history_step.opened)]
    opened: Any = history_step.opened
    id = history_step.id
    if kind in ("child", "send", "cancel"):
        # The id is another execution's; the step's own is in `control`, if Traction cancelling for it.
        id = opened.control or ""
    if id.startswith(_MACHINERY):
        return
    segments = id.split(".")
    if not all(segments):
        segments = [history_step.id]
    node, prefix = root, ""
    for segment in segments[:-1]:
        prefix += f"{segment}."
        place: Kind = "scope" if not segment.isdigit() else "branch" if node.kind == "group" else "group"
        node = node.within.setdefault(f"{segment}.", _Node(prefix, f"{segment}.", place))
    step, how = segments[-1], ""
    if found := _SUFFIX.search(step):
        step, how = step[: found.start()], found[1] or ""
    leaf = node.within.setdefault(step, _Node(prefix + step, step, kind))
    if not how:
        leaf.kind = kind
    leaf.steps.append((how, history_step))


def _make_rows(parent: _Node, began: datetime, over: bool, cancelling: set[str], codec: Codec | None) -> Iterator[Row]:
    for node in parent.within.values():
        if not node.steps:
            rows = tuple(_make_rows(node, began, over, cancelling, codec))
            # A branch or scope with one member is shown on the line of that member.
            if len(rows) == 1 and node.kind != "group":
                yield msgspec.structs.replace(rows[0], label=node.label + rows[0].label)
                continue
            yield _sum_up(node, rows)
        else:
            yield _make_row(node, began, over, cancelling, codec)


def _make_row(node: _Node, began: datetime, over: bool, cancelling: set[str], codec: Codec | None) -> Row:
    parts = tuple(
        Part(
            kind="pause" if how else "attempt",
            state=_find_state(history_step),
            scheduled=history_step.opened.event_timestamp - began,
            started=None if history_step.started is None else history_step.started.event_timestamp - began,
            closed=None if history_step.closed is None else history_step.closed.event_timestamp - began,
        )
        for how, history_step in node.steps
    )
    last, (how, history_step) = parts[-1], node.steps[-1]
    # After a pause that has passed comes another attempt.
    waits = how != "" and last.state == "Done"
    attempts = sum(part.kind == "attempt" for part in parts)
    notes = [f"attempt {attempts}"] if attempts > 1 else []
    if node.kind == "child":
        notes.insert(0, history_step.id)
    if waits or last.state == "Open":
        if how:
            before = next(
                (
                    _describe_closing(history_step.closed, codec)
                    for how, history_step in reversed(node.steps)
                    if not how and history_step.closed
                ),
                "",
            )
            notes += ["will be retried", before]
        elif history_step.id in cancelling:
            notes.append("cancel requested")
        if over:
            notes.append("left open when the run closed")
    elif history_step.closed is not None:
        notes.append(_describe_closing(history_step.closed, codec))
    return Row(
        id=node.id,
        label=node.label,
        kind=node.kind,
        state="Open" if waits else last.state,
        scheduled=parts[0].scheduled,
        started=next((part.started for part in parts if part.started is not None), None),
        closed=None if waits else last.closed,
        note=_shorten("; ".join(filter(None, notes))),
        attempts=attempts,
        parts=parts,
    )


def _sum_up(node: _Node, rows: tuple[Row, ...]) -> Row:
    states = {row.state for row in rows}
    state: State = "Done"
    for worse in _WORSE:
        if worse in states:
            state = worse
            break
    closes = [row.closed for row in rows]
    return Row(
        id=node.id,
        label=node.label,
        kind=node.kind,
        state=state,
        scheduled=min(row.scheduled for row in rows),
        started=min((row.started for row in rows if row.started is not None), default=None),
        closed=None if None in closes else max(filter(None, closes), default=ZERO),
        note=f"{len(rows)} {'branch' if len(rows) == 1 else 'branches'}" if node.kind == "group" else "",
        rows=rows,
    )


_WORSE: tuple[State, ...] = ("Open", "Failed", "TimedOut", "Done", "Cancelled")


_STATES: dict[CloseStatus, State] = {"COMPLETED": "Done", "CANCELED": "Cancelled", "TIMED_OUT": "TimedOut"}


def _find_state(history_step: HistoryStep) -> State:
    closed = history_step.closed
    if closed is None:
        return "Open"
    if isinstance(closed, _MOMENTS):
        return "Done"
    return _STATES.get(CLOSE_STATUSES.get(type(closed), "FAILED"), "Failed")


def _read_failure(closing: Any, codec: Codec | None) -> FailureInfo:
    try:
        return read_failure(closing.reason, closing.details, codec)
    except PayloadUnavailableError:  # of another key, for one
        return read_failure(closing.reason, closing.details)


def _describe_closing(closing: Any, codec: Codec | None) -> str:
    """Describe in one line how something closed."""
    if (cause := getattr(closing, "cause", None)) is not None:
        return f"refused: {cause}"
    if (timeout := getattr(closing, "timeout_type", None)) is not None:
        return _shorten(f"{timeout}")
    if hasattr(closing, "reason"):
        failure = _read_failure(closing, codec)
        place = find_place(failure.traceback)
        text = f"{failure.type.rpartition('.')[2]}: {failure.message}" if failure.message else failure.type
        return _shorten(text if place is None else f"{text} ({place.partition(' ')[0]})")
    if hasattr(closing, "result"):
        return "" if closing.result in (None, "null") else _shorten(closing.result)
    if (payload := getattr(closing, "input", None)) is not None:
        return _shorten(payload)
    return _shorten(getattr(closing, "details", None) or "")


def list_failures(events: Sequence[e.Event], codec: Codec | None = None) -> list[str]:
    """List the tracebacks of the failures in a run, oldest first, each under the id of its step.

    Lists the last attempt of each step, then the failure of the flow, and only the last `FAILURES_MAX` of all.
    `codec` decodes encrypted ones.
    """
    history = HistoryState()
    shown: dict[str, str] = {}
    for event in events:
        history_step = history.add(event)
        if history_step is None and isinstance(event, e.MarkerRecorded):
            history_step = find_step(event, events[0].event_timestamp)
        if history_step is None or not (trace := _find_traceback(history_step.closed, codec)):
            continue
        step = _SUFFIX.sub("", getattr(history_step.opened, "control", None) or history_step.id)
        shown.pop(step, None)
        shown[step] = trace
    if trace := _find_traceback(history.closed, codec):
        shown["the flow"] = trace
    return [f"{step}:\n{trace}" for step, trace in list(shown.items())[-FAILURES_MAX:]]


def _find_traceback(closing: Any, codec: Codec | None) -> str:
    if not (hasattr(closing, "reason") and hasattr(closing, "details")):
        return ""
    return _read_failure(closing, codec).traceback


FAILURES_MAX = 5
"""How many failures are shown with their tracebacks."""


def _shorten(text: str, width: int = NOTE_CHARS_MAX) -> str:
    """Put a text on one line, without control characters, no wider than `width` columns."""
    return _cut(" ".join("".join(c if c.isprintable() else " " for c in text[: 4 * width]).split()), width)


def _cut(line: str, width: int) -> str:
    """Cut a line to `width` columns."""
    if _measure(line) <= width:
        return line
    kept, columns = "", 0
    for c in line:
        columns += _measure(c)
        if columns >= width:
            break
        kept += c
    return f"{kept}…"


def _measure(text: str) -> int:
    """Count the columns that a text takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
