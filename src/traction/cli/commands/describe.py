"""`traction describe`: show the status and settings of an execution."""

from __future__ import annotations

import typer

from traction.cli import output
from traction.cli.commands.list import find_reason
from traction.cli.documents import Description, to_description, to_execution
from traction.cli.loading import open_codec, open_for
from traction.cli.options import CodecName, Id, Json, Payloads, RunId, Url
from traction.client.query import to_listed
from traction.client.visibility import describe_waiting, find_execution, read_waiting
from traction.history.escaping import escape
from traction.model import operations as o


def describe(
    context: typer.Context,
    workflow_id: Id,
    run_id: RunId = None,
    url: Url = "local:",
    payloads: Payloads = None,
    codec: CodecName = None,
    json: Json = False,
) -> None:
    """Show the status and settings of an execution."""
    payload_codec = open_codec(codec, payloads, context)
    with open_for(context, url) as backend:
        execution = find_execution(backend, workflow_id, run_id)
        detail = backend.call(o.DescribeWorkflowExecution(domain=backend.domain, execution=execution))
        waiting = read_waiting(backend, execution) if detail.open_counts.open_decision_tasks else None
        closed = detail.execution_info.close_status not in (None, "COMPLETED", "CONTINUED_AS_NEW")
        reason = find_reason(backend, execution, payload_codec) if closed else None
    state = detail.latest_execution_context or None
    listed = to_execution(to_listed(detail.execution_info), state=state, reason=reason)
    document = to_description(listed, detail, waiting)
    if json:
        output.show_document(document)
        return
    for name, fact in list_facts(document, None if waiting is None else describe_waiting(*waiting)):
        output.show_lines(f"{name:<17} {escape(fact)}")


def list_facts(described: Description, waiting: str | None) -> list[tuple[str, str]]:
    """Return the lines of a description, each with its name, without those that are empty."""
    timeout = described.execution_start_to_close
    facts = {
        "workflow": f"{described.workflow} {described.version}",
        "workflow id": described.workflow_id,
        "run id": described.run_id,
        "status": described.status,
        "reason": described.reason,
        "cancel requested": "yes" if described.cancel_requested else None,
        "started": described.started_at.isoformat(" "),
        "closed": None if described.closed_at is None else described.closed_at.isoformat(" "),
        "parent": None if described.parent is None else described.parent.workflow_id,
        "tags": ", ".join(described.tags),
        "task list": described.task_list,
        "execution timeout": None if timeout is None else f"{timeout:.0f} s",
        "open activities": f"{described.open_activities}",
        "open timers": f"{described.open_timers}",
        "open children": f"{described.open_children}",
        "waiting": waiting,
        "state": described.state,
    }
    return [(name, fact) for name, fact in facts.items() if fact]
