"""Measure work on Amazon SWF: boto3 asks the simulator's server, which is a process of its own.

Times are CPU seconds of the thread that works, so that neither the server nor the network is counted, but where it is
said otherwise.
"""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from statistics import median
from typing import Any
from urllib.parse import quote

import botocore.session
from botocore.parsers import create_parser

from benchmarks.flows import chain, increment, make_chain_history
from benchmarks.measures import Measure
from traction.client.registration import register_type
from traction.model import operations as o
from traction.model.names import TaskList
from traction.worker.activity_worker import ActivityWorker
from traction.worker.decider_cache import DeciderCache
from traction.worker.sticky import Sticky
from traction.worker.workflow_worker import WorkflowWorker
from traction_swf import wire
from traction_swf.backend import SwfBackend, open_swf

NOTHING = timedelta(0)

SERVER = """
from datetime import timedelta
from traction_local.plugin import open_local
from traction_local.server.app import serve
serve(open_local(), wait=timedelta(0), ready=lambda url: print(url, flush=True))
"""


@contextmanager
def serving(**options: object) -> Iterator[SwfBackend]:
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        more = "".join(f"&{name}={value}" for name, value in options.items())
        backend = open_swf(f"swf://traction?endpoint={quote(server.stdout.readline().strip())}{more}")
        try:
            yield backend
        finally:
            backend.close()
            server.terminate()


class Played:
    """A chain that was worked through: what each decision and each activity took, and what was asked."""

    def __init__(self, backend: SwfBackend, n: int, *, sticky: bool) -> None:
        self.decisions: list[float] = []
        self.activities: list[float] = []
        self.wall: list[float] = []
        self.asked: Counter[str] = Counter()
        call = backend.call

        def count(request: Any, wait: timedelta | None = None) -> Any:
            answer: Any = call(request, wait)
            if getattr(answer, "task_token", True):
                self.asked[type(request).__name__] += 1
            return answer

        for definition in (chain, increment):
            register_type(backend, definition)
        # Two machines: with sticky deciders the execution stays on the first that took it; without, it goes to and fro.
        machines: list[list[WorkflowWorker]] = []
        for name in ("one", "other"):
            told = Sticky(TaskList(f"{name}-{n}"), "60", lambda: False) if sticky else None
            home = WorkflowWorker(backend, [chain], cache=DeciderCache(), sticky=told)  # type: ignore[list-item]
            machines.append([home, home.follow()] if sticky else [home])
        worker = ActivityWorker(backend, increment)
        setattr(backend, "call", count)  # noqa: B010
        backend.call(
            o.StartWorkflowExecution(
                domain=backend.domain,
                workflow_id=f"chain-{n}-{sticky}",
                workflow_type=chain.spec.type,  # type: ignore[attr-defined]
                input=f'{{"n":{n}}}',
            )
        )
        for turn in range(n + 1):
            workers = machines[0] if sticky else machines[turn % 2]
            turns = [workers[min(turn, 1)]] if sticky else workers
            begin, cpu = time.perf_counter(), time.thread_time()
            assert turns[0].work_once(NOTHING)
            self.decisions.append(time.thread_time() - cpu)
            if turn < n:
                task = worker.poll_once(NOTHING)
                assert task is not None
                cpu = time.thread_time()
                worker.respond(task, worker.do(task))
                self.activities.append(time.thread_time() - cpu)
            self.wall.append(time.perf_counter() - begin)
        setattr(backend, "call", call)  # noqa: B010


@lru_cache
def play(n: int, sticky: bool, decode: str = "fast") -> Played:
    with serving(decode=decode) as backend:
        return Played(backend, n, sticky=sticky)


def growth(n: int, sticky: bool) -> float:
    """How much more the last decisions of a chain cost than the tenth and those after it."""
    decisions = play(n, sticky).decisions
    return median(decisions[-50:]) / median(decisions[9:59])


def exponent(n: int) -> float:
    """The exponent of time in N, by the first eighth of a chain and the whole."""
    played = play(n, True)
    taken = [sum(turn) for turn in zip(played.decisions, played.activities, strict=False)]
    return math.log(sum(taken) / sum(taken[: n // 8])) / math.log(8)


def wall(n: int) -> float:
    """Seconds of a chain, the server's time included, which is a process on the same machine."""
    return sum(play(n, True).wall)


def calls(n: int) -> float:
    """Calls per activity of a chain, its decision included."""
    return sum(play(n, True).asked.values()) / n


def calls_per_decision(n: int) -> float:
    asked = play(n, True).asked
    reading = sum(asked[name] for name in ("PollForDecisionTask", "GetWorkflowExecutionHistory"))
    return (reading + asked["RespondDecisionTaskCompleted"]) / (n + 1)


@lru_cache
def make_page() -> bytes:
    events, _ = make_chain_history(160)
    return wire.encode(o.History(events=tuple(events[:960])))


def time_reading(read: Callable[[bytes], Any]) -> float:
    """Microseconds per event of a page."""
    page = make_page()
    begin = time.process_time()
    read(page)
    return (time.process_time() - begin) / 960 * 1e6


def read_fast(page: bytes) -> Any:
    return wire.decode_response(o.GetWorkflowExecutionHistory, page)


@lru_cache
def find_shape() -> tuple[Any, Any]:
    model = botocore.session.get_session().get_service_model("swf")
    return create_parser("json"), model.operation_model("GetWorkflowExecutionHistory").output_shape


def read_plain(page: bytes) -> Any:
    parser, shape = find_shape()
    parsed = parser.parse({"body": page, "headers": {}, "status_code": 200}, shape)
    return wire.read_response(o.GetWorkflowExecutionHistory, parsed)


def less(name: str, take: Callable[[], float], budget: float, unit: str, times: int = 1) -> Measure:
    return Measure(name, take, budget, unit, more_is_better=False, times=times)


SWF = [
    less("swf: reading an event, fast", lambda: time_reading(read_fast), 4, "us", times=15),
    less("swf: reading an event, by botocore's parser", lambda: time_reading(read_plain), 60, "us", times=15),
    less("swf: calls per activity of a chain, with its decision", lambda: calls(1000), 4.1, "calls"),
    less("swf: calls per decision of a chain", lambda: calls_per_decision(1000), 2.01, "calls"),
    less("swf: worker's CPU per activity task", lambda: median(play(1000, True).activities) * 1e3, 1.0, "ms"),
    less("swf: CPU per decision, chain of 1,000", lambda: median(play(1000, True).decisions) * 1e3, 3.0, "ms"),
    less("swf: last decision of 4,000 against the tenth", lambda: growth(4000, True), 1.3, "x"),
    less("swf: exponent of time in N, chain of 4,000", lambda: exponent(4000), 1.05, ""),
    less("swf: chain of 4,000, with the server's time", lambda: wall(4000), 120, "s"),
    # What sticky deciders are for: this one is only shown.
    less("swf: last decision of 1,000 against the tenth, not sticky", lambda: growth(1000, False), math.inf, "x"),
]
