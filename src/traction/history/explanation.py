"""Explain what an execution waits for, since when, who can answer, or that it is stuck. Pure.

The first sentence answers; the facts follow, the most important first.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from traction.history.contents import show_content
from traction.history.escaping import escape
from traction.history.rendering import format_span
from traction.history.text import shorten
from traction.history.views import ExecutionView, FailureView, Link, StepView

FACTS_MAX = 10
"""How many open steps are listed one by one."""

STUCK_TIMEOUTS = 2
"""This number of decision tasks that time out in a row makes an execution stuck."""

TAKEN_SOON = timedelta(seconds=5)
"""A task that waits longer than this may have no worker."""

Cause: TypeAlias = Literal["closed", "stuck", "worker", "decider", "steps", "signal", "nothing"]
"""What an execution waits for: fixed code (`stuck`), a worker of an activity, a decider, open steps, or a signal."""


class Fact(msgspec.Struct, frozen=True):
    """One line of an explanation."""

    label: str
    text: str


class Explanation(msgspec.Struct, frozen=True):
    """Why an execution is where it is."""

    cause: Cause
    summary: str
    """One sentence, which begins with the workflow id and type."""
    facts: tuple[Fact, ...] = ()
    ways_out: tuple[str, ...] = ()
    """What a person can do about it."""

    def __str__(self) -> str:
        """The sentence, and below it the facts in columns, each on one line and escaped."""
        rows = [*((fact.label, fact.text) for fact in self.facts), *(("way out", way) for way in self.ways_out)]
        width = max((len(label) for label, _ in rows), default=0)
        lines = [f"  {label:<{width}}  {_to_line(text)}" for label, text in rows]
        return "\n".join([_to_line(self.summary), *lines])


class Backlog(NamedTuple):
    """The number of tasks on task lists, where the service returned it."""

    activities: Mapping[str, int] = {}
    decisions: Mapping[str, int] = {}


def explain(view: ExecutionView, backlog: Backlog = Backlog(), *, has_code: bool = False) -> Explanation:  # noqa: B008
    """Explain what an execution waits for.

    Args:
        view: the execution, at the instant `view.until`.
        backlog: the tasks that wait on the task lists of the view.
        has_code: whether the definition was at hand when the view was made.
    """
    name = f"{view.workflow_id} ({view.type})"
    if view.status != "OPEN":
        return _explain_closed(view, name)
    if (stuck := _explain_stuck(view, name, has_code)) is not None:
        return stuck
    task = view.decision_task
    if task is not None:
        waited = view.until - task.scheduled_at
        if task.started_at is None and waited > TAKEN_SOON:
            count = _count(backlog.decisions.get(task.task_list), "decision task")
            return Explanation(
                "decider",
                f"{name} waits for a workflow worker: a decision task has waited on the list {task.task_list} for "
                f"{format_span(waited)}{count}.",
                tuple(_list_facts(view)),
                (f"start a worker of {view.workflow}: {_command('worker', f'MODULE:{view.workflow}')}",),
            )
        if task.started_at is not None:
            taken = view.until - task.started_at
            by = f" by {task.worker}" if task.worker else ""
            due = "" if task.due_at is None else f"; it times out {_format_due(task.due_at, view.until)}"
            return Explanation(
                "decider",
                f"{name} is being decided{by} since {format_span(taken)}{due}.",
                tuple(_list_facts(view)),
                () if has_code or taken <= TAKEN_SOON else _see("this takes long: see whether the code matches", view),
            )
    waiting = [
        step
        for step in view.list_open()
        if step.kind == "activity" and step.phase == "scheduled" and view.until - step.scheduled_at > TAKEN_SOON
    ]
    if waiting:
        return _explain_unworked(view, name, waiting, backlog)
    return _explain_waiting(view, name, has_code)


def _explain_closed(view: ExecutionView, name: str) -> Explanation:
    how = view.status.replace("_", " ").lower().replace("canceled", "cancelled")
    ago = format_span(view.lasted)
    if view.status == "COMPLETED":
        result = shorten(show_content(view.result), 200)
        return Explanation("closed", f"{name} completed after {ago}{f' with {result}' if result else ''}.")
    facts: list[Fact] = []
    ways: tuple[str, ...] = ()
    text = f"{name} {how} after {ago}"
    if view.failure is not None:
        text = f"{text}: {view.failure.summary}"
    elif view.reason:
        text = f"{text}: {view.reason}"
    failed = [step for step in view.walk() if step.state in ("Failed", "TimedOut") and not step.steps]
    for step in failed[-3:]:
        facts.append(Fact("failed", f"{step.id}{_describe_type(step)}: {step.failure.summary if step.failure else ''}"))
    facts += [
        Fact("cancelled", f"requested {_format_ago(request.requested_at, view)}" + _describe_source(request.source))
        for request in view.cancel_requests
    ]
    if view.continued_as is not None:
        text = f"{name} continued as new after {ago}"
        facts.append(Fact("next run", view.continued_as.run_id))
    if view.status in ("FAILED", "TIMED_OUT"):
        ways = (f"read its tracebacks: {_command('history', view.workflow_id, '--run-id', view.run_id)}",)
    return Explanation("closed", f"{text}.", tuple(facts), ways)


def _explain_stuck(view: ExecutionView, name: str, has_code: bool) -> Explanation | None:
    task, blocked = view.decision_task, view.blocked
    timeouts = 0 if task is None else task.timeouts
    if timeouts < STUCK_TIMEOUTS and blocked is None:
        return None
    if task is not None and timeouts and task.failing_since is not None:
        times = "once" if timeouts == 1 else f"{timeouts} times"
        text = (
            f"{name} is stuck: its decision task has timed out {times} since {_format_time(task.failing_since, view)}."
        )
    else:
        text = f"{name} is stuck: the code at hand cannot decide for its history."
    facts: list[Fact] = []
    ways: list[str] = []
    if blocked is not None:
        facts += _list_causes(blocked)
        if blocked.place:
            facts.append(Fact("line", blocked.place))
        if blocked.type.endswith("NonDeterminismError"):
            ways.append("deploy the former code, or register a new version of the workflow and keep the former running")
        else:
            ways.append("deploy fixed code: the execution goes on with its next decision task")
    elif has_code:
        facts.append(Fact("cause", "the code at hand decides for this history; the workers may have other code"))
        ways.append("deploy the code at hand to the workers, and read their logs for the error")
    else:
        facts.append(Fact("cause", "the log of its workers shows the error"))
        ways += _see("see it here", view)
    return Explanation("stuck", text, (*facts, *_list_facts(view)), tuple(ways))


def _explain_unworked(view: ExecutionView, name: str, waiting: list[StepView], backlog: Backlog) -> Explanation:
    first = min(waiting, key=lambda step: step.scheduled_at)
    lists = dict.fromkeys(step.task_list for step in waiting)
    count = _count(backlog.activities.get(first.task_list), "task")
    what = (
        f"activity {first.id} has waited"
        if len(waiting) == 1
        else f"{len(waiting):,} activities wait, {first.id} the longest,"
    )
    return Explanation(
        "worker",
        f"{name} waits for a worker: {what} on the task list {first.task_list} for "
        f"{format_span(view.until - first.scheduled_at)}{count}.",
        tuple(_list_facts(view)),
        tuple(
            f"start a worker of {activity}: {_command('worker', f'MODULE:{activity}')}"
            for each in islice(lists, 3)
            for activity in [next(step for step in waiting if step.task_list == each).name.partition(" ")[0]]
        ),
    )


def _explain_waiting(view: ExecutionView, name: str, has_code: bool) -> Explanation:
    open_steps = view.list_open()
    phrases = list(_count_kinds(open_steps))
    ways: list[str] = []
    for awaited in view.awaited or ():
        phrases.append(f"the signal {' or '.join(awaited.names)}")
        targets = awaited.targets or tuple(f"MODULE:{signal}" for signal in awaited.names)
        ways += [f"send it: {_command('signal', view.workflow_id, target)}" for target in targets]
    if not has_code:
        ways += _see("see its lines and signals", view)
    if phrases:
        shown = phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
        cause: Cause = "steps" if open_steps else "signal"
        since = min((step.scheduled_at for step in open_steps), default=None)
        when = "" if since is None else f", since {_format_time(since, view)}"
        return Explanation(
            cause, f"{name} is open, and waits for {shown}{when}.", tuple(_list_facts(view)), tuple(ways)
        )
    if (task := view.decision_task) is not None:
        waited = format_span(view.until - task.scheduled_at)
        text = f"{name} is open: a decision task has waited on the list {task.task_list} for {waited}."
        return Explanation("decider", text)
    due = "" if view.due_at is None else f" It times out {_format_due(view.due_at, view.until)}."
    if has_code:
        text = f"{name} is open, and nothing in it waits: only a cancellation can continue it.{due}"
        return Explanation("nothing", text)
    text = f"{name} is open, and no task, timer or child of it is: it waits for a signal, or for nothing.{due}"
    return Explanation("signal", text, (), _see("see for which", view))


def _see(purpose: str, view: ExecutionView) -> tuple[str, ...]:
    return (f"{purpose}: {_command('why', view.workflow_id, '--definitions', 'MODULE')}",)


def _list_causes(blocked: FailureView) -> Iterator[Fact]:
    """Yield the first paragraph of an error as its cause, and the rows of the table below it, if it has one."""
    head, _, rest = blocked.message.partition("\n\n")
    yield Fact("cause", f"{blocked.type.rpartition('.')[2]}: {_to_line(head)}")
    for row in rest.partition("\n\n")[0].splitlines():
        label, _, text = row.strip().partition("  ")
        if text:
            yield Fact(_to_line(label), _to_line(text.strip()))


def _to_line(text: str) -> str:
    """Return a text on one line: its line ends would look like further facts."""
    return text if text.isprintable() else escape(" ".join(text.split()))


def _command(*words: str) -> str:
    """Return a command that can be copied into a shell, whatever the ids contain."""
    return shlex.join(["traction", *words])


# Facts.


def _list_facts(view: ExecutionView) -> Iterator[Fact]:
    open_steps = sorted(view.list_open(), key=lambda step: (step.phase == "scheduled", step.scheduled_at))
    for step in open_steps[:FACTS_MAX]:
        yield Fact(step.kind, _describe_step(step, view))
    if len(open_steps) > FACTS_MAX:
        yield Fact("more", f"{len(open_steps) - FACTS_MAX:,} open steps")
    for awaited in view.awaited or ():
        at = f", at {awaited.place}" if awaited.place else ""
        yield Fact("signal", f"{' or '.join(awaited.names)}{at}")
    for request in view.cancel_requests:
        yield Fact(
            "cancelled", f"requested {_format_ago(request.requested_at, view)}{_describe_source(request.source)}"
        )
    if view.due_at is not None and view.due_at - view.until < timedelta(days=1):
        yield Fact("deadline", f"the execution times out {_format_due(view.due_at, view.until)}")


def _describe_step(step: StepView, view: ExecutionView) -> str:
    last = step.parts[-1]
    since = format_span(view.until - (last.started_at or last.scheduled_at))
    due = "" if step.due_at is None else _format_due(step.due_at, view.until)
    attempt = f", attempt {step.attempts}" if step.attempts > 1 else ""
    match step.kind, step.phase:
        case "timer", _:
            text = f"{step.id} fires {due}"
        case _, "retrying":
            failure = step.failure.summary if step.failure else "a failure"
            text = f"{step.id}{_describe_type(step)} is tried again {due}, after {failure}"
        case "child", _:
            child = step.execution.workflow_id if step.execution else ""
            text = f"{step.id} is the execution {child}, open for {since}"
        case "activity", "scheduled":
            text = f"{step.id}{_describe_type(step)} has waited on the list {step.task_list} for {since}{attempt}"
        case "activity", phase:
            by = f" on {step.worker}" if step.worker else ""
            text = f"{step.id}{_describe_type(step)} has run{by} for {since}{attempt}"
            text += "; its cancellation was requested" if phase == "cancelling" else ""
            text += f"; it times out {due}" if due else ""
        case _:
            text = f"{step.id}{_describe_type(step)}, open for {since}"
    return f"{text}, at {step.place}" if step.place else text


def _describe_type(step: StepView) -> str:
    return f" ({step.name})" if step.name else ""


def _describe_source(source: Link | None) -> str:
    return "" if source is None else f" by the execution {source.workflow_id}"


_PLURALS = {"activity": "activities", "child": "children"}


def _count_kinds(steps: Iterable[StepView]) -> Iterator[str]:
    counts: dict[str, int] = {}
    for step in steps:
        counts[step.kind] = counts.get(step.kind, 0) + 1
    for kind, count in counts.items():
        article = "an" if kind == "activity" else "a"
        yield f"{article} {kind}" if count == 1 else f"{count:,} {_PLURALS.get(kind, f'{kind}s')}"


def _count(count: int | None, what: str) -> str:
    if not count:
        return ""
    return f"; {count:,} {what}{'' if count == 1 else 's'} {'waits' if count == 1 else 'wait'} there"


def _format_due(due: datetime, now: datetime) -> str:
    """Return when something is due: a time, and in how long; SWF may be late by a moment."""
    if due <= now:
        return "now"
    return f"in {format_span(due - now)}"


def _format_time(at: datetime, view: ExecutionView) -> str:
    day = "" if at.date() == view.until.date() else f"{at:%Y-%m-%d} "
    return f"{day}{at:%H:%M:%S} UTC, {_format_ago(at, view)}"


def _format_ago(at: datetime, view: ExecutionView) -> str:
    return f"{format_span(max(view.until - at, timedelta(0)))} ago"
