"""`traction cancel`: ask an execution to cancel."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from traction import operations as o
from traction.cli import screen
from traction.cli.executions import opened
from traction.cli.words import Id, RunId, Url


def add_to(app: typer.Typer, _: Sequence[str]) -> None:
    """Add the command."""
    app.command("cancel")(cancel)


def cancel(context: typer.Context, workflow_id: Id, run_id: RunId = None, url: Url = "local:") -> None:
    """Ask an open execution to cancel: its flow is told, and may clean up first."""
    with opened(url, context) as backend:
        backend.call(o.RequestCancelWorkflowExecution(domain=backend.domain, workflow_id=workflow_id, run_id=run_id))
    screen.tell(f"Asked {workflow_id} to cancel")
