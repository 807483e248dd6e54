"""Format the story of a simulation, its trace: one aligned line per move with the virtual time, the actor and the move.

A line that starts with a number and a star shows where the schedule deviated from the plain run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from traction.model import decisions as d
from traction.model import events as e
from traction.model import operations as o
from traction_local.simulation.fault_injector import AttemptFault
from traction_local.simulation.trace import Move

LINES_MAX = 100
"""Longer stories are folded: only the start, the end and the lines around each star are shown."""

PAYLOAD_CHARS_MAX = 60
"""Longer inputs and results are cut off after this many characters."""


def format_story(moves: Sequence[Move], histories: Iterable[Sequence[e.Event]], deviations: Collection[int]) -> str:
    """Format all moves and the timeouts and timers of the service, one line each.

    Args:
        moves: the moves, in their order.
        histories: the histories of all executions.
        deviations: the numbers of the choices that were not plain.
    """
    if not moves:
        return "nothing has happened yet"
    begin = moves[0].when
    single = len({move.workflow_id for move in moves} - {""}) == 1
    waiting = deque(
        (move.when, mark, move.who, _format_move(move, single))
        for move, mark in zip(moves, _format_marks(moves, deviations), strict=True)
    )
    rows = []
    for when, what in _list_service_events(histories):
        while waiting and waiting[0][0] < when:
            rows.append(waiting.popleft())
        rows.append((when, "", "service", what))
    rows += waiting
    table = [(mark, _format_span(when - begin), who, what) for when, mark, who, what in rows]
    marks, times, whos = (max(len(row[n]) for row in table) for n in range(3))
    lines = [f"{mark:>{marks}}  {time:>{times}}  {who:<{whos}}  {what}".rstrip() for mark, time, who, what in table]
    stars = {number for number, (_, mark, _, _) in enumerate(rows) if mark}
    return "\n".join(fold(lines, "moves", stars))


def fold(lines: list[str], what: str, kept: Collection[int] = ()) -> list[str]:
    """Fold long output: keep the start, the end, and the lines numbered in `kept` with their neighbours."""
    if len(lines) <= LINES_MAX:
        return lines
    half = LINES_MAX // 2
    shown = {*range(half), *range(len(lines) - half, len(lines))}
    shown |= {number + near for number in kept for near in (-1, 0, 1)}
    result, folded = [], 0
    for number, line in enumerate(lines):
        # A single line between two shown lines stays: the marker of the fold would take a line too.
        if number in shown or {number - 1, number + 1} <= shown:
            if folded:
                result.append(f"... {folded} {what} ...")
            folded = 0
            result.append(line)
        else:
            folded += 1
    return result


def _list_service_events(histories: Iterable[Sequence[e.Event]]) -> list[tuple[datetime, str]]:
    """Return what the service did by itself, in order of time: timeouts and timers of all executions."""
    rows = []
    for history in histories:
        for event in history:
            match event:
                case e.TimerFired():
                    rows.append((event.event_timestamp, f"{event.timer_id} fires"))
                case e.ActivityTaskTimedOut() | e.DecisionTaskTimedOut():
                    opened: Any = history[event.scheduled_event_id - 1]
                    name = getattr(opened, "activity_id", "the decision task")
                    rows.append((event.event_timestamp, f"{name} times out: {event.timeout_type}"))
                case e.WorkflowExecutionTimedOut():
                    rows.append((event.event_timestamp, "the execution times out"))
    return sorted(rows, key=itemgetter(0))


def format_decision(decision: d.Decision) -> str:
    """Return the type of a decision and its id."""
    ids = ("activity_id", "timer_id", "workflow_id", "marker_name", "signal_name", "id", "reason")
    name = next((getattr(decision, id) for id in ids if getattr(decision, id, None)), "")
    return f"{type(decision).__name__} {name}".rstrip()


def format_response(response: o.Request[None] | None) -> str:
    """Return how an attempt ended, with its result or reason."""
    if response is None:
        return "later"
    how = type(response).__name__.removeprefix("RespondActivityTask").lower()
    return f"{how} {format_payload(getattr(response, 'result', None) or getattr(response, 'reason', None))}".rstrip()


def format_attempt(task: o.ActivityTask, span: timedelta, fault: AttemptFault | None) -> str:
    """Return that an attempt starts, how long it takes, and the fault that cuts it off."""
    text = f"begins {task.activity_id} {format_payload(task.input)}".rstrip()
    text += f", which takes {span}" if span else ""
    return f"{text}, and {fault.what}" if fault is not None else text


def format_payload(payload: str | None) -> str:
    """Return a shortened input or result; empty for none, null and {}."""
    if payload in (None, "null", "{}"):
        return ""
    return payload if len(payload) <= PAYLOAD_CHARS_MAX else payload[:PAYLOAD_CHARS_MAX] + "..."


def _format_move(move: Move, single: bool) -> str:
    if not move.workflow_id:
        return move.what
    what = move.what if single else f"{move.what} for {move.workflow_id}"
    return f"{what}: {', '.join(map(format_decision, move.decisions)) or 'nothing'}"


def _format_marks(moves: Sequence[Move], deviations: Collection[int]) -> list[str]:
    """Return for each move the deviations that led to it, with a star; empty if there are none."""
    marks, before = [], 0
    for move in moves:
        numbers = [str(number) for number in range(before, move.choices) if number in deviations]
        marks.append(f"{','.join(numbers)}*" if numbers else "")
        before = move.choices
    return marks


def _format_span(span: timedelta) -> str:
    """Format a span as `+30d 0:00:01.500`."""
    seconds = span.total_seconds() - span.days * 86_400
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    days = f"{span.days}d " if span.days else ""
    return f"+{days}{hours}:{minutes:02}:{seconds:06.3f}"
