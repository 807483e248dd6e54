"""Tell what happened in a simulation, so short that the mistake is obvious.

Takes a simulation; gives one aligned line for each move: the virtual time, who moved, what happened. A line that begins
with its number and a star is where the schedule deviated from the plain run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from datetime import datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from traction.model import decisions as d
from traction.model import events as e
from traction.model import operations as o

if TYPE_CHECKING:
    from traction_local.simulation.attempts import AttemptFault
    from traction_local.simulation.simulation import Simulation

LINES_MAX = 100
"""How many lines of a story are shown whole; of a longer one, its beginning, its end, and what lies next to a star."""

PAYLOAD_CHARS_MAX = 60
"""How much of an input or a result is shown."""


class Moved(NamedTuple):
    """Something that happened: when, who did it, what, and what was decided for whom if that is what happened."""

    when: datetime
    who: str
    what: str
    choices: tuple[int, ...] = ()
    """The numbers of the choices that deviated to it."""
    decisions: tuple[d.Decision, ...] = ()
    workflow_id: str = ""


def tell_story(simulation: Simulation) -> str:
    """Tell every move, and what the service did by itself."""
    if not simulation.moves:
        return "nothing has happened yet"
    begin = simulation.moves[0].when
    alone = len({moved.workflow_id for moved in simulation.moves} - {""}) == 1
    moves = deque((moved.when, _mark(moved), moved.who, _say(moved, alone)) for moved in simulation.moves)
    rows = []
    for when, what in _list_events(simulation):
        while moves and moves[0][0] < when:
            rows.append(moves.popleft())
        rows.append((when, "", "service", what))
    rows += moves
    table = [(mark, _count(when - begin), who, what) for when, mark, who, what in rows]
    marks, times, whos = (max(len(row[n]) for row in table) for n in range(3))
    lines = [f"{mark:>{marks}}  {time:>{times}}  {who:<{whos}}  {what}".rstrip() for mark, time, who, what in table]
    stars = {number for number, (_, mark, _, _) in enumerate(rows) if mark}
    return "\n".join(cut(lines, "moves", stars))


def cut(lines: list[str], what: str, kept: Collection[int] = ()) -> list[str]:
    """Fold what lies between the beginning, the end and some lines to be kept, each with those next to it."""
    if len(lines) <= LINES_MAX:
        return lines
    half = LINES_MAX // 2
    shown = {*range(half), *range(len(lines) - half, len(lines))}
    shown |= {number + near for number in kept for near in (-1, 0, 1)}
    told, folded = [], 0
    for number, line in enumerate(lines):
        # A line between two that are shown is no longer than what would say that it is folded.
        if number in shown or {number - 1, number + 1} <= shown:
            if folded:
                told.append(f"... {folded} {what} ...")
            folded = 0
            told.append(line)
        else:
            folded += 1
    return told


def _list_events(simulation: Simulation) -> list[tuple[datetime, str]]:
    """Give what the service did by itself: time-outs and timers, of all executions."""
    said = []
    for history in simulation.read_histories():
        for event in history:
            match event:
                case e.TimerFired():
                    said.append((event.event_timestamp, f"{event.timer_id} fires"))
                case e.ActivityTaskTimedOut() | e.DecisionTaskTimedOut():
                    opened: Any = history[event.scheduled_event_id - 1]
                    name = getattr(opened, "activity_id", "the decision task")
                    said.append((event.event_timestamp, f"{name} times out: {event.timeout_type}"))
                case e.WorkflowExecutionTimedOut():
                    said.append((event.event_timestamp, "the execution times out"))
    return sorted(said, key=itemgetter(0))


def say_decision(decision: d.Decision) -> str:
    """Say a decision in a few words: its kind, and its id."""
    ids = ("activity_id", "timer_id", "workflow_id", "marker_name", "signal_name", "id", "reason")
    name = next((getattr(decision, id) for id in ids if getattr(decision, id, None)), "")
    return f"{type(decision).__name__} {name}".rstrip()


def say_answer(answer: o.Request[None] | None) -> str:
    """Say how an attempt ended, and with what."""
    if answer is None:
        return "later"
    how = type(answer).__name__.removeprefix("RespondActivityTask").lower()
    return f"{how} {say_payload(getattr(answer, 'result', None) or getattr(answer, 'reason', None))}".rstrip()


def say_attempt(task: o.ActivityTask, span: timedelta, fate: AttemptFault | None) -> str:
    """Say that an attempt begins, and what is odd about it."""
    said = f"begins {task.activity_id} {say_payload(task.input)}".rstrip()
    said += f", which takes {span}" if span else ""
    return f"{said}, and {fate.what}" if fate is not None else said


def say_payload(payload: str | None) -> str:
    """Say an input or a result, if it says anything."""
    if payload in (None, "null", "{}"):
        return ""
    return payload if len(payload) <= PAYLOAD_CHARS_MAX else payload[:PAYLOAD_CHARS_MAX] + "..."


def _say(moved: Moved, alone: bool) -> str:
    if not moved.workflow_id:
        return moved.what
    whom = moved.what if alone else f"{moved.what} for {moved.workflow_id}"
    return f"{whom}: {', '.join(map(say_decision, moved.decisions)) or 'nothing'}"


def _mark(moved: Moved) -> str:
    return f"{','.join(map(str, moved.choices))}*" if moved.choices else ""


def _count(span: timedelta) -> str:
    """Say a span: `+30d 0:00:01.500`."""
    seconds = span.total_seconds() - span.days * 86_400
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    days = f"{span.days}d " if span.days else ""
    return f"+{days}{hours}:{minutes:02}:{seconds:06.3f}"
