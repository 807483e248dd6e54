"""Traction: distributed workflows as typed, composable values."""

from typing import TYPE_CHECKING, Any

from traction.combinators import (
    all_of,
    done,
    each,
    fail,
    first_of,
    now,
    random,
    saga,
    shield,
    sleep,
    sleep_until,
    step,
    uuid4,
    uuid7,
)
from traction.definition import Activity, Workflow, activity, workflow
from traction.failures import DeclaredError
from traction.leaves import (
    Child,
    ExecutionInfo,
    cancel,
    continue_as_new,
    execution_info,
    history_events,
    invoke_lambda,
    patched,
    report,
    run_ends,
    side_effect,
    start_child,
)
from traction.options import Retry, days, hours, minutes, seconds
from traction.recurring import every
from traction.scopes import CancelScope, cancel_scope, fail_after, move_on_after
from traction.signals import Signal, receive, send, signals
from traction.step import Cancelled, Failure, Outcome, Step, Success
from traction.tasks import LATER, current_task, heartbeat

if TYPE_CHECKING:
    from traction.client import Handle, WorkerSystem
    from traction.embedded import run
    from traction.flowlog import get_logger
    from traction.processes import PerProcess

__all__ = [
    "Activity",
    "CancelScope",
    "Cancelled",
    "Child",
    "DeclaredError",
    "ExecutionInfo",
    "Failure",
    "Handle",
    "LATER",
    "Outcome",
    "PerProcess",
    "Retry",
    "Signal",
    "Step",
    "Success",
    "WorkerSystem",
    "Workflow",
    "activity",
    "all_of",
    "cancel",
    "cancel_scope",
    "continue_as_new",
    "current_task",
    "days",
    "done",
    "each",
    "every",
    "execution_info",
    "fail",
    "fail_after",
    "first_of",
    "get_logger",
    "heartbeat",
    "history_events",
    "hours",
    "invoke_lambda",
    "minutes",
    "move_on_after",
    "now",
    "patched",
    "random",
    "receive",
    "report",
    "run_ends",
    "run",
    "saga",
    "seconds",
    "send",
    "shield",
    "side_effect",
    "signals",
    "sleep",
    "sleep_until",
    "start_child",
    "step",
    "uuid4",
    "uuid7",
    "workflow",
]

# What runs work is imported when it is first used: definitions alone need neither threads nor plugins.
_LATE = {
    "Handle": "client",
    "PerProcess": "processes",
    "WorkerSystem": "client",
    "get_logger": "flowlog",
    "run": "embedded",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'traction' has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"traction.{_LATE[name]}"), name)
    return value
