"""Workers that stop drop no pending poll, and log what they wait for and for how long."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest
from starlette.responses import Response

from tests.swf.conftest import HOLD, MakeStage, Stage
from tests.swf.test_unreachable import call_double, double
from traction import WorkerSystem
from traction.model import operations as o
from traction.model.names import TaskList
from traction_local.server.app import ReleaseEndpoint
from traction_swf.clients import release_polls

ROOT = Path(__file__).parents[2]

MINUTE = timedelta(seconds=60)


def start_worker(url: str) -> subprocess.Popen[str]:
    """Start a worker in a process of its own; return it when it works."""
    command = [sys.executable, "-m", "traction", "worker", "tests.swf.test_unreachable:call_double"]
    command += ["tests.swf.test_unreachable:double", "--url", url]
    program = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    read_until(program, "Workers for")
    return program


def read_until(program: subprocess.Popen[str], part: str) -> str:
    """Return the line of a program's standard error that has a part."""
    assert program.stderr is not None
    printed: list[str] = []
    for line in program.stderr:
        printed.append(line)
        if part in line:
            return line
    raise AssertionError(f"never printed {part!r}: {''.join(printed)}")


def test_an_idle_worker_on_traction_serve_ends_at_once(make_stage: MakeStage) -> None:
    stage = make_stage(hold=MINUTE)
    for number in (signal.SIGINT, signal.SIGTERM):
        program = start_worker(stage.url())
        with WorkerSystem(stage.url()) as client:
            # Until here, polls may not have been sent.
            assert client.run(call_double(3), timeout=60) == 6
        began = monotonic()
        program.send_signal(number)
        printed = program.communicate(timeout=60)[1]
        assert (program.returncode, monotonic() - began < 30) == (0, True), printed
        assert "pending polls" not in printed


def forgetrelease_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the servers of this test ones that cannot answer polls before their time, as Amazon SWF cannot."""

    async def refuse(*_: object) -> Response:
        return Response(status_code=404)

    monkeypatch.setattr(ReleaseEndpoint, "__call__", refuse)


def test_an_idle_worker_on_swf_logs_its_polls_and_ends_at_the_second_signal(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgetrelease_polls(monkeypatch)
    stage = make_stage(hold=MINUTE)
    with WorkerSystem(stage.url()) as client:
        program = start_worker(stage.url())
        assert client.run(call_double(3), timeout=60) == 6
    program.send_signal(signal.SIGINT)
    assert re.search(r"waiting for \d+ pending polls, up to (60|5\d) s", read_until(program, "pending polls"))
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=60)
    assert program.returncode == 128 + signal.SIGINT


def test_a_close_that_waits_for_polls_logs_how_many_and_for_how_long(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forgetrelease_polls(monkeypatch)
    stage = make_stage(hold=timedelta(seconds=3))
    with WorkerSystem(stage.url(sticky="off")) as system:
        system.start_workflow_worker(call_double)
        system.start_activity_worker(double)
        assert system.run(call_double(3), timeout=60) == 6
        wait_for_polls(system, 2)
    (message,) = [message for message in caplog.messages if "pending polls" in message]
    assert message.startswith("waiting for 2 pending polls, up to ")


def wait_for_polls(system: WorkerSystem, count: int) -> None:
    while system.backend.find_pending_polls()[0] < count:
        pass


def test_a_released_poll_returns_the_task_that_it_was_assigned(stage: Stage) -> None:
    for n in range(4):
        backend = stage.open(sticky="off")
        with WorkerSystem(backend=backend) as system:
            system.start_workflow_worker(call_double)
            system.start_activity_worker(double)
            wait_for_polls(system, 2)
            handle = WorkerSystem(backend=stage.local).start(call_double(n), workflow_id=f"n {n}")
        # Each task was given to no one, or was done.
        started = {type(event).__name__ for event in handle.history()}
        assert "DecisionTaskStarted" not in started or "DecisionTaskCompleted" in started


def test_polls_that_arrive_after_the_release_of_their_client_are_not_held(stage: Stage) -> None:
    poll = o.PollForActivityTask(domain=stage.local.domain, task_list=TaskList("nothing"))
    backend = stage.open()
    assert backend._client_name is not None
    assert release_polls(backend.options, backend._client_name)
    began = monotonic()
    assert not backend.call(poll).task_token
    assert monotonic() - began < HOLD.total_seconds() * 0.8


def test_a_release_that_names_no_client_is_refused(stage: Stage) -> None:
    assert not release_polls(stage.open().options, "")
    assert not release_polls(stage.open().options, "x" * 100)
