"""A declared error is caught where its failure is read, by flows, parents and callers, attempt by attempt."""

from __future__ import annotations

from typing import Any

import pytest

from traction import (
    Activity,
    DeclaredError,
    Retry,
    Step,
    Workflow,
    activity,
    all_of,
    done,
    fail,
    first_of,
    sleep,
    start_child,
    workflow,
)
from traction.decider.decider import Decider
from traction.errors import ActivityFailed, ChildFailed, StepFailed, WorkflowFailed
from traction.model.decisions import FailWorkflowExecution
from traction.testing import simulate


class CardDeclined(DeclaredError):
    code: str
    retry_after: int = 60


class CardExpired(CardDeclined): ...


class Charge(Activity[None, int], raises=(CardDeclined,)):
    amount: int

    def run(self) -> int:
        raise CardDeclined("limit", self.amount)


class ChargeOften(Charge, retry=Retry(attempts=5, backoff=10, give_up_on=(CardExpired,)), raises=(CardExpired,)):
    def run(self) -> int:
        raise CardExpired("expired")


class Checkout(Workflow[int], raises=(CardDeclined,)):
    amount: int

    async def flow(self) -> int:
        return await Charge(self.amount)


def test_a_flow_catches_a_declared_error_with_its_fields() -> None:
    @workflow
    async def shop() -> tuple[str, int, str]:
        try:
            await Charge(7)
        except CardDeclined as error:
            return error.code, error.retry_after, error.step if isinstance(error, ActivityFailed) else ""
        return "", 0, ""

    assert simulate(shop()).result == ("limit", 7, "Charge-1")


@pytest.mark.parametrize("kind", [CardDeclined, ActivityFailed, StepFailed, DeclaredError, Exception])
def test_steps_recover_from_a_declared_error_by_any_type_that_it_has(kind: type[Exception]) -> None:
    @workflow
    def shop() -> Step[int]:
        return Charge(7).recover(kind, lambda _: done(1))

    assert simulate(shop()).result == 1


def test_a_declared_error_passes_a_handler_of_another() -> None:
    @workflow(raises=(CardExpired, CardDeclined))
    def shop() -> Step[int]:
        return Charge(7).recover(CardExpired, lambda _: done(1))

    assert simulate(shop()).error == CardDeclined("limit", 7)


def test_a_policy_gives_up_on_a_declared_error() -> None:
    @workflow
    async def shop() -> str:
        outcome = await ChargeOften(7).attempt()
        return str(outcome)

    run = simulate(shop())
    assert "CardExpired(code='expired', retry_after=60)" in run.result
    assert run.elapsed.total_seconds() == 0


def test_a_declared_error_closes_a_group_and_leaves_a_race() -> None:
    @workflow(raises=(CardDeclined,))
    async def shop() -> int:
        try:
            await all_of(Charge(7), sleep(60))
        except CardDeclined as error:
            return await first_of(sleep(error.retry_after).map(lambda _: 1), sleep(60).map(lambda _: 2))
        return 0

    run = simulate(shop())
    assert (run.result, run.elapsed.total_seconds()) == (1, 7)


def test_a_parent_catches_the_declared_error_of_its_child() -> None:
    @workflow
    async def mall() -> list[Any]:
        found: list[Any] = []
        try:
            await Checkout(3)
        except CardDeclined as error:
            found += [error.retry_after, isinstance(error, ChildFailed)]
        child = await start_child(Checkout(4))
        try:
            await child.result()
        except CardDeclined as error:
            found.append(error.retry_after)
        return found

    assert simulate(mall()).result == [3, True, 4]


def test_a_caller_catches_the_declared_error_that_leaves_the_flow() -> None:
    with pytest.raises(CardDeclined) as caught:
        _ = simulate(Checkout(5)).result
    assert caught.value == CardDeclined("limit", 5)
    assert isinstance(caught.value, WorkflowFailed)


def test_what_a_workflow_does_not_declare_its_caller_catches_as_before() -> None:
    @workflow
    async def shop() -> int:
        return await Charge(7)

    error = simulate(shop()).error
    assert type(error) is WorkflowFailed
    assert error.type.endswith("CardDeclined")


def test_a_flow_may_fail_by_itself_with_a_declared_error() -> None:
    @workflow(raises=(CardDeclined,))
    async def shop() -> int:
        await fail(CardDeclined("closed"))
        return 0

    assert simulate(shop()).error == CardDeclined("closed")


def test_a_declaration_that_comes_later_reads_what_was_written_before() -> None:
    def make(raises: tuple[type[DeclaredError], ...]) -> type[Workflow[int]]:
        @activity(name="charge", raises=raises)
        def charge() -> int:
            raise CardDeclined("limit", 5)

        class Shop(Workflow[int], name="shop"):
            async def flow(self) -> int:
                try:
                    return await charge()
                except ActivityFailed as error:
                    await sleep(error.retry_after if isinstance(error, CardDeclined) else 5)
                    return 1

        return Shop

    old, new = make(()), make((CardDeclined,))
    history = simulate(old()).history
    decider = Decider(new)
    decider.feed(history)
    assert decider.closed


def test_equal_histories_give_equal_failures() -> None:
    history = simulate(Checkout(5)).history
    started = next(event.event_id for event in reversed(history) if type(event).__name__ == "DecisionTaskStarted")
    failures = []
    for _ in range(2):
        decider = Decider(Checkout)
        decider.feed(history[:started])
        (decision,) = decider.decide()
        assert isinstance(decision, FailWorkflowExecution)
        failures.append(decision)
    assert failures[0] == failures[1]
