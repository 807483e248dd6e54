"""A proxy loses responses, cuts connections and refuses requests: no result is lost, and no activity runs twice.

Three records are compared: the results, the histories, and a ledger to which each activity writes that it ran.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.backends import run_threads
from tests.support.fault_proxy import FAULTS, LOSSES, Fault, Plan, Proxy, between
from tests.support.profile import NIGHTLY, pick
from tests.swf.conftest import MakeStage, Stage
from traction import Retry, Signal, WorkerSystem, activity, all_of, receive, send, sleep, workflow
from traction.errors import BackendError
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import TaskList, WorkflowExecution
from traction.payloads.codec import JSON
from traction.runtime.activity_task import current_task
from traction_local.backend import DOMAIN, LocalBackend
from traction_local.clock import system_now
from traction_local.service.service import Service
from traction_local.virtual_clock import FastClock

SLOW, FAST = 4, 20
"""How many seconds pass for the service in one: quickly where it is waited for what a lost answer gave to time out."""

SEEDS = range(pick(1, 50))

GENTLE = tuple(fault for fault in FAULTS if fault not in LOSSES)
"""The faults without effect."""

HOLD = timedelta(milliseconds=500)

SOON = 90
"""Within how many seconds all must have ended: faults are budgeted, and after them everything goes on."""


class Ledger:
    """The activity tasks that ran, in order."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    def write(self, execution: WorkflowExecution, activity_id: str) -> None:
        with self._lock:
            self.lines.append((execution.run_id, activity_id))


class Told(Signal):
    """A number, under an id, since a signal may be sent twice."""

    id: int
    number: int


@activity(needs=Ledger, start_to_close=40, retry=Retry(attempts=100, backoff=0))
def add(ledger: Ledger, a: int, b: int) -> int:
    task = current_task()
    ledger.write(task.execution, task.activity_id)
    return a + b


@workflow(task_start_to_close=40)
async def chain(n: int) -> int:
    total = 0
    for _ in range(n):
        total = await add(total, 1)
    return total


@workflow(task_start_to_close=40)
async def fan(n: int) -> list[int]:
    return await all_of([add(i, i) for i in range(n)])


@workflow(task_start_to_close=40)
async def doze(n: int) -> int:
    a, b = await (sleep(n).flat_map(lambda _: add(n, 1)) & add(n, 2).flat_map(lambda x: sleep(n).map(lambda _: x)))
    return a + b


@workflow(task_start_to_close=40)
async def family(n: int) -> int:
    return sum(await (chain(n) & chain(n + 1)))


@workflow(task_start_to_close=40)
async def listen(n: int) -> int:
    heard: dict[int, int] = {}
    while len(heard) < n:
        signal = await receive(Told)
        heard[signal.id] = signal.number
    return await add(sum(heard.values()), 0)


@workflow(task_start_to_close=40)
async def speak(to: str) -> int:
    for id in (1, 2):
        await (send(to, Told(id, 10)) & add(id, 0))
    return 2


HEARD = 4
EXPECTED: list[tuple[Any, Any]] = [
    (chain(5), 5),
    (chain(6), 6),
    (fan(8), [0, 2, 4, 6, 8, 10, 12, 14]),
    (doze(2), 7),
    (doze(4), 11),
    (family(2), 5),
    (listen(HEARD), 60),
    (speak("listener"), 2),
]
"""Chains, fan-outs, timers, children, signals to and fro: calls, and what they give."""


def open_at(speed: float) -> LocalBackend:
    backend = LocalBackend(Service(seed="faults"), clock=FastClock(speed, system_now()), pace=speed)
    backend.call(o.RegisterDomain(name=DOMAIN, workflow_execution_retention_period_in_days="1"))
    return backend


@contextmanager
def behind(stage: Stage, plan: Plan, **idle: Any) -> Iterator[tuple[str, Proxy]]:
    """Put a proxy before the server, and give the URL by which workers and clients reach it."""
    with between(stage.endpoint, plan, **idle) as (endpoint, proxy):
        yield f"swf://{DOMAIN}?endpoint={quote(endpoint)}", proxy


def play(stage: Stage, plan: Plan) -> Ledger:
    """Run everything that is expected, by two systems of workers and a client of its own; give the ledger."""
    ledger = Ledger()
    with behind(stage, plan) as (url, proxy):
        run_all(url, ledger)
    assert {happened.operation for happened in proxy.injected} >= ASKED
    return ledger


def run_all(url: str, ledger: Ledger) -> None:
    with WorkerSystem(url) as client, WorkerSystem(url) as one, WorkerSystem(url) as other:
        for workers in (one, other):
            workers.start_workflow_worker(chain, fan, doze, family, listen, speak)
            workers.start_activity_worker(add, ledger, instances=3)
        handles = [client.start(call, workflow_id="listener" if type(call) is listen else None) for call, _ in EXPECTED]
        for id in range(3, HEARD + 1):
            tell(client, "listener", Told(id, 20))
        results = [handle.result(SOON) for handle in handles]
    assert results == [expected for _, expected in EXPECTED]


def tell(client: WorkerSystem, to: str, signal: Told) -> None:
    """Send a signal until it is known to have arrived: at least once, as every client of SWF does."""
    for tried in count():
        try:
            client.backend.call(
                o.SignalWorkflowExecution(
                    domain=DOMAIN, workflow_id=to, signal_name=Told.spec.name, input=JSON.encode(signal)
                )
            )
            return
        except BackendError as error:
            if not error.retryable or tried == 100:
                raise


def check(local: LocalBackend, ledger: Ledger, *, lossless: bool = False) -> None:
    """Compare the ledger with all histories: completed tasks ran once; if lossless, no attempt was lost."""
    ran = Counter(ledger.lines)
    assert [line for line, times in ran.items() if times > 1] == []
    completed_in_all = 0
    for run in list_runs(local):
        history = local.get_history(run)
        scheduled = {event.event_id: event.activity_id for event in pick(history, e.ActivityTaskScheduled)}
        started = Counter(scheduled[event.scheduled_event_id] for event in pick(history, e.ActivityTaskStarted))
        completed = Counter(scheduled[event.scheduled_event_id] for event in pick(history, e.ActivityTaskCompleted))
        timed_out = Counter(scheduled[event.scheduled_event_id] for event in pick(history, e.ActivityTaskTimedOut))
        mine = {id for run_id, id in ran if run_id == run.run_id}
        assert max(started.values(), default=1) == 1
        # Each attempt ended once, and each step by one attempt that counts.
        assert completed + timed_out == Counter(scheduled.values())
        assert set(Counter(id.partition("~")[0] for id in completed).values()) <= {1}
        assert {id.partition("~")[0] for id in completed} == {id.partition("~")[0] for id in scheduled.values()}
        # What counts was done, what was done was handed out, and what was handed out and not done has timed out.
        assert set(completed) <= mine <= set(started) <= mine | set(timed_out)
        if lossless:
            assert set(completed) == mine == set(scheduled.values())
            assert {event.timeout_type for event in pick(history, e.DecisionTaskTimedOut)} <= {"SCHEDULE_TO_START"}
        completed_in_all += len(completed)
    assert completed_in_all == ACTIVITIES


ASKED = {
    "PollForDecisionTask",
    "RespondDecisionTaskCompleted",
    "PollForActivityTask",
    "RespondActivityTaskCompleted",
    "StartWorkflowExecution",
    "GetWorkflowExecutionHistory",
    "RegisterWorkflowType",
}
"""What is asked in every play, and so meets a fault."""

ACTIVITIES = 5 + 6 + 8 + 2 + 2 + (2 + 3) + 1 + 2
"""How many steps of what is expected are activities."""


def pick(history: list[e.Event], kind: type) -> list[Any]:
    return [event for event in history if isinstance(event, kind)]


def list_runs(local: LocalBackend) -> list[WorkflowExecution]:
    """List all runs, and see that every one has completed and that there is one of each id."""
    assert not list_open(local)
    infos = local.call(o.ListClosedWorkflowExecutions(domain=DOMAIN, start_time_filter=EVER)).execution_infos
    assert {info.close_status for info in infos} == {"COMPLETED"}
    runs = [info.execution for info in infos]
    assert len({run.workflow_id for run in runs}) == len(runs) == len(EXPECTED) + 2
    return runs


EVER = o.ExecutionTimeFilter(oldest_date=datetime(2020, 1, 1, tzinfo=UTC))


def list_open(local: LocalBackend) -> Sequence[o.WorkflowExecutionInfo]:
    return local.call(o.ListOpenWorkflowExecutions(domain=DOMAIN, start_time_filter=EVER)).execution_infos


def name_faults(faults: tuple[Fault, ...]) -> str:
    return " or ".join(faults)


@pytest.mark.parametrize("faults", [(fault,) for fault in GENTLE] if NIGHTLY else [GENTLE], ids=name_faults)
def test_faults_without_effect_cost_no_task(make_stage: MakeStage, faults: tuple[Fault, ...]) -> None:
    stage = make_stage(open_at(SLOW), hold=HOLD)
    check(stage.local, play(stage, Plan(0, *faults)), lossless=True)


@pytest.mark.parametrize("faults", [(fault,) for fault in LOSSES] if NIGHTLY else [LOSSES], ids=name_faults)
def test_lost_responses_lose_no_result_and_repeat_none(make_stage: MakeStage, faults: tuple[Fault, ...]) -> None:
    stage = make_stage(open_at(FAST), hold=HOLD)
    check(stage.local, play(stage, Plan(0, *faults)))


@pytest.mark.parametrize("seed", SEEDS)
def test_all_faults_together_lose_no_result_and_repeat_none(make_stage: MakeStage, seed: int) -> None:
    stage = make_stage(open_at(FAST), hold=HOLD)
    check(stage.local, play(stage, Plan(seed, budget=12)))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_start_whose_response_is_lost_finds_its_own_execution(make_stage: MakeStage, fault: Fault) -> None:
    stage = make_stage(hold=HOLD)
    plan = Plan(0, fault, operations={"StartWorkflowExecution"}, budget=1)
    with behind(stage, plan) as (url, proxy), WorkerSystem(url) as client:
        handle = client.start(chain(1))
        assert proxy.injected == [("StartWorkflowExecution", fault)]
        assert [info.execution for info in list_open(stage.local)] == [handle.execution]


def test_workers_poll_on_without_a_warning_if_a_proxy_cuts_idle_polls(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("traction_swf.backend.HELD_SECONDS_MIN", 0.1)
    stage = make_stage()
    with behind(stage, Plan(0, budget=0), idle_max=0.2, cuts=10) as (url, proxy), WorkerSystem(url) as system:
        system.start_workflow_worker(chain)
        system.start_activity_worker(add, Ledger())
        # With pauses that double, the tenth cut of three pollers would come after some 15 s.
        cuts = [proxy.idle_cuts.get(timeout=5) for _ in range(10)]
        assert system.run(chain(2), timeout=60) == 2
    assert set(cuts) == {"PollForDecisionTask", "PollForActivityTask"}
    assert caplog.text == ""


def test_hundreds_of_threads_that_poll_at_once_keep_their_connections(
    make_stage: MakeStage, caplog: pytest.LogCaptureFixture
) -> None:
    threads_count = 150
    backend = make_stage(hold=HOLD).open()
    poll = o.PollForActivityTask(domain=DOMAIN, task_list=TaskList("nothing"))
    together = threading.Barrier(threads_count)

    def work() -> None:
        together.wait(60)
        assert not backend.call(poll).task_token

    run_threads(*[work] * threads_count)
    assert "Connection pool is full" not in caplog.text
