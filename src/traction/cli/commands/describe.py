"""`traction describe`: show the status and settings of an execution."""

from __future__ import annotations

import typer

from traction.cli import output
from traction.cli.loading import open_for
from traction.cli.options import Id, Json, RunId, Url
from traction.client.visibility import explain_waiting, find_execution
from traction.history.escaping import escape
from traction.model import operations as o


def describe(
    context: typer.Context, workflow_id: Id, run_id: RunId = None, url: Url = "local:", json: Json = False
) -> None:
    """Show the status and settings of an execution."""
    with open_for(context, url) as backend:
        execution = find_execution(backend, workflow_id, run_id)
        detail = backend.call(o.DescribeWorkflowExecution(domain=backend.domain, execution=execution))
        waiting = explain_waiting(backend, execution) if detail.open_counts.open_decision_tasks else None
    if json:
        output.show_json(detail)
        return
    info, settings, counts = detail.execution_info, detail.execution_configuration, detail.open_counts
    facts = {
        "workflow": f"{info.workflow_type.name} {info.workflow_type.version}",
        "workflow id": info.execution.workflow_id,
        "run id": info.execution.run_id,
        "status": info.close_status or info.execution_status,
        "cancel requested": "yes" if info.cancel_requested else None,
        "started": info.start_timestamp.isoformat(" "),
        "closed": None if info.close_timestamp is None else info.close_timestamp.isoformat(" "),
        "parent": None if info.parent is None else info.parent.workflow_id,
        "tags": ", ".join(info.tag_list or ()) or None,
        "task list": settings.task_list.name,
        "execution timeout": f"{settings.execution_start_to_close_timeout} s",
        "open activities": counts.open_activity_tasks,
        "open timers": counts.open_timers,
        "open children": counts.open_child_workflow_executions,
        "waiting": waiting,
        "state": detail.latest_execution_context or None,
    }
    for name, fact in facts.items():
        if fact is not None:
            output.show_lines(f"{name:<17} {escape(str(fact))}")
