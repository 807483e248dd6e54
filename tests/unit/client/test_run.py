"""What the shortest way promises: a result or the reason why there is none, soon, with nothing left behind."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from traction import Activity, Handle, Workflow, activity, first_of, run, sleep, workflow
from traction.client.system import WorkerSystem
from traction.errors import DefinitionError, FlowError, PayloadError, WorkflowFailed


@activity
def greet(name: str) -> str:
    return f"Hello, {name}!"


@workflow
async def hello(name: str) -> str:
    return await greet(name)


class Store(Activity[dict[str, int], int]):
    key: str

    def run(self, store: dict[str, int]) -> int:
        store[self.key] = store.get(self.key, 0) + 1
        return store[self.key]


@workflow
async def store_twice(key: str) -> int:
    await Store(key)
    return await Store(key)


@workflow
async def parent(name: str) -> str:
    return await hello(name) + await hello(name + "!")


def test_a_workflow_is_run_to_its_result() -> None:
    assert run(hello("world"), timeout=60) == "Hello, world!"


def test_activities_are_given_what_is_provided_for_them() -> None:
    store: dict[str, int] = {}
    assert run(store_twice("a"), provide={Store: store}, timeout=60) == 2
    assert store == {"a": 2}


def test_children_and_their_activities_are_hosted_when_they_are_first_asked_for() -> None:
    assert run(parent("you"), timeout=60) == "Hello, you!Hello, you!!"


def test_a_definition_that_many_flows_use_has_one_set_of_workers() -> None:
    class Down(Workflow[int]):
        n: int

        async def flow(self) -> int:
            await greet(str(self.n))
            return 0 if self.n == 0 else 1 + await Down(self.n - 1)

    globals()["Down"] = Down
    counts: list[int] = []

    @activity
    def count() -> int:
        counts.append(sum(thread.name == "work greet-1" for thread in threading.enumerate()))
        counts.append(sum(thread.name == "decide Down-1" for thread in threading.enumerate()))
        return 0

    @workflow
    async def down() -> int:
        depth = await Down(6)
        await count()
        return depth

    assert run(down(), timeout=60, instances=3) == 6
    assert counts == [3, 1]


def test_a_failed_execution_is_raised_with_what_failed() -> None:
    @activity
    def fall() -> int:
        raise LookupError("no such page")

    @workflow
    async def call_fall() -> int:
        return await fall()

    with pytest.raises(WorkflowFailed, match="fall-1 failed: LookupError: no such page"):
        run(call_fall(), timeout=60)


def test_on_start_is_called_before_the_result_is_waited_for() -> None:
    handles: list[Handle[str]] = []
    run(hello("you"), on_start=handles.append, timeout=60)
    assert handles[0].workflow_id.startswith("hello-")


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_an_execution_that_is_still_open_in_the_end_is_a_timeout(timeout: float) -> None:
    @workflow
    async def wait() -> None:
        await sleep(1_000)

    with pytest.raises(TimeoutError, match=f"wait-[0-9a-f]+ is still open after {timeout}"):
        run(wait(), timeout=timeout)


def test_a_missing_dependency_is_named() -> None:
    with pytest.raises(DefinitionError, match="Store needs dict"):
        run(store_twice("a"), timeout=60)


def test_a_mistake_of_the_flow_is_raised_and_not_waited_out() -> None:
    @workflow
    async def wrong() -> None:
        import asyncio

        await asyncio.sleep(0)

    began = time.monotonic()
    with pytest.raises(FlowError, match="awaits"):
        run(wrong())
    assert time.monotonic() - began < 20


def test_a_flow_that_exits_is_raised_and_not_waited_out() -> None:
    @workflow
    async def leave() -> None:
        raise SystemExit(2)

    with pytest.raises(FlowError, match="the flow raised SystemExit, which ends a program"):
        run(leave())


def test_a_wrong_input_is_refused_before_anything_runs() -> None:
    wrong: Any = 7
    with pytest.raises(PayloadError, match="the input of hello 1"):
        run(hello(wrong))


@pytest.mark.parametrize("what", [hello, greet("you"), "hello"])
def test_only_calls_of_workflows_are_accepted(what: Any) -> None:
    with pytest.raises(DefinitionError, match="expected a call of a workflow"):
        run(what)


def test_what_lost_a_race_does_not_hold_back_the_result() -> None:
    go_on = threading.Event()

    @activity
    def dawdle() -> str:
        go_on.wait(60)
        return "slow"

    @workflow
    async def race() -> str:
        return await first_of(dawdle(), greet("you"))

    began = time.monotonic()
    assert run(race(), timeout=60) == "Hello, you!"
    assert time.monotonic() - began < 20
    go_on.set()


def test_an_interrupt_of_the_caller_ends_the_run_and_its_threads() -> None:
    before = set(threading.enumerate())

    def interrupt(_: Handle[Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(hello("you"), on_start=interrupt)
    assert set(threading.enumerate()) - before == set()


def test_nothing_is_left_behind_by_a_run() -> None:
    before = set(threading.enumerate())
    run(parent("you"), timeout=60)
    assert set(threading.enumerate()) - before == set()


def test_many_runs_at_once_do_not_meet() -> None:
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: results.append(run(hello(str(n)), timeout=60, instances=1)))  # type: ignore[misc]
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [f"Hello, {n}!" for n in range(6)]


def test_a_run_is_what_a_worker_system_does_by_hand() -> None:
    with WorkerSystem("local:") as system:
        system.start_workflow_worker(hello)
        system.start_activity_worker(greet)
        assert system.run(hello("you"), timeout=60) == run(hello("you"), timeout=60)
