"""`traction cancel`: request the cancellation of an execution."""

from __future__ import annotations

from typing import Any

import typer

from traction.cli import output
from traction.cli.loading import open_for
from traction.cli.options import Id, Json, RunId, Url
from traction.client.handle import Handle
from traction.client.visibility import find_execution


def cancel(
    context: typer.Context, workflow_id: Id, run_id: RunId = None, url: Url = "local:", json: Json = False
) -> None:
    """Request the cancellation of an open execution. Its flow may clean up first."""
    with open_for(context, url) as backend:
        handle: Handle[Any] = Handle(backend, find_execution(backend, workflow_id, run_id))
        handle.cancel()
    output.show_action("cancel", handle.execution, f"Requested cancellation of {workflow_id}", json=json)
