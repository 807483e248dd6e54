"""The result of a simulated run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Generic, TypeAlias, TypeVar, overload

from traction.client.handle import Handle
from traction.definitions.classes import Activity
from traction.errors import ExecutionFailed
from traction.history.rendering import render
from traction.history.timeline import read_timeline
from traction.model import decisions as d
from traction.model import events as e
from traction.payloads.codec import Codec
from traction_local.simulation.simulation import Simulation
from traction_local.simulation.story import fold

R_co = TypeVar("R_co", covariant=True)


A = TypeVar("A", bound=Activity[Any, Any])


Definition: TypeAlias = Callable[..., Activity[Any, Any]]


class SimulatedRun(Generic[R_co]):
    """What became of a simulated execution."""

    def __init__(self, handle: Handle[R_co], codec: Codec, simulation: Simulation, world: Any = None) -> None:
        self._codec = codec
        self._simulation = simulation
        self.world: Any = world
        """What the activities worked on, if `simulate` was given a `world`."""
        self.execution = handle.execution
        """Its last run."""
        self.history: list[e.Event] = handle.history()
        """All events of its last run."""
        self.error: ExecutionFailed | None = None
        """How it closed, if not with a result."""
        self._result: R_co | None = None
        try:
            self._result = handle.result()
        except ExecutionFailed as error:
            self.error = error
            if self.stuck:
                error.add_note(f"It waited for what never comes:\n{self.stuck}")

    @property
    def result(self) -> R_co:
        """What the flow gave.

        Raises:
            ExecutionFailed: it gave nothing; the error tells the story.
        """
        if self.error is not None:
            self.error.add_note("\n".join(fold(str(self).splitlines(), "lines")))
            __tracebackhide__ = True
            # Without the frames in which the simulation met it: the remote traceback shows where it was raised.
            raise self.error.with_traceback(None)
        return self._result  # type: ignore[return-value]

    @property
    def elapsed(self) -> timedelta:
        """How much virtual time passed from its start to its close."""
        return self.history[-1].event_timestamp - self.history[0].event_timestamp

    @property
    def decisions(self) -> list[tuple[d.Decision, ...]]:
        """What was decided, decision task by decision task; what was decided and lost is left out."""
        return [
            self.decided[event.started_event_id] for event in self.history if isinstance(event, e.DecisionTaskCompleted)
        ]

    @property
    def decided(self) -> dict[int, tuple[d.Decision, ...]]:
        """What was decided, by the id of the DecisionTaskStarted; what was lost as well."""
        return self._simulation.decided.get(self.execution.run_id, {})

    @property
    def deviations(self) -> str:
        """Where the run deviated from the plain one: `Deviations(run.deviations)` is the schedule of this very run."""
        return self._simulation.trace

    @property
    def widths(self) -> list[int]:
        """Of how many alternatives each choice was."""
        return self._simulation.widths

    @property
    def twinless(self) -> str:
        """Why it was not decided once more in another process, or a child of it was not; empty if all were."""
        return self._simulation.twinless

    @property
    def stuck(self) -> str:
        """What was waited for that never comes, until the execution timed out; empty if nothing was."""
        return self._simulation.stuck

    @property
    def story(self) -> str:
        """What happened, move by move; of a plain run, its timeline."""
        return self._simulation.story if self._simulation.moves else str(self)

    @overload
    def calls(self, activity: type[A]) -> list[A]: ...
    @overload
    def calls(self, activity: Definition) -> list[Any]: ...
    def calls(self, activity: Any) -> list[Any]:
        """Return the calls of an activity in the order in which they were scheduled, each attempt one.

        Each call has the activity's input as its fields. Type checkers know them where the activity is a class.
        """
        type = activity.spec.type
        return [
            self._codec.decode_call(event.input, activity)
            for event in self.history
            if isinstance(event, e.ActivityTaskScheduled) and event.activity_type == type
        ]

    def called(self, activity: Definition) -> bool:
        """Say whether an activity was scheduled at all."""
        return bool(self.calls(activity))

    def __str__(self) -> str:
        return render(read_timeline(self.history))

    def __repr__(self) -> str:
        closing = type(self.history[-1]).__name__
        return f"<SimulatedRun: {closing} after {self.elapsed}, {len(self.history)} events>"
