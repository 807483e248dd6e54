"""Measure the core: starting up, deciding, replaying, and work in this process."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.flows import chain, fan, increment, make_chain_history
from benchmarks.measures import Measure
from traction import WorkerSystem
from traction.client.registration import register_type
from traction.decider.decider import Decider, decide
from traction.model import operations as o
from traction.worker.activity_worker import ActivityWorker
from traction.worker.workflow_worker import WorkflowWorker
from traction_local.plugin import open_local

HELLO = Path(__file__).parent.parent / "examples" / "hello.py"


def time_process(*arguments: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def time_hello() -> float:
    return time_process(str(HELLO))


def time_import() -> float:
    """Milliseconds from before to after, in a process of its own."""
    code = "import time; t = time.perf_counter(); import traction; print((time.perf_counter() - t) * 1000)"
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def rate_deciding(n: int) -> float:
    events, cuts = make_chain_history(n)
    begin = time.perf_counter()
    decider = Decider(chain)  # type: ignore[arg-type]
    for start, end in cuts:
        decider.feed(events[start:end])
        decider.decide()
    return n / (time.perf_counter() - begin)


def rate_replay() -> float:
    events, _ = make_chain_history(4000)
    begin = time.perf_counter()
    decide(chain, events)  # type: ignore[arg-type]
    return len(events) / (time.perf_counter() - begin)


def flatness_deciding() -> float:
    """How much more a step costs in a chain of 5,000 than in one of 100."""
    best = {n: max(rate_deciding(n) for _ in range(7)) for n in (100, 5000)}
    return best[100] / best[5000]


def rate_turns(flow: Any, n: int) -> float:
    """Activities per second, real codec, service and workers, turns driven in one thread."""
    backend, nothing = open_local(), timedelta(0)
    for definition in (flow, increment):
        register_type(backend, definition)
    decides, works = WorkflowWorker(backend, [flow]), ActivityWorker(backend, increment)
    begin = time.perf_counter()
    backend.call(
        o.StartWorkflowExecution(
            domain=backend.domain, workflow_id="bench", workflow_type=flow.spec.type, input=f'{{"n":{n}}}'
        )
    )
    while decides.work_once(nothing) | works.work_once(nothing):
        pass
    taken = time.perf_counter() - begin
    counts = backend.call(
        o.CountClosedWorkflowExecutions(
            domain=backend.domain,
            start_time_filter=o.ExecutionTimeFilter(oldest_date=backend.now() - timedelta(days=1)),
            close_status_filter=None,
        )
    )
    assert counts.count == 1, "the measured execution did not close"
    backend.close()
    return n / taken


def exponent_turns() -> float:
    """The exponent of time in N, by the chains of 500 and of 4,000."""
    seconds = {n: n / max(rate_turns(chain, n) for _ in range(5)) for n in (500, 4000)}
    return math.log(seconds[4000] / seconds[500]) / math.log(4000 / 500)


def rate_threads(flow: Any, n: int) -> float:
    """Activities per second, with worker threads in real time."""
    with WorkerSystem("local:") as system:
        system.start_workflow_worker(flow)
        system.start_activity_worker(increment, instances=2)
        begin = time.perf_counter()
        system.run(flow(n))
        return n / (time.perf_counter() - begin)


CORE = [
    Measure("hello.py, from process start", time_hello, 0.5, "s", more_is_better=False),
    Measure("import traction", time_import, 40, "ms", more_is_better=False),
    Measure("deciding a chain of 100", lambda: rate_deciding(100), 150_000, "steps/s", times=20),
    Measure("deciding a chain of 5,000", lambda: rate_deciding(5000), 150_000, "steps/s"),
    Measure("cost of a step, chain of 5,000 against 100", flatness_deciding, 1.15, "x", more_is_better=False, times=1),
    Measure("replaying a history of 24,003 events", rate_replay, 600_000, "events/s"),
    Measure("chain of 1,000, turns in one thread", lambda: rate_turns(chain, 1000), 20_000, "acts/s"),
    Measure("fan-out of 1,000, turns in one thread", lambda: rate_turns(fan, 1000), 20_000, "acts/s"),
    Measure("exponent of time in N, chain up to 4,000", exponent_turns, 1.05, "", more_is_better=False, times=3),
    Measure("chain of 1,000, worker threads", lambda: rate_threads(chain, 1000), 5_000, "acts/s"),
    Measure("fan-out of 1,000, worker threads", lambda: rate_threads(fan, 1000), 5_000, "acts/s"),
]
