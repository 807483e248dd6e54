"""The same flow makes the same decisions and history through boto3 as in this process."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.http_backends import Site, World, leave_out_clocks, reach_here
from tests.support.profile import pick
from traction import Step, done, workflow
from traction.model.names import TaskList
from traction.testing.laws.flows import flows, insist, part, persist, work
from traction.worker.loop import Worker
from traction.worker.sticky import Sticky

SAID: list[Step[Any]] = []


@workflow
def say_drawn() -> Step[str]:
    # The result may be any value, such as an exception. Here it only matters that both are equal.
    return SAID[-1].flat_map(lambda value: done(repr(value)))


def play(reach: Any, *, sticky: bool) -> tuple[Any, Any]:
    world = World(reach)
    try:
        own_list = Sticky(TaskList("own"), "10", lambda: False) if sticky else None
        deciders = [world.decider(definition, sticky=own_list) for definition in (say_drawn, part)]
        followers = [deciders[0].follow()] if sticky else []
        if sticky:
            followers[0].workflows = {**deciders[0].workflows, **deciders[1].workflows}
        workers: list[Worker] = [
            *deciders,
            *followers,
            *(world.worker(activity) for activity in (work, persist, insist)),
        ]
        handle = world.start(say_drawn())
        world.run(workers, handle.execution)
        return world.backend.decided, world.history(handle)
    finally:
        world.close()


@pytest.mark.parametrize("sticky", [False, True])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=pick(15))
@given(flow=flows())
def test_generated_flows_decide_the_same_through_boto3_as_in_process(site: Site, sticky: bool, flow: Step[Any]) -> None:
    SAID.append(flow)
    try:
        here, there = play(reach_here, sticky=sticky), play(site.reach, sticky=sticky)
    finally:
        del SAID[-1]
    assert leave_out_clocks(there[0]) == leave_out_clocks(here[0])
    assert leave_out_clocks(there[1]) == leave_out_clocks(here[1])
