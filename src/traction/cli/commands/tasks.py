"""`traction tasks`: count the decision and activity tasks that wait for a worker, by task list."""

from __future__ import annotations

from typing import Annotated

import typer

from traction.cli import output
from traction.cli.documents import TaskCount
from traction.cli.filters import FilterOptions
from traction.cli.loading import UsageError, open_for
from traction.cli.options import Json, Url
from traction.client.task_lists import Kind, count_tasks, find_task_lists


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
        counts = [
            TaskCount(task_list=name, kind=kind, count=counted.count, truncated=bool(counted.truncated))
            for name, kind in sorted(wanted)
            for counted in [count_tasks(backend, name, kind)]
        ]
    if json:
        output.show_document(counts)
        return
    if not counts:
        output.show_message(f"No matching execution in {url} has a task; --list NAME counts the tasks of a list")
    output.show_table(
        [(one.task_list, one.kind, f"{one.count}{' or more' if one.truncated else ''}") for one in counts]
    )
