"""Find executions on a backend: by id, or all of some kind.

Takes a backend; gives what it tells of executions. Lists are some time behind what happens (SWF).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from traction import operations as o
from traction.backend import Backend
from traction.errors import UnknownResourceFault
from traction.names import WorkflowExecution, WorkflowType

YEAR = timedelta(days=366)
"""No execution is open for longer, and none is kept for longer after its close."""


def find_execution(backend: Backend, workflow_id: str, run_id: str | None = None) -> WorkflowExecution:
    """Find a run: that of the run id, or the one that is open, or the newest that has closed.

    Raises:
        UnknownResourceFault: there is none.
    """
    if run_id is not None:
        return WorkflowExecution(workflow_id, run_id)
    for closed in (False, True):
        for info in walk(backend, closed=closed, workflow_id=workflow_id):
            return info.execution
    raise UnknownResourceFault(f"there is no execution {workflow_id!r} in {backend.url}, domain {backend.domain}")


def walk(
    backend: Backend, *, closed: bool, workflow_id: str | None = None, type: WorkflowType | None = None
) -> Iterator[o.WorkflowExecutionInfo]:
    """Give executions one by one, newest start first, page by page; of one id, or of one type, if it is given."""
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
