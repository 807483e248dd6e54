"""Executors: a task ends the same way wherever its body runs, and no body stops a worker."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import activities as crew
from tests.support.activities import Act, ActAsync, CallAct, CallActAsync
from tests.support.backends import NOW, ConnectionLost, LossyBackend, Stage, find_events, open_stage, take_turns
from traction import (
    Activity,
    Cancelled,
    Signal,
    Workflow,
    activity,
    current_task,
    first_of,
    heartbeat,
    receive,
    workflow,
)
from traction.client.system import WorkerSystem
from traction.error_texts import describe_exit
from traction.errors import DefinitionError, UnknownResourceFault, WorkflowFailed
from traction.model import events as e
from traction.model import operations as o
from traction.payloads.failure_text import UNREADABLE, read_failure
from traction.runtime.activity_task import COMPLETE_LATER
from traction.worker.event_loop import POLLERS_MAX, Loop, LoopPoller
from traction.worker.executors import create_workers
from traction.worker.process_pool import PerProcess, ProcessPool
from traction_local.plugin import open_local


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPool]:
    pool = ProcessPool(Act, crew.obey)
    yield pool
    pool.close()


def play(stage: Stage, pool: ProcessPool, what: Any) -> Any:
    """Let one task be done in a process; give the execution."""
    handle = stage.start(CallAct(what), workflow_id=f"play {what!r:.40}".replace("/", " "))
    take_turns(stage.decider(CallAct), stage.worker(Act, crew.obey, body=pool.run))
    return handle


def read_end(handle: Any) -> Any:
    (failed,) = find_events(handle, e.ActivityTaskFailed)
    return read_failure(failed.reason, failed.details)


# Processes.


def test_a_body_runs_in_another_process_and_its_result_is_the_task_s(stage: Stage) -> None:
    pool = ProcessPool(Act, crew.tell_process, ready=1)
    try:
        (process,) = multiprocessing.active_children() if not pool._idle else [pool._idle[0].process]
        assert play(stage, pool, None).result(0) == process.pid != os.getpid()
    finally:
        pool.close()


def test_a_process_does_one_task_after_another(stage: Stage, pool: ProcessPool) -> None:
    assert [play(stage, pool, n).result(0) for n in range(3)] == [0, 1, 2]
    assert len(pool._all) == 1


@pytest.mark.parametrize(("what", "reason"), [("exit", "with exit code 3"), ("kill", "by SIGKILL")])
def test_a_process_that_dies_fails_its_task_with_the_exit_code(
    stage: Stage, pool: ProcessPool, what: str, reason: str
) -> None:
    failure = read_end(play(stage, pool, what))
    assert failure.type == "traction.errors.ProcessDied"
    assert f"the process that ran Act ended before the activity did, {reason}" in failure.message
    assert play(stage, pool, "next").result(0) == "next"


def test_exit_codes_are_described() -> None:
    assert [describe_exit(code) for code in (None, 0, 3, -11, -250)] == [
        "with an unknown exit code",
        "with exit code 0",
        "with exit code 3",
        "by SIGSEGV",
        "by signal 250",
    ]


@pytest.mark.parametrize(
    ("what", "type", "message"),
    [
        ("raise", "ValueError", "no such page"),
        ("refuse", "tests.support.activities.Refused", '{"why":"full"}'),
        ("leave", "SystemExit", "4"),
        ("lock", "TypeError", "cannot pickle"),
    ],
)
def test_an_exception_in_a_process_fails_its_task_with_its_traceback(
    stage: Stage, pool: ProcessPool, what: str, type: str, message: str
) -> None:
    failure = read_end(play(stage, pool, what))
    assert failure.type == type
    assert message in failure.message
    assert "Traceback" in failure.traceback


def test_the_signals_that_stop_a_worker_stop_no_body_in_a_process(stage: Stage, pool: ProcessPool) -> None:
    assert play(stage, pool, "stop").result(0) == "went on"


def test_a_body_in_a_process_has_its_task_and_heartbeats(stage: Stage, pool: ProcessPool) -> None:
    handle = play(stage, pool, "who")
    id, name, activity, attempt, token = handle.result(0)
    assert (id, name, activity, attempt) == (handle.workflow_id, "Act", "Act-1", 1)
    assert token
    assert play(stage, pool, "beat").result(0) is False
    (beat,) = [request for request in stage.backend.sent if isinstance(request, o.RecordActivityTaskHeartbeat)]
    assert beat.details == '{"page":1}'
    assert "2,048" in read_end(play(stage, pool, "long")).message


def test_the_heartbeat_of_a_cancelled_body_in_a_process_raises(stage: Stage, pool: ProcessPool, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    handle = stage.start(CallAct(["wait", str(tmp_path / "pipe")]), Act)
    take_turns(stage.decider(CallAct))
    working = threading.Thread(target=take_turns, args=(stage.worker(Act, crew.obey, body=pool.run),))
    working.start()
    # Opens when the body has opened its end.
    with open(tmp_path / "pipe", "w"):
        handle.terminate()
    working.join()
    assert stage.backend.asked[-2:] == ["RespondActivityTaskCanceled", "PollForActivityTask"]


def test_a_dependency_may_be_made_in_each_process(stage: Stage) -> None:
    pool = ProcessPool(Act, PerProcess(crew.make_obey))
    assert play(stage, pool, 7).result(0) == 7
    pool.close()


def test_a_dependency_that_cannot_be_made_leaves_the_task_to_be_done_again(stage: Stage) -> None:
    pool = ProcessPool(Act, PerProcess(crew.make_nothing))
    handle = play(stage, pool, 7)
    (failed,) = find_events(handle, e.ActivityTaskFailed)
    assert (failed.reason, handle.status()) == (UNREADABLE, "OPEN")
    assert "no database" in failed.details
    pool.close()


def test_what_cannot_be_sent_to_a_process_is_refused_when_its_worker_is_started(stage: Stage) -> None:
    @activity
    def local() -> int:
        return 1

    with pytest.raises(DefinitionError, match="Define it at the top of a module"):
        stage.system.start_activity_worker(local, executor="process")
    with pytest.raises(DefinitionError, match=r"Pass PerProcess\(make\)"):
        stage.system.start_activity_worker(Act, threading.Lock(), executor="process")


def test_an_async_body_runs_in_a_process_too(stage: Stage) -> None:
    pool = ProcessPool(ActAsync, crew.obey_async)
    handle = stage.start(CallActAsync("quick"))
    take_turns(stage.decider(CallActAsync), stage.worker(ActAsync, crew.obey_async, body=pool.run))
    assert handle.result(0) != os.getpid()
    pool.close()


def test_a_pool_that_is_closed_leaves_no_process(stage: Stage) -> None:
    pool = ProcessPool(Act, crew.obey, ready=2)
    processes = [one.process for one in pool._all]
    assert len(processes) == 2
    play(stage, pool, 7)
    pool.close()
    assert not set(processes) & set(multiprocessing.active_children())


# One loop for many.


def test_as_many_async_tasks_run_at_a_time_as_there_are_slots_and_no_more() -> None:
    running, most, met = 0, 0, asyncio.Event()

    async def act(_: Any) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 6:
            met.set()
        await met.wait()
        running -= 1
        return most

    class CallAll(Workflow[list[Any]]):
        async def flow(self) -> list[Any]:
            from traction import all_of

            return await all_of([ActAsync(n) for n in range(20)])

    before = set(threading.enumerate())
    with WorkerSystem() as system:
        system.start_workflow_worker(CallAll)
        system.start_activity_worker(ActAsync, act, instances=6, executor="async")
        assert max(system.run(CallAll(), timeout=60)) == 6
    assert set(threading.enumerate()) - before == set()


class Go(Signal):
    pass


class End(Signal):
    pass


def test_an_async_activity_whose_heartbeat_raised_is_not_cancelled_again(stage: Stage) -> None:
    cleaned: list[bool] = []

    async def act(_: Any) -> None:
        handle.terminate()
        with pytest.raises(Cancelled):
            heartbeat()
        for _ in range(3):
            await asyncio.sleep(0)
        cleaned.append(True)

    handle = stage.start(CallActAsync(), ActAsync)
    worker = stage.worker(ActAsync, act)
    take_turns(stage.decider(CallActAsync), worker)
    worker.close()
    assert cleaned == [True]


@pytest.mark.parametrize("executor", ["thread", "async"])
def test_a_cancelled_async_activity_is_cancelled_at_its_await(executor: Any) -> None:
    began, cleaned = threading.Event(), threading.Event()

    class Wait(Activity[None, int], heartbeat=1):
        async def run(self) -> int:
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                assert current_task().cancelled
                await asyncio.sleep(0)
                cleaned.set()
            return 0

    class Impatient(Workflow[str]):
        async def flow(self) -> str:
            await first_of(Wait(), receive(Go))
            await receive(End)
            return "x"

    backend = LossyBackend(open_local())
    with WorkerSystem(backend=backend) as system:
        system.start_workflow_worker(Impatient)
        system.start_activity_worker(Wait, executor=executor)
        handle = system.start(Impatient())
        assert began.wait(60)
        for signal in ("Go", "End"):
            system.backend.call(
                o.SignalWorkflowExecution(
                    domain=system.backend.domain, workflow_id=handle.workflow_id, signal_name=signal, input="{}"
                )
            )
            assert cleaned.wait(60)
        assert handle.result(60) == "x"
    # After the close, which waits for the answer: the flow ends without it.
    assert backend.asked.count("RespondActivityTaskCanceled") == 1


def test_whatever_an_async_activity_raises_the_loop_goes_on() -> None:
    raised: list[BaseException] = [SystemExit(3), KeyboardInterrupt(), ValueError("no")]

    async def act(_: Any) -> int:
        await asyncio.sleep(0)
        if raised:
            raise raised.pop()
        return 7

    with WorkerSystem() as system:
        system.start_workflow_worker(CallActAsync)
        system.start_activity_worker(ActAsync, act, executor="async")
        for expected in ("ValueError", "KeyboardInterrupt", "SystemExit"):
            with pytest.raises(WorkflowFailed, match=expected):
                system.run(CallActAsync(), timeout=60)
        assert system.run(CallActAsync(), timeout=60) == 7


def test_an_answer_from_the_loop_that_is_lost_is_sent_again() -> None:
    async def act(_: Any) -> int:
        return 7

    with open_stage() as stage:
        stage.backend.lose_replies.append(o.RespondActivityTaskCompleted)
        handle = stage.start(CallActAsync(), ActAsync)
        stage.system.start_workflow_worker(CallActAsync)
        stage.system.start_activity_worker(ActAsync, act, executor="async")
        assert handle.result(60) == 7
    assert stage.backend.asked.count("RespondActivityTaskCompleted") == 2


async def give(what: Any) -> Any:
    for _ in range(1_000):  # turns of the loop, which ends when the last of its activities has
        await asyncio.sleep(0)
    return what


def test_a_loop_has_fewer_pollers_than_slots(stage: Stage) -> None:
    workers, _ = create_workers(
        stage.worker, ActAsync, give, executor="async", instances=2 * POLLERS_MAX, leaving=lambda: False
    )
    for worker in workers:
        worker.close()
    assert len(workers) == POLLERS_MAX


def test_a_response_that_is_lost_is_sent_before_the_last_poller_ends(stage: Stage) -> None:
    poller = LoopPoller(Loop(1), stage.worker(ActAsync, give), lambda: False)
    decider = stage.decider(CallActAsync)
    handle = stage.start(CallActAsync(7))
    take_turns(decider)
    stage.backend.lose_requests.append(o.RespondActivityTaskCompleted)
    assert poller.work_once(NOW)
    poller.close()
    take_turns(decider)
    assert handle.result(0) == 7


def test_a_poller_whose_worker_is_leaving_takes_no_more_tasks(stage: Stage) -> None:
    poller = LoopPoller(Loop(1), stage.worker(ActAsync, give), lambda: True)
    handle = stage.start(CallActAsync(7))
    take_turns(stage.decider(CallActAsync))
    assert not poller.work_once(NOW)
    poller.close()
    assert find_events(handle, e.ActivityTaskStarted) == []


def test_an_activity_that_is_not_async_is_refused_on_a_loop_and_one_that_is_is_known(stage: Stage) -> None:
    @activity
    def plain() -> int:
        return 1

    @activity
    async def later() -> int:
        return 1

    made: list[Any] = [Act, ActAsync, plain, later]
    assert [one.spec.is_async for one in made] == [False, True, False, True]
    with pytest.raises(DefinitionError, match="Write async def"):
        stage.system.start_activity_worker(plain, executor="async")
    with pytest.raises(DefinitionError, match="executor='fork' is not one of"):
        stage.system.start_activity_worker(plain, executor="fork")  # type: ignore[call-overload]


# All together.


@activity
def triple(n: int) -> int:
    heartbeat(n)
    return 3 * n


@activity
async def triple_async(n: int) -> int:
    await asyncio.sleep(0)
    heartbeat(n)
    return 3 * n


@workflow
async def both(n: int) -> int:
    return await triple(n) + await triple_async(n)


@pytest.mark.parametrize(("one", "other"), [("thread", "async"), ("process", "thread"), ("process", "process")])
def test_a_workflow_has_the_same_result_whatever_runs_its_activities(one: Any, other: Any) -> None:
    before = set(threading.enumerate())
    with WorkerSystem() as system:
        system.start_workflow_worker(both)
        system.start_activity_worker(triple, executor=one)
        system.start_activity_worker(triple_async, executor=other)
        assert [system.run(both(n), timeout=60) for n in range(4)] == [0, 6, 12, 18]
    assert set(threading.enumerate()) - before == set()
    assert [process for process in multiprocessing.active_children() if "triple" in process.name] == []


# By token.


@pytest.mark.parametrize("place", ["thread", "process"])
def test_a_task_may_be_answered_by_its_token_from_another_system(stage: Stage, pool: ProcessPool, place: str) -> None:
    tokens: list[str] = []

    def act(_: Any) -> Any:
        tokens.append(current_task().token)
        return COMPLETE_LATER

    decider = stage.decider(CallAct)
    body = pool.run if place == "process" else None
    handle = stage.start(CallAct("later"), Act)
    take_turns(decider)
    worker = stage.worker(Act, act, body=body)
    task = worker.poll_once()
    assert task is not None
    assert worker.do(task) is None
    other = WorkerSystem(backend=stage.backend)
    other.heartbeat(task.task_token, "half")
    other.complete(task.task_token, {"yes": True})
    take_turns(decider)
    assert handle.result(0) == {"yes": True}
    assert tokens == ([task.task_token] if place == "thread" else [])
    with pytest.raises(UnknownResourceFault):
        other.complete(task.task_token, 7)
    with pytest.raises(Cancelled):
        other.heartbeat(task.task_token)


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (LookupError("no one"), e.ActivityTaskFailed),
        (crew.Refused("full"), e.ActivityTaskFailed),
        (Cancelled(), e.ActivityTaskCanceled),
    ],
)
def test_a_task_may_be_failed_by_its_token(stage: Stage, error: BaseException, event: type) -> None:
    tokens: list[str] = []

    def act(_: Any) -> Any:
        tokens.append(current_task().token)
        return COMPLETE_LATER

    handle = stage.start(CallAct())
    take_turns(stage.decider(CallAct), stage.worker(Act, act))
    assert handle.status() == "OPEN"
    stage.system.fail(tokens[0], error)
    assert len(find_events(handle, event)) == 1


@pytest.mark.parametrize("lost", ["lose_requests", "lose_replies"])
def test_a_response_by_token_that_is_lost_is_sent_again(stage: Stage, lost: str) -> None:
    tokens: list[str] = []

    def act(_: Any) -> Any:
        tokens.append(current_task().token)
        return COMPLETE_LATER

    decider = stage.decider(CallAct)
    handle = stage.start(CallAct())
    take_turns(decider, stage.worker(Act, act))
    getattr(stage.backend, lost).append(o.RespondActivityTaskCompleted)
    stage.system._stop.set()  # pauses pass at once
    stage.system.complete(tokens[0], 7)
    take_turns(decider)
    assert handle.result(0) == 7


def test_an_answer_by_token_that_never_arrives_is_an_error(stage: Stage) -> None:
    stage.system._stop.set()
    stage.backend.lose_requests += [o.RespondActivityTaskCompleted] * 5
    with pytest.raises(ConnectionLost):
        stage.system.complete("token", 7)
