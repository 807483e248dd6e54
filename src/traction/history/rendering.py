"""Format the view of an execution as a timeline in plain text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec

from traction.history.contents import show_content
from traction.history.escaping import escape
from traction.history.reading import NOTE_CHARS_MAX
from traction.history.text import cut, measure, pad, shorten
from traction.history.views import ExecutionView, State, StepView

MARKS: dict[State, str] = {"Open": "…", "Done": "✓", "Failed": "✗", "Cancelled": "–", "TimedOut": "!"}
"""The mark at the start of a line, by the state of its step."""

_ASCII = str.maketrans("…✓✗–├└│─█░·", "~+x-|`|-#.,")


class Line(msgspec.Struct, frozen=True):
    """A line of text, and the state of its row; `None` for scopes and for the first line."""

    text: str
    state: State | None = None


def render(view: ExecutionView, *, width: int = 100, branches_max: int | None = None, ascii: bool = False) -> str:
    """Format a run as a timeline in plain text; equal arguments return equal text.

    Args:
        view: the run.
        width: the most columns of a line; at least 40.
        branches_max: a group with more branches than this leaves out some that are done.
        ascii: use only ASCII characters.
    """
    lines = lay_out(view, width=width, branches_max=branches_max, ascii=ascii)
    return "".join(f"{line.text}\n" for line in lines)


def lay_out(
    view: ExecutionView, *, width: int = 100, branches_max: int | None = None, ascii: bool = False
) -> list[Line]:
    """Format a run as lines; see `render`."""
    width = max(width, 40)
    tree = list(_walk(view.steps, None, branches_max))
    labels = max((measure(label) for label, _ in tree), default=0)
    spans = {id(step): _format_duration(step) for _, step in tree if step}
    span_width = max(map(len, spans.values()), default=0)
    notes = max((measure(step.note) for _, step in tree if step), default=0)
    label_width = min(labels, width * 2 // 5)
    # One space follows the mark; two separate label, bar, span and note.
    free = width - 2 - label_width - 2 - 2 - span_width - 2
    bar_width = max(min(free - min(notes, free // 2), 40), 6)
    note_width = max(free - bar_width, 0)
    head = f"{escape(view.type)}  {view.status}  {format_span(view.lasted)}"
    if note := describe_close(view):
        head = f"{head}  {note}"
    lines = [Line(cut(head, width))]
    for label, step in tree:
        if step is None:
            lines.append(Line(f"  {cut(label, width - 2)}"))
            continue
        mark = " " if step.steps else MARKS[step.state]
        bar = _draw(step, view, bar_width)
        text = f"{mark} {pad(label, label_width)}  {bar}  {spans[id(step)]:>{span_width}}"
        if step.note and note_width > 3:
            text += f"  {shorten(step.note, note_width)}"
        lines.append(Line(text.rstrip(), None if step.steps else step.state))
    if ascii:
        lines = [Line(line.text.translate(_ASCII).encode("ascii", "replace").decode(), line.state) for line in lines]
    return lines


def _walk(
    steps: tuple[StepView, ...], indent: str | None, branches_max: int | None
) -> Iterator[tuple[str, StepView | None]]:
    """Yield each step with its label, drawn as a tree; `None` instead for the line that counts omitted steps."""
    shown: list[StepView | str] = list(steps)
    if branches_max is not None and len(steps) > branches_max and indent is not None:
        plain = [step for step in steps if step.state == "Done"]
        left_out = {id(step) for step in plain[max(branches_max - (len(steps) - len(plain)), 1) :]}
        shown = [step for step in steps if id(step) not in left_out]
        if left_out:
            shown.append(f"… {len(left_out):,} more, done")
    for step in shown:
        last = step is shown[-1]
        stem = "" if indent is None else f"{indent}{'└─ ' if last else '├─ '}"
        if isinstance(step, str):
            yield stem + step, None
            continue
        yield stem + escape(step.label), step
        under = "" if indent is None else f"{indent}{'   ' if last else '│  '}"
        yield from _walk(step.steps, under, branches_max)


def describe_close(view: ExecutionView) -> str:
    """Return in one line why or with what a run closed; nothing while it is open."""
    if view.failure is not None:
        return shorten(view.failure.summary, NOTE_CHARS_MAX)
    return shorten(view.reason or show_content(view.result), NOTE_CHARS_MAX)


def _draw(step: StepView, view: ExecutionView, columns: int) -> str:
    """Draw the bar of a step: when it waited, worked and paused."""
    bar = [" "] * columns
    stretches: list[tuple[datetime, datetime, str]] = []
    if step.steps:
        stretches.append((step.scheduled_at, step.closed_at or view.until, "─"))
    for part in step.parts:
        end = part.closed_at or view.until
        if part.kind == "pause":
            stretches.append((part.scheduled_at, end, "·"))
        elif step.kind in ("activity", "local", "child", "lambda"):
            begin = part.started_at or end
            stretches.append((part.scheduled_at, begin, "░"))
            if part.started_at is not None or part.scheduled_at == end:
                stretches.append((begin, end, "█"))
        else:
            stretches.append((part.scheduled_at, end, "─"))
    whole = max(view.lasted, timedelta(microseconds=1))
    # If two share a column, the later of `─·░█` is drawn: work hides waiting.
    for begin, end, ink in sorted(stretches, key=lambda stretch: "─·░█".index(stretch[2])):
        left = min((begin - view.started_at) * columns // whole, columns - 1)
        # A stretch shorter than a column is still drawn, unless it is waiting.
        right = max(-((view.started_at - end) * columns // whole), left + (ink != "░"))
        bar[left:right] = ink * (min(right, columns) - left)
    return "".join(bar[:columns])


def _format_duration(step: StepView) -> str:
    if step.duration is None:
        return "open"
    # Signals and markers have no duration.
    return format_span(step.duration) if step.kind not in ("signal", "marker") else ""


def format_span(span: timedelta) -> str:
    """Format a duration in at most nine characters.

    Example:
        >>> [format_span(timedelta(seconds=s)) for s in (0.012, 3.456, 75, 3_900, 180_000)]
        ['12 ms', '3.46 s', '1 m 15 s', '1 h 05 m', '2 d 02 h']
    """
    ms = span // timedelta(milliseconds=1)
    if ms < 1_000:
        return f"{ms} ms"
    if ms < 59_995:
        return f"{ms / 1_000:.2f} s"
    seconds = ms // 1_000
    if seconds >= 100 * 86_400:
        return f"{seconds // 86_400:,} d"
    for big, small, big_name, small_name in ((86_400, 3_600, "d", "h"), (3_600, 60, "h", "m")):
        if seconds >= big:
            return f"{seconds // big:,} {big_name} {seconds % big // small:02} {small_name}"
    return f"{seconds // 60} m {seconds % 60:02} s"
