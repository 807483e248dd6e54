"""Write a moment of a flow as text: its branches with source lines and variables, and what it decides."""

from __future__ import annotations

import linecache
import os
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from traction.cli.documents import DebuggedMoment, DecisionView
from traction.history.rendering import format_span
from traction.inspection import Branch, FlowFrame, Moment
from traction.model import decisions as d
from traction.model.correlation import BY_DECISION

CONTEXT_LINES = 2
"""How many lines of source are shown before and after the one that waits."""

BRANCHES_MAX = 8
"""How many branches are shown with their source."""


def format_moment(moment: Moment, events: int, began: datetime, folder: str) -> Iterator[str]:
    """Yield the lines of a moment.

    Args:
        moment: what to write.
        events: how many events the history has.
        began: when the execution started.
        folder: paths below it are written relative to it.
    """
    at = f"{moment.at:%Y-%m-%d %H:%M:%S} UTC, {format_span(moment.at - began)} after the start"
    yield f"event {moment.event_id:,} of {events:,}  {moment.event}  {at}"
    if moment.blocked is not None:
        yield f"BLOCKED  {moment.blocked.type.rpartition('.')[2]}: {moment.blocked.message}"
    for branch in moment.branches[:BRANCHES_MAX]:
        yield ""
        yield from _format_branch(branch, folder)
    if len(moment.branches) > BRANCHES_MAX:
        rest = moment.branches[BRANCHES_MAX:]
        yield ""
        yield f"{len(rest):,} more branches wait, for {', '.join(branch.step for branch in rest[:5])}…"
    yield ""
    yield from _format_list("decides", [describe_decision(decision) for decision in moment.decisions])
    yield from _format_list("next", list(moment.next_events))


def _format_branch(branch: Branch, folder: str) -> Iterator[str]:
    yield f"{branch.step}  waits for {branch.waits_for}"
    for frame in branch.frames:
        inner = frame is branch.frames[-1]
        yield f"  {_shorten_path(frame.file, folder)}:{frame.line} in {frame.function}"
        yield from _format_source(frame, CONTEXT_LINES if inner else 0)
        width = max(map(len, frame.variables), default=0)
        for name, value in frame.variables.items():
            yield f"      {name:<{width}} = {value}"


def _format_source(frame: FlowFrame, context: int) -> Iterator[str]:
    lines = linecache.getlines(frame.file)
    for number in range(max(frame.line - context, 1), min(frame.line + context, len(lines)) + 1):
        mark = "→" if number == frame.line else " "
        yield f"    {mark} {number:>4}  {lines[number - 1].rstrip()}".rstrip()


def _shorten_path(path: str, folder: str) -> str:
    try:
        relative = os.path.relpath(path, folder)
    except ValueError:  # another drive
        return path
    return path if relative.startswith("..") else relative


def _format_list(label: str, words: Sequence[str]) -> Iterator[str]:
    if words:
        yield f"{label:<8} {', '.join(words[:10])}{'…' if len(words) > 10 else ''}"


def describe_decision(decision: d.Decision) -> str:
    """Return the type of a decision, and the id or name of what it is about."""
    row = BY_DECISION[type(decision)]
    about = "" if row.id_name is None else f" {getattr(decision, row.id_name)}"
    return f"{type(decision).__name__}{about}"


def to_document(moment: Moment) -> DebuggedMoment:
    """Return what `--json` prints of a moment."""
    decisions = []
    for decision in moment.decisions:
        fields = {field.name: getattr(decision, field.name) for field in msgspec.structs.fields(decision)}
        kept = {name: value for name, value in fields.items() if value is not None}
        attributes = msgspec.to_builtins({name: _to_snake(value) for name, value in kept.items()})
        decisions.append(DecisionView(type(decision).__name__, attributes))
    return DebuggedMoment(
        event_id=moment.event_id,
        at=moment.at,
        event=moment.event,
        branches=moment.branches,
        decisions=tuple(decisions),
        awaited=moment.awaited,
        blocked=moment.blocked,
        next_events=moment.next_events,
    )


def _to_snake(value: object) -> object:
    """Return the fields of a struct by their names in Python."""
    if not isinstance(value, msgspec.Struct):
        return value
    return {field.name: _to_snake(getattr(value, field.name)) for field in msgspec.structs.fields(value)}
