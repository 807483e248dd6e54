"""Visit any moment of a history: where the flow waits, with its source lines and variables, and what it decides.

The decider is pure, so the flow at an event is what a replay of the history up to that event leaves. Nothing is
scheduled or run: a replay stops at a new `side_effect` or local activity. Moments are computed from the start of the
history each time, at some hundred thousand events per second.

Laws:
    `Inspector(h, W).at(n)` depends on the first n events alone, and on the rest of the batch that a decision task
    caused if event n is one of it.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from types import CoroutineType, FrameType, TracebackType
from typing import Any

import msgspec

from traction.decider.decider import Decider
from traction.decider.frames import Fiber, Leaf, list_fibers
from traction.definitions.classes import Workflow
from traction.errors import HistoryError, TractionError
from traction.history.export import StoredHistory
from traction.history.reading import read_execution
from traction.history.views import AwaitedSignal, ExecutionView, FailureView, StepView
from traction.model import decisions as d
from traction.model import events as e
from traction.model.correlation import CAUSES, is_caused_by
from traction.model.names import WorkflowExecution
from traction.payloads.codec import JSON, Codec
from traction.payloads.tracebacks import find_place, format_traceback
from traction.replay import find_type_mismatch, load_history

VALUE_CHARS_MAX = 200
"""The most characters that are shown of a variable."""


class FlowFrame(msgspec.Struct, frozen=True):
    """A suspended function of the flow."""

    function: str
    file: str
    line: int
    code: str
    """The source line, without indentation; empty if the file cannot be read."""
    variables: dict[str, str]
    """The local variables and how Python shows their values, each cut to `VALUE_CHARS_MAX`."""

    @property
    def place(self) -> str:
        """File without folders, line and function."""
        return f"{self.file.replace(chr(92), '/').rpartition('/')[2]}:{self.line} in {self.function}"


class Branch(msgspec.Struct, frozen=True):
    """A strand of the flow that waits for a step."""

    step: str
    """The id of the step."""
    waits_for: str
    """What the step is: the class of its node, and for `receive` its signals."""
    frames: tuple[FlowFrame, ...]
    """The suspended functions, outermost first. Flows without `await` have none."""


class Moment(msgspec.Struct, frozen=True):
    """The flow at an event."""

    event_id: int
    at: datetime
    event: str
    """The type of the event."""
    branches: tuple[Branch, ...]
    decisions: tuple[d.Decision, ...]
    """What the flow would decide now: the decisions that the history does not have yet."""
    awaited: tuple[AwaitedSignal, ...]
    """The signals that the flow waits for."""
    blocked: FailureView | None
    """Why the code at hand cannot get to this event, if it cannot. Then the rest shows how far it gets."""
    next_events: tuple[str, ...]
    """The types of the next events of the history."""


NEXT_EVENTS = 5
"""How many of the next events a moment names."""


class Inspector:
    """A history and the definition that made it.

    Args:
        history: events; or JSON, or the path of a file of it, as `traction history --export` writes it.
        workflow: the definition, of the name and version that the history has.
        execution: whose history it is, unless the file names it. `uuid4` and `random` in the flow depend on its run id.
        codec: what reads its payloads.

    Raises:
        HistoryError: it is not a history.
        DefinitionError: it is of another workflow.
    """

    def __init__(
        self,
        history: StoredHistory | Iterable[e.Event] | Path | str,
        workflow: Callable[..., Workflow[Any]],
        *,
        execution: WorkflowExecution | None = None,
        codec: Codec = JSON,
    ) -> None:
        stored = load_history(history)
        if mismatch := find_type_mismatch(workflow, stored.workflow_type):
            raise mismatch
        self.events = stored.events
        self.execution = execution or stored.execution
        self._workflow: Any = workflow
        self._codec = codec

    def at(self, event_id: int | None = None) -> Moment:
        """Return the moment after an event; by default, after the last one.

        Args:
            event_id: the id of the event, from 1.

        Raises:
            HistoryError: the history has no such event.
        """
        event_id = self._check(event_id)
        with closing(self._make_decider()) as decider:
            blocked = self._run(decider, event_id)
            context = decider.context
            branches = tuple(_list_branches(context.flow.root))
            event = self.events[event_id - 1]
            return Moment(
                event_id=event_id,
                at=event.event_timestamp,
                event=type(event).__name__,
                branches=branches,
                decisions=tuple(entry.decision for entry in context.queue.entries),
                awaited=tuple(
                    AwaitedSignal(
                        names=tuple(receiver.types),
                        place=_find_places(branches).get(receiver.leaf.id, ""),
                        targets=tuple(f"{each.__module__}:{each.__qualname__}" for each in receiver.types.values()),
                    )
                    for receiver in context.mailbox.receivers
                ),
                blocked=blocked,
                next_events=tuple(type(each).__name__ for each in self.events[event_id : event_id + NEXT_EVENTS]),
            )

    def view(self, event_id: int | None = None, *, until: datetime | None = None) -> ExecutionView:
        """Return the view of the execution after an event, with `place` of its open steps, `awaited` and `blocked`.

        Args:
            event_id: as for `at`.
            until: the instant that it shows, if the execution is open; by default that of the event.

        Raises:
            HistoryError: the history has no such event.
        """
        return self.make_view(self.at(event_id), until=until)

    def make_view(self, moment: Moment, *, until: datetime | None = None) -> ExecutionView:
        """Return the view of the execution at a moment of this inspector: see `view`."""
        codec = None if self._codec is JSON else self._codec
        view = read_execution(self.events[: moment.event_id], execution=self.execution, until=until, codec=codec)
        return msgspec.structs.replace(
            view,
            steps=tuple(_add_places(view.steps, _find_places(moment.branches))),
            awaited=moment.awaited if moment.blocked is None else None,
            blocked=moment.blocked,
        )

    def make_traceback(self, event_id: int | None = None, step: str | None = None) -> TracebackType | None:
        """Return a traceback of the suspended functions of a branch, for `pdb.post_mortem`; `None` if there are none.

        The frames stay alive until the traceback is dropped.

        Args:
            event_id: as for `at`.
            step: the id of the step for which the branch waits; by default, the first branch.

        Raises:
            HistoryError: the history has no such event, or no branch waits for that step.
        """
        decider = self._make_decider()
        self._run(decider, self._check(event_id))
        waiting = [fiber for fiber in list_fibers(decider.context.flow.root) if isinstance(fiber.waits, Leaf)]
        found = [fiber for fiber in waiting if step in (None, fiber.waits.id)]  # type: ignore[union-attr]
        if step is not None and not found:
            ids = ", ".join(fiber.waits.id for fiber in waiting) or "none"  # type: ignore[union-attr]
            raise HistoryError(f"no branch of the flow waits for {step} at this event; those that wait: {ids}")
        trace: TracebackType | None = None
        for frame in reversed([frame for fiber in found[:1] for frame in _walk_frames(fiber)]):
            trace = TracebackType(trace, frame, frame.f_lasti, frame.f_lineno)
        return trace

    def _check(self, event_id: int | None) -> int:
        if event_id is None:
            return len(self.events)
        if not 1 <= event_id <= len(self.events):
            raise HistoryError(f"there is no event {event_id}: the history has the events 1 to {len(self.events)}")
        return event_id

    def _make_decider(self) -> Decider:
        return Decider(self._workflow, execution=self.execution, codec=self._codec, silent=True)

    def _run(self, decider: Decider, event_id: int) -> FailureView | None:
        """Run the flow up to an event, and return why it cannot get there, if so."""
        try:
            decider.query(self.events[: self._find_end(event_id)])
        except TractionError as error:
            trace = format_traceback(error)
            name = f"{type(error).__module__}.{type(error).__qualname__}"
            return FailureView(name, str(error), find_place(trace) or "", trace)
        return None

    def _find_end(self, event_id: int) -> int:
        """Return the id of the last event of the batch that an event belongs to: a decider reads batches whole."""
        last: Any = self.events[event_id - 1]
        if isinstance(last, e.DecisionTaskCompleted):
            completed = last.event_id
        elif type(last) in CAUSES:
            completed = last.decision_task_completed_event_id
        else:
            return event_id
        while event_id < len(self.events):
            following = self.events[event_id]
            if type(following) not in CAUSES or not is_caused_by(following, completed):
                break
            event_id += 1
        return event_id


# From fibers to branches.


def _list_branches(root: Fiber) -> Iterator[Branch]:
    for fiber in list_fibers(root):
        if isinstance(fiber.waits, Leaf):
            yield Branch(
                step=fiber.waits.id,
                waits_for=_describe_node(fiber.waits.node),
                frames=tuple(_describe_frame(frame) for frame in _walk_frames(fiber)),
            )


def _walk_frames(fiber: Fiber) -> Iterator[FrameType]:
    """Yield the suspended frames that lead to where a fiber waits, outermost first."""
    if fiber.join is not None:
        yield from _walk_frames(fiber.join.fiber)
    for frame in fiber.frames:
        coroutine: Any = frame
        while type(coroutine) is CoroutineType and coroutine.cr_frame is not None:
            yield coroutine.cr_frame
            coroutine = coroutine.cr_await


def _describe_frame(frame: FrameType) -> FlowFrame:
    code = frame.f_code
    return FlowFrame(
        function=code.co_qualname,
        file=code.co_filename,
        line=frame.f_lineno,
        code=linecache.getline(code.co_filename, frame.f_lineno).strip(),
        variables={name: _show(value) for name, value in frame.f_locals.items()},
    )


def _show(value: object) -> str:
    try:
        text = repr(value)
    except Exception as error:  # of the user's class
        text = f"<repr failed: {type(error).__name__}>"
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[:VALUE_CHARS_MAX]}…"


def _describe_node(node: Any) -> str:
    if (spec := getattr(node, "spec", None)) is not None and (of := getattr(spec, "type", None)) is not None:
        return f"{of.name} {of.version}"
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(node).__name__).lower()
    signals = " or ".join(signal.spec.name for signal in getattr(node, "signals", ()))
    return f"{name} {signals}".rstrip()


def _find_places(branches: Iterable[Branch]) -> dict[str, str]:
    """Return the line where each step is awaited, by its id."""
    return {branch.step: branch.frames[-1].place for branch in branches if branch.frames}


def _add_places(steps: Iterable[StepView], places: dict[str, str]) -> Iterator[StepView]:
    for step in steps:
        if step.steps:
            yield msgspec.structs.replace(step, steps=tuple(_add_places(step.steps, places)))
        elif step.state == "Open" and (place := places.get(step.id)):
            yield msgspec.structs.replace(step, place=place)
        else:
            yield step
