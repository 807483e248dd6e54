"""Attempts of activities in a simulation: what each does, how long it takes, and the heartbeats that it sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Any, NamedTuple

from traction.model.operations import ActivityTask
from traction.payloads.codec import Codec
from traction.worker.heartbeats import RunningActivity
from traction_local.simulation.backend import SimulatedBackend
from traction_local.simulation.fault_injector import AttemptFault, FaultInjector
from traction_local.simulation.machine import Machine
from traction_local.simulation.stubs import BODY, StubbedAttempt, StubScript
from traction_local.simulation.trace import Trace


class Beating(NamedTuple):
    """An attempt that sends heartbeats: when the next one is due, and until when they are sent."""

    due: datetime
    number: int
    every: timedelta
    until: datetime
    machine: Machine
    running: RunningActivity


class Attempts:
    """The attempts of a simulation: what they do, and the heartbeats of those that run."""

    def __init__(
        self,
        backend: SimulatedBackend,
        scripts: Mapping[Any, StubScript],
        faults: FaultInjector,
        trace: Trace,
        codec: Codec,
    ) -> None:
        self._backend, self._scripts, self._faults = backend, scripts, faults
        self._trace, self._codec = trace, codec
        self._counts: dict[Any, int] = {}
        self._beating: list[Beating] = []
        self._begun = 0

    def count(self, activity: Any) -> StubbedAttempt:
        """Count an attempt of an activity, and return what it does."""
        number = self._counts[activity] = self._counts.get(activity, 0) + 1
        attempt = self._scripts.get(activity, BODY).get_attempt(number)
        if not attempt.alternatives:
            return attempt
        alternatives = (attempt, *attempt.alternatives)
        return alternatives[self._trace.choose(len(alternatives), f"attempt {number} of {activity.__name__}")]

    def begin(self, machine: Machine, task: ActivityTask, span: timedelta) -> AttemptFault | None:
        """Start the heartbeats of an attempt; return the fault that cuts it off, if the schedule chooses one."""
        timeout = machine.find_activity(task.activity_type).spec.heartbeat
        running = RunningActivity(self._backend, task, self._codec, timeout=timeout)
        if running.every is None:
            return None
        fault = self._faults.choose_for_attempt(task.activity_id)
        until = self._backend.time + span * (1.0 if fault is None else fault.part)
        self._begun += 1
        every = timedelta(seconds=running.every)
        self._wait(Beating(self._backend.time + every, self._begun, every, until, machine, running))
        return fault

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
