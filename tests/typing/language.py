"""The types of signals, children, scopes, policies, sagas and effects, precise and without `Any`."""

# Steps are only type-checked here, so they are not awaited.
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

from datetime import datetime
from typing import Any, Never, assert_type

from traction import (
    CancelScope,
    ChildHandle,
    ExecutionInfo,
    Failure,
    Handle,
    Retry,
    Signal,
    Step,
    Success,
    WorkerSystem,
    Workflow,
    activity,
    cancel,
    cancel_scope,
    continue_as_new,
    days,
    execution_info,
    fail_after,
    history_length,
    invoke_lambda,
    minutes,
    move_on_after,
    patched,
    receive,
    run_deadline,
    saga,
    send,
    set_state,
    shield,
    side_effect,
    signals,
    sleep,
    start_child,
    workflow,
)
from traction.flow.step import Both
from traction.model.names import WorkflowExecution
from traction.runtime.activity_task import RunningTask


class Approve(Signal):
    by: str
    note: str = ""


class Reject(Signal, name="no"):
    why: str


class Wait(Signal, kw_only=True):
    days: int


@activity
def book(room: int) -> str:
    return str(room)


@activity
def cancel_room(booking: str) -> None: ...


@workflow
async def stay(nights: int) -> list[str]:
    return [await book(night) for night in range(nights)]


class Trip(Workflow[str]):
    city: str

    async def flow(self) -> str:
        return await book(1)


execution = WorkflowExecution("trip-1", "run-1")

# Signals.

assert_type(Approve("Ann"), Approve)
assert_type(Approve("Ann", note="soon").note, str)
assert_type(Wait(days=3).days, int)
assert_type(receive(Approve), Step[Approve])
assert_type(receive(Approve, Reject), Step[Approve | Reject])
assert_type(receive(Approve).map(lambda approval: approval.by), Step[str])
assert_type(receive(Approve) | sleep(days(30)), Step[Approve | None])
assert_type(receive(Approve) & receive(Reject), Both[Approve, Reject])
assert_type(send(execution, Approve("Ann")), Step[None])
assert_type(send("trip-1", Approve("Ann")), Step[None])
assert_type(cancel("trip-1"), Step[None])


async def await_signals() -> str:
    assert_type(await receive(Approve), Approve)
    async for approval in signals(Approve):
        assert_type(approval, Approve)
    match await receive(Approve, Reject):
        case Approve(by=by):
            return by
        case Reject(why=why):
            assert_type(why, str)
            return why


# Children.

assert_type(start_child(Trip("Rome")), Step[ChildHandle[str]])
assert_type(start_child(stay(2)), Step[ChildHandle[list[str]]])
assert_type(start_child(Trip("Rome").options(tags=("a",), child_policy="ABANDON")), Step[ChildHandle[str]])
told: Step[str] = Trip("Rome").options(workflow_id="rome", execution_start_to_close=days(1))
stayed: Step[list[str]] = stay(2).options(task_list="big")
booked: Step[str] = book(1).options(start_to_close=minutes(1), retry=Retry(attempts=2), priority=3, heartbeat=None)
assert_type(book(1).options(priority=3) & stay(2).options(priority=3), Both[str, list[str]])


async def await_children() -> None:
    child = await start_child(Trip("Rome"))
    assert_type(child, ChildHandle[str])
    assert_type(child.execution, WorkflowExecution)
    assert_type(child.result(), Step[str])
    assert_type(await child.result(), str)
    assert_type(child.send(Approve("Ann")), Step[None])
    assert_type(child.cancel(), Step[None])
    assert_type(await book(1).options(priority=3), str)
    assert_type(await Trip("Rome").options(priority=3), str)


# Policies, cancellation, sagas.

assert_type(book(1).retry(Retry(attempts=2, jitter=0.5, give_up_on=(ValueError, "Declined"))), Step[str])
assert_type(book(1).retry(Retry(retry_on=("Timeout",), deadline=days(1))).timeout(60), Step[str])
assert_type(book(1).timeout(minutes(1)).attempt(), Step[Success[str] | Failure])
assert_type(book(1).compensate(cancel_room), Step[str])
assert_type(book(1).compensate(lambda booking: cancel_room(booking)), Step[str])
assert_type(saga(book(1)), Step[str])
assert_type(saga(book(1) & stay(2)), Step[tuple[str, list[str]]])
assert_type(shield(book(1)), Step[str])
assert_type(shield(stay(2)), Step[list[str]])
assert_type(cancel_scope(), CancelScope)


async def await_scopes() -> str | None:
    text: str | None = None
    async with move_on_after(minutes(5)) as scope:
        assert_type(scope, CancelScope)
        text = await book(1)
    assert_type(scope.cancelled, bool)
    async with fail_after(minutes(5)), cancel_scope() as inner:
        assert_type(inner, CancelScope)
        assert_type(inner.cancel(), Step[None])
    return text


# Effects, and what is known of the run.

assert_type(side_effect(lambda: 7), Step[int])
assert_type(side_effect(list[str], list[str]), Step[list[str]])
assert_type(patched("greet"), Step[bool])
assert_type(book(7).locally(), Step[str])
assert_type(book(7).locally() & book(8), Both[str, str])
assert_type(set_state({"stage": 1}), Step[None])
assert_type(history_length(), Step[int])
assert_type(run_deadline(), Step[datetime])
assert_type(execution_info(), Step[ExecutionInfo])
assert_type(invoke_lambda("resize", {"width": 7}), Step[Any])
assert_type(invoke_lambda("resize", {"width": 7}, type=list[str], timeout=60), Step[list[str]])
assert_type(continue_as_new(Trip("Rome")), Step[Never])


async def await_effects() -> int:
    if await patched("greet"):
        assert_type(await side_effect(lambda: "text"), str)
    assert_type(await invoke_lambda("resize", type=int), int)
    if await history_length() > 10_000:
        await continue_as_new(stay(2))
    return await history_length()


# What an activity knows of its own task.


def look_back(task: RunningTask) -> None:
    assert_type(task.last_details(int), int | None)
    assert_type(task.last_details(list[str]), list[str] | None)
    assert_type(task.last_details(), Any)


# From outside.


def look(system: WorkerSystem, handle: Handle[str]) -> None:
    system.start_workflow_worker(stay, provide={book: 7})
    assert_type(handle.send(Approve("Ann")), None)
    assert_type(system.get_handle("order-7"), Handle[Any])
    assert_type(handle.state(Approve), Approve | None)
    assert_type(handle.state(list[str]), list[str] | None)
    assert_type(handle.state(), Any)
    assert_type(handle.published_state(int), int | None)
