"""A rolling deploy in a simulation is as in production: what old code cannot decide waits for new code."""

from __future__ import annotations

from typing import Any

import pytest

from traction import Workflow, activity, minutes, patched, sleep, workflow
from traction.errors import NonDeterminismError
from traction.model import events
from traction.testing import Deviations, Seeded, explore, simulate, takes
from traction_local.service.state.task_list import Ready
from traction_local.simulation.backend import DOMAIN
from traction_local.simulation.sandbox import ImpureFlowError
from traction_local.simulation.simulation import Simulation


@activity
def do(what: str) -> str:
    return what


class Old(Workflow[str], name="Deployed"):
    async def flow(self) -> str:
        await sleep(minutes(1))
        await sleep(minutes(1))
        return await do("bill")


class Patched(Workflow[str], name="Deployed"):
    async def flow(self) -> str:
        await sleep(minutes(1))
        if await patched("check"):
            await do("check")
        await sleep(minutes(1))
        return await do("bill")


class Inverted(Workflow[str], name="Deployed"):
    async def flow(self) -> str:
        await sleep(minutes(1))
        if not await patched("check"):
            await do("check")
        await sleep(minutes(1))
        return await do("bill")


# Worker 1 is restarted last, and worker 2 decides in between.
OLD_MEETS_NEW = "3:2 5:1"


def test_what_old_code_cannot_decide_waits_for_new_code() -> None:
    run = simulate(Old(), workers=2, deploy={Old: Patched}, schedule=Deviations(OLD_MEETS_NEW))
    assert run.result == "bill"
    assert [call.what for call in run.calls(do)] == ["check", "bill"]  # type: ignore[attr-defined]
    assert any(isinstance(event, events.DecisionTaskTimedOut) for event in run.history)
    assert "worker 1  cannot decide: NonDeterminismError" in run.story


def test_a_patch_survives_every_order_of_its_deploy() -> None:
    @explore(Old(), workers=2, deploy={Old: Patched}, deviations=2)
    def survives(run: Any) -> None:
        assert run.result == "bill"

    survives()
    assert survives.explored.coverage.complete


def test_a_machine_that_shuts_down_takes_no_tasks_and_keeps_its_old_code() -> None:
    simulation = Simulation(deploy={Old: Patched})
    simulation.start(Old())
    fleet = simulation.fleet
    (old,) = fleet.machines
    fleet.deploy(old.name)
    (new,) = fleet.machines
    assert fleet.choose(Ready("decision", DOMAIN, "Deployed-1"), old) is new is not old
    assert (fleet.is_behind(old), fleet.is_behind(new)) == (True, False)
    simulation.close()


def test_new_code_that_cannot_decide_ends_the_run_and_is_reported() -> None:
    @explore(Old(), workers=2, deploy={Old: Inverted}, deviations=2)
    def survives(run: Any) -> None:
        assert run.result == "bill"

    with pytest.raises(NonDeterminismError) as found:
        survives()
    assert found.value.story.splitlines()[-1].endswith("cannot decide: NonDeterminismError")  # type: ignore[attr-defined]


def test_a_failure_is_shrunk_to_one_deviation_if_one_is_enough() -> None:
    counts = set()
    for number in range(20):

        @explore(Old(), workers=2, deploy={Old: Inverted})
        def survives(run: Any) -> None:
            assert run.result == "bill"

        survives.explored.begin()
        try:
            survives.explored.at_shortest(Seeded(number, 0.3))
        except NonDeterminismError as error:
            counts.add(len(error.deviations.split()))  # type: ignore[attr-defined]
    assert counts == {1}


def test_impure_old_code_is_reported_at_once() -> None:
    @workflow(name="Impure")
    async def impure() -> str:
        import time

        return str(time.time())

    @workflow(name="Impure")
    async def pure() -> str:
        return await do("pure")

    with pytest.raises(ImpureFlowError):
        simulate(impure(), deploy={impure: pure})


def test_a_machine_that_is_restarted_completes_its_running_tasks() -> None:
    @workflow(name="Slow")
    async def slow() -> str:
        return await do("work")

    @workflow(name="Slow")
    async def slower() -> str:
        return await do("work")

    run = simulate(slow(), stub={do: takes(minutes(3), then="done")}, deploy={slow: slower})
    assert (run.result, run.elapsed) == ("done", minutes(3))
