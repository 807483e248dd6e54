"""`traction tasks`: count the decision and activity tasks that wait for a worker, by task list."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Literal, TypeAlias

import typer

from traction.backend import Backend
from traction.cli import output
from traction.cli.documents import TaskCount
from traction.cli.filters import FilterOptions
from traction.cli.loading import UsageError, open_for
from traction.cli.options import Json, Url
from traction.client.listing import list_executions
from traction.client.query import Query
from traction.errors import UnknownResourceFault
from traction.history.state import HistoryState
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import TaskList

Kind: TypeAlias = Literal["decision", "activity"]


def show_tasks(
    context: typer.Context,
    lists: Annotated[
        list[str] | None,
        typer.Option("--list", metavar="NAME", help="A task list. Repeatable. [default: those of open executions]"),
    ] = None,
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, help="The maximum number of open executions to read.")
    ] = 50,
    url: Url = "local:",
    json: Json = False,
    *,
    filters: FilterOptions,
) -> None:
    """Count the tasks that wait for a worker, by task list.

    Without --list, the histories of matching open executions are read for the task lists that they wait on.
    """
    if lists and not filters.is_empty:
        raise UsageError("--list and filters exclude each other: the tasks of a list are counted for all executions")
    with open_for(context, url) as backend:
        if lists:
            wanted: set[tuple[str, Kind]] = {(name, kind) for name in lists for kind in ("decision", "activity")}
        else:
            wanted = find_task_lists(backend, filters.make_query(backend.now()), count)
        counts = [count_tasks(backend, name, kind) for name, kind in sorted(wanted)]
    if json:
        output.show_document(counts)
        return
    if not counts:
        output.show_message(f"No matching execution in {url} has a task; --list NAME counts the tasks of a list")
    output.show_table(
        [(one.task_list, one.kind, f"{one.count}{' or more' if one.truncated else ''}") for one in counts]
    )


def find_task_lists(backend: Backend, query: Query, count: int) -> set[tuple[str, Kind]]:
    """Return the task lists on which the open executions of a query wait, reading up to `count` histories."""
    found: set[tuple[str, Kind]] = set()
    if not query.includes_open:
        return found
    for one in islice((one for one in list_executions(backend, query) if one.status == "OPEN"), count):
        try:
            history = backend.get_history(one.execution)
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


def count_tasks(backend: Backend, name: str, kind: Kind) -> TaskCount:
    """Return how many tasks of a kind wait on a task list, as the service counts them."""
    request = o.CountPendingDecisionTasks if kind == "decision" else o.CountPendingActivityTasks
    counted = backend.call(request(domain=backend.domain, task_list=TaskList(name)))
    return TaskCount(task_list=name, kind=kind, count=counted.count, truncated=bool(counted.truncated))
