"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Url = Annotated[
    str,
    typer.Option("--url", envvar="TRACTION_URL", help="The backend, such as local:, local:work.db or swf://domain."),
]
Payloads = Annotated[
    str | None,
    typer.Option(
        "--payloads",
        envvar="TRACTION_PAYLOADS",
        metavar="URL",
        help="The store for payloads that are too long for SWF, such as s3://bucket.",
    ),
]
CodecName = Annotated[
    str | None,
    typer.Option(
        "--codec",
        envvar="TRACTION_CODEC",
        metavar="MODULE:NAME",
        help="The codec of payloads. [default: plain JSON]",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show the log of workers.")]
FaultsName = Annotated[
    str, typer.Option("--faults", metavar="none|some|all", help="The faults that a schedule may inject.")
]
Workers = Annotated[int, typer.Option("--workers", min=1, help="The number of machines with workers.")]
Provide = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=MODULE:FACTORY",
        help="The dependency of an activity, by the name of the activity or of the type that it needs. Repeatable.",
    ),
]
Stub = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ACTIVITY=MODULE:FUNCTION",
        help="Replace the body of an activity by a function of its call, or by a value. Repeatable.",
    ),
]
SignalAfter = Annotated[
    list[str] | None,
    typer.Option(
        "--signal",
        metavar="[AFTER:]MODULE:SIGNAL[{FIELDS}]",
        help="Send a signal after a span of virtual time, such as 3d, or at any time. Repeatable.",
    ),
]
Save = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the history to a file for traction replay."),
]
Target = Annotated[str, typer.Argument(metavar="MODULE:WORKFLOW", help="A workflow. Its module may be in this folder.")]
Id = Annotated[str, typer.Argument(metavar="WORKFLOW_ID", help="The workflow id of the execution.")]
OneId = Annotated[
    str | None,
    typer.Argument(metavar="[WORKFLOW_ID]", help="The workflow id of the execution.", show_default=False),
]
AllMatching = Annotated[bool, typer.Option("--all-matching", help="Act on all open executions that match the filters.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what --all-matching would act on, and do nothing.")]
Rate = Annotated[float, typer.Option("--rate", min=0.001, help="How many executions per second, at most.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for a confirmation.")]
RunId = Annotated[
    str | None,
    typer.Option(help="The run. [default: the open one, else the last]"),
]
Definitions = Annotated[
    list[str] | None,
    typer.Option(
        "--definitions",
        "-d",
        metavar="MODULE",
        help="A module with workflows, to replay the flow here and show its lines and signals. Repeatable.",
    ),
]

GRAPH_OPTIONS = frozenset({"cancels", "execution", "format", "history", "output", "run-id", "seconds"})
"""The options of `traction graph` that fields of a workflow cannot have."""
