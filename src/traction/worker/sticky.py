"""Route the decision tasks of an execution to the process that caches its decider."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from msgspec import structs

from traction.flow.durations import to_duration
from traction.model.literals import Duration
from traction.model.names import FORBIDDEN, TaskList
from traction.model.operations import RespondDecisionTaskCompleted


class Sticky(NamedTuple):
    """The task list for executions whose deciders are cached in this process. No other process polls it.

    Each response routes the execution there. The worker reads its history once, and then only new events.
    """

    task_list: TaskList
    wait: Duration
    """How long a task waits there before it returns to the original list."""

    leaving: Callable[[], bool]
    """Returns whether the worker is stopping: then its responses route executions back."""

    def route(self, response: RespondDecisionTaskCompleted, home: TaskList) -> RespondDecisionTaskCompleted:
        """Set the task list of the next decision task in a response.

        SWF keeps the list that a response sets, so a stopping worker names the original list. If no worker polls a
        task in time, or its worker dies, SWF returns to the original list by itself.
        """
        if self.leaving():
            return structs.replace(response, task_list=home)
        return structs.replace(response, task_list=self.task_list, task_list_schedule_to_start_timeout=self.wait)


def make_sticky(home: str, wait: timedelta, leaving: Callable[[], bool]) -> Sticky:
    """Return a task list of this process, named after the shared one."""
    name = f"{home[:150]}~{socket.gethostname()[:60]}-{os.getpid()}-{secrets.token_hex(4)}"
    return Sticky(TaskList(FORBIDDEN.sub("-", name)), to_duration(wait), leaving)
