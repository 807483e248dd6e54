"""Read the view of an execution from a backend, and explain what it waits for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from traction.backend import Backend
from traction.definitions.classes import Workflow
from traction.errors import BackendError, UnknownResourceFault
from traction.history.explanation import Backlog, Explanation, explain
from traction.history.reading import read_execution
from traction.history.views import ExecutionView
from traction.inspection import Inspector
from traction.model import operations as o
from traction.model.events import Event, WorkflowExecutionStarted
from traction.model.names import TaskList, WorkflowExecution
from traction.payloads.codec import JSON, Codec


def read_view(
    backend: Backend,
    execution: WorkflowExecution,
    *,
    workflows: Iterable[type[Workflow[Any]]] = (),
    codec: Codec = JSON,
) -> ExecutionView:
    """Return the view of a run at this moment. Reads its whole history.

    Args:
        backend: where it is.
        execution: the run.
        workflows: definitions. If that of the run is among them, its flow is replayed here, and the view shows the
            lines where it waits, the signals that it awaits, and what blocks it.
        codec: reads its payloads.

    Raises:
        UnknownResourceFault: the run is unknown, or no longer stored.
    """
    return make_view(backend.get_history(execution), execution, backend.now(), workflows, codec)


def make_view(
    events: Sequence[Event],
    execution: WorkflowExecution,
    now: datetime,
    workflows: Iterable[type[Workflow[Any]]] = (),
    codec: Codec = JSON,
) -> ExecutionView:
    """Return the view of a run from its events, replaying its flow if its definition is among the workflows."""
    workflow = find_workflow(events, workflows)
    if workflow is None:
        return read_execution(events, execution=execution, until=now, codec=None if codec is JSON else codec)
    return Inspector(events, workflow, execution=execution, codec=codec).view(until=now)


def find_workflow(events: Sequence[Event], workflows: Iterable[type[Workflow[Any]]]) -> type[Workflow[Any]] | None:
    """Return the definition of the name and version that a history has; `None` if it is not among them."""
    begun = events[0]
    assert isinstance(begun, WorkflowExecutionStarted)
    return next((each for each in workflows if each.spec.type == begun.workflow_type), None)


def count_backlog(backend: Backend, view: ExecutionView) -> Backlog:
    """Count the tasks that wait on the task lists for which an execution waits, one request per list.

    A count that the service does not return, because the caller may not ask or asks too often, is left out.
    """
    activities = {step.task_list for step in view.list_open() if step.kind == "activity" and step.phase == "scheduled"}
    task = view.decision_task
    decisions = set() if task is None or task.started_at is not None else {task.task_list}
    return Backlog(
        activities=_count(backend, o.CountPendingActivityTasks, activities),
        decisions=_count(backend, o.CountPendingDecisionTasks, decisions),
    )


def _count(backend: Backend, request: Any, lists: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in sorted(lists):
        try:
            counts[name] = backend.call(request(domain=backend.domain, task_list=TaskList(name))).count
        except UnknownResourceFault:
            counts[name] = 0
        except BackendError:
            continue
    return counts


def explain_execution(
    backend: Backend,
    execution: WorkflowExecution,
    *,
    workflows: Iterable[type[Workflow[Any]]] = (),
    codec: Codec = JSON,
) -> Explanation:
    """Explain what a run waits for, or how it closed.

    Args, raises: as `read_view`.
    """
    return explain_view(backend, read_view(backend, execution, workflows=workflows, codec=codec))


def explain_view(backend: Backend, view: ExecutionView) -> Explanation:
    """Explain what the run of a view waits for, or how it closed. Counts the tasks on the lists it waits for."""
    has_code = view.awaited is not None or view.blocked is not None
    backlog = Backlog() if view.status != "OPEN" else count_backlog(backend, view)
    return explain(view, backlog, has_code=has_code)
