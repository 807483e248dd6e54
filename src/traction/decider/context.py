"""The interface between the decider and its handlers of steps and events."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Protocol

from traction.decider.frames import Given, Leaf
from traction.flow.step import WorkflowStep
from traction.history.state import HistoryState
from traction.model import decisions as d
from traction.model import events as e
from traction.model.names import WorkflowExecution
from traction.payloads.codec import Codec


class Flow(Protocol):
    """The running flow."""

    now: datetime

    def resume(self, leaf: Leaf, mode: int, given: Any) -> None:
        """Resume the flow with the outcome of a leaf."""

    def cancel(self) -> None:
        """Throw `Cancelled` into the flow."""

    def draw(self, *place: object) -> float:
        """Return a number in [0, 1), a function of the run and of a place."""
        ...


class DecisionContext(Protocol):
    """The state and the operations of the decider that handlers use."""

    workflow: type[WorkflowStep[Any]]
    execution: WorkflowExecution
    codec: Codec
    history: HistoryState
    met: set[type]
    report: str | None
    reported: str | None
    signals: list[e.WorkflowExecutionSignaled]
    notes: list[str]
    receivers: list[Leaf]
    beside: dict[str, StartedChild]
    replaying: bool
    looking: bool
    markers: dict[str, str | None]
    patches: dict[str, bool]
    local: dict[str, Leaf]
    turn_event_id: int
    begun: e.WorkflowExecutionStarted | None
    answering: int
    more: bool

    @property
    def flow(self) -> Flow:
        """The flow."""
        ...

    def ask(self, leaf: Leaf, decision: d.Decision) -> None:
        """Queue the decision of a leaf."""

    def ask_pause(self, leaf: Leaf, id: str, pause: timedelta) -> None:
        """Queue a timer after which a leaf is requested again."""

    def ask_later(self, leaf: Leaf, longest: timedelta) -> None:
        """Request a leaf again after a pause that doubles each time."""

    def ask_marker(self, decision: d.RecordMarker) -> None:
        """Queue a marker for the response to the current decision task."""

    def has_room(self) -> bool:
        """Return whether this decision task can carry another marker of any length."""
        ...

    def withdraw(self, ask: Any) -> None:
        """Remove a queued decision."""

    def withdraw_leaf(self, leaf: Leaf) -> bool:
        """Remove or cancel what a leaf requested; return whether its fiber must wait until it has closed."""
        ...

    def forget(self, leaf: Leaf) -> bool:
        """Record that what a leaf opened has closed, and return whether the flow does not want its outcome."""
        ...

    def keep_signal(self, event: e.WorkflowExecutionSignaled) -> e.WorkflowExecutionSignaled:
        """Insert a signal among the unreceived ones, and return it as it first arrived."""
        ...

    def keep_unsent(self, initiated_event_id: int) -> None:
        """Keep a signal that could not be forwarded to the next run."""

    def park(self, leaf: Leaf) -> None:
        """Hold back the decision of a timer until another timer has closed."""

    def unpark(self) -> None:
        """Queue the timers that `park` held back."""


class QueuedDecision:
    """A decision that the flow made and the history does not show yet.

    `leaf` is its step, until the history shows the decision. Then the reference is dropped, since a cycle would leave
    every step to Python's garbage collector.
    """

    __slots__ = ("decision", "leaf", "signal", "withdrawn")

    def __init__(
        self, decision: d.Decision, leaf: Leaf | None, signal: e.WorkflowExecutionSignaled | None = None
    ) -> None:
        self.decision = decision
        self.leaf = leaf
        self.signal = signal
        """The signal that it forwards to the next run."""
        self.withdrawn = False


class StartedChild:
    """A child started with `start_child`: its outcome, or the leaves that wait for it."""

    __slots__ = ("outcome", "waiting")

    def __init__(self) -> None:
        self.outcome: Given | None = None
        self.waiting: list[Leaf] = []
