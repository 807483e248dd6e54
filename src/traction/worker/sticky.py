"""Route the decision tasks of an execution to the process that caches its decider."""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from msgspec import structs

from traction.flow.durations import to_duration
from traction.model.literals import Duration
from traction.model.names import TaskList
from traction.model.operations import RespondDecisionTaskCompleted


class Sticky(NamedTuple):
    """Where decision tasks shall come whose deciders a worker keeps: a task list that nobody else polls.

    An execution is sent there with each answer. The worker reads its history once; of later tasks it reads what is new.
    """

    task_list: TaskList
    wait: Duration
    """For how long a task waits there before it goes back to the list that it came from at first."""

    leaving: Callable[[], bool]
    """Whether the worker is about to stop: then its answers send executions back."""

    def direct(self, answer: RespondDecisionTaskCompleted, home: TaskList) -> RespondDecisionTaskCompleted:
        """Say in an answer where the next decision task shall come.

        Tasks go on coming to where an answer last sent them, so who leaves sends them home by name. If nobody takes a
        task in time, or whoever took it dies, SWF sends the next one home by itself.
        """
        if self.leaving():
            return structs.replace(answer, task_list=home)
        return structs.replace(answer, task_list=self.task_list, task_list_schedule_to_start_timeout=self.wait)


def make_sticky(home: str, wait: timedelta, leaving: Callable[[], bool]) -> Sticky:
    """Make a task list of this process's own, named after the one that all poll."""
    name = f"{home[:150]}~{socket.gethostname()[:60]}-{os.getpid()}-{secrets.token_hex(4)}"
    return Sticky(TaskList(_FORBIDDEN.sub("-", name)), to_duration(wait), leaving)


_FORBIDDEN = re.compile(r"[:/|\x00-\x1f\x7f-\x9f]")
