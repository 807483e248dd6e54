"""Await and cancel async activities. asyncio is imported only where one runs: it is slow to load."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from traction.plugins.observer import build_task_fields
from traction.worker.heartbeats import RunningActivity

log = logging.getLogger("traction.worker")


def is_cancelled_error(error: BaseException) -> bool:
    """Return whether an error is `asyncio.CancelledError`, without importing asyncio."""
    return type(error).__name__ == "CancelledError"


async def await_outcome(coroutine: Any) -> tuple[Any, BaseException | None]:
    """Return the result and the exception of an async activity, so that no exception stops the loop."""
    try:
        return await coroutine, None
    except BaseException as error:
        if is_cancelled_error(error):
            raise
        return None, error


def cancel_at_await(loop: Any, task: Any, running: RunningActivity) -> None:
    """Cancel an async activity at its await when its task is cancelled, unless `heartbeat` has raised already."""

    def cancel() -> None:
        if not running.notified:
            running.notified = running.noticed = True
            task.cancel()
            if running.gone and not running.handed_back:
                # An execution that closed while the activity ran is normal.
                level = logging.INFO if running.gone_because.startswith("Unknown execution") else logging.WARNING
                log.log(
                    level, "%s: %s: cancelled", running.name, running.describe_loss(), extra=build_task_fields(running)
                )

    def wake() -> None:
        with suppress(RuntimeError):  # the loop is closed, and the activity has ended
            loop.call_soon_threadsafe(cancel)

    running.wake_when_cancelled(wake)
