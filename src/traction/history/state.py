"""Build the state of an execution from its events.

Events are added in the order of their ids. Sequences that no execution can have are rejected; gaps are never filled.

A step is an activity task, a timer, a child, a Lambda task, or a signal or cancel request to another execution. One
event opens it, a second may start it, and a third closes it; the second and third name the first by its event id
(`model.correlation`). The decider and the history viewer use the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from traction.errors import HistoryError
from traction.model import events as e
from traction.model.correlation import CLOSE_STATUSES, CLOSES, EXECUTION_CLOSES, OPENS, STARTS


class HistoryStep:
    """A step in a history: the events that opened, started and closed it."""

    __slots__ = ("closed", "id", "opened", "started")

    def __init__(self, id: str, opened: e.Event) -> None:
        self.id = id
        self.opened = opened
        self.started: e.Event | None = None
        self.closed: e.Event | None = None

    @property
    def state(self) -> str:
        """`Open`, `Done` or `Failed`."""
        if self.closed is None:
            return "Open"
        return "Done" if CLOSE_STATUSES[type(self.closed)] == "COMPLETED" else "Failed"

    def __repr__(self) -> str:
        return f"<{self.id} {self.state}>"


class HistoryState:
    """The state of an execution after the events so far.

    Invariants:
        Event ids are dense from 1, and event 1 is WorkflowExecutionStarted. A link points at an earlier event of the
        right type, whose step is open. At most one decision task is queued and at most one is started. Nothing follows
        the event that closes the execution.
    """

    __slots__ = ("_queued", "_running", "closed", "last", "open")

    def __init__(self) -> None:
        self.open: dict[int, HistoryStep] = {}
        """The steps that are open, by the id of the event that opened them."""
        self.last = 0
        """The id of the last event, 0 if there was none."""
        self.closed: e.Event | None = None
        """The event that closed the execution, if one did."""
        self._queued: int | None = None
        self._running: int | None = None

    def add(self, event: e.Event) -> HistoryStep | None:
        """Add the next event, and return the step that it opens, starts or closes, if any.

        Raises:
            HistoryError: no execution can have this event here.
        """
        kind = type(event)
        event_id = event.event_id
        if (
            event_id != self.last + 1
            or self.closed is not None
            or (event_id == 1 and kind is not e.WorkflowExecutionStarted)
        ):
            raise self._explain(event)
        self.last = event_id
        take = _TAKES.get(kind)
        return None if take is None else take(self, event)

    def _begin(self, event: e.WorkflowExecutionStarted) -> None:
        if event.event_id != 1:
            raise HistoryError(f"event {event.event_id} WorkflowExecutionStarted can only be the first event")

    def _open_step(self, event: e.Event) -> HistoryStep:
        step = self.open[event.event_id] = HistoryStep(getattr(event, OPENS[type(event)]), event)
        return step

    def _start_step(self, event: e.Event) -> HistoryStep:
        step = self._find(event, *STARTS[type(event)])
        if step.started is not None:
            raise HistoryError(
                f"event {event.event_id} {type(event).__name__} starts {step.id}, "
                f"which event {step.started.event_id} has already started"
            )
        step.started = event
        return step

    def _close_step(self, event: e.Event) -> HistoryStep | None:
        # A child may be refused before anything was opened: the link is 0 then (SWF).
        if type(event) is e.StartChildWorkflowExecutionFailed and event.initiated_event_id == 0:
            return None
        step = self._find(event, *CLOSES[type(event)])
        step.closed = event
        del self.open[step.opened.event_id]
        return step

    def _find(self, event: e.Event, link: str, opener: type) -> HistoryStep:
        linked = getattr(event, link)
        step = self.open.get(linked)
        if step is None or type(step.opened) is not opener:
            raise HistoryError(
                f"event {event.event_id} {type(event).__name__} has {link} {linked}, "
                f"but event {linked} is not an open {opener.__name__}"
            )
        return step

    def _close_execution(self, event: e.Event) -> None:
        self.closed = event

    # The state of the decision task: at most one queued, at most one started (SWF).

    def _queue_decision(self, event: e.DecisionTaskScheduled) -> None:
        if self._queued is not None:
            raise self._misfit(event)
        self._queued = event.event_id

    def _start_decision(self, event: e.DecisionTaskStarted) -> None:
        if self._running is not None or event.scheduled_event_id != self._queued:
            raise self._misfit(event)
        self._running, self._queued = event.event_id, None

    def _complete_decision(self, event: e.DecisionTaskCompleted) -> None:
        if event.started_event_id != self._running:
            raise self._misfit(event)
        self._running = None

    def _time_out_decision(self, event: e.DecisionTaskTimedOut) -> None:
        if event.timeout_type == "SCHEDULE_TO_START" and event.scheduled_event_id == self._queued:
            self._queued = None
        elif event.started_event_id == self._running:
            self._running = None
        else:
            raise self._misfit(event)

    def _misfit(self, event: e.Event) -> HistoryError:
        return HistoryError(
            f"event {event.event_id} {type(event).__name__} does not fit: the decision task queued is that of event "
            f"{self._queued}, the one started that of event {self._running}"
        )

    def _explain(self, event: e.Event) -> HistoryError:
        what = f"event {event.event_id} {type(event).__name__}"
        if self.closed is not None:
            return HistoryError(
                f"{what} follows event {self.closed.event_id} {type(self.closed).__name__}, which closed the execution"
            )
        if event.event_id != self.last + 1:
            return HistoryError(
                f"{what} follows event {self.last}: event ids are dense, and {self.last + 1} is missing"
            )
        return HistoryError(f"{what} is not WorkflowExecutionStarted, with which every history begins")


_TAKES: dict[type, Callable[[HistoryState, Any], HistoryStep | None]] = {
    e.WorkflowExecutionStarted: HistoryState._begin,
    **dict.fromkeys(OPENS, HistoryState._open_step),
    **dict.fromkeys(STARTS, HistoryState._start_step),
    **dict.fromkeys(CLOSES, HistoryState._close_step),
    **dict.fromkeys(EXECUTION_CLOSES, HistoryState._close_execution),
    e.DecisionTaskScheduled: HistoryState._queue_decision,
    e.DecisionTaskStarted: HistoryState._start_decision,
    e.DecisionTaskCompleted: HistoryState._complete_decision,
    e.DecisionTaskTimedOut: HistoryState._time_out_decision,
}


def fold(events: Iterable[e.Event]) -> list[HistoryStep]:
    """Return every step of a history, in the order in which they were opened.

    Raises:
        HistoryError: no execution can have these events.
    """
    history, steps = HistoryState(), list[HistoryStep]()
    for event in events:
        step = history.add(event)
        if step is not None and step.opened is event:
            steps.append(step)
    return steps
