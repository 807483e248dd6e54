"""Find the task lists on which executions wait, and the types that are registered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final, Literal, TypeAlias

from traction.backend import Backend
from traction.client.listing import list_executions
from traction.client.query import Query
from traction.errors import UnknownResourceFault
from traction.history.state import HistoryState
from traction.model import events as e
from traction.model import operations as o
from traction.model.literals import RegistrationStatus
from traction.model.names import TaskList, WorkflowExecution

Kind: TypeAlias = Literal["decision", "activity"]

READ_MAX: Final = 50
"""How many histories are read by default."""


def find_task_lists(
    backend: Backend,
    query: Query,
    count: int = READ_MAX,
    *,
    read: Callable[[WorkflowExecution], Sequence[e.Event]] | None = None,
) -> set[tuple[str, Kind]]:
    """Return the task lists on which the open executions of a query wait, reading up to `count` histories.

    Args:
        backend: where they are.
        query: which executions.
        count: how many of them, the newest first.
        read: reads a history; by default from the backend.

    Raises:
        BackendError: the service refused, or could not be reached.
    """
    found: set[tuple[str, Kind]] = set()
    if not query.includes_open:
        return found
    for one in islice((one for one in list_executions(backend, query) if one.status == "OPEN"), count):
        try:
            history = (read or backend.get_history)(one.execution)
        except UnknownResourceFault:
            continue
        state, decisions = HistoryState(), ""
        for event in history:
            state.add(event)
            if isinstance(event, e.DecisionTaskScheduled):
                decisions = event.task_list.name
            elif isinstance(event, e.DecisionTaskStarted):
                decisions = ""
        if decisions:
            found.add((decisions, "decision"))
        opened = (step.opened for step in state.open.values() if step.started is None)
        found |= {(one.task_list.name, "activity") for one in opened if isinstance(one, e.ActivityTaskScheduled)}
    return found


def count_tasks(backend: Backend, name: str, kind: Kind) -> o.PendingTaskCount:
    """Return how many tasks of a kind wait on a task list, as the service counts them.

    Raises:
        BackendError: the service refused, or could not be reached.
    """
    request = o.CountPendingDecisionTasks if kind == "decision" else o.CountPendingActivityTasks
    return backend.call(request(domain=backend.domain, task_list=TaskList(name)))


def list_workflow_types(
    backend: Backend, status: RegistrationStatus, name: str | None = None
) -> Iterator[o.WorkflowTypeInfo]:
    """Yield the workflow types of a status, reading page by page."""
    token: str | None = None
    while True:
        page = backend.call(
            o.ListWorkflowTypes(domain=backend.domain, registration_status=status, name=name, next_page_token=token)
        )
        yield from page.type_infos
        if (token := page.next_page_token) is None:
            return


def list_activity_types(
    backend: Backend, status: RegistrationStatus, name: str | None = None
) -> Iterator[o.ActivityTypeInfo]:
    """Yield the activity types of a status, reading page by page."""
    token: str | None = None
    while True:
        page = backend.call(
            o.ListActivityTypes(domain=backend.domain, registration_status=status, name=name, next_page_token=token)
        )
        yield from page.type_infos
        if (token := page.next_page_token) is None:
            return
