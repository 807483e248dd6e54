"""Format a timeline as plain text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import msgspec

from traction.history.escaping import escape
from traction.history.timeline import Row, State, Timeline, _cut, _measure, _shorten

MARKS: dict[State, str] = {"Open": "…", "Done": "✓", "Failed": "✗", "Cancelled": "–", "TimedOut": "!"}
"""The mark at the start of a line, by the state of its row."""

_ASCII = str.maketrans("…✓✗–├└│─█░·", "~+x-|`|-#.,")


class Line(msgspec.Struct, frozen=True):
    """A line of text, and the state of its row; `None` for scopes and for the first line."""

    text: str
    state: State | None = None


def render(timeline: Timeline, *, width: int = 100, branches_max: int | None = None, ascii: bool = False) -> str:
    """Format a timeline as plain text; equal arguments return equal text.

    Args:
        timeline: the timeline.
        width: the most columns of a line; at least 40.
        branches_max: a group with more branches than this leaves out some that are done.
        ascii: use only ASCII characters.
    """
    lines = lay_out(timeline, width=width, branches_max=branches_max, ascii=ascii)
    return "".join(f"{line.text}\n" for line in lines)


def lay_out(
    timeline: Timeline, *, width: int = 100, branches_max: int | None = None, ascii: bool = False
) -> list[Line]:
    """Format a timeline as lines; see `render`."""
    width = max(width, 40)
    tree = list(_walk(timeline.rows, None, branches_max))
    labels = max((_measure(label) for label, _ in tree), default=0)
    spans = {id(row): _format_duration(row) for _, row in tree if row}
    span_width = max(map(len, spans.values()), default=0)
    notes = max((_measure(row.note) for _, row in tree if row), default=0)
    label_width = min(labels, width * 2 // 5)
    # One space follows the mark; two separate label, bar, span and note.
    free = width - 2 - label_width - 2 - 2 - span_width - 2
    bar_width = max(min(free - min(notes, free // 2), 40), 6)
    note_width = max(free - bar_width, 0)
    head = f"{escape(timeline.workflow)}  {timeline.status}  {format_span(timeline.lasted)}"
    if timeline.note:
        head = f"{head}  {timeline.note}"
    lines = [Line(_cut(head, width))]
    for label, row in tree:
        if row is None:
            lines.append(Line(f"  {_cut(label, width - 2)}"))
            continue
        mark = " " if row.rows else MARKS[row.state]
        bar = _draw(row, timeline.lasted, bar_width)
        text = f"{mark} {_pad(label, label_width)}  {bar}  {spans[id(row)]:>{span_width}}"
        if row.note and note_width > 3:
            text += f"  {_shorten(row.note, note_width)}"
        lines.append(Line(text.rstrip(), None if row.rows else row.state))
    if ascii:
        lines = [Line(line.text.translate(_ASCII).encode("ascii", "replace").decode(), line.state) for line in lines]
    return lines


def _walk(rows: tuple[Row, ...], indent: str | None, branches_max: int | None) -> Iterator[tuple[str, Row | None]]:
    """Yield each row with its label, drawn as a tree; `None` instead of a row for the line that counts omitted rows."""
    shown: list[Row | str] = list(rows)
    if branches_max is not None and len(rows) > branches_max and indent is not None:
        plain = [row for row in rows if row.state == "Done"]
        left_out = {id(row) for row in plain[max(branches_max - (len(rows) - len(plain)), 1) :]}
        shown = [row for row in rows if id(row) not in left_out]
        if left_out:
            shown.append(f"… {len(left_out):,} more, done")
    for row in shown:
        last = row is shown[-1]
        stem = "" if indent is None else f"{indent}{'└─ ' if last else '├─ '}"
        if isinstance(row, str):
            yield stem + row, None
            continue
        yield stem + escape(row.label), row
        under = "" if indent is None else f"{indent}{'   ' if last else '│  '}"
        yield from _walk(row.rows, under, branches_max)


def _draw(row: Row, lasted: timedelta, columns: int) -> str:
    """Draw the bar of a row: when it waited, worked and paused."""
    bar = [" "] * columns
    stretches: list[tuple[timedelta, timedelta, str]] = []
    if row.rows:
        stretches.append((row.scheduled, row.closed if row.closed is not None else lasted, "─"))
    for part in row.parts:
        end = part.closed if part.closed is not None else lasted
        if part.kind == "pause":
            stretches.append((part.scheduled, end, "·"))
        elif row.kind in ("activity", "local", "child", "lambda"):
            begin = part.started if part.started is not None else end
            stretches.append((part.scheduled, begin, "░"))
            if part.started is not None or part.scheduled == end:
                stretches.append((begin, end, "█"))
        else:
            stretches.append((part.scheduled, end, "─"))
    whole = max(lasted, timedelta(microseconds=1))
    # If two share a column, the later of `─·░█` is drawn: work hides waiting.
    for begin, end, ink in sorted(stretches, key=lambda stretch: "─·░█".index(stretch[2])):
        left = min(begin * columns // whole, columns - 1)
        # A stretch shorter than a column is still drawn, unless it is waiting.
        right = max(-(-end * columns // whole), left + (ink != "░"))
        bar[left:right] = ink * (min(right, columns) - left)
    return "".join(bar[:columns])


def _format_duration(row: Row) -> str:
    if row.duration is None:
        return "open"
    # Signals and markers have no duration.
    return format_span(row.duration) if row.kind not in ("signal", "marker") else ""


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


def _pad(text: str, width: int) -> str:
    text = _cut(text, width)
    return text + " " * (width - _measure(text))
