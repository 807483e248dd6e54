"""What a start does whose workflow id an execution has already: idempotent for the same call, an error for another."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.backends import ConnectionLost, Stage, open_stage, take_turns
from traction import Workflow, continue_as_new, run, sleep, workflow
from traction.errors import DefinitionError, WorkflowAlreadyClosed, WorkflowAlreadyRunning
from traction.model import operations as o
from traction.payloads.codec import Codec
from traction.payloads.encryption import Encrypt, KeyRing


@workflow
async def pay(cents: int, currency: str = "EUR", rate: float = 1.0) -> int:  # noqa: ARG001
    await sleep(10)
    return cents


class Second(Workflow[int], name="pay", version="2"):
    cents: int
    currency: str = "EUR"
    rate: float = 1.0

    async def flow(self) -> int:
        return self.cents


@workflow
async def refund(cents: int) -> int:
    await sleep(10)
    return cents


class Count(Workflow[int]):
    n: int

    async def flow(self) -> int:
        await sleep(10)
        return await continue_as_new(Count(self.n + 1))


class Named(Workflow[int]):
    order: str
    cents: int

    def workflow_id(self) -> str:
        return f"order-{self.order}"

    async def flow(self) -> int:
        await sleep(10)
        return self.cents


def test_the_same_call_gets_the_handle_of_the_open_execution(stage: Stage) -> None:
    first, second = (stage.start(pay(500), workflow_id="order-7") for _ in range(2))
    assert first.execution == second.execution
    assert (first.started, second.started) == (True, False)
    assert not stage.system.get_handle("order-7", pay).started


@pytest.mark.parametrize("rate", [1, 1.0])
def test_the_same_call_is_known_by_its_input_as_written(stage: Stage, rate: float) -> None:
    stage.start(pay(500, rate=float(rate)), workflow_id="order-7")
    assert not stage.start(pay(500, rate=rate), workflow_id="order-7").started


def test_another_input_under_the_id_of_an_open_execution_is_refused(stage: Stage) -> None:
    first = stage.start(pay(500), workflow_id="order-7")
    with pytest.raises(WorkflowAlreadyRunning) as caught:
        stage.start(pay(900, "USD"), workflow_id="order-7")
    error = caught.value
    assert (error.workflow_id, error.run_id, error.type) == ("order-7", first.run_id, "pay 1")
    assert error.differs == "its input differs in cents, currency"
    assert 'if_running="return"' in str(error)
    assert "900" not in str(error)


def test_another_version_under_the_id_of_an_open_execution_is_refused(stage: Stage) -> None:
    stage.start(pay(500))
    with pytest.raises(WorkflowAlreadyRunning, match=r"pay 2 was not started: .* of pay 1 is open .* version 1"):
        stage.start(Second(500))


def test_another_workflow_under_the_id_of_an_open_execution_is_always_rejected(stage: Stage) -> None:
    stage.start(pay(500), workflow_id="order-7")
    for policy in ("match", "return", "fail"):
        with pytest.raises(WorkflowAlreadyRunning, match=r"refund 1 was not started: .* of pay 1"):
            stage.start(refund(500), workflow_id="order-7", if_running=policy)


def test_a_class_that_names_itself_is_compared_by_its_input(stage: Stage) -> None:
    stage.start(Named("7", 500))
    assert not stage.start(Named("7", 500)).started
    with pytest.raises(WorkflowAlreadyRunning, match="differs in cents"):
        stage.start(Named("7", 900))


@pytest.mark.parametrize("call", [pay(500), pay(900), Second(500)])
def test_return_gets_the_open_execution_whatever_its_version_and_input(stage: Stage, call: Any) -> None:
    first = stage.start(pay(500), workflow_id="order-7")
    second = stage.start(call, workflow_id="order-7", if_running="return")
    assert (second.execution, second.started) == (first.execution, False)


def test_fail_refuses_the_same_call_too(stage: Stage) -> None:
    stage.start(pay(500))
    with pytest.raises(WorkflowAlreadyRunning, match='if_running="fail"'):
        stage.start(pay(500), if_running="fail")
    assert stage.start(pay(900), if_running="fail").started


def test_encrypted_inputs_are_compared_as_decrypted() -> None:
    with open_stage() as stage:
        stage.system._codec = Codec(Encrypt(KeyRing({"a": bytes(32)})))
        stage.start(pay(500), workflow_id="order-7")
        assert not stage.start(pay(500), workflow_id="order-7").started
        with pytest.raises(WorkflowAlreadyRunning, match="differs in cents"):
            stage.start(pay(900), workflow_id="order-7")


def test_an_execution_that_continued_as_new_is_known_by_the_call_that_started_it(stage: Stage) -> None:
    first = stage.start(Count(0), workflow_id="count")
    decider = stage.decider(Count)
    for _ in range(3):
        take_turns(decider)
        stage.advance(10)
        take_turns(decider)
    again = stage.start(Count(0), workflow_id="count")
    assert not again.started
    assert again.run_id != first.run_id
    with pytest.raises(WorkflowAlreadyRunning, match="differs in n"):
        stage.start(Count(9), workflow_id="count")


def close(stage: Stage, call: Any) -> Any:
    """Start an execution and complete it."""
    handle = stage.start(call, workflow_id="order-7")
    decider = stage.decider(pay)
    take_turns(decider)
    stage.advance(10)
    take_turns(decider)
    assert handle.status() == "COMPLETED"
    return handle


def test_the_id_of_a_closed_execution_is_reused_by_default(stage: Stage) -> None:
    first = close(stage, pay(500))
    for policy in ("match", "return"):
        same = stage.start(pay(500), workflow_id="order-7", if_closed=policy)
        assert (same.execution, same.started, same.result()) == (first.execution, False, 500)
    with pytest.raises(WorkflowAlreadyClosed, match=r"has closed .* differs in cents") as caught:
        stage.start(pay(900), workflow_id="order-7", if_closed="match")
    assert caught.value.status == "COMPLETED"
    with pytest.raises(WorkflowAlreadyClosed, match='if_closed="fail"'):
        stage.start(pay(500), workflow_id="order-7", if_closed="fail")
    assert stage.start(pay(900), workflow_id="order-7", if_closed="return").result() == 500
    new = stage.start(pay(900), workflow_id="order-7")
    assert new.started
    # An open execution comes before the closed ones.
    assert stage.start(pay(900), workflow_id="order-7", if_closed="fail").execution == new.execution


def test_an_id_that_was_never_used_is_started_by_every_policy(stage: Stage) -> None:
    for number, policy in enumerate(("start", "match", "return", "fail")):
        assert stage.start(pay(500), workflow_id=f"order-{number}", if_closed=policy).started


def test_a_start_whose_reply_is_lost_counts_as_started_by_its_call(stage: Stage) -> None:
    stage.register(pay)
    stage.backend.lose_replies.append(o.StartWorkflowExecution)
    assert stage.start(pay(500), if_running="fail").started


def test_a_start_whose_request_is_lost_is_sent_again(stage: Stage) -> None:
    stage.register(pay)
    stage.backend.lose_requests.append(o.StartWorkflowExecution)
    assert stage.start(pay(500)).started
    stage.backend.lose_requests += [o.StartWorkflowExecution] * 9
    stage.system._stop.set()
    with pytest.raises(ConnectionLost):
        stage.start(pay(900))


@pytest.mark.parametrize("policy", [{"if_running": "start"}, {"if_closed": "never"}])
def test_a_policy_that_does_not_exist_is_refused(stage: Stage, policy: Any) -> None:
    with pytest.raises(DefinitionError, match="is not one of"):
        stage.start(pay(500), **policy)


def test_run_takes_the_policies(tmp_path: Any) -> None:
    url = f"local:{tmp_path / 'work.db'}"

    @workflow
    async def give(n: int) -> int:
        return n

    assert run(give(1), url=url, workflow_id="give") == 1
    assert run(give(2), url=url, workflow_id="give", if_closed="return") == 1
    with pytest.raises(WorkflowAlreadyClosed, match="differs in n"):
        run(give(2), url=url, workflow_id="give", if_closed="match")
    assert run(give(2), url=url, workflow_id="give") == 2


def test_nothing_more_is_asked_of_the_service_than_the_start(stage: Stage) -> None:
    stage.register(pay)
    stage.backend.asked.clear()
    stage.start(pay(500))
    assert stage.backend.asked == ["StartWorkflowExecution"]
