"""Deciders, workers and clients in processes of their own: same results, same histories."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.support.order_workflow import Kitchen, burn, cook, course, dinner, feast, weigh
from tests.support.profile import NIGHTLY
from tests.swf.conftest import MakeStage, Stage
from traction.client.system import WorkerSystem
from traction.model import events as e

HERE = "tests.support.order_workflow"
PASSED_OVER = {
    "eventTimestamp",
    "identity",
    "runId",
    "newExecutionRunId",
    "scheduleToStartTimeout",
    "taskListScheduleToStartTimeout",
}
"""What differs between two runs: when, who, ids that the service gave, and for how long a decider was waited for."""


@contextmanager
def working(stage: Stage, *names: str, provide: str | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker in a process of its own, and stop it with SIGTERM at the end."""
    argv = [sys.executable, "-m", "traction", "worker", *(f"{HERE}:{name}" for name in names)]
    argv += ["--url", stage.url(), "--instances", "2"]
    argv += ["--provide", f"{provide}={HERE}:open_kitchen"] if provide else []
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(argv, stderr=subprocess.PIPE, env=environment) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=90)


RUN_IN_CHILD_ID = re.compile(r"(?<=@)22[\w-]+=")
"""The run id of the parent, which the generated workflow id of a child contains."""


def strip(value: Any) -> Any:
    if isinstance(value, str):
        return RUN_IN_CHILD_ID.sub("RUN", value)
    if isinstance(value, dict):
        return {name: strip(member) for name, member in value.items() if name not in PASSED_OVER}
    return [strip(item) for item in value] if isinstance(value, list | tuple) else value


def tell(events: list[e.Event]) -> list[Any]:
    lines = []
    for event in events:
        members = strip(msgspec.to_builtins(event))
        if isinstance(event, e.DecisionTaskCompleted | e.DecisionTaskScheduled):
            # Where decision tasks wait is the workers' affair.
            members.pop("taskList", None)
        lines.append((type(event).__name__, members))
    return lines


def play_here(call: Any) -> tuple[Any, list[e.Event]]:
    with WorkerSystem() as system:
        system.start_workflow_worker(course, dinner, feast)
        for activity in (weigh, burn):
            system.start_activity_worker(activity)
        system.start_activity_worker(cook, Kitchen())
        handle = system.start(call)
        return handle.result(60), handle.history()


def test_many_processes_produce_the_result_and_history_of_one(make_stage: MakeStage) -> None:
    stage = make_stage(hold=timedelta(seconds=1))
    with ExitStack() as stack, WorkerSystem(stage.url()) as client:
        processes = [
            stack.enter_context(working(stage, "course", "dinner")),
            stack.enter_context(working(stage, "weigh", "burn")),
            stack.enter_context(working(stage, "cook", provide="cook")),
        ]
        handle = client.start(dinner(3))
        result, history = handle.result(60), handle.history()
    assert [process.returncode for process in processes] == [0, 0, 0]
    here, played = play_here(dinner(3))
    assert result == here
    assert tell(history) == tell(played)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM][: None if NIGHTLY else 1])
def test_executions_of_a_killed_decider_continue_on_the_next(make_stage: MakeStage, number: signal.Signals) -> None:
    stage = make_stage(hold=timedelta(seconds=1))
    with WorkerSystem(stage.url(sticky=1)) as client, ExitStack() as stack:
        handle = client.start(feast(7))
        with working(stage, "feast") as first:
            stack.enter_context(working(stage, "weigh"))
            # It has taken the execution when an activity has been asked for.
            while not any(isinstance(event, e.ActivityTaskCompleted) for event in handle.history()):
                assert first.poll() is None
                with suppress(TimeoutError):
                    handle.result(0.25)
            first.send_signal(number)
            first.wait(30)
        stack.enter_context(working(stage, "feast"))
        assert handle.result(60) == [120, 7]
        scheduled = [event for event in handle.history() if isinstance(event, e.ActivityTaskScheduled)]
    assert len(scheduled) == 60
    assert len({event.activity_id for event in scheduled}) == 60
