"""The result of a simulated run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Generic, TypeAlias, TypeVar, overload

from traction.client.handle import Handle
from traction.definitions.classes import Activity
from traction.errors import ExecutionFailed
from traction.history.graphs.graph import Graph
from traction.history.graphs.reading import make_graph
from traction.history.reading import read_execution
from traction.history.rendering import render
from traction.model import decisions as d
from traction.model import events as e
from traction_local.simulation.simulation import Simulation
from traction_local.simulation.story import fold

R_co = TypeVar("R_co", covariant=True)


A = TypeVar("A", bound=Activity[Any, Any])


Definition: TypeAlias = Callable[..., Activity[Any, Any]]


class SimulatedRun(Generic[R_co]):
    """The result of a simulated execution."""

    def __init__(self, handle: Handle[R_co], simulation: Simulation, world: Any = None) -> None:
        self._simulation = simulation
        self.world: Any = world
        """The state that the activities worked on, created by the option `world` of `simulate`."""
        self.execution = handle.execution
        """The last run of the execution."""
        self.history: list[e.Event] = handle.history()
        """All events of the last run."""
        self.error: ExecutionFailed | None = None
        """How the execution closed, if it did not complete."""
        self._result: R_co | None = None
        try:
            self._result = handle.result()
        except ExecutionFailed as error:
            self.error = error
            if self.stuck:
                error.add_note(f"It waited for something that never happens:\n{self.stuck}")

    @property
    def result(self) -> R_co:
        """The result of the flow.

        Raises:
            ExecutionFailed: the execution did not complete; the timeline is added as a note.
        """
        if self.error is not None:
            self.error.add_note("\n".join(fold(str(self).splitlines(), "lines")))
            __tracebackhide__ = True
            # Without the frames of the simulation: the remote traceback shows where it was raised.
            raise self.error.with_traceback(None)
        return self._result  # type: ignore[return-value]

    @property
    def elapsed(self) -> timedelta:
        """The virtual time from start to close."""
        return self.history[-1].event_timestamp - self.history[0].event_timestamp

    @property
    def decisions(self) -> list[tuple[d.Decision, ...]]:
        """The decisions of each decision task that completed."""
        return [
            self.decided[event.started_event_id] for event in self.history if isinstance(event, e.DecisionTaskCompleted)
        ]

    @property
    def decided(self) -> dict[int, tuple[d.Decision, ...]]:
        """All decisions by the id of their DecisionTaskStarted event, including those that were lost."""
        return self._simulation.runs.decided.get(self.execution.run_id, {})

    @property
    def deviations(self) -> str:
        """The deviations from the plain run: `Deviations(run.deviations)` is the schedule of this run."""
        return str(self._simulation.trace)

    @property
    def widths(self) -> list[int]:
        """The number of alternatives of each choice."""
        return self._simulation.trace.widths

    @property
    def cross_process_skipped(self) -> str:
        """Why the cross-process check was skipped for it or for a child; empty if it was not."""
        return self._simulation.runs.cross_process_skipped

    @property
    def stuck(self) -> str:
        """What the execution waited for when nothing else could happen, until it timed out; empty if it did not."""
        return self._simulation.stuck

    @property
    def story(self) -> str:
        """The trace of all moves; for a plain run, its timeline."""
        return self._simulation.story if self._simulation.trace.moves else str(self)

    @property
    def graph(self) -> Graph:
        """The graph of what the run shows of its flow. `merge_graphs` unites those of several runs."""
        return make_graph([self.history], codec=self._simulation.codec)

    @overload
    def calls(self, activity: type[A]) -> list[A]: ...
    @overload
    def calls(self, activity: Definition) -> list[Any]: ...
    def calls(self, activity: Any) -> list[Any]:
        """Return the calls of an activity in the order in which they were scheduled, one per attempt.

        Each call has the activity's input as its fields. Type checkers know them where the activity is a class.
        """
        type = activity.spec.type
        return [
            self._simulation.codec.decode_call(event.input, activity)
            for event in self.history
            if isinstance(event, e.ActivityTaskScheduled) and event.activity_type == type
        ]

    def called(self, activity: Definition) -> bool:
        """Return whether an activity was scheduled."""
        return bool(self.calls(activity))

    def __str__(self) -> str:
        return render(read_execution(self.history))

    def __repr__(self) -> str:
        closing = type(self.history[-1]).__name__
        return f"<SimulatedRun: {closing} after {self.elapsed}, {len(self.history)} events>"
