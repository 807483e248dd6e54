"""`traction cancel`: request the cancellation of an execution."""

from __future__ import annotations

import typer

from traction.cli import output
from traction.cli.loading import open_for
from traction.cli.options import Id, RunId, Url
from traction.client.handle import Handle
from traction.client.visibility import find_execution


def cancel(context: typer.Context, workflow_id: Id, run_id: RunId = None, url: Url = "local:") -> None:
    """Request the cancellation of an open execution. Its flow may clean up first."""
    with open_for(context, url) as backend:
        Handle(backend, find_execution(backend, workflow_id, run_id)).cancel()
    output.show_message(f"Requested cancellation of {workflow_id}")
