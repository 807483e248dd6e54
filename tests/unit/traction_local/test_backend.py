"""What the embedded backend does with those who wait: each task wakes one poll, the one that has waited longest."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from traction.errors import ThrottlingException
from traction.model.decisions import StartTimer
from traction.model.limits import Bucket, Limits
from traction.model.names import TaskList, WorkflowExecution, WorkflowType
from traction.model.operations import (
    PollForDecisionTask,
    RegisterDomain,
    RegisterWorkflowType,
    RespondDecisionTaskCompleted,
    StartWorkflowExecution,
    TerminateWorkflowExecution,
)
from traction_local import backend as module
from traction_local.backend import DOMAIN, LocalBackend, Waiter
from traction_local.service.service import Service
from traction_local.virtual_clock import FastClock, VirtualClock

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
POLL = PollForDecisionTask(domain=DOMAIN, task_list=TaskList("L"))


def open_backend(**given: Any) -> LocalBackend:
    limits = given.setdefault("limits", Limits())
    backend = LocalBackend(Service(limits=limits), **({"clock": VirtualClock(NOON), "pace": 0} | given))
    backend.call(RegisterDomain(name=DOMAIN, workflow_execution_retention_period_in_days="1"))
    backend.call(
        RegisterWorkflowType(
            domain=DOMAIN,
            name="trip",
            version="1",
            default_task_list=TaskList("L"),
            default_child_policy="TERMINATE",
            default_execution_start_to_close_timeout="3600",
            default_task_start_to_close_timeout="NONE",
        )
    )
    return backend


def start(backend: LocalBackend, id: str) -> WorkflowExecution:
    asked = StartWorkflowExecution(domain=DOMAIN, workflow_id=id, workflow_type=WorkflowType("trip", "1"))
    run_id = backend.call(asked).run_id
    assert run_id is not None
    return WorkflowExecution(id, run_id)


def wait(backend: LocalBackend, name: str, woken: list[str]) -> Waiter:
    waiter = backend.ask(POLL, lambda: woken.append(name))
    assert isinstance(waiter, Waiter)
    return waiter


def test_each_task_wakes_the_poll_that_has_waited_longest_and_no_other() -> None:
    backend, woken = open_backend(), list[str]()
    waiters = [wait(backend, name, woken) for name in "abc"]
    start(backend, "w1")
    assert woken == ["a"]
    start(backend, "w2")
    assert woken == ["a", "b"]
    assert [waiter.get_answer().workflow_execution.workflow_id for waiter in waiters] == ["w1", "w2", ""]
    backend.close()
    assert woken == ["a", "b", "c"]


def test_a_poll_that_was_withdrawn_is_given_nothing() -> None:
    backend, woken = open_backend(), list[str]()
    first, second = wait(backend, "a", woken), wait(backend, "b", woken)
    backend.withdraw(first)
    start(backend, "w")
    backend.withdraw(second)
    assert woken == ["b"]
    assert (first.get_answer().task_token, second.get_answer().workflow_execution.workflow_id) == ("", "w")
    backend.close()


def test_after_the_close_a_poll_is_answered_at_once() -> None:
    backend = open_backend()
    backend.close()
    began = time.monotonic()
    assert backend.call(POLL, timedelta(seconds=30)).task_token == ""
    start(backend, "w")
    assert backend.call(POLL, timedelta(seconds=30)).task_token != ""
    assert time.monotonic() - began < 10


def test_a_poll_that_waits_leaves_nothing_behind_when_its_time_is_up() -> None:
    backend = open_backend()
    assert backend.call(POLL, timedelta(milliseconds=1)).task_token == ""
    execution = start(backend, "w")
    assert backend.call(POLL, timedelta(milliseconds=1)).workflow_execution == execution
    assert backend.wait_until_closed(execution, timedelta(milliseconds=1)) is False
    assert (any(backend._waiters.values()), backend._watchers) == (False, {})
    backend.call(TerminateWorkflowExecution(domain=DOMAIN, workflow_id="w"))
    assert backend.wait_until_closed(execution, timedelta(0)) is True
    backend.close()


def test_a_poll_refused_at_its_task_raises_and_so_does_the_next() -> None:
    limits = Limits(throttling=True, api_buckets=(Bucket("PollForDecisionTask", 2, 1),))
    backend, woken = open_backend(limits=limits), list[str]()
    waiters = [wait(backend, name, woken) for name in "ab"]
    start(backend, "w")
    assert woken == ["a", "b"]
    for waiter in waiters:
        with pytest.raises(ThrottlingException):
            waiter.get_answer()
    backend.close()


def test_a_clock_that_is_set_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK", timedelta(milliseconds=10))
    looks = threading.Semaphore(0)

    class Watched(VirtualClock):
        def __call__(self) -> datetime:
            if threading.current_thread().name == "traction alarms":
                looks.release()
            return super().__call__()

    clock = Watched(NOON)
    backend, rung = open_backend(clock=clock, pace=1), threading.Event()
    start(backend, "w")
    task = backend.call(POLL)
    timer = StartTimer(timer_id="t", start_to_fire_timeout="600")
    backend.call(RespondDecisionTaskCompleted(task_token=task.task_token, decisions=(timer,)))
    assert isinstance(backend.ask(POLL, rung.set), Waiter)
    # The thread that fires the alarms has seen that none is due yet, and waits.
    assert all(looks.acquire(timeout=20) for _ in range(2))
    clock.time += timedelta(seconds=600)
    assert rung.wait(20)
    backend.close()


@pytest.mark.parametrize("pace", [100.0, 10_000.0])
def test_alarms_ring_at_the_pace_of_the_clock(pace: float) -> None:
    backend = open_backend(clock=FastClock(pace, NOON), pace=pace)
    start(backend, "w")
    soon = StartTimer(timer_id="soon", start_to_fire_timeout="30")
    late = StartTimer(timer_id="late", start_to_fire_timeout="3000")
    began = time.monotonic()
    for timers in ((late, soon), (soon,), (soon,)):
        task = backend.call(POLL, timedelta(seconds=25))
        backend.call(RespondDecisionTaskCompleted(task_token=task.task_token, decisions=timers))
    assert time.monotonic() - began < 10
    backend.close()
