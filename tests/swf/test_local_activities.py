"""Local activities on SWF: in one decision task, in several when there are many, and again when an answer is lost."""

from __future__ import annotations

from typing import Any

from tests.support.http_backends import World
from tests.swf.conftest import Stage
from traction import Activity, Retry, Workflow, each
from traction.client.system import WorkerSystem
from traction.model import events as e
from traction.worker.decider_cache import DeciderCache
from traction.worker.local_activities import LocalActivities


class Shelf:
    """What fails once for each odd number, and counts."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def look_up(self, n: int) -> int:
        self.asked.append(n)
        if n % 2 and self.asked.count(n) == 1:
            raise LookupError(n)
        return n * n


class LookUp(Activity[Shelf, int], retry=Retry(attempts=2, backoff=1)):
    n: int

    def run(self, shelf: Shelf) -> int:
        return shelf.look_up(self.n)


class AddUp(Workflow[int]):
    count: int

    async def flow(self) -> int:
        return sum(await each(lambda n: LookUp(n).locally(), range(self.count)))


def find(world: World, handle: Any, kind: Any) -> list[Any]:
    return [event for event in world.history(handle) if isinstance(event, kind)]


def test_each_decision_task_records_what_was_done_and_replays_the_rest(world: World) -> None:
    shelf = Shelf()
    # Each decision task is decided from the whole history.
    cache = DeciderCache(events_max=0)
    decider = world.decider(AddUp, local=LocalActivities({LookUp: shelf}), cache=cache)
    handle = world.start(AddUp(60))
    world.run([decider], handle.execution)
    assert handle.result() == sum(n * n for n in range(60))
    assert len(shelf.asked) == 60 + 30
    assert len(find(world, handle, e.MarkerRecorded)) == 60 + 30
    assert find(world, handle, e.ActivityTaskScheduled) == []


def test_a_response_that_was_too_late_is_made_again(world: World) -> None:
    shelf = Shelf()
    decider = world.decider(AddUp, local=LocalActivities({LookUp: shelf}))
    handle = world.start(AddUp(1))
    task = decider.poll_once()
    assert task is not None
    answer = decider.do(task)
    world.advance(31)
    decider.respond(task.workflow_execution, answer)
    world.run([decider], handle.execution)
    assert handle.result() == 0
    assert shelf.asked == [0, 0]


def test_workers_through_boto3_run_them_with_their_dependencies(stage: Stage) -> None:
    with WorkerSystem(stage.url()) as system:
        system.start_workflow_worker(AddUp, provide={LookUp: Shelf()})
        assert system.run(AddUp(4), timeout=60) == 14
