"""What a start on Amazon SWF does whose workflow id is in use or was used; and what cancelling a parent does there."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.swf.conftest import MakeStage
from traction import Signal, activity, cancel, execution_info, receive, saga, step, workflow
from traction.client.system import WorkerSystem
from traction.errors import WorkflowAlreadyClosed, WorkflowAlreadyRunning, WorkflowCancelled


class Go(Signal):
    pass


@workflow
async def pay(cents: int) -> int:
    await receive(Go)
    return cents


def test_a_start_with_an_id_in_use_is_idempotent_for_the_same_call(make_stage: MakeStage) -> None:
    stage = make_stage(hold=timedelta(seconds=1))
    with WorkerSystem(stage.url()) as ws:
        ws.start_workflow_worker(pay)
        first = ws.start(pay(500), workflow_id="order-7")
        again = ws.start(pay(500), workflow_id="order-7")
        assert (again.execution, first.started, again.started) == (first.execution, True, False)
        with pytest.raises(WorkflowAlreadyRunning, match="differs in cents"):
            ws.start(pay(900), workflow_id="order-7")
        assert ws.start(pay(900), workflow_id="order-7", if_running="return").execution == first.execution
        first.send(Go())
        assert first.result(60) == 500
        assert not ws.start(pay(500), workflow_id="order-7", if_closed="match").started
        with pytest.raises(WorkflowAlreadyClosed, match="differs in cents"):
            ws.start(pay(900), workflow_id="order-7", if_closed="match")
        assert ws.start(pay(900), workflow_id="order-7").started


refunds: list[str] = []


class Paid(Signal):
    pass


@activity
def charge() -> str:
    return "receipt 1"


@activity
def refund(receipt: str) -> None:
    refunds.append(receipt)


@step
async def charge_and_wait() -> None:
    await charge().compensate(refund)
    parent = (await execution_info()).parent
    assert parent is not None
    await cancel(parent)
    await receive(Paid)


@workflow
async def checkout() -> None:
    await saga(charge_and_wait())


@workflow
async def order() -> None:
    await checkout()


def test_a_child_that_is_cancelled_with_its_parent_undoes_its_saga_first(make_stage: MakeStage) -> None:
    refunds.clear()
    stage = make_stage(hold=timedelta(seconds=1))
    with WorkerSystem(stage.url()) as ws:
        ws.start_workflow_worker(order, checkout)
        ws.start_activity_worker(charge)
        ws.start_activity_worker(refund)
        with pytest.raises(WorkflowCancelled):
            ws.run(order(), timeout=60)
        assert refunds == ["receipt 1"]
