"""Shutdown: the first signal finishes or hands back running tasks, the second one exits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.activities import Act, CallAct
from tests.support.backends import find_events
from traction.client.system import WorkerSystem
from traction.model import events as e
from traction.payloads.failure_text import HANDED_BACK
from traction.worker.shutdown import StopSignals

ROOT = Path(__file__).parents[3]

PROGRAM = """
import os, signal, sys, threading
from tests.support.activities import Act
from tests.support.activities import CallAct
from tests.support.activities import obey
from traction import WorkerSystem

def act(what):
    print("began", os.getpid(), flush=True)
    return obey(what)

if __name__ == "__main__":
    executor, grace, pipe = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    system = WorkerSystem()
    system.start_workflow_worker(CallAct)
    system.start_activity_worker(Act, act, executor=executor)
    handles = []

    def start():
        # Not before signals are heard.
        while signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            pass
        handles.append(system.start(CallAct(["wait", pipe])))

    threading.Thread(target=start).start()
    code = system.run_until_stopped(grace)
    for event in handles[0].history():
        print(type(event).__name__, flush=True)
    sys.exit(code)
"""


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def begin(tmp_path: Path, executor: str, grace: float) -> tuple[subprocess.Popen[str], int]:
    """Start a program whose activity waits for the pipe; give it, and the process in which the activity has begun."""
    (tmp_path / "program.py").write_text(PROGRAM)
    program = subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py"), executor, str(grace), str(tmp_path / "pipe")],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert program.stdout is not None
    return program, int(program.stdout.readline().split()[1])


@pytest.mark.parametrize("executor", ["thread", "process"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_at_the_first_signal_running_tasks_finish_and_the_exit_code_is_0(
    tmp_path: Path, pipe: Path, number: signal.Signals, executor: str
) -> None:
    program, _ = begin(tmp_path, executor, 60)
    program.send_signal(number)
    with open(pipe, "w"):
        pass
    output, _ = program.communicate(timeout=60)
    assert program.returncode == 0
    assert "ActivityTaskCompleted" in output.split()


@pytest.mark.usefixtures("pipe")
@pytest.mark.parametrize("executor", ["thread", "process"])
def test_after_the_grace_running_tasks_are_handed_back_and_the_exit_code_is_1(tmp_path: Path, executor: str) -> None:
    program, worker = begin(tmp_path, executor, 0)
    program.send_signal(signal.SIGTERM)
    output, _ = program.communicate(timeout=60)
    assert program.returncode == 1
    assert "ActivityTaskFailed" in output.split()
    assert "WorkflowExecutionFailed" not in output.split()
    if executor == "process":
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


@pytest.mark.usefixtures("pipe")
@pytest.mark.parametrize("executor", ["thread", "process"])
def test_a_second_signal_ends_the_program_at_once_with_the_code_of_the_signal(tmp_path: Path, executor: str) -> None:
    program, _ = begin(tmp_path, executor, 600)
    # A signal may arrive before the previous one was handled, and pending ones merge (POSIX): repeat until it exits.
    while program.poll() is None:
        program.send_signal(signal.SIGTERM)
    program.communicate(timeout=60)
    assert program.returncode == 128 + signal.SIGTERM


def test_waiting_for_a_signal_ends_when_another_thread_closes_the_system() -> None:
    system = WorkerSystem()
    closing = threading.Thread(target=system.close)
    closing.start()
    assert system.run_until_stopped() == 0
    closing.join()


def test_the_signals_mean_afterwards_what_they_meant_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals() as signals:
        assert signal.getsignal(signal.SIGTERM) != before
        os.kill(os.getpid(), signal.SIGTERM)
        signals.wait()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_close_hands_back_after_its_grace_and_returns_1() -> None:
    began, go_on = threading.Event(), threading.Event()

    def act(_: Any) -> None:
        began.set()
        go_on.wait(60)

    before = set(threading.enumerate())
    system = WorkerSystem()
    system.start_workflow_worker(CallAct)
    system.start_activity_worker(Act, act)
    handle = system.start(CallAct())
    assert began.wait(60)
    assert system.close(0) == 1
    assert system.close() == 1
    (failed,) = find_events(handle, e.ActivityTaskFailed)
    assert failed.reason == HANDED_BACK
    go_on.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
    assert find_events(handle, e.ActivityTaskCompleted) == []
