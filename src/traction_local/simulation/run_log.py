"""The runs of a simulation: their decisions and histories, and the checks of those that closed."""

from __future__ import annotations

from typing import Any

from traction.client.handle import Handle
from traction.model import decisions as d
from traction.model import events as e
from traction.model.names import WorkflowExecution
from traction.payloads.codec import Codec
from traction_local.simulation.backend import SimulatedBackend
from traction_local.simulation.cross_process import check_cross_process
from traction_local.simulation.determinism import audit, check_terminated
from traction_local.simulation.fleet import Fleet


class RunLog:
    """All runs that were started or had a decision."""

    def __init__(self, backend: SimulatedBackend, codec: Codec, *, has_plain_codec: bool) -> None:
        self._backend, self._codec, self._has_plain_codec = backend, codec, has_plain_codec
        self.decided: dict[str, dict[int, tuple[d.Decision, ...]]] = {}
        """Decisions by run id and the id of DecisionTaskStarted."""
        self.open: dict[str, Handle[Any]] = {}
        """The executions that were started and are open, by run id."""
        self.cross_process_skipped = ""
        """Why the cross-process check was skipped for a run; empty if it was not."""
        self._known: dict[str, WorkflowExecution] = {}
        self._closed: dict[str, list[e.Event]] = {}  # the service deletes them after the retention period

    def begin(self, handle: Handle[Any]) -> None:
        self.open[handle.run_id] = handle
        self._known[handle.run_id] = handle.execution

    def add(self, execution: WorkflowExecution, started_event_id: int, decisions: tuple[d.Decision, ...]) -> None:
        """Record the decisions of a decision task."""
        self._known[execution.run_id] = execution
        self.decided.setdefault(execution.run_id, {})[started_event_id] = decisions

    def settle(self, fleet: Fleet | None, *, stuck: bool = False) -> list[Handle[Any]]:
        """Return the executions that closed since the last call; check them if there is a fleet that hosts their code.

        Args:
            stuck: whether executions time out in a deadlock, where their children may be terminated at any step.

        Raises:
            UnsoundFlowError: a check of a run fails.
        """
        closed = []
        for run_id in self._backend.service.take_closed():
            if (execution := self._known.get(run_id)) is not None:
                self._closed[run_id] = events = self._backend.get_history(execution)
                if fleet is not None:
                    self._audit(execution, events, fleet, stuck)
            if (handle := self.open.pop(run_id, None)) is None:
                continue
            closing = self._backend.find_closing_event(handle.execution)
            if isinstance(closing, e.WorkflowExecutionContinuedAsNew):
                handle.execution = WorkflowExecution(handle.workflow_id, closing.new_execution_run_id)
                self.open[handle.run_id] = handle
            else:
                closed.append(handle)
        return closed

    def _audit(self, execution: WorkflowExecution, events: list[e.Event], fleet: Fleet, stuck: bool) -> None:
        types, begin = {one.spec.type: one for one in fleet.hosted}, events[0]
        assert isinstance(begin, e.WorkflowExecutionStarted)
        decided = self.decided.get(execution.run_id, {})
        workflow = types[begin.workflow_type]
        audit(workflow, execution, events, decided, activities=types, codec=self._codec)
        if not stuck:
            check_terminated(workflow, execution, events, self._codec)
        if self._has_plain_codec:
            skipped = check_cross_process(workflow, execution, events, decided)
            self.cross_process_skipped = skipped or self.cross_process_skipped
        else:
            self.cross_process_skipped = "the other process would not have the codec"

    def read(self) -> list[tuple[WorkflowExecution, list[e.Event]]]:
        """Return all runs with their histories."""
        return [
            (execution, self._closed.get(run_id) or self._backend.get_history(execution))
            for run_id, execution in self._known.items()
        ]
