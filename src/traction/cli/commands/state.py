"""`traction state`: show the state of a flow as of now, by replaying its history here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from traction.cli import loading, output
from traction.cli.executions import opened
from traction.cli.options import CodecName, Id, Json, Payloads, RunId, Url
from traction.client.handle import Handle
from traction.client.visibility import find_execution
from traction.definitions.checks import index_by_type
from traction.model import operations as o


def add_to(app: typer.Typer, _: Sequence[str]) -> None:
    """Add the command."""
    app.command("state")(state)


def state(
    context: typer.Context,
    workflow_id: Id,
    targets: Annotated[
        list[str],
        typer.Argument(metavar="MODULE:WORKFLOW...", help="The code of its workflow, in one version or several."),
    ],
    run_id: RunId = None,
    url: Url = "local:",
    payloads: Payloads = None,
    codec: CodecName = None,
    json: Json = False,
) -> None:
    """Show what a flow has reported last, as of now.

    Its history is read, and the flow replayed here, with the events that no decision task has brought to it yet. It
    needs no worker, and changes nothing.
    """
    workflows = index_by_type(loading.load_workflow(target) for target in targets)
    reads = loading.open_codec(codec, payloads, context)
    with opened(url, context) as backend:
        execution = find_execution(backend, workflow_id, run_id)
        described = backend.call(o.DescribeWorkflowExecution(domain=backend.domain, execution=execution))
        type = described.execution_info.workflow_type
        if (workflow := workflows.get(type)) is None:
            named = ", ".join(f"{one.name} {one.version}" for one in workflows)
            raise loading.UsageError(
                f"{workflow_id} is an execution of {type.name} {type.version}, and what is named is {named}; name the "
                "code of its workflow"
            )
        value = Handle(backend, execution, workflow, codec=reads).state()
    if json:
        output.show_json(value)
    elif value is None:
        output.tell(f"{workflow_id} has set no state")
    else:
        output.show_result(value)
