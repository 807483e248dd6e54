"""What an activity needs may be provided by any value of that type: of a subclass, of a protocol, of an abstract class."""

# Steps are only type-checked here, so they are not awaited.
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Protocol, assert_type

import pytest
from hypothesis import settings, strategies

from traction import Activity, PerProcess, WorkerSystem, activity, run, workflow
from traction.testing import PLAIN, ExploredTest, Faults, SimulatedRun, explore, simulate


class Bank:
    def pay(self) -> int:
        return 1


class FakeBank(Bank): ...


class Clock(Protocol):
    def now(self) -> float: ...


class RealClock:
    def now(self) -> float:
        return 0.0


class Store(ABC):
    @abstractmethod
    def get(self, key: str) -> bytes: ...


class Memory(Store):
    def get(self, key: str) -> bytes:
        return key.encode()


class Pay(Activity[Bank, int]):
    amount: int

    def run(self, bank: Bank) -> int:
        return bank.pay() + self.amount


class Tick(Activity[Clock, float]):
    def run(self, clock: Clock) -> float:
        return clock.now()


@activity(needs=Bank)
def pay(bank: Bank, amount: int) -> int:
    return bank.pay() + amount


@activity(needs=Clock)
def tick(clock: Clock) -> float:
    return clock.now()


@activity(needs=Clock, version="2")
async def tick_later(clock: Clock) -> float:
    return clock.now()


@activity(needs=Store)
def load(store: Store, key: str) -> bytes:
    return store.get(key)


@activity(needs=dict[str, int])
def look_up(table: dict[str, int], key: str) -> int:
    return table[key]


# A function may accept a wider type than its definition needs.
@activity(needs=Memory)
def load_from_memory(store: Store, key: str) -> bytes:
    return store.get(key)


class Base(Activity[Store, bytes]):
    def run(self, store: Store) -> bytes:
        return store.get("")


class Extended(Base): ...


@workflow
async def shop() -> int:
    await tick()
    await Tick()
    return await Pay(1) + await pay(2)


assert_type(pay(1), Activity[Bank, int])
assert_type(tick(), Activity[Clock, float])
assert_type(load("a"), Activity[Store, bytes])

# What needs a Bank does its work with a FakeBank.
with_fake: Activity[FakeBank, int] = Pay(1)

with WorkerSystem("local:") as system:
    system.start_activity_worker(Pay, FakeBank())
    system.start_activity_worker(pay, FakeBank())
    system.start_activity_worker(Tick, RealClock())
    system.start_activity_worker(tick, RealClock())
    system.start_activity_worker(tick_later, RealClock(), executor="async")
    system.start_activity_worker(load, Memory())
    system.start_activity_worker(Extended, Memory())
    system.start_activity_worker(load, PerProcess(Memory), executor="process")
    system.start_activity_worker(look_up, {"a": 1})
    system.start_workflow_worker(shop, provide={Pay: FakeBank(), tick: RealClock()})

assert_type(run(shop(), provide={Pay: FakeBank(), tick: RealClock()}), int)


# What a simulation called.
simulated = simulate(shop(), provide={Pay: FakeBank()}, stub={tick: 1.0})
assert_type(simulated.result, int)
assert_type(simulated.calls(Pay), list[Pay])
assert_type([call.amount for call in simulated.calls(Pay)], list[int])
assert_type(simulated.calls(pay), list[Any])
amounts: list[int] = [call.amount for call in simulated.calls(pay)]
assert_type(simulated.called(Pay) and simulated.called(pay), bool)


# Tests of runs.


@explore(shop(), deviations=1, provide={Pay: FakeBank()}, workers=2)
def test_shop(run: SimulatedRun[int]) -> None:
    assert_type(run.result, int)
    assert run.calls(Pay)[0].amount == 1


@settings(max_examples=10)
@explore(shop(), stub=lambda world: {Pay: world}, world=lambda: 3)
def test_of_another_name(simulated: SimulatedRun[int]) -> None:
    assert simulated.result == 7


@explore(shop(), faults=Faults.some(), given={"extra": strategies.integers()})
def test_with_more(extra: int, tmp_path: Path, run: SimulatedRun[object]) -> None: ...


@pytest.mark.parametrize("extra", [1, 2])
@explore(shop())
def test_marked(extra: int, run: SimulatedRun[int]) -> None: ...


class TestShop:
    @explore(shop(), deviations=2)
    def test_shop(self, run: SimulatedRun[int]) -> None:
        assert run.result == 7


assert_type(test_shop, ExploredTest[int])
assert_type(test_shop.at("4:2 9:1"), SimulatedRun[int])
assert_type(test_shop.at(PLAIN).result, int)
print(test_shop.explored.coverage)
test_shop()
