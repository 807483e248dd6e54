"""Decision tasks come back to the worker that has their decider; and if they cannot, nothing is lost but time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.support.http_backends import NOW, World
from tests.swf.conftest import Stage
from traction import activity, all_of, sleep, workflow
from traction.client.handle import Handle
from traction.client.system import WorkerSystem
from traction.model import events as e
from traction.model.names import TaskList
from traction.worker.decider_cache import DeciderCache
from traction.worker.sticky import Sticky, make_sticky
from traction.worker.workflow_worker import WorkflowWorker
from traction_local.plugin import open_local

WAIT = timedelta(seconds=10)


@activity
def increment(n: int) -> int:
    return n + 1


@workflow
async def chain(n: int) -> int:
    x = 0
    for _ in range(n):
        x = await increment(x)
    return x


@workflow
async def doze(n: int) -> int:
    x = await increment(n)
    await sleep(60)
    return await increment(x)


@workflow
async def fan(n: int) -> list[int]:
    return await all_of([increment(i) for i in range(n)])


class Machine:
    """The workflow workers of one process: one for the list of all, one for its own."""

    def __init__(self, world: World, definition: Any, name: str, *, sticky: bool = True, **given: Any) -> None:
        self.leaving = False
        self.own = TaskList(name)
        own_list = Sticky(self.own, "10", lambda: self.leaving) if sticky else None
        self.home = world.decider(definition, sticky=own_list, **({"cache": DeciderCache()} | given))
        self.workers: list[WorkflowWorker] = [self.home, *([self.home.follow()] if sticky else [])]


def start(world: World, call: Any, **given: Any) -> Handle[Any]:
    world.register(type(call), increment)
    return world.start(call, **given)


def find(world: World, handle: Handle[Any], kind: Any) -> list[Any]:
    return [event for event in world.history(handle) if isinstance(event, kind)]


def test_each_decision_of_a_chain_reads_as_many_events_as_the_first(world: World) -> None:
    one, other = Machine(world, chain, "one"), Machine(world, chain, "other")
    handle = start(world, chain(40))
    world.run([*other.workers, *one.workers, world.worker(increment)], handle.execution)
    first, *rest = world.backend.events_read
    # The task's own start, the answer, and the activity's three; then the next task's two.
    assert (first, set(rest)) == (3, {7})
    assert "GetWorkflowExecutionHistory" not in world.backend.asked
    assert handle.result() == 40


def test_without_sticky_lists_each_decision_reads_the_whole_history(world: World) -> None:
    machines = [Machine(world, chain, name, sticky=False) for name in "ab"]
    handle = start(world, chain(10))
    turn = 0
    worker = world.worker(increment)
    while world.backend.find_closing_event(handle.execution) is None:
        turn += machines[turn % 2].home.work_once(NOW)
        worker.work_once(NOW)
    assert handle.result() == 10
    counted = world.backend.events_read
    assert counted == sorted(counted)
    assert counted[-1] > 60


def test_all_tasks_but_the_first_are_on_the_list_of_their_machine(world: World) -> None:
    machine = Machine(world, chain, "mine")
    handle = start(world, chain(3))
    world.run([*machine.workers, world.worker(increment)], handle.execution)
    lists = [event.task_list.name for event in find(world, handle, e.DecisionTaskScheduled)]
    assert lists == ["chain-1", "mine", "mine", "mine"]
    waits = {event.schedule_to_start_timeout for event in find(world, handle, e.DecisionTaskScheduled)[1:]}
    assert waits == {"10"}


def test_tasks_of_a_crashed_machine_return_and_the_history_is_read_once(world: World) -> None:
    dead, alive = Machine(world, chain, "dead"), Machine(world, chain, "alive")
    handle = start(world, chain(20))
    worker = world.worker(increment)
    for _ in range(10):
        assert dead.workers[0].work_once(NOW) or dead.workers[1].work_once(NOW)
        assert worker.work_once(NOW)
    world.backend.asked.clear()
    world.backend.events_read.clear()
    world.run([*alive.workers, worker], handle.execution)
    assert world.backend.asked.count("GetWorkflowExecutionHistory") == 1
    assert handle.result() == 20
    (expired,) = find(world, handle, e.DecisionTaskTimedOut)
    assert expired.timeout_type == "SCHEDULE_TO_START"
    first, *rest = world.backend.events_read
    assert first > 60
    assert set(rest) == {7}


def test_a_machine_that_crashes_in_a_decision_returns_its_task(world: World) -> None:
    dead, alive = Machine(world, chain, "dead"), Machine(world, chain, "alive")
    handle = start(world, chain(3))
    worker = world.worker(increment)
    assert dead.home.work_once(NOW)
    assert worker.work_once(NOW)
    # It takes the next task, and is not seen again.
    taken = world.backend.call(dead.workers[1]._poll)
    assert taken.task_token
    world.run([*alive.workers, worker], handle.execution)
    assert handle.result() == 3
    assert [event.timeout_type for event in find(world, handle, e.DecisionTaskTimedOut)] == ["START_TO_CLOSE"]


def test_a_decider_whose_response_was_late_is_not_reused(world: World) -> None:
    machine = Machine(world, chain, "mine")
    handle = start(world, chain(3))
    worker = world.worker(increment)
    assert machine.home.work_once(NOW)
    assert worker.work_once(NOW)
    # It decides, and sends its answer after the task has timed out.
    follower = machine.workers[1]
    task = world.backend.call(follower._poll)
    answer = follower.do(task)
    assert answer is not None
    world.advance(31)
    follower.respond(task.workflow_execution, answer)
    world.run([*machine.workers, worker], handle.execution)
    assert handle.result() == 3
    assert len(find(world, handle, e.ActivityTaskScheduled)) == 3


def test_a_machine_that_stops_returns_its_executions_to_the_common_list(world: World) -> None:
    leaver, heir = Machine(world, doze, "leaver"), Machine(world, doze, "heir")
    handle = start(world, doze(1))
    worker = world.worker(increment)
    assert leaver.home.work_once(NOW)
    assert worker.work_once(NOW)
    leaver.leaving = True
    assert leaver.workers[1].work_once(NOW)
    world.run([*heir.workers, worker], handle.execution)
    assert handle.result() == 3
    # No task waited for the machine that stopped.
    assert find(world, handle, e.DecisionTaskTimedOut) == []
    lists = [event.task_list.name for event in find(world, handle, e.DecisionTaskScheduled)]
    assert lists == ["doze-1", "leaver", "doze-1", "heir"]


def test_an_evicted_decider_is_rebuilt_once_from_the_whole_history(world: World) -> None:
    machine = Machine(world, chain, "mine", cache=DeciderCache(events_max=1))
    handles = [start(world, chain(4), workflow_id=f"w{n}") for n in range(2)]
    world.run([*machine.workers, world.worker(increment)], *(handle.execution for handle in handles))
    assert [handle.result() for handle in handles] == [4, 4]
    rebuilt = world.backend.asked.count("GetWorkflowExecutionHistory")
    assert 0 < rebuilt <= world.backend.asked.count("RespondDecisionTaskCompleted")


def test_without_sticky_no_response_names_a_list(world: World) -> None:
    machine = Machine(world, fan, "mine", sticky=False)
    handle = start(world, fan(5))
    world.run([*machine.workers, world.worker(increment)], handle.execution)
    assert handle.result() == [1, 2, 3, 4, 5]
    assert {event.task_list for event in find(world, handle, e.DecisionTaskCompleted)} == {None}


def test_the_name_of_a_sticky_list_is_valid_and_unique() -> None:
    names = {make_sticky("a:b/" + "x" * 300, WAIT, lambda: False).task_list.name for _ in range(3)}
    assert len(names) == 3
    assert all(len(name) <= 256 and not set(name) & set(":/|") for name in names)


def lists_of(handle: Handle[Any]) -> set[str]:
    return {event.task_list.name for event in handle.history() if isinstance(event, e.DecisionTaskScheduled)}


@pytest.mark.parametrize(("option", "is_sticky"), [({}, True), ({"sticky": 0}, False), ({"sticky": 5}, True)])
def test_executions_on_swf_are_sticky_by_default(stage: Stage, option: Any, is_sticky: bool) -> None:
    with WorkerSystem(stage.url()) as system:
        system.start_workflow_worker(chain, **option)
        system.start_activity_worker(increment)
        handle = system.start(chain(5))
        assert handle.result(60) == 5
        lists = lists_of(handle)
    assert (len(lists) == 2) is is_sticky


def test_the_url_can_turn_sticky_off(stage: Stage) -> None:
    with WorkerSystem(stage.url(sticky="off")) as system:
        system.start_workflow_worker(chain)
        system.start_activity_worker(increment)
        handle = system.start(chain(2))
        assert handle.result(60) == 2
        assert lists_of(handle) == {"chain-1"}


@pytest.mark.parametrize(("option", "is_sticky"), [({}, False), ({"sticky": 5}, True)])
def test_embedded_backends_are_sticky_only_on_request(option: Any, is_sticky: bool) -> None:
    with WorkerSystem(backend=open_local()) as system:
        system.start_workflow_worker(chain, **option)
        system.start_activity_worker(increment)
        handle = system.start(chain(5))
        assert handle.result(60) == 5
        assert (len(lists_of(handle)) == 2) is is_sticky
