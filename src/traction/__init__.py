"""Traction: distributed workflows as typed, composable values."""

from typing import TYPE_CHECKING, Any

from traction.definition import Activity, Workflow, activity, workflow
from traction.options import Retry, days, hours, minutes, seconds
from traction.step import (
    Cancelled,
    Failure,
    Outcome,
    Step,
    Success,
    all_of,
    done,
    each,
    fail,
    first_of,
    now,
    random,
    sleep,
    sleep_until,
    step,
    uuid4,
)
from traction.tasks import current_task, heartbeat

if TYPE_CHECKING:
    from traction.client import Handle, WorkerSystem
    from traction.embedded import run

__all__ = [
    "Activity",
    "Cancelled",
    "Failure",
    "Handle",
    "Outcome",
    "Retry",
    "Step",
    "Success",
    "WorkerSystem",
    "Workflow",
    "activity",
    "all_of",
    "current_task",
    "days",
    "done",
    "each",
    "fail",
    "first_of",
    "heartbeat",
    "hours",
    "minutes",
    "now",
    "random",
    "run",
    "seconds",
    "sleep",
    "sleep_until",
    "step",
    "uuid4",
    "workflow",
]

# What runs work is imported when it is first used: definitions alone need neither threads nor plugins.
_LATE = {"Handle": "client", "WorkerSystem": "client", "run": "embedded"}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'traction' has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"traction.{_LATE[name]}"), name)
    return value
