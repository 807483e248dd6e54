"""What happens to the children of a flow when their await, or their parent, is cancelled."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.support.profile import pick
from traction import (
    Cancelled,
    ExecutionInfo,
    Retry,
    Signal,
    Step,
    Workflow,
    activity,
    all_of,
    cancel_scope,
    continue_as_new,
    days,
    each,
    every,
    execution_info,
    fail_after,
    first_of,
    hours,
    move_on_after,
    now,
    receive,
    saga,
    shield,
    sleep,
    start_child,
    step,
    workflow,
)
from traction.errors import ChildFailed, SignalFailed
from traction.model import events as e
from traction.testing import explore, simulate, simulate_all, takes
from traction_local.simulation.determinism import UnsoundFlowError

refunds: list[str] = []


@pytest.fixture(autouse=True)
def no_refunds() -> None:
    refunds.clear()


@activity
def charge() -> str:
    return "receipt 1"


@activity
def refund(receipt: str) -> None:
    refunds.append(receipt)


def refund_slowly(call: Any) -> None:
    refunds.append(call.receipt)


class Till:
    """Counts what was charged and refunded."""

    def __init__(self) -> None:
        self.charged = self.refunded = 0
        self.stubs = {charge: self.charge, refund: self.refund}

    def charge(self, _: object) -> str:
        self.charged += 1
        return "receipt 1"

    def refund(self, _: object) -> None:
        self.refunded += 1


SLOW = {refund: takes(100, then=refund_slowly)}
"""A refund takes longer than the pause before a retry."""


@step
async def pay_and_wait() -> None:
    await charge().compensate(refund)
    await sleep(days(30))


@workflow
async def checkout() -> None:
    await saga(pay_and_wait())


@workflow
async def order() -> None:
    await checkout()


@workflow
async def customer() -> None:
    await order()


@step
async def fail_after_a_minute() -> None:
    await sleep(60)
    raise ValueError("no")


@step
async def in_move_on_after() -> None:
    async with move_on_after(60):
        await checkout()


@step
async def in_fail_after() -> None:
    async with fail_after(60):
        await checkout()


@step
async def in_cancel_scope() -> None:
    async with cancel_scope() as scope:
        await (checkout() & sleep(60).flat_map(lambda _: scope.cancel()))


CANCELLING: dict[str, Callable[[], Step[Any]]] = {
    "timeout": lambda: checkout().timeout(60),
    "move_on_after": in_move_on_after,
    "fail_after": in_fail_after,
    "cancel_scope": in_cancel_scope,
    "a failed sibling": lambda: checkout() & fail_after_a_minute(),
    "a failed sibling in all_of": lambda: all_of([checkout(), fail_after_a_minute()]),
    "a failed sibling in each": lambda: each(lambda n: fail_after_a_minute() if n else checkout(), [0, 1]),
    "a lost race": lambda: checkout() | sleep(60),
    "a lost race of first_of": lambda: first_of(sleep(60), order()),
    "a timeout around a grandchild": lambda: customer().timeout(60),
    "a timeout around a group": lambda: all_of(order(), sleep(1)).timeout(60),
}


@workflow
async def cancels_in_flow(how: str) -> None:
    await CANCELLING[how]().attempt()


@pytest.mark.parametrize("how", CANCELLING)
def test_a_child_undoes_its_saga_before_its_cancelled_await_ends(how: str) -> None:
    run = simulate(cancels_in_flow(how), stub=SLOW)
    assert refunds == ["receipt 1"]
    assert run.elapsed == timedelta(seconds=160)


@pytest.mark.parametrize("call", [checkout(), order(), customer()])
def test_a_cancel_request_from_outside_reaches_children_before_their_parent_closes(call: Any) -> None:
    run = simulate(call, cancels=[60], stub=SLOW)
    assert refunds == ["receipt 1"]
    assert str(run.error).endswith("was cancelled")
    assert run.elapsed == timedelta(seconds=160)


@workflow
async def order_again_and_again() -> None:
    await checkout().timeout(10).retry(Retry(attempts=3, backoff=1))


def test_a_retry_of_a_timed_out_child_starts_after_the_child_has_closed() -> None:
    run = simulate(order_again_and_again(), stub=SLOW)
    assert refunds == ["receipt 1"] * 3
    assert "StepTimedOut" in str(run.error)


@workflow
async def order_named() -> None:
    call = checkout().options(workflow_id="checkout-7")  # type: ignore[attr-defined]
    await call.timeout(10).retry(Retry(attempts=2, backoff=1)).attempt()


def test_a_retry_of_a_timed_out_child_may_use_the_same_workflow_id() -> None:
    run = simulate(order_named(), stub=SLOW)
    assert run.error is None
    assert refunds == ["receipt 1"] * 2


@step
async def pay_wait_and_fail() -> None:
    await pay_and_wait()
    raise ValueError("out of stock")


@workflow
async def failing_checkout() -> None:
    await saga(pay_wait_and_fail())


@workflow
async def failing_order() -> None:
    await failing_checkout()


def test_a_cancelled_child_undoes_its_saga_under_every_schedule() -> None:
    @explore(failing_order(), cancels=[None], world=Till, stub=lambda till: till.stubs, deviations=pick(1, 2))
    def what_was_charged_is_refunded(run: Any) -> None:
        assert run.world.charged == run.world.refunded

    what_was_charged_is_refunded()


class Orders(Workflow[None]):
    since: Any = None

    async def flow(self) -> None:
        await every(hours(1), lambda _: checkout(), again=Orders, since=self.since, overlap="cancel")


def test_recurring_work_that_is_cancelled_for_the_next_time_is_undone_first() -> None:
    simulate(Orders(), cancels=[hours(2.5)], stub=SLOW)
    assert refunds == ["receipt 1"] * 2


# Other policies.


@workflow
async def order_and_go_on(cancellation: str) -> timedelta:
    began = await now()
    call = checkout().options(cancellation=cancellation)  # type: ignore[attr-defined]
    await call.timeout(60).attempt()
    lasted = await now() - began
    await sleep(hours(1))
    return lasted


@pytest.mark.parametrize(("cancellation", "lasted", "undone"), [("wait", 160, 1), ("request", 60, 1)])
def test_the_option_cancellation_sets_whether_an_await_ends_before_the_child(
    cancellation: str, lasted: int, undone: int
) -> None:
    run = simulate(order_and_go_on(cancellation), stub=SLOW)
    assert run.result == timedelta(seconds=lasted)
    assert len(refunds) == undone


def test_an_abandoned_child_goes_on_until_its_parent_closes() -> None:
    with pytest.raises(UnsoundFlowError, match="in the middle of a saga"):
        simulate(order_and_go_on("abandon"), stub=SLOW)
    assert not refunds


# What is cut off.


@workflow
async def order_requesting() -> None:
    await checkout().options(cancellation="request")  # type: ignore[attr-defined]


@workflow(child_policy="REQUEST_CANCEL")
async def order_requesting_by_policy() -> None:
    await checkout().options(cancellation="request")  # type: ignore[attr-defined]


@workflow
async def order_beside() -> None:
    await start_child(checkout())
    await sleep(60)


@activity
def unlock() -> None: ...


@workflow
async def locked() -> None:
    try:
        await sleep(days(1))
    finally:
        await shield(unlock())


@workflow
async def lock_and_leave() -> None:
    child = await start_child(locked())
    await sleep(60)
    await child.cancel()


@pytest.mark.parametrize(
    ("call", "cancels", "says"),
    [
        (order_requesting(), [60], "in the middle of a saga"),
        (order_beside(), [], "in the middle of a saga"),
        (lock_and_leave(), [], "before it had cancelled"),
    ],
)
def test_a_child_terminated_while_it_has_something_to_undo_is_reported(call: Any, cancels: Any, says: str) -> None:
    with pytest.raises(UnsoundFlowError, match=says) as caught:
        simulate(call, cancels=cancels)
    assert "child_policy" in str(caught.value)


def test_a_child_terminated_with_nothing_to_undo_is_not_reported() -> None:
    simulate(lock_and_leave_at_once())


@workflow
async def lock_and_leave_at_once() -> None:
    await start_child(locked())
    await sleep(60)


def test_a_child_that_outlives_its_parent_is_not_reported() -> None:
    run = simulate(order_requesting_by_policy(), cancels=[60])
    assert str(run.error).endswith("was cancelled")


# Ids.


@workflow
async def kid(n: int) -> int:
    return n


@workflow
async def twice() -> list[int]:
    return await all_of([kid(1), kid(1)])


@workflow
async def parent(n: int) -> int:
    return await kid(1) + n


@workflow
async def down(n: int) -> int:
    return 1 if n == 0 else sum(await all_of([down(n - 1), down(n - 1)]))


@workflow
async def generations(left: int) -> int:
    child = await start_child(kid(1).options(child_policy="ABANDON"))  # type: ignore[attr-defined]
    if left:
        await continue_as_new(generations(left - 1))
    return await child.result()  # type: ignore[no-any-return]


def test_children_of_the_same_input_may_be_open_at_one_time() -> None:
    assert simulate(twice()).result == [1, 1]
    assert [run.result for run in simulate_all([parent(1), parent(2)])] == [2, 3]
    assert simulate(down(3)).result == 8
    assert simulate(generations(3)).result == 1


def test_the_default_id_of_a_child_is_its_step_and_the_run_of_its_parent() -> None:
    run = simulate(twice())
    ids = [event.workflow_id for event in run.history if isinstance(event, e.StartChildWorkflowExecutionInitiated)]
    steps, runs = zip(*(id.split("@") for id in ids), strict=True)
    assert steps == ("1.0.kid-1", "1.1.kid-1")
    assert len(set(runs)) == 1
    assert all(len(id) <= 256 and not re.search(r"[:/|]", id) for id in ids)


class Named(Workflow[str]):
    n: int

    def workflow_id(self) -> str:
        return f"named-{self.n}"

    async def flow(self) -> str:
        return "done"


@workflow
async def ids_of_children() -> list[str]:
    named = await start_child(Named(7))
    plain = await start_child(kid(7))
    given = await start_child(kid(7).options(workflow_id="kid-7"))  # type: ignore[attr-defined]
    return [named.workflow_id, plain.workflow_id.partition("@")[0], given.workflow_id]


def test_a_child_handle_has_the_id_of_its_execution() -> None:
    assert simulate(ids_of_children()).result == ["named-7", "start_child-2", "kid-7"]


# Children that have closed, or have continued as new.


class Stop(Signal):
    pass


@workflow
async def cancels_what_has_closed() -> str:
    child = await start_child(kid(1))
    await sleep(60)
    await child.cancel()
    try:
        await child.send(Stop())
    except SignalFailed as error:
        return error.cause
    return "delivered"


def test_cancelling_a_closed_child_does_nothing_and_signalling_it_fails() -> None:
    assert simulate(cancels_what_has_closed()).result == "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION"


@workflow
async def goes_on(left: int) -> str:
    if left:
        await continue_as_new(goes_on(left - 1))
    try:
        await receive(Stop)
    except Cancelled:
        await charge()
        raise
    return "stopped"


@workflow
async def ends_a_child_that_went_on(how: str) -> str:
    if how == "timeout":
        return type((await goes_on(2).timeout(60).attempt()).error).__name__  # type: ignore[union-attr]
    child = await start_child(goes_on(2))
    await sleep(60)
    await (child.cancel() if how == "cancel" else child.send(Stop()))
    try:
        return await child.result()  # type: ignore[no-any-return]
    except ChildFailed as error:
        return error.status


@pytest.mark.parametrize(("how", "result"), [("timeout", "StepTimedOut"), ("cancel", "CANCELED"), ("send", "stopped")])
def test_a_child_that_continued_as_new_can_be_cancelled_and_signalled(how: str, result: str) -> None:
    assert simulate(ends_a_child_that_went_on(how)).result == result


# Who an execution is.


@workflow(version="2", tags=("kids",))
async def introduces_itself(left: int = 0) -> list[ExecutionInfo]:
    me = await execution_info()
    if left:
        await continue_as_new(introduces_itself(left - 1))
    return [me]


@workflow
async def introduces_a_child(left: int = 0) -> list[ExecutionInfo]:
    return [await execution_info(), *await introduces_itself(left)]


def test_a_flow_knows_its_ids_type_tags_and_parent_and_asks_nothing_for_them() -> None:
    run = simulate(introduces_itself())
    (me,) = run.result
    assert me.execution == run.execution
    assert (me.name, me.version, me.tags, me.parent, me.continued_from) == (
        "introduces_itself",
        "2",
        ("kids",),
        None,
        None,
    )
    assert len(run.history) == 5
    parent, child = simulate(introduces_a_child()).result
    assert child.parent == parent.execution
    assert child.workflow_id.endswith(parent.run_id.translate(str.maketrans("/+", "_-")))


def test_a_flow_that_continues_a_run_knows_which_and_keeps_its_parent() -> None:
    parent, last = simulate(introduces_a_child(2)).result
    assert last.parent == parent.execution
    assert last.continued_from not in (None, last.run_id)
