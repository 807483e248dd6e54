"""Timers of a flow."""

from __future__ import annotations

from traction.decider.outcomes import Outcome, Returned
from traction.decider.pending import PendingDecision
from traction.flow.durations import to_duration
from traction.model import decisions as d


class PendingTimer(PendingDecision):
    """A sleep."""

    def request(self) -> Outcome | None:
        span = to_duration(self.leaf.node.span)
        self.queue(d.StartTimer(timer_id=self.leaf.id, start_to_fire_timeout=span))
        return None

    def on_timer_fired(self) -> None:
        self.resume(Returned(None))
