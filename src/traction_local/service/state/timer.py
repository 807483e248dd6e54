"""A timer of an execution."""

from __future__ import annotations

from datetime import datetime, timedelta

from traction.model.events import TimerFired
from traction.model.literals import Duration
from traction_local.service.state.alarms import EFFECT, Alarm
from traction_local.service.state.environment import cut
from traction_local.service.state.run import Run


class Timer(Alarm, kw_only=True):
    """An open timer."""

    # Timers that are due at the same time fire in the order of their start. A timer of 0 s is an effect of its batch
    # like any other.
    rank = EFFECT

    execution: Run
    id: str
    started_event_id: int
    siblings: dict[str, Timer]

    def __post_init__(self) -> None:
        self.siblings[self.id] = self

    def start(self, duration: Duration, now: datetime) -> None:
        """Set the timer to fire after this time, and never inside the batch that starts it."""
        region = self.execution.region
        region.alarms.set(self, now + max(timedelta(seconds=int(duration)), cut(region.knobs.effect_latency)))

    def fire(self, now: datetime) -> None:
        execution = self.execution
        del self.siblings[self.id]
        execution.append_trigger(
            TimerFired(
                event_id=execution.next_event_id,
                event_timestamp=now,
                timer_id=self.id,
                started_event_id=self.started_event_id,
            )
        )
