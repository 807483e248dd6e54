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
    """A fault in an attempt that takes time: its budget, the part of the span before it, its description."""

    budget: str
    part: float
    what: str


ATTEMPT_FAULTS: Final = (
    AttemptFault("timeouts", 0.0, "its heartbeats stop at once"),
    AttemptFault("timeouts", 0.5, "its heartbeats stop half-way"),
    AttemptFault("crashes", 0.5, "the machine dies half-way"),
)


class Beating(NamedTuple):
    """An attempt that sends heartbeats: when the next one is due, and until when they are sent."""

    due: datetime
    number: int
    every: timedelta
    until: datetime
    machine: Machine
    running: RunningActivity


class Attempts:
    """The attempts of a simulation: what they do, and the heartbeats of those that run.

    Args:
        backend: where heartbeats are sent.
        scripts: stubs that replace the bodies of activities.
        trouble: the fault injector, with the budgets that are left.
        choose: chooses among alternatives; `None` for the plain schedule.
        codec: encodes the details of heartbeats.
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
        """Count an attempt of an activity, and return what it does."""
        attempt = self._counts[activity] = self._counts.get(activity, 0) + 1
        act = self._scripts.get(activity, BODY).find_act(attempt)
        if act.instead and self._choose is not None:
            act = (act, *act.instead)[self._choose(1 + len(act.instead), f"attempt {attempt} of {activity.__name__}")]
        return act

    def begin(self, machine: Machine, task: ActivityTask, span: timedelta) -> AttemptFault | None:
        """Start the heartbeats of an attempt; return the fault that cuts it off, if the schedule chooses one."""
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
        """Send the heartbeats that come before anything else is due, and return when that is.

        Each heartbeat may postpone a timeout. One that coincides with another due event is left for `beat_due`: the
        service acts on the event first, and a decision task that becomes ready must not wait for later heartbeats.
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
