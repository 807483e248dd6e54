"""A simulation is one call, one thread, virtual time, the shipping workers, and the same every time."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from traction import (
    Activity,
    Cancelled,
    Retry,
    Workflow,
    activity,
    all_of,
    current_task,
    days,
    each,
    minutes,
    sleep,
    uuid4,
    workflow,
)
from traction.errors import (
    ActivityTimedOut,
    DefinitionError,
    FlowError,
    PayloadError,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowTerminated,
    WorkflowTimedOut,
)
from traction.model import events as e
from traction.model.limits import Limits
from traction.testing import fails, raises, returns, simulate, takes
from traction_local.simulation.options import Settings, SimulationOptions
from traction_local.simulation.schedule import PLAIN
from traction_local.simulation.simulation import Simulation


class Gateway:
    def __init__(self) -> None:
        self.charged: list[str] = []


class Charge(Activity[Gateway, str], retry=Retry(attempts=3, backoff=60), start_to_close=600):
    card: str

    def run(self, gateway: Gateway) -> str:
        gateway.charged.append(self.card)
        return f"receipt of {self.card}"


class Ship(Activity[None, str], start_to_close=600):
    order: int

    def run(self) -> str:
        return f"parcel {self.order}"


class Order(Workflow[list[str]]):
    card: str

    async def flow(self) -> list[str]:
        receipt = await Charge(self.card)
        await sleep(days(30))
        return [receipt, *await all_of([Ship(1), Ship(2)])]


class Patient(Workflow[str]):
    async def flow(self) -> str:
        try:
            await sleep(days(30))
        except Cancelled:
            return await Ship(7)
        return "slept"


def test_dependencies_are_provided_by_activity() -> None:
    gateway = Gateway()
    run = simulate(Order("visa"), provide={Charge: gateway})
    assert run.result == ["receipt of visa", "parcel 1", "parcel 2"]
    assert gateway.charged == ["visa"]


def test_a_month_passes_in_virtual_time_alone() -> None:
    assert simulate(Order("visa"), stub={Charge: "r"}).elapsed == days(30)


@pytest.mark.parametrize(
    ("stub", "receipt"),
    [("r", "r"), (returns("s"), "s"), (lambda call: call.card.upper(), "VISA"), (fails(2, then="t"), "t")],
    ids=["value", "returns", "function", "script"],
)
def test_a_stub_is_a_value_a_function_or_a_script(stub: object, receipt: str) -> None:
    assert simulate(Order("visa"), stub={Charge: stub}).result[0] == receipt


def test_a_script_counts_attempts_and_retries_wait_in_virtual_time() -> None:
    run = simulate(Order("visa"), stub={Charge: fails(2, then="r")})
    assert run.calls(Charge) == [Charge("visa")] * 3
    assert run.elapsed == days(30) + minutes(1) + minutes(2)


def test_takes_lets_time_pass_and_branches_pass_it_together() -> None:
    run = simulate(Order("visa"), stub={Charge: "r", Ship: takes(minutes(3))})
    assert run.result[1:] == ["parcel 1", "parcel 2"]
    assert run.elapsed == days(30) + minutes(3)


def test_an_attempt_that_takes_too_long_times_out() -> None:
    run = simulate(Order("visa"), stub={Charge: takes(minutes(11), then="r")})
    assert isinstance(run.error, WorkflowFailed)
    assert run.error.type.endswith(ActivityTimedOut.__name__)
    assert len(run.calls(Charge)) == 3


def test_raises_fails_every_attempt_with_its_type() -> None:
    run = simulate(Order("visa"), stub={Charge: raises(ZeroDivisionError("by nought"))})
    assert isinstance(run.error, WorkflowFailed)
    assert "ZeroDivisionError: by nought" in run.error.message


def test_a_failed_run_raises_its_error_with_the_timeline() -> None:
    run = simulate(Order("visa"), stub={Charge: raises(ZeroDivisionError)})
    with pytest.raises(WorkflowFailed) as caught:
        run.result  # noqa: B018
    assert "Charge-1" in "".join(caught.value.__notes__)


def test_of_a_long_run_that_failed_the_timeline_is_cut_in_the_middle() -> None:
    @workflow
    async def long() -> None:
        await each(lambda _: sleep(1), range(10_000))

    run = simulate(long(), limits=Limits(history_events_max=1_000))
    with pytest.raises(WorkflowTerminated, match=r"EVENT_LIMIT_EXCEEDED\): .* continue_as_new") as failed:
        run.result  # noqa: B018
    (note,) = failed.value.__notes__
    assert len(note.splitlines()) == 101
    assert len(str(run).splitlines()) > 900


def test_called_returns_whether_an_activity_was_scheduled() -> None:
    run = simulate(Patient())
    assert run.result == "slept"
    assert not run.called(Ship)


def test_a_cancel_request_comes_at_its_virtual_time() -> None:
    run = simulate(Patient(), cancels=[days(3)])
    assert run.result == "parcel 7"
    assert run.elapsed == days(3)


def test_a_flow_that_lets_cancellation_pass_closes_as_cancelled() -> None:
    run = simulate(Order("visa"), stub={Charge: "r"}, cancels=[days(1)])
    assert isinstance(run.error, WorkflowCancelled)


def test_a_signal_is_in_the_history_at_its_virtual_time() -> None:
    run = simulate(Patient(), signals=[(minutes(5), "note", {"text": "hi"})])
    (signal,) = [event for event in run.history if isinstance(event, e.WorkflowExecutionSignaled)]
    assert (signal.signal_name, signal.input) == ("note", '{"text":"hi"}')
    assert signal.event_timestamp - run.history[0].event_timestamp == minutes(5)


def test_a_child_is_simulated_with_its_parent() -> None:
    @workflow
    async def parent(card: str) -> int:
        return len(await Order(card))

    run = simulate(parent("visa"), stub={Charge: "r"})
    assert run.result == 3
    assert run.elapsed == days(30)


def test_an_execution_without_a_response_times_out() -> None:
    class Endless(Workflow[None], execution_start_to_close=3600):
        async def flow(self) -> None:
            await sleep(days(30))

    run = simulate(Endless())
    assert isinstance(run.error, WorkflowTimedOut)
    assert run.elapsed == timedelta(hours=1)


def test_heartbeats_reach_the_service_and_learn_of_cancellation() -> None:
    beats: list[str] = []

    @activity(heartbeat=30)
    def work() -> str:
        current_task().heartbeat("alive")
        beats.append(current_task().activity_id)
        return "done"

    @workflow
    async def flow() -> str:
        return await work()

    assert simulate(flow()).result == "done"
    assert beats == ["work-1"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "Charge needs Gateway, and the simulation has none"),
        ({"stub": {Charge: 3}}, "the stub of Charge returns 3, but Charge returns str"),
        ({"stub": {Gateway: 3}}, "the keys of provide and stub must be activities"),
    ],
    ids=["missing dependency", "stub of a wrong type", "key that is no activity"],
)
def test_a_wrong_world_is_refused_in_the_readers_names(arguments: dict[str, object], text: str) -> None:
    with pytest.raises(DefinitionError, match=text):
        simulate(Order("visa"), **arguments)  # type: ignore[arg-type]


@workflow
async def ask_of_a_step() -> str:
    return "yes" if sleep(1) else "no"


class Parcel(Activity[None, str]):
    receipt: str

    def run(self) -> str:
        return self.receipt


@workflow
async def give_a_step() -> str:
    return await Parcel(Parcel("a"))  # type: ignore[arg-type]


@workflow
async def give_a_number() -> str:
    return await Parcel(7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("flow", "says"),
    [
        (ask_of_a_step(), "is a step and has no truth value"),
        (give_a_step(), "cannot be sent: its receipt is a step that was not awaited"),
        (give_a_number(), r"Expected `str`, got `int`.* It is made by give_a_number \(.*test_simulate.py, line \d+\)"),
    ],
)
def test_a_step_in_place_of_a_value_and_a_value_of_another_type_are_reported(flow: Workflow[Any], says: str) -> None:
    with pytest.raises((FlowError, PayloadError), match=says):
        simulate(flow)


def test_a_definition_whose_types_are_nowhere_is_refused() -> None:
    class Astray(Workflow[None]):
        where: Nowhere  # type: ignore[name-defined]  # noqa: F821

        async def flow(self) -> None:
            await sleep(1)

    with pytest.raises(DefinitionError, match="Nowhere"):
        simulate(Astray(7))


def test_a_flow_that_cannot_continue_raises_the_mistake_of_its_author() -> None:
    @workflow
    async def wrong() -> None:
        async def plain() -> None:
            await sleep(1)

        await plain()  # a coroutine, not a step

    with pytest.raises(FlowError, match="awaits"):
        simulate(wrong())


def test_it_starts_no_thread() -> None:
    before = threading.active_count()
    simulate(Order("visa"), stub={Charge: "r"})
    assert threading.active_count() == before


def test_every_choice_is_asked_of_the_schedule() -> None:
    asked: list[tuple[int, str]] = []

    class Last:
        def choose(self, n: int, why: str) -> int:
            asked.append((n, why))
            return n - 1

    plain = simulate(Order("visa"), stub={Charge: "r"})
    last = simulate(Order("visa"), stub={Charge: "r"}, schedule=Last())
    # Two parcels are ready, or the first is put off; then the parcels' ends, and the decisions that they bring.
    assert asked[0] == (3, "who moves")
    assert all(n > 1 for n, _ in asked)
    assert last.result == plain.result
    assert last.history != plain.history
    assert PLAIN.choose(7, "anything") == 0


PROGRAM = """
import hashlib, msgspec
from traction import activity, all_of, days, sleep, uuid4, workflow
from traction.testing import fails, simulate

@activity
def work(n: int) -> dict[str, int]:
    return {str(i): i for i in {n, n + 1, n + 2}}

@workflow
async def flow() -> str:
    parts = await all_of([work(n) for n in range(5)])
    await sleep(days(1))
    return f"{await uuid4()} {sorted(map(sorted, parts))}"

history = simulate(flow()).history
print(hashlib.sha256(msgspec.json.encode(history)).hexdigest())
"""


def test_the_same_call_gives_the_same_history_byte_for_byte_in_other_processes() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(digests) == 1


def test_the_same_call_gives_the_same_history_twice() -> None:
    first, second = (
        hashlib.sha256(msgspec.json.encode(simulate(Order("visa"), stub={Charge: fails(1, then="r")}).history))
        for _ in range(2)
    )
    assert first.digest() == second.digest()


def test_a_script_that_raises_gives_the_same_history_each_time() -> None:
    world: Any = {"stub": {Charge: raises(ZeroDivisionError("by nought"))}}
    first, second = (simulate(Order("visa"), **world).history for _ in range(2))
    assert first == second


def test_chance_in_a_flow_is_the_runs_own() -> None:
    @workflow
    async def draw() -> str:
        return str(await uuid4())

    assert simulate(draw()).result == simulate(draw()).result


def test_each_option_of_a_simulation_has_a_default() -> None:
    assert set(Settings.__struct_fields__) == SimulationOptions.__optional_keys__


def test_an_unknown_option_of_a_simulation_is_refused() -> None:
    with pytest.raises(TypeError, match="machines"):
        Simulation(machines=2)  # type: ignore[call-arg]
