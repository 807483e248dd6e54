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


def test_what_polls_are_given_after_a_run_is_done_before_the_program_ends(make_stage: MakeStage) -> None:
    stage = make_stage(hold=timedelta(seconds=60))
    assert run(hello("world"), url=stage.url(), instances=2) == "Hello, world!"
    (leaving,) = [thread for thread in threading.enumerate() if thread.name == LEAVING]
    assert not leaving.daemon
    with WorkerSystem(backend=stage.local) as system:
        # Nobody has a worker for greet but the run that has ended.
        system.start_workflow_worker(hello)
        assert system.run(hello("you"), timeout=60) == "Hello, you!"
    # The close of the service answers all polls.
    leaving.join(60)
    assert not leaving.is_alive()
