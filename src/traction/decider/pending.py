"""A step for which decisions are queued or open at SWF."""

from __future__ import annotations

from abc import abstractmethod
from datetime import timedelta
from typing import Any, Final

from traction.decider.context import DecisionContext
from traction.decider.diagnostics import to_failure
from traction.decider.frames import Leaf, Pending
from traction.decider.outcomes import Outcome, Raised, Returned
from traction.decider.queue import QueuedDecision
from traction.errors import PayloadError, PayloadUnavailableError, UnreadableActivityResult, UnreadableChildResult
from traction.flow.durations import to_duration
from traction.flow.step import WorkflowStep
from traction.model import decisions as d
from traction.model import events as e
from traction.payloads.failure_text import INVALID

TRANSIENT_DELAY_MAX: Final = timedelta(minutes=1)
"""The longest pause before a decision is sent again that SWF refused for a limit or a rate."""


class PendingDecision(Pending):
    """A step that waits for an event which a decision causes; between two attempts, for a timer.

    Attributes that most steps never use are class attributes until they are set.
    """

    entry: QueuedDecision
    """The decision that was queued last."""
    cancel_entry: QueuedDecision | None = None
    """The decision that cancels it."""
    opened_event_id: int = 0
    """The event that opened what it waits for, 0 while nothing is open."""
    refusals: int = 0
    """How often SWF refused it, or a worker could not read it."""
    unknown_type_refusals: int = 0
    """How many of these refusals were for an unregistered type."""

    def __init__(self, context: DecisionContext, leaf: Leaf) -> None:
        self.context = context
        self.leaf = leaf

    @abstractmethod
    def request(self) -> Outcome | None:
        """Queue the decision, or return the outcome if it is known.

        Raises:
            PayloadError: a value cannot be sent, such as one that is too long.
        """

    def queue(self, decision: d.Decision) -> None:
        """Queue a decision, and wait for what it causes."""
        self.leaf.pending = self
        self.entry = entry = QueuedDecision(decision, self)
        self.context.queue.entries.append(entry)

    def retry(self) -> None:
        """Request it again, and resume the flow if the outcome is known at once."""
        try:
            outcome = self.request()
        except PayloadError as error:
            outcome = to_failure(error)
        if outcome is not None:
            self.resume(outcome)

    def retry_later(self, longest: timedelta = TRANSIENT_DELAY_MAX) -> None:
        """Request it again after a pause that doubles each time."""
        self.refusals += 1
        pause = min(timedelta(seconds=1 << min(self.refusals - 1, 20)), longest)
        self.pause(f"{self.leaf.id}~wait-{self.refusals}", pause)

    def pause(self, id: str, pause: timedelta) -> None:
        """Queue a timer after which it is requested again."""
        self.queue(d.StartTimer(timer_id=id, start_to_fire_timeout=to_duration(pause)))

    def open(self, event: e.Event) -> None:
        """Record the event that shows the decision in the history."""
        self.opened_event_id = event.event_id

    def close(self) -> bool:
        """Record that what was open has closed, and return whether the flow waits for the outcome."""
        self.opened_event_id = 0
        if self.leaf.fiber is not None:
            return True
        if self.cancel_entry is not None:
            self.context.queue.withdraw(self.cancel_entry)
        return False

    def resume(self, outcome: Outcome) -> None:
        self.context.flow.resume(self.leaf, outcome)

    def on_timer_fired(self) -> None:
        """Request it again: its pause is over."""
        self.retry()

    def withdraw(self) -> bool:
        """Drop its decision if it was not sent, else queue the decision that cancels what is open, if there is one."""
        decision: Any = self.entry.decision
        if not self.opened_event_id:
            self.context.queue.withdraw(self.entry)
        elif isinstance(decision, d.ScheduleActivityTask):
            self.cancel_entry = self.context.queue.add(d.RequestCancelActivityTask(activity_id=decision.activity_id))
        elif isinstance(decision, d.StartTimer):
            self.cancel_entry = self.context.queue.add(d.CancelTimer(timer_id=decision.timer_id))
        return False


def read_result(context: DecisionContext, leaf: Leaf, call: Any, payload: str | None) -> Outcome:
    """Read the result of an activity or a child. One that does not decode fails the step."""
    spec = call.spec
    try:
        return Returned(context.codec.decode(payload, spec.result))
    except PayloadError:  # decode again, with a description that the error shows
        what = f"the result of {spec.type.name} {spec.type.version} ({leaf.id})"
    try:
        return Returned(context.codec.decode(payload, spec.result, what))
    except PayloadUnavailableError:
        raise
    except PayloadError as error:
        kind, message = type(error).__name__, str(error)
    if isinstance(call, WorkflowStep):
        return Raised(UnreadableChildResult(leaf.id, status="COMPLETED", type=kind, message=message))
    return Raised(UnreadableActivityResult(leaf.id, type=kind, message=message, reason=INVALID))
