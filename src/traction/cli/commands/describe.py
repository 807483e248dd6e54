"""`traction describe`: show the status and settings of an execution."""

from __future__ import annotations

import typer

from traction.cli import output
from traction.cli.documents import Description, to_description, to_execution
from traction.cli.loading import open_codec, open_for
from traction.cli.options import CodecName, Id, Json, Payloads, RunId, Url
from traction.client.query import to_listed
from traction.client.visibility import describe_waiting, find_execution, read_waiting
from traction.history.closing import describe_closing_event
from traction.history.contents import show_content
from traction.history.escaping import escape
from traction.history.reading import read_execution
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
        first = backend.call(
            o.GetWorkflowExecutionHistory(domain=backend.domain, execution=execution, maximum_page_size=1)
        )
        closing = None if detail.execution_info.close_status is None else backend.find_closing_event(execution)
    begun = read_execution(first.events[:1], execution=execution, codec=payload_codec)
    reason = None
    if closing is not None and detail.execution_info.close_status not in ("COMPLETED", "CONTINUED_AS_NEW"):
        reason = describe_closing_event(closing, payload_codec) or None
    state = detail.latest_execution_context or None
    listed = to_execution(to_listed(detail.execution_info), state=state, reason=reason)
    document = to_description(listed, detail, waiting, begun, closing, payload_codec)
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
        "times out": None if described.due_at is None else described.due_at.isoformat(" "),
        "input": show_content(described.input),
        "result": show_content(described.result),
        "parent": None if described.parent is None else described.parent.workflow_id,
        "continued from": None if described.continued_from is None else described.continued_from.run_id,
        "continued as": None if described.continued_as is None else described.continued_as.run_id,
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
