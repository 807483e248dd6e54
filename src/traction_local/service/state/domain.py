"""The state of one domain: its types, task queues and executions."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from traction.errors import UnknownResourceFault
from traction.model.names import ActivityType, WorkflowType
from traction.model.operations import ActivityTypeConfiguration, RegisterDomain, WorkflowTypeConfiguration
from traction_local.service.state.task_list import Ready, TaskQueue

if TYPE_CHECKING:
    from traction_local.service.state.activity import Activity
    from traction_local.service.state.execution import Execution, PendingDecision

ARN_PREFIX = "arn:aws:swf:us-east-1:000000000000:/domain/"

TypeT = TypeVar("TypeT", WorkflowType, ActivityType)
ConfigurationT = TypeVar("ConfigurationT", WorkflowTypeConfiguration, ActivityTypeConfiguration)


class Registered(Generic[TypeT, ConfigurationT]):
    """A type and the defaults it was registered with. All but `deprecated_at` is fixed."""

    __slots__ = ("configuration", "created_at", "deprecated_at", "description", "type")

    def __init__(
        self, type: TypeT, configuration: ConfigurationT, description: str | None, created_at: datetime
    ) -> None:
        self.type: TypeT = type
        self.configuration: ConfigurationT = configuration
        self.description = description
        self.created_at = created_at
        self.deprecated_at: datetime | None = None


class StartIndex:
    """Executions in the order of their start or close. Deleted ones are removed lazily."""

    __slots__ = ("_executions", "_forgotten")

    def __init__(self) -> None:
        self._executions: list[Execution] = []
        self._forgotten = 0

    def append(self, execution: Execution) -> None:
        """Add the newest."""
        self._executions.append(execution)

    def forget(self) -> None:
        """Count an execution as `forgotten`. Once they are more than half of the list, remove them all."""
        self._forgotten += 1
        if self._forgotten > 64 and self._forgotten * 2 > len(self._executions):
            self._executions = [execution for execution in self._executions if not execution.forgotten]
            self._forgotten = 0

    def get_all(self) -> list[Execution]:
        """Return the executions, oldest first, including some that are `forgotten`."""
        return self._executions


class Domain:
    """A domain with its types, queues and executions."""

    __slots__ = (
        "_activity_queues",
        "_decision_queues",
        "_ready",
        "activity_types",
        "by_workflow_id",
        "closed",
        "closes",
        "deprecated",
        "description",
        "executions",
        "name",
        "open",
        "retention",
        "retention_days",
        "started",
        "tags",
        "workflow_types",
    )

    def __init__(self, request: RegisterDomain, ready: list[Ready]) -> None:
        self.name = request.name
        self.description = request.description
        self.retention_days = request.workflow_execution_retention_period_in_days
        self.retention = timedelta(days=0 if self.retention_days == "NONE" else int(self.retention_days))
        self.deprecated = False
        self.tags: dict[str, str | None] = {tag.key: tag.value for tag in request.tags or ()}
        self.workflow_types: dict[WorkflowType, Registered[WorkflowType, WorkflowTypeConfiguration]] = {}
        self.activity_types: dict[ActivityType, Registered[ActivityType, ActivityTypeConfiguration]] = {}
        self.executions: dict[str, Execution] = {}
        """By run id, within retention."""
        self.open: dict[str, Execution] = {}
        """By workflow id, in the order of their start."""
        self.by_workflow_id: dict[str, list[Execution]] = {}
        self.started = StartIndex()
        self.closed = StartIndex()
        self.closes = 0
        self._ready = ready
        self._decision_queues: dict[str, TaskQueue[PendingDecision]] = {}
        self._activity_queues: dict[str, TaskQueue[Activity]] = {}

    def get_decision_queue(self, name: str) -> TaskQueue[PendingDecision]:
        """Return the queue of this name. It is created at its first use."""
        queue = self._decision_queues.get(name)
        if queue is None:
            queue = self._decision_queues[name] = TaskQueue(Ready("decision", self.name, name), self._ready)
        return queue

    def get_activity_queue(self, name: str) -> TaskQueue[Activity]:
        """Return the queue of this name. It is created at its first use."""
        queue = self._activity_queues.get(name)
        if queue is None:
            queue = self._activity_queues[name] = TaskQueue(Ready("activity", self.name, name), self._ready)
        return queue

    def find_decision_queue(self, name: str) -> TaskQueue[PendingDecision] | None:
        """Return the queue of this name, if it was ever used."""
        return self._decision_queues.get(name)

    def find_activity_queue(self, name: str) -> TaskQueue[Activity] | None:
        """Return the queue of this name, if it was ever used."""
        return self._activity_queues.get(name)

    def find_open(self, workflow_id: str, run_id: str | None) -> Execution | None:
        """Return the open run of a workflow id, if its run id matches the given one."""
        execution = self.open.get(workflow_id)
        if execution is None or not run_id or execution.run_id == run_id:
            return execution
        return None

    def get_open(self, workflow_id: str, run_id: str | None) -> Execution:
        """Like `find_open`, but raise SWF's fault if there is none."""
        execution = self.find_open(workflow_id, run_id)
        if execution is None:
            if run_id:
                raise unknown_execution(workflow_id, run_id)
            raise UnknownResourceFault(f"Unknown execution, workflowId = {workflow_id}")
        return execution

    def get_execution(self, workflow_id: str, run_id: str) -> Execution:
        """Return a run, open or closed, within retention."""
        execution = self.executions.get(run_id)
        if execution is None or execution.workflow_id != workflow_id:
            raise unknown_execution(workflow_id, run_id)
        return execution

    def add(self, execution: Execution) -> None:
        """Add a run that starts."""
        self.executions[execution.run_id] = execution
        self.open[execution.workflow_id] = execution
        self.by_workflow_id.setdefault(execution.workflow_id, []).append(execution)
        self.started.append(execution)

    def close(self, execution: Execution) -> None:
        """Move a run to the closed runs."""
        del self.open[execution.workflow_id]
        self.closes += 1
        execution.close_number = self.closes
        self.closed.append(execution)

    def forget(self, execution: Execution) -> None:
        """Delete a closed run whose retention period is over."""
        execution.forgotten = True
        del self.executions[execution.run_id]
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
    executions: list[Execution], oldest: datetime, latest: datetime, *, by_close: bool
) -> tuple[int, int]:
    """Return the range of the executions between two times, both included."""
    start = bisect_left(executions, oldest, key=lambda execution: execution.get_time(by_close))
    stop = bisect_right(executions, latest, key=lambda execution: execution.get_time(by_close))
    return start, stop
