"""Activities and dependencies that a process can import by their names."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from traction import Activity, DeclaredError, Workflow, current_task, heartbeat
from traction.runtime.activity_task import COMPLETE_LATER


class Act(Activity[Any, Any], heartbeat=30, start_to_close=600):
    """Do what the dependency does with the input."""

    what: Any = None

    def run(self, act: Callable[[Any], Any]) -> Any:
        return act(self.what)


class ActAsync(Activity[Any, Any], heartbeat=30, start_to_close=600):
    """Await what the dependency gives for the input."""

    what: Any = None

    async def run(self, act: Callable[[Any], Any]) -> Any:
        return await act(self.what)


class CallAct(Workflow[Any]):
    what: Any = None

    async def flow(self) -> Any:
        return await Act(self.what)


class CallActAsync(Workflow[Any]):
    what: Any = None

    async def flow(self) -> Any:
        return await ActAsync(self.what)


class Refused(DeclaredError):
    why: str


class Unsayable:
    """What pickle refuses."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


def tell_process(_: Any) -> int:
    return os.getpid()


def obey(what: Any) -> Any:
    """Do one of several things that a body may do to its process."""
    match what:
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "raise":
            raise ValueError("no such page")
        case "refuse":
            raise Refused("full")
        case "leave":
            raise SystemExit(4)
        case "lock":
            return Unsayable()
        case "later":
            return COMPLETE_LATER
        case "beat":
            heartbeat({"page": 1})
            return current_task().cancelled
        case "long":
            heartbeat("x" * 3_000)
        case "stop":
            # What a terminal or a service manager sends to all processes of a group.
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            return "went on"
        case "who":
            task = current_task()
            return [task.execution.workflow_id, task.activity_type.name, task.activity_id, task.attempt, task.token]
        case ["wait", pipe]:
            # Until the test opens the other end and closes it.
            with open(pipe) as end:
                end.read()
            heartbeat()
    return what


async def obey_async(what: Any) -> Any:
    import asyncio

    if what == "hang":
        try:
            await asyncio.Event().wait()
        finally:
            heartbeat_quietly()
    return os.getpid()


def heartbeat_quietly() -> None:
    """Send heartbeats while cleaning up after a cancellation."""
    from traction import Cancelled

    try:
        heartbeat()
    except Cancelled:
        return


def make_obey() -> Callable[[Any], Any]:
    return obey


def make_nothing() -> Any:
    raise OSError("no database")
