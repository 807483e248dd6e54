"""`traction state`: replay an execution here and show the current state of its flow."""

from __future__ import annotations

from typing import Annotated

import typer

from traction.cli import loading, output
from traction.cli.documents import State
from traction.cli.loading import open_for
from traction.cli.options import CodecName, Id, Json, Payloads, RunId, Url
from traction.client.handle import Handle
from traction.client.visibility import find_execution
from traction.definitions.checks import index_by_type
from traction.model import operations as o


def state(
    context: typer.Context,
    workflow_id: Id,
    targets: Annotated[
        list[str],
        typer.Argument(metavar="MODULE:WORKFLOW...", help="Its workflow, in one or more versions."),
    ],
    run_id: RunId = None,
    url: Url = "local:",
    payloads: Payloads = None,
    codec: CodecName = None,
    json: Json = False,
) -> None:
    """Show the current state of a flow.

    That is the value of its last `set_state`. The history is replayed here, including events that no decision task has
    delivered yet. This needs no worker and changes nothing.
    """
    workflows = index_by_type(loading.load_workflow(target) for target in targets)
    payload_codec = loading.open_codec(codec, payloads, context)
    with open_for(context, url) as backend:
        execution = find_execution(backend, workflow_id, run_id)
        described = backend.call(o.DescribeWorkflowExecution(domain=backend.domain, execution=execution))
        type = described.execution_info.workflow_type
        if (workflow := workflows.get(type)) is None:
            named = ", ".join(f"{one.name} {one.version}" for one in workflows)
            raise loading.UsageError(
                f"{workflow_id} is an execution of {type.name} {type.version}, not of {named}; name its workflow"
            )
        value = Handle(backend, execution, workflow, codec=payload_codec).state()
    if json:
        plain = output.to_plain(value, payload_codec)
        output.show_document(State(workflow_id=execution.workflow_id, run_id=execution.run_id, state=plain))
    elif value is None:
        output.show_message(f"{workflow_id} has set no state")
    else:
        output.show_result(value)
