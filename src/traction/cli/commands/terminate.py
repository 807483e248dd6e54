"""`traction terminate`: close an execution at once."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from traction.cli import output
from traction.cli.loading import open_for
from traction.cli.options import Id, Json, RunId, Url
from traction.client.handle import Handle
from traction.client.visibility import find_execution


def terminate(
    context: typer.Context,
    workflow_id: Id,
    run_id: RunId = None,
    reason: Annotated[str | None, typer.Option(help="The reason, stored in the history.")] = None,
    url: Url = "local:",
    json: Json = False,
) -> None:
    """Close an open execution at once. Its flow cannot clean up. Its children follow their child policy."""
    with open_for(context, url) as backend:
        handle: Handle[Any] = Handle(backend, find_execution(backend, workflow_id, run_id))
        handle.terminate(reason)
    output.show_action("terminate", handle.execution, f"Terminated {workflow_id}", json=json)
