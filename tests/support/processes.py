"""Processes for kill tests: a client that starts and signals executions, deciders, and workers, all on one file.

Run as a program, this module forks a process for each `Order` that it reads from a line of its input; a fork is faster
than a new interpreter. A process reports its progress on a pipe of its own, line by line, after the service has
answered. Time runs `PACE` times as fast as real time, so that timeouts are short.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from traction import Retry, activity, all_of, workflow
from traction.backend import Backend
from traction.client.system import WorkerSystem
from traction.errors import DomainAlreadyExistsFault, UnknownResourceFault
from traction.model import operations as o
from traction.model.names import WorkflowExecution
from traction_local.backend import DOMAIN, LocalBackend
from traction_local.clock import system_now
from traction_local.journal import JournaledService

PACE = 8
SIGNALS = 4
OPEN_MAX = 5
LENGTH = 6
RESULT = LENGTH + 6


class Order(msgspec.Struct):
    """What a process is to be."""

    role: str
    path: str
    pipe: str
    first: int = 0
    """The first execution whose start was not attempted."""
    last: int | None = None
    """Before which execution the client ends; not at all if not given."""
    open: tuple[int, ...] = ()
    """The executions that were started, and are not known to have closed."""
    unsure_start: int | None = None
    unsure_signal: tuple[int, int] | None = None
    """The start that a client attempted before it was killed, without a confirmation."""


@activity(start_to_close=2, retry=Retry(attempts=10_000, backoff=1, max_delay=1))
def increment(n: int) -> int:
    """Count one further."""
    return n + 1


@workflow(task_start_to_close=2)
async def tally(n: int) -> int:
    """Count to `n` one by one, and add three more counts that are made side by side."""
    x = 0
    for _ in range(n):
        x = await increment(x)
    return x + sum(await all_of([increment(i) for i in range(3)]))


def now() -> datetime:
    """Return the time, which passes quickly."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    return begin + (system_now() - begin) * PACE


class TellingBackend(LocalBackend):
    """A backend that records which responses to tasks were accepted."""

    say: Callable[..., None]

    def call(self, request: o.Request[Any], wait: timedelta | None = None) -> Any:
        answer = super().call(request, wait)
        if isinstance(request, o.RespondActivityTaskCompleted | o.RespondDecisionTaskCompleted):
            self.say("answered", request.task_token)
        return answer


def open_file(path: str) -> TellingBackend:
    """Open the file as the plugin does, but for the clock."""
    service = JournaledService(path, seed="durability", group=True)
    backend = TellingBackend(service, clock=now, pace=PACE, file=service)
    with suppress(DomainAlreadyExistsFault):
        backend.call(o.RegisterDomain(name=DOMAIN, workflow_execution_retention_period_in_days="30"))
    return backend


def find_runs(backend: Backend, k: int) -> list[o.WorkflowExecutionInfo]:
    """All runs of an execution, open and closed."""
    ever = o.ExecutionTimeFilter(oldest_date=datetime(2026, 1, 1, tzinfo=UTC))
    given: dict[str, Any] = {
        "domain": backend.domain,
        "start_time_filter": ever,
        "execution_filter": o.WorkflowExecutionFilter(workflow_id=f"w-{k}"),
    }
    return [
        *backend.call(o.ListOpenWorkflowExecutions(**given)).execution_infos,
        *backend.call(o.ListClosedWorkflowExecutions(**given)).execution_infos,
    ]


def be_client(order: Order, backend: Backend, say: Callable[..., None]) -> None:
    """Start executions, signal them, and wait for them, a few at a time."""
    with WorkerSystem(backend=backend) as system:

        def start(k: int) -> None:
            say("starting", k)
            say("started", k, system.start(tally(LENGTH), workflow_id=f"w-{k}").run_id)

        def send(k: int, v: int) -> None:
            say("sending", k, v)
            try:
                backend.call(
                    o.SignalWorkflowExecution(
                        domain=backend.domain, workflow_id=f"w-{k}", signal_name="add", input=str(v)
                    )
                )
            except UnknownResourceFault:
                say("late", k, v)
            else:
                say("sent", k, v)

        def wait(k: int) -> None:
            (info,) = find_runs(backend, k)
            assert system.get_handle(info.execution, tally).result() == RESULT
            say("closed", k)

        opened = list(order.open)
        # What the last client may or may not have done: see, before doing it again.
        if (k := order.unsure_start) is not None:
            if runs := find_runs(backend, k):
                say("started", k, runs[0].execution.run_id)
            else:
                start(k)
            opened.append(k)
        if order.unsure_signal is not None:
            k, v = order.unsure_signal
            if v in read_signals(backend, find_runs(backend, k)[0].execution):
                say("sent", k, v)
            else:
                send(k, v)
        k = order.first
        while k != order.last:
            start(k)
            opened.append(k)
            for v in range(SIGNALS):
                send(k, v)
            k += 1
            if len(opened) >= OPEN_MAX:
                wait(opened.pop(0))
        for k in opened:
            wait(k)
        say("finished")


def read_signals(backend: Backend, execution: WorkflowExecution) -> list[int]:
    """The inputs of the signals that a history shows."""
    events: list[Any] = backend.get_history(execution)
    return [int(event.input) for event in events if type(event).__name__ == "WorkflowExecutionSignaled"]


def be(order: Order) -> None:
    """Be the process that was ordered, until the end or a kill."""
    pipe = os.open(order.pipe, os.O_WRONLY)

    def say(*words: object) -> None:
        os.write(pipe, (" ".join(map(str, words)) + "\n").encode())

    say("pid", os.getpid())
    backend = open_file(order.path)
    backend.say = say
    say("opened")
    if order.role == "client":
        be_client(order, backend, say)
        return
    system = WorkerSystem(backend=backend)
    if order.role == "decider":
        system.start_workflow_worker(tally, instances=2)
    else:
        system.start_activity_worker(increment, instances=3)
    threading.Event().wait()


def main() -> None:
    logging.disable(logging.WARNING)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while line := sys.stdin.buffer.readline():
        order = msgspec.json.decode(line, type=Order)
        if os.fork() == 0:
            try:
                be(order)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)


if __name__ == "__main__":
    main()
