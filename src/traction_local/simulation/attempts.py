"""Attempts of activities in a simulation: what each does, how long it takes, and the heartbeats that it sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Any, Final, NamedTuple

from traction.model.operations import ActivityTask
from traction.payloads.codec import Codec
from traction.worker.heartbeats import RunningActivity
from traction_local.simulation.machine import FaultInjector, Machine, SimulatedBackend
from traction_local.simulation.stubs import BODY, StubbedAttempt, StubScript


class AttemptFault(NamedTuple):
    """How an attempt that takes time is cut off: which budget that takes, after what part of it, in what words."""

    budget: str
    part: float
    what: str


ATTEMPT_FAULTS: Final = (
    AttemptFault("timeouts", 0.0, "its heartbeats stop at once"),
    AttemptFault("timeouts", 0.5, "its heartbeats stop half-way"),
    AttemptFault("crashes", 0.5, "the machine dies half-way"),
)


class Beating(NamedTuple):
    """An attempt that is beaten for: when the next beat is due, and until when there are any."""

    due: datetime
    number: int
    every: timedelta
    until: datetime
    machine: Machine
    running: RunningActivity


class Attempts:
    """The attempts of a simulation: what they do, and the heartbeats that are due for those in hand.

    Args:
        backend: where heartbeats go.
        scripts: what activities do, if not their own body.
        trouble: how many faults of each kind there still may be.
        choose: chooses among alternatives; `None` to be always plain.
        codec: what writes the payloads.
    """

    def __init__(
        self,
        backend: SimulatedBackend,
        scripts: Mapping[Any, StubScript],
        trouble: FaultInjector,
        choose: Callable[[int, str], int] | None,
        codec: Codec,
    ) -> None:
        self._backend, self._scripts, self._trouble = backend, scripts, trouble
        self._choose, self._codec = choose, codec
        self._counts: dict[Any, int] = {}
        self._beating: list[Beating] = []
        self._begun = 0

    def find_act(self, activity: Any) -> StubbedAttempt:
        """Count an attempt of an activity, and say what its script says of it."""
        attempt = self._counts[activity] = self._counts.get(activity, 0) + 1
        act = self._scripts.get(activity, BODY).find_act(attempt)
        if act.instead and self._choose is not None:
            act = (act, *act.instead)[self._choose(1 + len(act.instead), f"attempt {attempt} of {activity.__name__}")]
        return act

    def begin(self, machine: Machine, task: ActivityTask, span: timedelta) -> AttemptFault | None:
        """Beat for an attempt that takes so long; say how it is cut off, if the schedule deviates to that."""
        timeout = machine.find_activity(task.activity_type).spec.heartbeat
        running = RunningActivity(self._backend, task, self._codec, timeout=timeout)
        if running.every is None:
            return None
        fate = self._find_fate(task)
        until = self._backend.time + span * (1.0 if fate is None else fate.part)
        self._begun += 1
        every = timedelta(seconds=running.every)
        self._wait(Beating(self._backend.time + every, self._begun, every, until, machine, running))
        return fate

    def _find_fate(self, task: ActivityTask) -> AttemptFault | None:
        fates = [fate for fate in ATTEMPT_FAULTS if self._trouble.left[fate.budget] > 0]
        if self._choose is None or not fates:
            return None
        chosen = self._choose(1 + len(fates), f"what becomes of {task.activity_id}")
        if not chosen:
            return None
        fate = fates[chosen - 1]
        self._trouble.spend(fate.budget)
        return fate

    def _wait(self, beating: Beating) -> None:
        if beating.due < beating.until:
            heappush(self._beating, beating)

    def beat_before(self, find_due: Callable[[], datetime]) -> datetime:
        """Send the heartbeats that come before whatever else is due, and return when that is.

        Each may put off what is due. A heartbeat that coincides with it does not belong here: it lets the service act
        on what is due, and a decision task that is then ready must not wait for the heartbeats after.
        """
        while self._beating and self._beating[0].due < find_due():
            self._backend.time = max(self._backend.time, self._beating[0].due)
            self.beat_due()
        return find_due()

    def beat_due(self) -> None:
        """Send the heartbeats that are due by now."""
        while self._beating and self._beating[0].due <= self._backend.time:
            beating = heappop(self._beating)
            if beating.machine.alive:
                beating.running.beat()
                if not beating.running.gone:
                    self._wait(beating._replace(due=beating.due + beating.every))
