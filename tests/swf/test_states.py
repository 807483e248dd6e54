"""The state of a flow on SWF: its history is read page by page, and nothing is written."""

from __future__ import annotations

from tests.support.http_backends import NOW, World
from tests.swf.conftest import Stage
from traction import Workflow, set_state, side_effect, sleep
from traction.client.system import WorkerSystem


class Count(Workflow[int]):
    until: int

    async def flow(self) -> int:
        for n in range(self.until):
            await set_state({"counted": n, "so far": "x" * n * 1_000})
            await side_effect(lambda: 1)
            await sleep(1)
        await set_state({"counted": self.until})
        await sleep(1)
        return self.until


def test_a_query_returns_the_last_state_and_writes_nothing(world: World) -> None:
    decider = world.decider(Count)
    handle = world.start(Count(3))
    assert handle.state(dict[str, object]) == {"counted": 0, "so far": ""}
    assert decider.work_once(NOW)
    world.advance(1)
    # The timer has fired, and no decision task has delivered it to the flow.
    world.backend.asked.clear()
    before = handle.history()
    state = handle.state(dict[str, object])
    assert state == {"counted": 1, "so far": "x" * 1_000}
    assert handle.history() == before
    assert set(world.backend.asked) == {"GetWorkflowExecutionHistory"}
    assert handle.published_state() == {"counted": 0, "so far": ""}


def test_a_state_too_long_for_swf_can_be_queried_and_stops_nothing(world: World) -> None:
    decider = world.decider(Count)
    handle = world.start(Count(40))
    world.run([decider], handle.execution)
    assert handle.result() == 40
    assert handle.state() == {"counted": 40}


def test_a_query_through_boto3_needs_no_worker(stage: Stage) -> None:
    with WorkerSystem(stage.url()) as system:
        assert system.start(Count(3)).state() == {"counted": 0, "so far": ""}
