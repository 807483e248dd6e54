"""Say what passes between the decider and the meanings of leaves and events.

Takes nothing; gives the protocol that `decide` keeps and `meanings` uses, so that neither reads the other's code.
"""

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
    """The flow that is decided for."""

    now: datetime

    def resume(self, leaf: Leaf, mode: int, given: Any) -> None:
        """Give a leaf its outcome, and let the flow run."""

    def cancel(self) -> None:
        """Throw `Cancelled` into the flow."""

    def draw(self, *place: object) -> float:
        """Give a number in [0, 1) that is a function of the run and of a place."""
        ...


class DecisionContext(Protocol):
    """What is needed of the decider: what it knows, and what it can be asked to do."""

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
        """Put an ask of a leaf into the queue."""

    def ask_pause(self, leaf: Leaf, id: str, pause: timedelta) -> None:
        """Ask for a timer after which a leaf is asked for again."""

    def ask_later(self, leaf: Leaf, longest: timedelta) -> None:
        """Ask for a leaf again after a pause that doubles."""

    def ask_marker(self, decision: d.RecordMarker) -> None:
        """Ask to record a marker with this very decision task."""

    def has_room(self) -> bool:
        """Return whether this decision task can carry another marker of any length."""
        ...

    def withdraw(self, ask: Any) -> None:
        """Take back an ask."""

    def withdraw_leaf(self, leaf: Leaf) -> bool:
        """Take back what a leaf asks for, or cancel it; return whether its fiber must wait until it has closed."""
        ...

    def forget(self, leaf: Leaf) -> bool:
        """Record that what a leaf opened has closed, and return whether the flow does not want its outcome."""
        ...

    def keep_signal(self, event: e.WorkflowExecutionSignaled) -> e.WorkflowExecutionSignaled:
        """Keep a signal in its place among those that nobody has received, and return it as it first arrived."""
        ...

    def keep_unsent(self, initiated_event_id: int) -> None:
        """Keep a signal that was to be sent on to the next run, and was not."""

    def park(self, leaf: Leaf) -> None:
        """Keep the ask of a timer until another timer has closed."""

    def unpark(self) -> None:
        """A timer has closed."""


class QueuedDecision:
    """A decision that the flow asks for and the history does not show yet.

    `leaf` is what asks, until the history shows it. The leaf keeps its ask, and if both kept each other, every step
    would be left to Python's collector.
    """

    __slots__ = ("decision", "leaf", "signal", "withdrawn")

    def __init__(
        self, decision: d.Decision, leaf: Leaf | None, signal: e.WorkflowExecutionSignaled | None = None
    ) -> None:
        self.decision = decision
        self.leaf = leaf
        self.signal = signal
        """The signal that it sends on to the next run."""
        self.withdrawn = False


class StartedChild:
    """A child that runs beside the flow: what became of it, or who waits for that."""

    __slots__ = ("outcome", "waiting")

    def __init__(self) -> None:
        self.outcome: Given | None = None
        self.waiting: list[Leaf] = []
