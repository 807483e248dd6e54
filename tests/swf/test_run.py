"""What the shortest way promises on Amazon SWF: its result soon, and no task lost to polls in flight."""

from __future__ import annotations

import threading
from datetime import timedelta

from tests.swf.conftest import MakeStage
from traction import activity, run, workflow
from traction.client.run import LEAVING
from traction.client.system import WorkerSystem


@activity
def greet(name: str) -> str:
    return f"Hello, {name}!"


@workflow
async def hello(name: str) -> str:
    return await greet(name)


def test_no_task_is_lost_to_the_polls_of_stopped_workers(make_stage: MakeStage) -> None:
    stage = make_stage(hold=timedelta(seconds=60))
    assert run(hello("world"), url=stage.url(), instances=2) == "Hello, world!"
    leaving = [thread for thread in threading.enumerate() if thread.name == LEAVING]
    assert not any(thread.daemon for thread in leaving)
    with WorkerSystem(backend=stage.local) as system:
        # The server has answered the polls of the run when it left, so other workers get the tasks.
        system.start_workflow_worker(hello)
        system.start_activity_worker(greet)
        assert system.run(hello("you"), timeout=60) == "Hello, you!"
    for thread in leaving:
        thread.join(60)
        assert not thread.is_alive()
