"""What workers promise that start while the service cannot be reached: they keep trying, and work when it is there."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from traction import WorkerSystem, activity, run, workflow
from traction.client.registration import RegistrationError
from traction.errors import BackendError
from traction_local.backend import DOMAIN, LocalBackend
from traction_local.plugin import open_local
from traction_local.server.app import serving

ROOT = Path(__file__).parents[2]


@activity
def double(n: int) -> int:
    return 2 * n


@workflow
async def call_double(n: int) -> int:
    return await double(n)


@workflow(name="call_double", version="1", task_start_to_close=77)
async def call_double_otherwise(n: int) -> int:
    return n


@pytest.fixture
def port() -> int:
    """A port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def local() -> Iterator[LocalBackend]:
    backend = open_local()
    yield backend
    backend.close()


def url_of(port: int) -> str:
    return f"swf://{DOMAIN}?endpoint=http://127.0.0.1:{port}"


@contextmanager
def failed_turns(count: int, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    while sum("a turn failed" in message for message in caplog.messages) < count:
        threading.Event().wait(0.05)


def test_workers_started_without_the_service_work_once_it_is_available(
    port: int, local: LocalBackend, caplog: pytest.LogCaptureFixture
) -> None:
    with WorkerSystem(url_of(port)) as system:
        with failed_turns(2, caplog):
            system.start_workflow_worker(call_double)
            system.start_activity_worker(double)
        assert f"{url_of(port)} cannot be reached, and its workers keep trying" in caplog.messages[0]
        with serving(local, port=port), WorkerSystem(url_of(port)) as client:
            assert client.run(call_double(4), timeout=60) == 8
            system.close()
    assert any("can be reached now" in message for message in caplog.messages)


def test_a_definition_that_is_refused_later_stops_the_workers(
    port: int, local: LocalBackend, caplog: pytest.LogCaptureFixture
) -> None:
    with WorkerSystem(backend=local) as other:
        other.start_workflow_worker(call_double_otherwise)
        with WorkerSystem(url_of(port)) as system:
            system.start_workflow_worker(call_double)
            with serving(local, port=port), pytest.raises(RegistrationError, match="77"):
                system.run_until_stopped()
    assert any("workers cannot start" in message for message in caplog.messages)


@pytest.mark.parametrize("start", ["handle", "embedded"])
def test_a_start_without_the_service_raises(port: int, start: str) -> None:
    with WorkerSystem(url_of(port)) as system, pytest.raises(BackendError, match="Could not connect"):
        system.start(call_double(4)) if start == "handle" else run(call_double(4), url=url_of(port))


def test_the_worker_command_retries_until_the_service_is_available(port: int, local: LocalBackend) -> None:
    command = [sys.executable, "-m", "traction", "worker", "tests.swf.test_unreachable:call_double"]
    command += ["tests.swf.test_unreachable:double", "--url", url_of(port)]
    program = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert program.stderr is not None
    log = [program.stderr.readline()]
    while "a turn failed" not in log[-1]:
        log.append(program.stderr.readline())
    assert "cannot be reached, and its workers keep trying" in log[0]
    with serving(local, port=port), WorkerSystem(url_of(port)) as client:
        assert client.run(call_double(5), timeout=60) == 10
        program.send_signal(signal.SIGTERM)
    rest = program.communicate(timeout=60)[1]
    assert program.returncode == 0, rest
