"""Looking at a flow from outside: its history is replayed where one looks, and nothing is asked or done."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.support.backends import Stage, take_turns
from traction import (
    Signal,
    Workflow,
    activity,
    continue_as_new,
    get_logger,
    patched,
    receive,
    set_state,
    side_effect,
    sleep,
)
from traction.errors import DefinitionError, FlowError, NonDeterminismError, PayloadError
from traction.model import operations as o
from traction.model.names import WorkflowExecution
from traction.payloads.codec import JSON
from traction.worker.local_activities import LocalActivities


class Add(Signal):
    item: str


class Cart(msgspec.Struct, frozen=True):
    items: list[str]


@activity
def count(items: list[str]) -> int:
    return len(items)


class Shop(Workflow[int]):
    async def flow(self) -> int:
        items: list[str] = []
        await set_state(Cart(items))
        while len(items) < 3:
            items.append((await receive(Add)).item)
            await set_state(Cart(items))
        return await count(items)


def add(stage: Stage, handle: Any, item: str) -> None:
    stage.backend.call(
        o.SignalWorkflowExecution(
            domain=stage.backend.domain,
            workflow_id=handle.workflow_id,
            signal_name=Add.spec.name,
            input=JSON.encode(Add(item)),
        )
    )


def test_a_query_gives_the_last_report_as_what_it_is(stage: Stage) -> None:
    handle = stage.start(Shop())
    decider = stage.decider(Shop)
    take_turns(decider)
    assert handle.state(Cart) == Cart([])
    add(stage, handle, "tea")
    take_turns(decider)
    assert handle.state(Cart) == Cart(["tea"])
    assert handle.state() == {"items": ["tea"]}
    assert handle.published_state(Cart) == Cart(["tea"])


def test_it_needs_no_worker_and_sees_what_no_decision_task_has_seen(stage: Stage) -> None:
    handle = stage.start(Shop())
    assert handle.state(Cart) == Cart([])
    add(stage, handle, "tea")
    # A decision task is taken, and not answered; then comes another signal.
    assert stage.decider(Shop).poll_once() is not None
    add(stage, handle, "cake")
    before = handle.history()
    assert handle.state(Cart) == Cart(["tea", "cake"])
    assert handle.published_state(Cart) is None
    assert handle.history() == before


def test_the_state_of_a_closed_execution_is_its_last(stage: Stage) -> None:
    handle = stage.start(Shop())
    for item in "abc":
        add(stage, handle, item)
    take_turns(stage.decider(Shop), stage.worker(count))
    assert handle.result(0) == 3
    assert handle.state(Cart) == Cart(["a", "b", "c"])


def test_what_was_terminated_stays_as_its_flow_left_it(stage: Stage) -> None:
    handle = stage.start(Shop())
    take_turns(stage.decider(Shop))
    add(stage, handle, "too late")
    handle.terminate()
    assert handle.state(Cart) == Cart([])


def test_a_report_that_swf_does_not_carry_is_read_all_the_same(stage: Stage) -> None:
    class Tell(Workflow[None]):
        async def flow(self) -> None:
            await set_state("short")
            await sleep(1)
            await set_state("x" * 100_000)
            await sleep(100)

    handle = stage.start(Tell())
    decider = stage.decider(Tell)
    take_turns(decider)
    stage.advance(2)
    take_turns(decider)
    assert stage.stuck == []
    assert handle.state(str) == "x" * 100_000
    assert handle.published_state(str) == "short"


def test_a_flow_that_reports_nothing_gives_nothing(stage: Stage) -> None:
    class Silent(Workflow[None]):
        async def flow(self) -> None:
            await sleep(1)

    assert stage.start(Silent()).state(str) is None


def test_what_the_history_does_not_show_is_not_done(stage: Stage, caplog: Any) -> None:
    done: list[str] = []

    def do(what: str) -> int:
        done.append(what)
        return 7

    class Act(Workflow[int]):
        async def flow(self) -> int:
            get_logger("shop").warning("begun")
            await set_state("patched" if await patched("p") else "old")
            branch = count(["a"]).locally() | side_effect(lambda: do("effect"))
            await set_state(f"did {await branch}")
            return 1

    handle = stage.start(Act())
    assert handle.state(str) == "patched"
    handle.cancel()
    assert handle.state(str) == "patched"
    assert (done, caplog.text) == ([], "")
    take_turns(stage.decider(Act, local=LocalActivities(bodies={count: lambda _: do("count")})))
    assert handle.state(str) == "did 7"
    assert done == ["effect"]


def test_what_the_history_shows_is_read_there(stage: Stage) -> None:
    gives = iter([7])

    class Act(Workflow[None]):
        async def flow(self) -> None:
            value = await side_effect(lambda: next(gives))
            await set_state([value, await count(["a"]).locally(), 2 if await patched("p") else 3])
            await sleep(1)

    handle = stage.start(Act())
    take_turns(stage.decider(Act))
    assert handle.state(list[int]) == [7, 1, 2]


def test_it_goes_on_to_the_run_that_is_open(stage: Stage) -> None:
    class Go(Workflow[int]):
        n: int

        async def flow(self) -> int:
            await set_state(self.n)
            await sleep(1)
            return await continue_as_new(Go(self.n + 1))

    handle = stage.start(Go(1))
    take_turns(stage.decider(Go))
    assert handle.state(int) == 1
    stage.advance(2)
    take_turns(stage.decider(Go))
    assert handle.state(int) == 2


def test_the_code_is_needed_and_that_of_the_version_that_runs(stage: Stage) -> None:
    handle = stage.start(Shop())

    class Newer(Shop, name="Shop", version="2"):
        pass

    with pytest.raises(DefinitionError, match="the handle has no workflow"):
        stage.system.get_handle(handle.execution).state()
    with pytest.raises(DefinitionError, match="Shop 1, and the handle has Shop 2"):
        stage.system.get_handle(handle.execution, Newer).state()
    assert stage.system.get_handle(WorkflowExecution(handle.workflow_id, handle.run_id), Shop).state(Cart) == Cart([])


def test_code_that_does_not_match_raises(stage: Stage) -> None:
    class Changed(Workflow[int], name="Shop"):
        async def flow(self) -> int:
            await sleep(1)
            return 1

    class Wrong(Workflow[int], name="Shop"):
        async def flow(self) -> int:
            return 7 if await 7 else 8  # type: ignore[misc]

    handle = stage.start(Shop())
    take_turns(stage.decider(Shop))
    with pytest.raises(NonDeterminismError):
        stage.system.get_handle(handle.execution, Changed).state()
    with pytest.raises(FlowError, match="awaits"):
        stage.system.get_handle(handle.execution, Wrong).state()


def test_a_report_of_another_type_is_refused(stage: Stage) -> None:
    with pytest.raises(PayloadError, match="the state of Shop-"):
        stage.start(Shop()).state(int)
