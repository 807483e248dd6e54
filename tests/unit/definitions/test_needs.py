"""Activities that need a protocol, an abstract class or a base class work with any value of that type."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import pytest

from traction import Activity, WorkerSystem, activity, run, workflow
from traction.errors import DefinitionError
from traction.testing import SimulatedRun, explore, simulate


class Clock(Protocol):
    def now(self) -> float: ...


@runtime_checkable
class Named(Protocol):
    name: str


class Bank(ABC):
    @abstractmethod
    def pay(self) -> int: ...


class Everything(Bank):
    name = "fake"

    def pay(self) -> int:
        return 1

    def now(self) -> float:
        return 2.0


class Pay(Activity[Bank, int]):
    amount: int

    def run(self, bank: Bank) -> int:
        return bank.pay() + self.amount


class Tick(Activity[Clock, float]):
    def run(self, clock: Clock) -> float:
        return clock.now()


@activity(needs=Named)
def name(named: Named) -> str:
    return named.name


@activity(needs=Bank)
async def pay_later(bank: Bank, amount: int) -> int:
    return bank.pay() + amount


@activity(needs=Everything)
def tick_with_less(clock: Clock) -> float:
    return clock.now()


@workflow
async def shop() -> list[float | str]:
    return [await Pay(1), await Tick(), await name(), await pay_later(2), await tick_with_less()]


NEED: list[Any] = [Pay, Tick, name, pay_later, tick_with_less]
DONE = [2, 2.0, "fake", 3, 2.0]


def run_with_workers() -> object:
    with WorkerSystem("local:") as system:
        system.start_workflow_worker(shop)
        for one in NEED:
            system.start_activity_worker(one, Everything(), executor="async" if one is pay_later else "thread")
        return system.run(shop())


@pytest.mark.parametrize(
    "run_shop",
    [
        run_with_workers,
        lambda: run(shop(), provide=dict.fromkeys(NEED, Everything())),
        lambda: simulate(shop(), provide=dict.fromkeys(NEED, Everything())).result,
    ],
    ids=["WorkerSystem", "run", "simulate"],
)
def test_a_value_of_the_needed_type_is_provided(run_shop: Callable[[], object]) -> None:
    assert run_shop() == DONE


def test_a_function_is_rejected_as_the_type_of_a_dependency() -> None:
    def connect() -> Everything:
        return Everything()

    for wrong in connect, Everything().pay, lambda: None:
        with pytest.raises(DefinitionError, match="is not a type"):

            @activity(needs=wrong)
            def use(it: Any) -> None: ...


# What editors show of simulate and explore is their workflow and their own options; the others stand in one type.


@pytest.mark.parametrize("function", [simulate, explore])
def test_the_signature_that_an_editor_shows_is_short(function: Any) -> None:
    assert len(str(inspect.signature(function))) < 260


def test_an_unknown_option_is_named_with_those_that_exist() -> None:
    wrong: Any = {"workrs": 2}
    with pytest.raises(TypeError, match=r"no option 'workrs'.*\bworkers\b"):
        simulate(shop(), **wrong)


def test_the_calls_of_an_activity_have_its_fields() -> None:
    done = simulate(shop(), provide=dict.fromkeys(NEED, Everything()))
    assert [call.amount for call in done.calls(Pay)] == [1]
    assert [call.amount for call in done.calls(pay_later)] == [2]


@explore(shop(), deviations=0, provide=dict.fromkeys(NEED, Everything()))
def test_a_run_of_an_exploration_has_the_type_of_its_result(run: SimulatedRun[list[float | str]]) -> None:
    assert run.result == DONE
