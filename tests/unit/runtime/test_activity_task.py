"""What an activity may know of its own task, and when there is none."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.support.backends import Stage, take_turns
from traction import Activity, Workflow, current_task, heartbeat
from traction.errors import TractionError
from traction.runtime.activity_task import RunningTask


class Look(Activity[Any, int]):
    def run(self, look: Any) -> int:
        look()
        return 0


class CallLook(Workflow[int]):
    async def flow(self) -> int:
        return await Look()


@pytest.mark.parametrize("ask", [current_task, heartbeat])
def test_there_is_no_current_task_outside_an_activity(ask: Any) -> None:
    with pytest.raises(TractionError, match="no activity is running"):
        ask()


def test_an_activity_knows_whose_task_it_is(stage: Stage) -> None:
    seen: list[RunningTask] = []
    handle = stage.start(CallLook())
    take_turns(stage.decider(CallLook), stage.worker(Look, lambda: seen.append(current_task())))
    assert seen[0].execution == handle.execution
    assert seen[0].activity_type == Look.spec.type
    assert seen[0].activity_id == "Look-1"


def test_the_task_is_known_no_longer_than_the_activity_runs(stage: Stage) -> None:
    def fall() -> None:
        assert current_task().activity_id == "Look-1"
        raise LookupError

    handle = stage.start(CallLook())
    take_turns(stage.decider(CallLook), stage.worker(Look, fall))
    assert handle.status() == "FAILED"
    with pytest.raises(TractionError, match="no activity is running"):
        current_task()


def test_two_activities_in_two_threads_know_each_their_own(stage: Stage) -> None:
    meet = threading.Barrier(2)
    seen: set[str] = set()

    def look() -> None:
        meet.wait(60)
        seen.add(current_task().execution.workflow_id)
        meet.wait(60)

    stage.register(Look)
    for id in ("one", "two"):
        stage.start(CallLook(), workflow_id=id)
    take_turns(stage.decider(CallLook))
    threads = [threading.Thread(target=take_turns, args=(stage.worker(Look, look),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"one", "two"}


def test_a_task_can_be_handed_to_a_thread_that_beats_for_it(stage: Stage) -> None:
    def look() -> None:
        task = current_task()
        thread = threading.Thread(target=task.heartbeat, args=("alive",))
        thread.start()
        thread.join()

    handle = stage.start(CallLook())
    take_turns(stage.decider(CallLook), stage.worker(Look, look))
    assert handle.result(0) == 0
    assert "RecordActivityTaskHeartbeat" in stage.backend.asked
