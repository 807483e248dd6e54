"""Traction: distributed workflows as typed, composable values."""

from typing import TYPE_CHECKING

from traction.definitions.classes import Activity, Workflow
from traction.definitions.decorators import activity, workflow
from traction.flow.cancellation import CancelScope, cancel_scope, fail_after, move_on_after
from traction.flow.combinators import (
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
from traction.flow.durations import days, hours, minutes, seconds
from traction.flow.effects import (
    ChildHandle,
    ExecutionInfo,
    cancel,
    continue_as_new,
    execution_info,
    history_length,
    invoke_lambda,
    patched,
    run_deadline,
    set_state,
    side_effect,
    start_child,
)
from traction.flow.every import every
from traction.flow.retry import Retry
from traction.flow.signals import Signal, receive, send, signals
from traction.flow.step import Cancelled, Failure, Outcome, Step, Success
from traction.lazy_imports import import_lazily
from traction.payloads.failures import DeclaredError
from traction.runtime.activity_task import COMPLETE_LATER, current_task, heartbeat

if TYPE_CHECKING:
    from traction.client.client import Client
    from traction.client.handle import Handle
    from traction.client.run import run
    from traction.client.system import WorkerSystem
    from traction.flow.log import get_logger
    from traction.worker.process_pool import PerProcess

__all__ = [
    "Activity",
    "CancelScope",
    "Cancelled",
    "ChildHandle",
    "Client",
    "DeclaredError",
    "ExecutionInfo",
    "Failure",
    "Handle",
    "COMPLETE_LATER",
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
    "history_length",
    "hours",
    "invoke_lambda",
    "minutes",
    "move_on_after",
    "now",
    "patched",
    "random",
    "receive",
    "run_deadline",
    "run",
    "saga",
    "seconds",
    "send",
    "set_state",
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

# What runs work is imported on first use: definitions alone need neither threads nor plugins.
__getattr__ = import_lazily(
    __name__,
    {
        "Client": "traction.client.client",
        "Handle": "traction.client.handle",
        "PerProcess": "traction.worker.process_pool",
        "WorkerSystem": "traction.client.system",
        "get_logger": "traction.flow.log",
        "run": "traction.client.run",
    },
)
