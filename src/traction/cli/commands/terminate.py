"""`traction terminate`: close an execution, or all that match, at once."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from traction.cli import output
from traction.cli.batches import BatchOptions
from traction.cli.filters import FilterOptions
from traction.cli.loading import UsageError, open_for
from traction.cli.options import AllMatching, DryRun, Json, OneId, Rate, RunId, Url, Yes
from traction.client.batch import PER_SECOND, Terminate
from traction.client.handle import Handle
from traction.client.visibility import find_execution


def terminate(
    context: typer.Context,
    workflow_id: OneId = None,
    run_id: RunId = None,
    reason: Annotated[str | None, typer.Option(help="The reason, stored in the history.")] = None,
    all_matching: AllMatching = False,
    dry_run: DryRun = False,
    rate: Rate = PER_SECOND,
    yes: Yes = False,
    url: Url = "local:",
    json: Json = False,
    *,
    filters: FilterOptions,
) -> None:
    """Close an open execution at once.

    Its flow cannot clean up. Its children follow their child policy. With --all-matching, this closes all open
    executions that match the filters.
    """
    batch = BatchOptions(filters=filters, all_matching=all_matching, dry_run=dry_run, rate=rate, yes=yes)
    batch.check([workflow_id, run_id])
    with open_for(context, url) as backend:
        if all_matching:
            batch.run(backend, Terminate(reason), json=json, wait=time.sleep)
            return
        if workflow_id is None:
            raise UsageError("name an execution by its workflow id, or write --all-matching with filters")
        handle: Handle[Any] = Handle(backend, find_execution(backend, workflow_id, run_id))
        handle.terminate(reason)
    output.show_action("terminate", handle.execution, f"Terminated {workflow_id}", json=json)
