"""Find executions on a backend, by id or by type. Lists of executions are eventually consistent (SWF)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from traction.backend import Backend
from traction.errors import UnknownResourceFault
from traction.history.rendering import format_span
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import WorkflowExecution, WorkflowType

YEAR = timedelta(days=366)
"""The longest that an execution may be open, and that it may be stored after its close (SWF)."""


def find_execution(backend: Backend, workflow_id: str, run_id: str | None = None) -> WorkflowExecution:
    """Return the run with the run id, else the open run, else the newest closed one.

    Raises:
        UnknownResourceFault: there is none.
    """
    if run_id is not None:
        return WorkflowExecution(workflow_id, run_id)
    for closed in (False, True):
        for info in walk(backend, closed=closed, workflow_id=workflow_id):
            return info.execution
    raise UnknownResourceFault(f"there is no execution {workflow_id!r} in {backend.url}, domain {backend.domain}")


def find_waiting_decision(events: Sequence[e.Event], now: datetime) -> tuple[str, timedelta] | None:
    """Return the task list on which a decision task waits, and for how long; `None` if none waits.

    Args:
        events: the last events of a run, in their order.
        now: the time of the service.
    """
    for event in reversed(events):
        if isinstance(event, e.DecisionTaskScheduled):
            return event.task_list.name, max(now - event.event_timestamp, timedelta(0))
        if isinstance(event, _DECISION_TASK_MOVES):
            return None
    return None


_DECISION_TASK_MOVES = (e.DecisionTaskStarted, e.DecisionTaskCompleted, e.DecisionTaskTimedOut)

LAST_EVENTS = 100
"""How many events are read to find the waiting decision task."""


def explain_waiting(backend: Backend, execution: WorkflowExecution, at_least: timedelta = timedelta(0)) -> str | None:
    """Describe the decision task that waits for a worker, if it has waited for `at_least`. Reads one page.

    Raises:
        UnknownResourceFault: there is no such run.
    """
    waiting = read_waiting(backend, execution)
    return None if waiting is None or waiting[1] < at_least else describe_waiting(*waiting)


def read_waiting(backend: Backend, execution: WorkflowExecution) -> tuple[str, timedelta] | None:
    """Return what `find_waiting_decision` does, from the last page of a history.

    Raises:
        UnknownResourceFault: there is no such run.
    """
    page = backend.call(
        o.GetWorkflowExecutionHistory(
            domain=backend.domain, execution=execution, maximum_page_size=LAST_EVENTS, reverse_order=True
        )
    )
    return find_waiting_decision(page.events[::-1], backend.now())


def describe_waiting(task_list: str, span: timedelta) -> str:
    """Return a text about a decision task that waits for a worker.

    Example:
        >>> describe_waiting("late-1", timedelta(seconds=5))
        'a decision task has waited on the list late-1 for 5.00 s: is a worker running?'
    """
    return f"a decision task has waited on the list {task_list} for {format_span(span)}: is a worker running?"


def walk(
    backend: Backend, *, closed: bool, workflow_id: str | None = None, type: WorkflowType | None = None
) -> Iterator[o.WorkflowExecutionInfo]:
    """Yield executions, newest start first, of one id or type if given. Reads page by page."""
    since = o.ExecutionTimeFilter(oldest_date=backend.now() - YEAR)
    by_id = None if workflow_id is None else o.WorkflowExecutionFilter(workflow_id=workflow_id)
    by_type = None if type is None else o.WorkflowTypeFilter(name=type.name, version=type.version)
    kind = o.ListClosedWorkflowExecutions if closed else o.ListOpenWorkflowExecutions
    token: str | None = None
    while True:
        page = backend.call(
            kind(
                domain=backend.domain,
                start_time_filter=since,
                execution_filter=by_id,
                type_filter=by_type,
                next_page_token=token,
            )
        )
        yield from page.execution_infos
        if (token := page.next_page_token) is None:
            return
