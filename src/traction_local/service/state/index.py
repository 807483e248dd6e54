"""The executions of one domain, by id and by time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from traction.errors import UnknownResourceFault


class Indexed(Protocol):
    """What the index reads and sets of an execution."""

    workflow_id: str
    run_id: str
    stem: str
    close_number: int
    forgotten: bool

    def get_time(self, of_close: bool) -> datetime:
        """Return the start time or the close time."""
        ...


ExecutionT = TypeVar("ExecutionT", bound=Indexed)


class StartIndex(Generic[ExecutionT]):
    """Executions in the order of their start or close. Deleted ones are removed lazily."""

    __slots__ = ("_executions", "_forgotten")

    def __init__(self) -> None:
        self._executions: list[ExecutionT] = []
        self._forgotten = 0

    def append(self, execution: ExecutionT) -> None:
        self._executions.append(execution)

    def forget(self) -> None:
        """Count an execution as `forgotten`. Once they are more than half of the list, remove them all."""
        self._forgotten += 1
        if self._forgotten > 64 and self._forgotten * 2 > len(self._executions):
            self._executions = [execution for execution in self._executions if not execution.forgotten]
            self._forgotten = 0

    def get_all(self) -> list[ExecutionT]:
        """Return the executions, oldest first, including some that are `forgotten`."""
        return self._executions


class ExecutionIndex(Generic[ExecutionT]):
    """The executions of one domain, within its retention period."""

    def __init__(self, domain: str, retention: timedelta, by_stem: dict[str, ExecutionT]) -> None:
        self.domain = domain
        """The name of the domain."""
        self.retention = retention
        self.by_run_id: dict[str, ExecutionT] = {}
        self.open: dict[str, ExecutionT] = {}
        """By workflow id, in the order of their start."""
        self.by_workflow_id: dict[str, list[ExecutionT]] = {}
        self.started: StartIndex[ExecutionT] = StartIndex()
        self.closed: StartIndex[ExecutionT] = StartIndex()
        self.closes = 0
        self._by_stem = by_stem

    def find_open(self, workflow_id: str, run_id: str | None) -> ExecutionT | None:
        """Return the open run of a workflow id, if its run id matches the given one."""
        execution = self.open.get(workflow_id)
        if execution is None or not run_id or execution.run_id == run_id:
            return execution
        return None

    def get_open(self, workflow_id: str, run_id: str | None) -> ExecutionT:
        """Like `find_open`, but raise SWF's fault if there is none."""
        execution = self.find_open(workflow_id, run_id)
        if execution is None:
            if run_id:
                raise unknown_execution(workflow_id, run_id)
            raise UnknownResourceFault(f"Unknown execution, workflowId = {workflow_id}")
        return execution

    def get_execution(self, workflow_id: str, run_id: str) -> ExecutionT:
        """Return a run, open or closed, within retention."""
        execution = self.by_run_id.get(run_id)
        if execution is None or execution.workflow_id != workflow_id:
            raise unknown_execution(workflow_id, run_id)
        return execution

    def add(self, execution: ExecutionT) -> None:
        self._by_stem[execution.stem] = execution
        self.by_run_id[execution.run_id] = execution
        self.open[execution.workflow_id] = execution
        self.by_workflow_id.setdefault(execution.workflow_id, []).append(execution)
        self.started.append(execution)

    def close(self, execution: ExecutionT) -> None:
        del self.open[execution.workflow_id]
        self.closes += 1
        execution.close_number = self.closes
        self.closed.append(execution)

    def forget(self, execution: ExecutionT) -> None:
        """Delete a closed run whose retention period is over."""
        execution.forgotten = True
        del self._by_stem[execution.stem]
        del self.by_run_id[execution.run_id]
        runs = self.by_workflow_id[execution.workflow_id]
        runs.remove(execution)
        if not runs:
            del self.by_workflow_id[execution.workflow_id]
        self.started.forget()
        self.closed.forget()


def unknown_execution(workflow_id: str, run_id: str) -> UnknownResourceFault:
    """Return SWF's fault for a run that does not exist, or is not open."""
    return UnknownResourceFault(f"Unknown execution: WorkflowExecution=[workflowId={workflow_id}, runId={run_id}]")


def slice_by_time(
    executions: list[ExecutionT], oldest: datetime, latest: datetime, *, by_close: bool
) -> tuple[int, int]:
    """Return the range of the executions between two times, both included."""
    start = bisect_left(executions, oldest, key=lambda execution: execution.get_time(by_close))
    stop = bisect_right(executions, latest, key=lambda execution: execution.get_time(by_close))
    return start, stop
