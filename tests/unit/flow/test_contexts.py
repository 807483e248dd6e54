"""Context variables of flows, their branches and activities, and what flows log outside of their turns."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Iterator
from decimal import Decimal, localcontext
from typing import Any

import pytest

from traction import (
    Signal,
    WorkerSystem,
    activity,
    continue_as_new,
    done,
    each,
    fail,
    get_logger,
    move_on_after,
    receive,
    set_state,
    sleep,
    step,
    workflow,
)
from traction.replay import replay
from traction.testing import simulate

tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")
log = get_logger("shop.flow")


class Go(Signal): ...


@activity
def act(n: int) -> int:
    return n


@activity
def mark(name: str) -> str:
    before = tenant.get()
    tenant.set(name)
    return before


@activity
async def mark_async(name: str) -> str:
    before = tenant.get()
    tenant.set(name)
    return before


@workflow
async def third(rough: bool) -> Decimal:
    if rough:
        with localcontext() as context:
            context.prec = 4
            await receive(Go)
    return Decimal(1) / Decimal(3)


@workflow
async def bound(who: str) -> str:
    for number in range(3):
        token = tenant.set(who)
        try:
            await act(number)
        finally:
            tenant.reset(token)
    return tenant.get()


@workflow
async def branches() -> list[str]:
    tenant.set("flow")

    @step
    async def branch(name: str) -> str:
        before = tenant.get()
        tenant.set(name)
        await sleep(1)
        return f"{before}>{tenant.get()}"

    results = await each(branch, ["a", "b", "c"], limit=2)
    async with move_on_after(5):
        tenant.set("scope")
    return [*results, tenant.get()]


@workflow
async def callbacks() -> list[str]:
    tenant.set("mine")
    mapped = await act(1).map(lambda _: tenant.get())
    bound = await act(1).flat_map(lambda _: done(tenant.get()))
    recovered = await fail(ValueError()).recover(ValueError, lambda _: done(tenant.get()))
    return [mapped, bound, recovered]


@workflow
async def marks() -> list[str]:
    return [await mark("a"), await mark("b"), await mark_async("c"), await mark_async("d")]


@workflow
async def local_marks() -> list[str]:
    return [await mark("a").locally(), await mark("b").locally(), await mark_async("c").locally()]


@workflow
async def hold() -> None:
    log.info("lock taken")
    try:
        await set_state("waiting")
        await receive(Go)
    finally:
        log.info("lock released")


@workflow
async def broken(n: int) -> int:
    await act(n)
    raise ValueError(f"no {n}")


@workflow
async def again(n: int) -> int:
    return n if n == 0 else await continue_as_new(again(n - 1))


@pytest.fixture
def shop(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, "shop"):
        yield caplog


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("shop")]


def test_two_executions_do_not_share_a_decimal_context() -> None:
    with WorkerSystem("local:") as ws:
        ws.start_workflow_worker(third)
        first = ws.run(third(False), workflow_id="1")
        rough = ws.start(third(True), workflow_id="2")
        while len(rough.history()) < 4:
            pass
        assert ws.run(third(False), workflow_id="3") == first


def test_a_flow_does_not_see_the_context_of_who_decides() -> None:
    token = tenant.set("the caller")
    assert simulate(bound("ann")).result == "nobody"
    tenant.reset(token)
    with WorkerSystem("local:") as ws:
        ws.start_workflow_worker(bound, instances=3)
        ws.start_activity_worker(act, instances=3)
        handles = [ws.start(bound(who)) for who in ("ann", "bob", "cid")]
        assert [handle.result() for handle in handles] == ["nobody"] * 3


def test_a_branch_starts_with_a_copy_of_the_context_at_the_fork() -> None:
    assert simulate(branches()).result == ["flow>a", "flow>b", "flow>c", "scope"]


def test_functions_given_to_steps_run_in_the_context_of_their_fiber() -> None:
    assert simulate(callbacks()).result == ["mine"] * 3


@pytest.mark.parametrize("flow", [marks(), local_marks()])
def test_an_activity_does_not_see_what_the_one_before_set(flow: Any) -> None:
    assert set(simulate(flow).result) == {"nobody"}
    with WorkerSystem("local:") as ws:
        ws.start_workflow_worker(marks, local_marks)
        ws.start_activity_worker(mark)
        ws.start_activity_worker(mark_async)
        assert set(ws.run(flow)) == {"nobody"}


def test_activities_in_a_process_do_not_share_a_context() -> None:
    with WorkerSystem("local:") as ws:
        ws.start_workflow_worker(marks)
        ws.start_activity_worker(mark, executor="process")
        ws.start_activity_worker(mark_async, executor="async")
        assert set(ws.run(marks())) == {"nobody"}


def test_a_flow_that_is_queried_replayed_or_evicted_logs_nothing(shop: pytest.LogCaptureFixture) -> None:
    with WorkerSystem("local:") as ws:
        ws.start_workflow_worker(hold)
        handle = ws.start(hold(), workflow_id="one")
        while handle.state(str) != "waiting":
            pass
        replay(handle.history(), hold)
    assert messages(shop) == ["lock taken"]


def test_a_simulation_logs_each_line_once(shop: pytest.LogCaptureFixture) -> None:
    simulate(hold(), signals=[Go()])
    assert messages(shop) == ["lock taken", "lock released"]


def test_records_carry_their_fields_wherever_they_are_made(shop: pytest.LogCaptureFixture) -> None:
    @activity
    def talk() -> None:
        log.info("from an activity")

    @workflow
    async def talks() -> None:
        await talk()
        await talk().locally()
        log.info("from a flow", extra={"cents": 5})

    run = simulate(talks())
    log.info("from outside")
    shown = logging.Formatter("%(workflow_id)s %(run_id)s: %(message)s")
    whose = f"{run.execution.workflow_id} {run.execution.run_id}"
    assert [shown.format(record) for record in shop.records if record.name == "shop.flow"] == [
        f"{whose}: from an activity",
        f"{whose}: from an activity",
        f"{whose}: from a flow",
        "- -: from outside",
    ]


def test_what_fails_an_execution_is_logged_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with WorkerSystem("local:") as ws:
        ws.start_workflow_worker(broken, again)
        ws.start_activity_worker(act)
        handle = ws.start(broken(3), workflow_id="broken-3")
        with pytest.raises(Exception, match="no 3"):
            handle.result()
        handle.history()
        ws.run(again(1))
        hold_id = ws.start(broken(4), workflow_id="broken-4")
        with pytest.raises(Exception, match="no 4"):
            hold_id.result()
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in errors] == [
        "broken-3 failed: its flow raised ValueError",
        "broken-4 failed: its flow raised ValueError",
    ]
    assert errors[0].exc_info is not None
    assert errors[0].exc_text is None or "no 3" in errors[0].exc_text
    assert vars(errors[0])["workflow_id"] == "broken-3"


def test_a_simulated_failure_is_logged_below_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "traction.worker"):
        assert simulate(broken(3)).error is not None
    records = [record for record in caplog.records if "its flow raised" in record.getMessage()]
    assert [(record.levelno, record.exc_info is not None) for record in records] == [(logging.INFO, True)]


def test_a_cancelled_flow_is_not_logged_as_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "traction.worker"):
        simulate(hold(), cancels=[None])
        simulate(again(2))
    assert not [record for record in caplog.records if "its flow raised" in record.getMessage()]
