"""What workers promise about bodies that outlive their tasks: the slot is given to the next task, and it is logged."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from time import monotonic
from typing import Any

import pytest

from tests.support.backends import find_events
from traction import Retry, WorkerSystem, activity, current_task, workflow
from traction.model import events as e
from traction.worker.executors import Executor

ROOT = Path(__file__).parents[3]

TWICE = Retry(attempts=5, backoff=0)

release = threading.Event()
"""Set when a test is over, so that the threads that it has lost end."""


@pytest.fixture(autouse=True)
def released() -> Iterator[None]:
    release.clear()
    before = threading.enumerate()
    yield
    release.set()
    for thread in set(threading.enumerate()) - set(before):
        # The loops that are left behind end with the program.
        if not thread.name.startswith("async activities"):
            thread.join(60)


@activity(start_to_close=1, schedule_to_start=4, retry=TWICE)
def hang(n: int) -> int:
    if current_task().attempt == 1:
        release.wait()
    return n


@activity(start_to_close=600, retry=TWICE)
def hang_long(n: int) -> int:
    if current_task().attempt == 1:
        release.wait()
    return n


@activity(heartbeat=1)
def hang_for_ever() -> None:
    release.wait()


@activity(start_to_close=1, schedule_to_start=4, retry=TWICE)
async def hang_async(n: int) -> int:
    if current_task().attempt == 1:
        await asyncio.Event().wait()
    return n


@activity(start_to_close=1, schedule_to_start=4, retry=TWICE)
async def hang_deaf(n: int) -> int:
    while current_task().attempt == 1 and not release.is_set():
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.01)
    return n


@activity(start_to_close=1, schedule_to_start=4, retry=TWICE)
async def hang_loop(n: int) -> int:
    if current_task().attempt == 1:
        release.wait()
    return n


@workflow
async def call_hang(n: int) -> int:
    return await hang(n)


@workflow
async def call_hang_long(n: int) -> int:
    return await hang_long(n).options(start_to_close=1)


@workflow
async def call_hang_for_ever() -> None:
    await hang_for_ever()


@workflow
async def call_hang_async(n: int) -> int:
    return await hang_async(n)


@workflow
async def call_hang_deaf(n: int) -> int:
    return await hang_deaf(n)


@workflow
async def call_hang_loop(n: int) -> int:
    return await hang_loop(n)


class Logs(logging.Handler):
    """Keeps the messages of workers, and waits for one."""

    def __init__(self) -> None:
        super().__init__()
        self._messages: SimpleQueue[str] = SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.put(record.getMessage())

    def wait_for(self, part: str) -> str:
        while part not in (message := self._messages.get(timeout=60)):
            pass
        return message


@pytest.fixture
def logs(caplog: pytest.LogCaptureFixture) -> Iterator[Logs]:
    caplog.set_level(logging.INFO, "traction.worker")
    handler = Logs()
    logging.getLogger("traction.worker").addHandler(handler)
    yield handler
    logging.getLogger("traction.worker").removeHandler(handler)


def find_logs(caplog: pytest.LogCaptureFixture, level: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == level]


@pytest.mark.parametrize(
    ("flow", "act", "executor", "level"),
    [
        (call_hang, hang, "thread", "WARNING"),
        (call_hang, hang, "process", "ERROR"),
        (call_hang_long, hang_long, "thread", "WARNING"),
    ],
)
def test_a_body_that_hangs_loses_its_slot_when_its_task_has_timed_out(
    flow: Any, act: Any, executor: Any, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    with WorkerSystem() as system:
        system.start_workflow_worker(flow)
        system.start_activity_worker(act, executor=executor, instances=1)
        assert system.run(flow(7), timeout=60) == 7
        assert system.lost_slots == (1 if executor == "thread" else 0)
        began = monotonic()
    assert monotonic() - began < 30
    assert f"{act.__name__}-1: its task has timed out or its execution has closed" in find_logs(caplog, level)[0]


@pytest.mark.parametrize(("flow", "act"), [(call_hang_async, hang_async), (call_hang_deaf, hang_deaf)])
@pytest.mark.parametrize("executor", ["thread", "async", "process"])
def test_an_async_body_is_cancelled_when_its_task_has_timed_out(
    flow: Any, act: Any, executor: Executor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traction.worker.heartbeats.CLEANUP_SECONDS", 1.5)
    with WorkerSystem() as system:
        system.start_workflow_worker(flow)
        system.start_activity_worker(act, executor=executor, instances=1)
        assert system.run(flow(7), timeout=60) == 7
        deaf = act is hang_deaf and executor != "process"
        assert system.lost_slots == (1 if deaf else 0)
    logs = find_logs(caplog, "WARNING") + find_logs(caplog, "ERROR")
    assert any(f"{act.__name__}-1: its task has timed out" in line for line in logs) or executor == "process"


def test_a_body_that_blocks_the_event_loop_is_left_behind_with_it(caplog: pytest.LogCaptureFixture) -> None:
    with WorkerSystem() as system:
        system.start_workflow_worker(call_hang_loop)
        system.start_activity_worker(hang_loop, executor="async", instances=1)
        assert system.run(call_hang_loop(7), timeout=60) == 7
        assert system.lost_slots == 1
    assert "hang_loop-1: blocks the event loop" in find_logs(caplog, "ERROR")[0]


@pytest.mark.parametrize(("executor", "level"), [("thread", "WARNING"), ("process", "ERROR")])
def test_a_body_whose_execution_was_closed_loses_its_slot(
    executor: Any, level: str, logs: Logs, caplog: pytest.LogCaptureFixture
) -> None:
    with WorkerSystem() as system:
        system.start_workflow_worker(call_hang_for_ever)
        system.start_activity_worker(hang_for_ever, executor=executor, instances=1)
        handle = system.start(call_hang_for_ever())
        while not find_events(handle, e.ActivityTaskStarted):
            pass
        handle.terminate()
        assert "Unknown execution" in logs.wait_for("hang_for_ever-1: its task has timed out or its execution has")
    assert len(find_logs(caplog, level)) >= 1


def test_a_lost_thread_takes_no_more_tasks_and_frees_its_slot_at_its_end() -> None:
    with WorkerSystem() as system:
        system.start_workflow_worker(call_hang)
        system.start_activity_worker(hang, instances=1)
        (lost,) = [thread for thread in system._threads if thread.name.startswith("work ")]
        assert system.run(call_hang(7), timeout=60) == 7
        assert lost.left_behind
        release.set()
        lost.join(60)
        assert system.lost_slots == 0
        assert system.run(call_hang(8), timeout=60) == 8


def test_too_many_lost_slots_are_not_replaced_but_logged_as_an_error(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traction.worker.slots.LOST_SLOTS_MAX", 1)
    with WorkerSystem() as system:
        system.start_workflow_worker(call_hang)
        system.start_activity_worker(hang, instances=1)
        for n in range(2):
            system.start(call_hang(n))
        logs.wait_for("its slot is lost")
        assert "No more are replaced: restart this worker" in logs.wait_for("No more are replaced")
        assert system.lost_slots == 2
        release.set()
        for _ in range(2):
            logs.wait_for("its body has ended")
        assert system.lost_slots == 0
        # The thread that was not replaced takes tasks again.
        assert system.run(call_hang(9), timeout=60) == 9


PROGRAM = """
import sys
import threading
from tests.unit.worker.test_outliving import call_hang
from tests.unit.worker.test_outliving import hang
from traction import WorkerSystem

if __name__ == "__main__":
    system = WorkerSystem()
    system.start_workflow_worker(call_hang)
    system.start_activity_worker(hang, executor=sys.argv[1], instances=1)
    print(system.run(call_hang(7), timeout=60))
    sys.exit(system.close(600))
"""


@pytest.mark.parametrize(("executor", "code"), [("thread", 1), ("process", 0), ("async", 2)])
def test_a_program_ends_though_a_body_hangs(tmp_path: Path, executor: str, code: int) -> None:
    (tmp_path / "program.py").write_text(PROGRAM if executor != "async" else PROGRAM.replace("hang", "hang_loop"))
    ended = subprocess.run(
        [sys.executable, str(tmp_path / "program.py"), executor],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.stdout, ended.returncode) == ("7\n", min(code, 1)), ended.stderr
