"""Lay out the steps of an execution as rows of bars. Pure.

Positions are percentages of the span that the page shows. A list of more than `FOLD_MIN` steps is folded: what failed
and what is open stays, and one row counts the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

import msgspec

from traction.history.contents import show_content
from traction.history.rendering import format_span
from traction.history.views import AttemptView, ExecutionView, State, StepView

FOLD_MIN: Final = 24
"""A longer list of steps is folded."""

KEPT: Final = 8
"""How many failed, how many open, and how many of the last steps stay in a folded list."""

ROOT: Final = "flow"
"""What the list of the outermost steps is called in a URL; no step has this id."""

DEPTH_MAX: Final = 8

Look: TypeAlias = Literal["work", "wait", "pause", "span", "due", "point"]
"""What a mark is: work that runs, a wait, a pause between attempts, a span of steps, an instant due, a point."""

CLASSES: Final[dict[State, str]] = {
    "Done": "ok",
    "Failed": "bad",
    "TimedOut": "bad",
    "Cancelled": "off",
    "Open": "open",
}
"""The class of the style sheet, by state."""

WORDS: Final[dict[State, str]] = {
    "Done": "done",
    "Failed": "failed",
    "TimedOut": "timed out",
    "Cancelled": "cancelled",
    "Open": "running",
}


class Mark(msgspec.Struct, frozen=True):
    """A shape on a bar, from `x` over `width`, both in percent."""

    look: Look
    state: str
    x: float
    width: float = 0.0


class Fold(msgspec.Struct, frozen=True):
    """The steps that are folded into a row."""

    of: str
    """The id of the group, or `ROOT`."""
    steps: int
    text: str
    """How many steps of the whole list have each state."""


class Row(msgspec.Struct, frozen=True):
    """A row of the timeline and of the tree."""

    label: str
    depth: int
    state: str
    word: str
    """The state in words."""
    note: str
    span: str
    marks: tuple[Mark, ...]
    step: StepView | None = None
    """The step; `None` for a fold, and for a step that waits for a signal."""
    fold: Fold | None = None


class Tick(msgspec.Struct, frozen=True):
    """A line of the axis of time."""

    x: float
    text: str


def list_rows(view: ExecutionView, unfolded: str = "", awaits: Iterable[tuple[str, str]] = ()) -> list[Row]:
    """Return the rows of an execution, in the order of its steps.

    Args:
        view: the execution.
        unfolded: the group of which all steps are shown, or `ROOT`.
        awaits: the ids of steps that wait for a signal, each with the names of the signals. Histories have no such
            steps: they come from a replay.
    """
    rows = [*_walk(view.steps, ROOT, 0, view, unfolded)]
    for id, names in awaits:
        _insert_awaited(rows, id, names, view)
    return rows


def _insert_awaited(rows: list[Row], id: str, names: str, view: ExecutionView) -> None:
    """Insert the row of a step that waits for a signal below the group that it is in, or at the end."""
    parts = id.split(".")
    group = next(
        (
            (position, row)
            for size in range(len(parts) - 1, 0, -1)
            for position, row in enumerate(rows)
            if row.step is not None and row.step.steps and row.step.id.rstrip(".") == ".".join(parts[:size])
        ),
        None,
    )
    place, step = (len(rows), None) if group is None else (group[0] + 1, group[1].step)
    begin = max((each.closed_at for each in view.walk() if each.closed_at is not None), default=view.started_at)
    row = Row(
        label=id if step is None else id[len(step.id) :].lstrip("."),
        depth=0 if group is None else min(group[1].depth + 1, DEPTH_MAX),
        state="open",
        word="",
        note=f"awaits the signal {names}",
        span="",
        marks=(_make_mark("wait", "open", begin if step is None else step.scheduled_at, view.until, view),),
    )
    rows.insert(place, row)


def _walk(steps: tuple[StepView, ...], of: str, depth: int, view: ExecutionView, unfolded: str) -> Iterator[Row]:
    shown: Iterable[StepView] = steps
    folded: Row | None = None
    is_first = True
    if len(steps) > FOLD_MIN and of != unfolded:
        shown = _choose(steps, root=of == ROOT)
        folded = _make_fold(steps, len(steps) - len(shown), of, depth, view)
    if folded is not None and of != ROOT:
        yield folded
    for step in shown:
        label = step.label
        # A branch with one step has one row.
        while len(step.steps) == 1 and step.kind in ("branch", "scope"):
            (step,) = step.steps
            label += step.label
        yield Row(
            label=label,
            depth=min(depth, DEPTH_MAX),
            state=CLASSES[step.state] if not step.steps else f"group {CLASSES[step.state]}",
            word=_describe_state(step),
            note=_describe(step, view),
            span="" if step.duration is None or step.kind in ("signal", "marker") else format_span(step.duration),
            marks=tuple(_list_marks(step, view)),
            step=step,
        )
        yield from _walk(step.steps, step.id, depth + 1, view, unfolded)
        # The fold of the flow stands where most of its steps are: after the first.
        if folded is not None and of == ROOT and is_first:
            yield folded
            is_first = False


def _choose(steps: tuple[StepView, ...], *, root: bool) -> list[StepView]:
    """Return the steps that stay in a folded list: the last failed and open ones, and of the flow itself the newest."""
    failed = [step for step in steps if step.state in ("Failed", "TimedOut")][-KEPT:]
    open_steps = [step for step in steps if step.state == "Open"][:KEPT]
    newest = [steps[0], *steps[-KEPT:]] if root else []
    kept = {id(step) for step in (*failed, *open_steps, *newest)}
    return [step for step in steps if id(step) in kept]


def _make_fold(steps: tuple[StepView, ...], hidden: int, of: str, depth: int, view: ExecutionView) -> Row:
    counts = Counter(step.state for step in steps)
    order: tuple[State, ...] = ("Done", "Failed", "TimedOut", "Cancelled", "Open")
    text = " · ".join(f"{counts[state]:,} {WORDS[state]}" for state in order if counts[state])
    begin = min(step.scheduled_at for step in steps)
    end = max(step.closed_at or view.until for step in steps)
    failed = [step for step in steps if step.state in ("Failed", "TimedOut") and step.closed_at is not None]
    marks = [_make_mark("span", "off", begin, end, view)]
    marks += [_make_mark("point", "bad", step.closed_at or end, step.closed_at or end, view) for step in failed[:KEPT]]
    return Row(
        label=f"{hidden:,} more",
        depth=min(depth, DEPTH_MAX),
        state="fold",
        word="",
        note=text,
        span="",
        marks=tuple(marks),
        fold=Fold(of, hidden, text),
    )


def _describe_state(step: StepView) -> str:
    if step.state != "Open":
        return WORDS[step.state]
    if step.kind in ("timer", "child") and not step.steps:
        return "open"
    return {
        "scheduled": "waits for a worker",
        "started": "running",
        "retrying": "waits for its next attempt",
        "cancelling": "is being cancelled",
    }.get(step.phase or "", "open")


def _describe(step: StepView, view: ExecutionView) -> str:
    if step.steps:
        count = len(step.steps)
        return f"{count:,} {'branch' if step.kind == 'group' else 'step'}{_plural(count, step.kind == 'group')}"
    parts = []
    if step.state == "Open" and step.due_at is not None:
        due = "now" if step.due_at <= view.until else f"in {format_span(step.due_at - view.until)}"
        parts.append(
            f"{'fires' if step.kind == 'timer' else 'next attempt' if step.phase == 'retrying' else 'due'} {due}"
        )
    parts.append(step.note or show_content(step.result)[:200])
    return " · ".join(filter(None, parts))


def _plural(count: int, is_branch: bool) -> str:
    return "" if count == 1 else "es" if is_branch else "s"


def _list_marks(step: StepView, view: ExecutionView) -> Iterator[Mark]:
    if step.steps:
        yield _make_mark("span", CLASSES[step.state], step.scheduled_at, step.closed_at or view.until, view)
        return
    for part in step.parts:
        yield from _mark_part(step, part, view)
    if not step.parts:
        yield _make_mark("point", CLASSES[step.state], step.scheduled_at, step.scheduled_at, view)
    if step.state == "Open" and step.due_at is not None:
        yield _make_mark("due", "open", step.due_at, step.due_at, view)


def _mark_part(step: StepView, part: AttemptView, view: ExecutionView) -> Iterator[Mark]:
    end = part.closed_at or view.until
    state = CLASSES[part.state]
    if step.kind in ("signal", "marker", "send", "cancel"):
        yield _make_mark("point", state, part.scheduled_at, part.scheduled_at, view)
    elif part.kind == "pause":
        yield _make_mark("pause", "off", part.scheduled_at, end, view)
    elif step.kind == "timer":
        yield _make_mark("wait", state, part.scheduled_at, end, view)
    else:
        begin = part.started_at or end
        if begin > part.scheduled_at:
            yield _make_mark("wait", state if part.started_at is None else "off", part.scheduled_at, begin, view)
        if part.started_at is not None or part.scheduled_at == end:
            yield _make_mark("work", state, begin, end, view)


def _make_mark(look: Look, state: str, begin: datetime, end: datetime, view: ExecutionView) -> Mark:
    whole = max(view.lasted, timedelta(microseconds=1))
    x = max(min((begin - view.started_at) / whole, 1.0), 0.0)
    width = max(min((end - view.started_at) / whole, 1.0) - x, 0.0)
    return Mark(look, state, round(100 * x, 3), round(100 * width, 3))


STEPS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000)
"""Distances of the lines of the axis, in milliseconds, up to a minute."""


def list_ticks(view: ExecutionView, count: int = 5) -> list[Tick]:
    """Return at most `count` lines of the axis, at round distances from the start, and not close to its end."""
    whole = max(view.lasted // timedelta(milliseconds=1), 1)
    minutes = (60_000 * n for n in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1_440))
    days = (86_400_000 * n for n in (2, 5, 10, 20, 50, 100, 200))
    distance = next((each for each in (*STEPS, *minutes, *days) if whole / each <= count), whole)
    return [
        Tick(round(100 * at / whole, 3), f"+{_shorten_span(timedelta(milliseconds=at))}")
        for at in range(distance, whole, distance)
        if at / whole < 0.88
    ]


def _shorten_span(span: timedelta) -> str:
    ms = span // timedelta(milliseconds=1)
    for size, name in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")):
        if ms % size == 0:
            return f"{ms // size:,} {name}"
    return format_span(span)
