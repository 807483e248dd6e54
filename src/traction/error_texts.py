"""Parts of the texts of `traction.errors`."""

from __future__ import annotations

import json
import signal
from contextlib import suppress
from typing import Any, cast


def explain_divergence(
    workflow: str, step: str, event_id: int, event: str, expected: str, actual: str, place: str | None
) -> str:
    """Return the text that shows a history and the current code side by side."""
    sides = {f"history (event {event_id}{event and f', {event}'})": expected, "current code": actual}
    if place is not None:
        sides["which waits in"] = place
    width = max(map(len, sides))
    table = "\n".join(f"  {side.ljust(width)}  {text}" for side, text in sides.items())
    return (
        f"{workflow} no longer matches its history at step {step}\n\n{table}\n\n"
        "An execution must be replayed by code that makes the same decisions (Traction). Keep the old steps for "
        'executions that began with them (if await patched("..."): the new steps, else: the old), register the new '
        "flow under a new version, or restore the old order."
    )


def explain_cause(cause: str) -> str:
    """Return the cause of a signal or a cancel request that was not delivered, with SWF's word for it."""
    unknown = cause == "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION"
    return f"no such execution is open in the domain ({cause})" if unknown else cause


def read_lambda_error(reason: str, details: str | None) -> tuple[str, str]:
    """Return the type and the message of Lambda's error document."""
    try:
        document = json.loads(details or "")
    except (ValueError, RecursionError):
        return reason, details or ""
    if not isinstance(document, dict):
        return reason, details or ""
    fields = cast("dict[str, Any]", document)
    kind, message = fields.get("errorType"), fields.get("errorMessage")
    if kind is None and message is None:
        return reason, details or ""
    return str(kind or reason), "" if message is None else str(message)


def describe_exit(exit_code: int | None) -> str:
    """Describe the exit code of a process in words."""
    if exit_code is None:
        return "with an unknown exit code"
    if exit_code >= 0:
        return f"with exit code {exit_code}"
    with suppress(ValueError):
        return f"by {signal.Signals(-exit_code).name}"
    return f"by signal {-exit_code}"
