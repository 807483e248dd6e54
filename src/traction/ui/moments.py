"""Read what the page of an execution shows: the view at an event, why it waits, the flow with its waiting lines."""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from traction.backend import Backend
from traction.client.looking import explain_view, find_workflow
from traction.definitions.classes import Workflow
from traction.history.explanation import Explanation, explain
from traction.history.reading import read_execution
from traction.history.views import ExecutionView, FailureView
from traction.inspection import Branch, FlowFrame, Inspector
from traction.model import events as e
from traction.model.names import WorkflowExecution
from traction.payloads.codec import JSON, Codec

BRANCHES_MAX: Final = 20
"""How many branches are shown with their variables."""

FAILURES_MAX: Final = 5
"""How many failures are shown with their tracebacks."""


class SourceLine(msgspec.Struct, frozen=True):
    """A line of the flow."""

    number: int
    text: str
    waits: tuple[str, ...]
    """The ids of the steps that it waits for."""


class Source(msgspec.Struct, frozen=True):
    """A function of the flow."""

    title: str
    lines: tuple[SourceLine, ...]


class WaitingFrame(msgspec.Struct, frozen=True):
    """A suspended function of the flow, and the steps that it waits for."""

    frame: FlowFrame
    steps: tuple[str, ...]


class Failed(msgspec.Struct, frozen=True):
    """A failure, and the step that it is of."""

    step: str
    failure: FailureView


class Visit(msgspec.Struct, frozen=True):
    """An execution at an event."""

    event_id: int
    events: int
    """How many events the history has."""
    event: str
    """The type of the event."""
    view: ExecutionView
    explanation: Explanation
    frames: tuple[WaitingFrame, ...] = ()
    awaits: tuple[Branch, ...] = ()
    """The branches that wait for a signal, which the history does not show."""
    more_branches: int = 0
    sources: tuple[Source, ...] = ()
    has_code: bool = False

    @property
    def is_last(self) -> bool:
        """Whether this is the present."""
        return self.event_id == self.events


def visit(
    backend: Backend,
    execution: WorkflowExecution,
    events: Sequence[e.Event],
    *,
    event_id: int | None,
    workflows: Iterable[type[Workflow[Any]]],
    codec: Codec,
) -> Visit:
    """Return an execution at an event; by default now.

    Raises:
        HistoryError: no execution can have these events.
        BackendError: the service refused, or could not be reached.
    """
    at = len(events) if event_id is None else min(max(event_id, 1), len(events))
    now = backend.now() if at == len(events) else events[at - 1].event_timestamp
    workflow = find_workflow(events, workflows)
    branches: tuple[Branch, ...] = ()
    if workflow is None:
        view = read_execution(events[:at], execution=execution, until=now, codec=None if codec is JSON else codec)
    else:
        inspector = Inspector(events, workflow, execution=execution, codec=codec)
        moment = inspector.at(at)
        view, branches = inspector.make_view(moment, until=now), moment.branches
    has_code = workflow is not None
    explanation = explain_view(backend, view) if at == len(events) else explain(view, has_code=has_code)
    return Visit(
        event_id=at,
        events=len(events),
        event=type(events[at - 1]).__name__,
        view=view,
        explanation=explanation,
        frames=tuple(list_frames(branches[:BRANCHES_MAX])),
        awaits=tuple(branch for branch in branches if branch.waits_for.startswith("receive "))[:BRANCHES_MAX],
        more_branches=max(len(branches) - BRANCHES_MAX, 0),
        sources=() if workflow is None else tuple(list_sources(workflow, branches)),
        has_code=has_code,
    )


def list_frames(branches: Iterable[Branch]) -> list[WaitingFrame]:
    """Return the suspended functions of branches, each once, with the steps that they wait for."""
    found: dict[tuple[str, int, str], tuple[FlowFrame, list[str]]] = {}
    for branch in branches:
        for frame in branch.frames:
            key = (frame.file, frame.line, repr(frame.variables))
            found.setdefault(key, (frame, []))[1].append(branch.step)
    return [WaitingFrame(frame, tuple(steps)) for frame, steps in found.values()]


def list_failures(view: ExecutionView) -> list[Failed]:
    """Return the last failures of a run, the newest first: that of the flow, then those of steps."""
    failed = [
        (step.closed_at or step.scheduled_at, Failed(step.id, step.failure))
        for step in view.walk()
        if step.failure is not None and not step.steps
    ]
    newest = [one for _, one in sorted(failed, key=lambda pair: pair[0], reverse=True)[:FAILURES_MAX]]
    return newest if view.failure is None else [Failed("", view.failure), *newest]


# The source of the flow.


def list_sources(workflow: type[Workflow[Any]], branches: Iterable[Branch]) -> list[Source]:
    """Return the functions that the branches of a flow are in, with the lines where they wait.

    Without such a function, returns that of the definition, if its file can be read.
    """
    waits: dict[tuple[str, str, int], dict[int, list[str]]] = {}
    for branch in branches:
        for frame in branch.frames:
            lines = waits.setdefault((frame.file, frame.function, _find_start(frame.file, frame.line)), {})
            if frame is branch.frames[-1]:
                lines.setdefault(frame.line, []).append(branch.step)
            else:
                lines.setdefault(frame.line, [])
    sources = [
        source
        for (file, function, start), lines in waits.items()
        if (source := _make_source(file, function, start, {n: tuple(ids) for n, ids in lines.items()})) is not None
    ]
    return sources or _list_definition(workflow)


def _list_definition(workflow: type[Workflow[Any]]) -> list[Source]:
    flow = inspect.unwrap(vars(workflow).get("flow", workflow.flow))
    inner = [cell.cell_contents for cell in flow.__closure__ or () if inspect.isfunction(cell.cell_contents)]
    code = (inner[0] if inner else flow).__code__
    source = _make_source(code.co_filename, code.co_qualname, code.co_firstlineno, {})
    return [] if source is None else [source]


def _make_source(file: str, function: str, start: int, waits: dict[int, tuple[str, ...]]) -> Source | None:
    all_lines = linecache.getlines(file)
    block = inspect.getblock(all_lines[start - 1 :]) if 0 < start <= len(all_lines) else []
    if not block:
        return None
    indent = min((len(line) - len(line.lstrip()) for line in block if line.strip()), default=0)
    name = file.replace("\\", "/").rpartition("/")[2]
    return Source(
        f"{name}, {function}",
        tuple(
            SourceLine(number, line.rstrip("\n")[indent:], waits.get(number, ()))
            for number, line in enumerate(block, start)
        ),
    )


def _find_start(file: str, line: int) -> int:
    """Return the first line, decorators included, of the innermost function that has a line; 0 if there is none."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return 0
    starts = [
        min([node.lineno, *(each.lineno for each in node.decorator_list)])
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return max(starts, default=0)
