"""Measure work in a file: with workers in this process and in others, and how long opening takes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.flows import chain, fan, increment
from benchmarks.measures import Measure
from traction import WorkerSystem
from traction.client.registration import register_type
from traction.worker.activity_worker import ActivityWorker
from traction.worker.workflow_worker import WorkflowWorker
from traction_local.journal import JournaledService
from traction_local.plugin import open_file

WORKER = """
import sys, threading
from benchmarks.flows import chain, increment
from traction import WorkerSystem
system = WorkerSystem(sys.argv[1])
system.start_workflow_worker(chain)
system.start_activity_worker(increment)
print("ready", flush=True)
sys.stdin.read()
system.close()
"""


@contextmanager
def make_path() -> Iterator[str]:
    with TemporaryDirectory() as directory:
        yield str(Path(directory, "work.db"))


def run_turns(flow: Any, n: int, path: str) -> float:
    """Run an execution by turns in one thread; give the seconds that it took."""
    with closing(open_file(path)) as backend, WorkerSystem(backend=backend) as system:
        for definition in (flow, increment):
            register_type(backend, definition)
        decides, works, nothing = WorkflowWorker(backend, [flow]), ActivityWorker(backend, increment), timedelta(0)
        begin = time.perf_counter()
        handle = system.start(flow(n))
        while decides.work_once(nothing) | works.work_once(nothing):
            pass
        taken = time.perf_counter() - begin
        assert handle.status() == "COMPLETED"
    return taken


def rate_turns(flow: Any, n: int) -> float:
    """Activities per second, turns driven in one thread."""
    with make_path() as path:
        return n / run_turns(flow, n, path)


def rate_threads(flow: Any, n: int, options: str = "") -> float:
    """Activities per second, with worker threads in real time."""
    with make_path() as path, WorkerSystem(f"local:{path}{options}") as system:
        system.start_workflow_worker(flow)
        system.start_activity_worker(increment, instances=2)
        begin = time.perf_counter()
        system.run(flow(n))
        return n / (time.perf_counter() - begin)


def rate_processes(n: int) -> float:
    """Activities per second, all deciders and workers in another process than the client."""
    with make_path() as path, WorkerSystem(f"local:{path}") as system:
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, f"local:{path}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert worker.stdout is not None
        assert worker.stdin is not None
        worker.stdout.readline()
        begin = time.perf_counter()
        system.run(chain(n))
        taken = time.perf_counter() - begin
        worker.stdin.close()
        worker.wait()
        worker.stdout.close()
        return n / taken


def rate_opening(chains: int) -> float:
    """Entries per second that are read when a file with some chains of 1,000 is opened; a chain has 4,000."""
    with make_path() as path:
        for _ in range(chains):
            run_turns(chain, 1000, path)
        begin = time.perf_counter()
        service = JournaledService(path)
        taken = time.perf_counter() - begin
        entries = service.revision
        service.close()
        return entries / taken


DURABLE = [
    Measure("chain of 1,000 in a file, turns in one thread", lambda: rate_turns(chain, 1000), 2_000, "acts/s"),
    Measure("chain of 1,000 in a file, worker threads", lambda: rate_threads(chain, 1000), 2_000, "acts/s"),
    Measure("fan-out of 1,000 in a file, worker threads", lambda: rate_threads(fan, 1000), 2_000, "acts/s"),
    Measure("chain of 1,000 in a file, workers in another process", lambda: rate_processes(1000), 1_000, "acts/s"),
    Measure("chain of 300 in a file, sync=full", lambda: rate_threads(chain, 300, "?sync=full"), 50, "acts/s", times=2),
    Measure("opening a file of 20,000 entries", lambda: rate_opening(5), 30_000, "entries/s"),
]
