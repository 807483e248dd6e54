"""`traction cancel`: ask an execution to cancel."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from traction.cli import output
from traction.cli.executions import opened
from traction.cli.options import Id, RunId, Url
from traction.client.handle import Handle
from traction.client.visibility import find_execution


def add_to(app: typer.Typer, _: Sequence[str]) -> None:
    """Add the command."""
    app.command("cancel")(cancel)


def cancel(context: typer.Context, workflow_id: Id, run_id: RunId = None, url: Url = "local:") -> None:
    """Ask an open execution to cancel: its flow is told, and may clean up first."""
    with opened(url, context) as backend:
        Handle(backend, find_execution(backend, workflow_id, run_id)).cancel()
    output.tell(f"Asked {workflow_id} to cancel")
