"""Keep the runs of a simulation: which there are, which are awaited, what was decided in each, and how each closed.

Takes handles, and what was decided; gives the executions that have closed, checked, and histories. Moves nothing.
"""

from __future__ import annotations

from typing import Any

from traction.client.handle import Handle
from traction.model import decisions as d
from traction.model import events as e
from traction.model.names import WorkflowExecution
from traction.payloads.codec import Codec
from traction_local.simulation.cross_process import check_twin
from traction_local.simulation.determinism import audit, check_terminated
from traction_local.simulation.fleet import Fleet
from traction_local.simulation.machine import SimulatedBackend


class Runs:
    """The runs that were started, or for which anything was decided."""

    def __init__(self, backend: SimulatedBackend, codec: Codec, *, has_plain_codec: bool) -> None:
        self._backend, self._codec, self._has_plain_codec = backend, codec, has_plain_codec
        self.decided: dict[str, dict[int, tuple[d.Decision, ...]]] = {}
        """What was decided, by run and DecisionTaskStarted."""
        self.open: dict[str, Handle[Any]] = {}
        """The executions that were started and have not closed, by their run."""
        self.twinless = ""
        """Why a run was not decided once more in another process; empty if all were."""
        self._known: dict[str, WorkflowExecution] = {}
        self._closed: dict[str, list[e.Event]] = {}  # which the service forgets one day

    def begin(self, handle: Handle[Any]) -> None:
        """Note an execution that was started."""
        self.open[handle.run_id] = handle
        self._known[handle.run_id] = handle.execution

    def note(self, execution: WorkflowExecution, started_event_id: int, decisions: tuple[d.Decision, ...]) -> None:
        """Note what was decided."""
        self._known[execution.run_id] = execution
        self.decided.setdefault(execution.run_id, {})[started_event_id] = decisions

    def settle(self, crew: Fleet | None, *, stuck: bool = False) -> list[Handle[Any]]:
        """Give the executions that have closed; check each run that has, if there is a crew that knows its code.

        Args:
            stuck: whether executions time out since what they wait for never comes, so that their children may be
                terminated in the middle of anything.

        Raises:
            UnsoundFlowError: a claim about one does not hold.
        """
        closed = []
        for run_id in self._backend.service.take_closed():
            if (execution := self._known.get(run_id)) is not None:
                self._closed[run_id] = events = self._backend.get_history(execution)
                if crew is not None:
                    self._audit(execution, events, crew, stuck)
            if (handle := self.open.pop(run_id, None)) is None:
                continue
            closing = self._backend.find_closing_event(handle.execution)
            if isinstance(closing, e.WorkflowExecutionContinuedAsNew):
                handle.execution = WorkflowExecution(handle.workflow_id, closing.new_execution_run_id)
                self.open[handle.run_id] = handle
            else:
                closed.append(handle)
        return closed

    def _audit(self, execution: WorkflowExecution, events: list[e.Event], crew: Fleet, stuck: bool) -> None:
        types, begin = {one.spec.type: one for one in crew.hosted}, events[0]
        assert isinstance(begin, e.WorkflowExecutionStarted)
        decided = self.decided.get(execution.run_id, {})
        workflow = types[begin.workflow_type]
        audit(workflow, execution, events, decided, activities=types, codec=self._codec)
        if not stuck:
            check_terminated(workflow, execution, events, self._codec)
        if self._has_plain_codec:
            self.twinless = check_twin(workflow, execution, events, decided) or self.twinless
        else:
            self.twinless = "the other process would not have the codec"

    def read(self) -> list[tuple[WorkflowExecution, list[e.Event]]]:
        """Give all runs with their histories."""
        return [
            (execution, self._closed.get(run_id) or self._backend.get_history(execution))
            for run_id, execution in self._known.items()
        ]
