"""Name the options and arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Url = Annotated[str, typer.Option("--url", envvar="TRACTION_URL", help="The backend, such as local: or swf://domain.")]
Payloads = Annotated[
    str | None,
    typer.Option(
        "--payloads",
        envvar="TRACTION_PAYLOADS",
        metavar="URL",
        help="Where payloads are kept that are too long for SWF, such as s3://bucket.",
    ),
]
CodecName = Annotated[
    str | None,
    typer.Option(
        "--codec",
        envvar="TRACTION_CODEC",
        metavar="MODULE:NAME",
        help="The codec of payloads; plain JSON unless given.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print for machines.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show what workers log.")]
FaultsName = Annotated[
    str, typer.Option("--faults", metavar="none|some|all", help="What may go wrong, where the schedule deviates.")
]
Workers = Annotated[int, typer.Option("--workers", min=1, help="How many machines work.")]
Provide = Annotated[
    list[str] | None,
    typer.Option(metavar="ACTIVITY=MODULE:FACTORY", help="What an activity needs; may be given more than once."),
]
Target = Annotated[
    str, typer.Argument(metavar="MODULE:WORKFLOW", help="A workflow; its module is looked for here too.")
]
Id = Annotated[str, typer.Argument(metavar="WORKFLOW_ID", help="The id under which the execution was started.")]
RunId = Annotated[
    str | None,
    typer.Option(help="Which run; the open one, or else the last, unless given."),
]
