"""Versions live side by side: new starts take the one that is called, open executions stay with theirs."""

from __future__ import annotations

import pytest

from traction import Activity, Workflow
from traction.client.system import WorkerSystem
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import TaskList


class Price1(Activity[None, int], name="price", version="1"):
    def run(self) -> int:
        return 1


class Price2(Activity[None, int], name="price", version="2"):
    def run(self) -> int:
        return 2


class Order1(Workflow[int], name="order", version="1"):
    async def flow(self) -> int:
        return await Price1()


class Order2(Workflow[list[int]], name="order", version="2"):
    async def flow(self) -> list[int]:
        return [await Price1(), await Price2(), await Order1()]


def start_all(system: WorkerSystem) -> None:
    for activity in (Price1, Price2):
        system.start_activity_worker(activity)
    for workflow in (Order1, Order2):
        system.start_workflow_worker(workflow)


def test_each_version_has_its_own_task_lists() -> None:
    lists = [definition.spec.task_list.name for definition in (Price1, Price2, Order1, Order2)]
    assert lists == ["price-1", "price-2", "order-1", "order-2"]


def test_starts_and_steps_use_the_version_that_they_call() -> None:
    with WorkerSystem() as system:
        start_all(system)
        assert system.run(Order1(), workflow_id="a", timeout=30) == 1
        assert system.run(Order2(), workflow_id="b", timeout=30) == [1, 2, 1]


def test_an_open_execution_keeps_the_version_that_it_started_with() -> None:
    with WorkerSystem() as system:
        handle = system.start(Order1(), workflow_id="a")
        start_all(system)
        assert system.run(Order2(), workflow_id="b", timeout=30) == [1, 2, 1]
        assert handle.result(30) == 1
        started = handle.history()[0]
        assert isinstance(started, e.WorkflowExecutionStarted)
        assert started.workflow_type.version == "1"


@pytest.mark.parametrize("at_once", [True, False])
def test_versions_with_one_list_are_decided_by_every_thread_there(at_once: bool) -> None:
    stuck: list[object] = []
    with WorkerSystem() as system:
        calls = [(Order1, Order2)] if at_once else [(Order2,), (Order1,)]
        for call in calls:
            system.start_workflow_worker(*call, task_list="order-1", on_stuck=stuck.append)
        for activity in (Price1, Price2):
            system.start_activity_worker(activity, task_list="price-1")
        for handle in [system.start(Order1(), workflow_id=f"a{n}") for n in range(10)]:
            assert handle.result(30) == 1
    assert stuck == []


def test_a_worker_leaves_the_tasks_of_other_versions_to_their_workers() -> None:
    with WorkerSystem() as system, WorkerSystem(backend=system.backend) as newer:
        newer.start_workflow_worker(Order2)
        newer.start_activity_worker(Price2)
        handle = system.start(Order1(), workflow_id="a")
        waiting = o.CountPendingDecisionTasks(domain=system.backend.domain, task_list=TaskList("order-1"))
        assert system.backend.call(waiting).count == 1
        system.start_workflow_worker(Order1)
        system.start_activity_worker(Price1)
        assert handle.result(30) == 1
