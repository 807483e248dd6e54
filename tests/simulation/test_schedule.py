"""A schedule is a list of deviations from the plain run, and the same schedule gives the same history."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traction import Retry, Signal, Workflow, activity, days, first_of, receive, sleep, workflow
from traction.errors import DefinitionError
from traction.history.state import HistoryState
from traction.testing import Deviations, Faults, Seeded, simulate, simulate_all, sometimes
from traction.testing.strategies import schedules
from traction_local.simulation.schedule import Recurring


class Approve(Signal):
    by: str


@activity(retry=Retry(attempts=10, backoff=60))
def charge(amount: int) -> str:
    return f"receipt of {amount}"


@activity(retry=Retry(attempts=10, backoff=60))
def ship(receipt: str) -> str:
    return f"parcel for {receipt}"


@workflow
async def checkout(amount: int) -> str:
    receipt, _ = await (charge(amount) & charge(0))
    approved = await first_of(receive(Approve), sleep(days(30)))
    return await ship(receipt) if approved else "expired"


@given(schedules(choices=60))
def test_the_deviations_of_a_run_are_its_schedule(schedule: Deviations) -> None:
    first = simulate(checkout(30), signals=[Approve("Ann")], faults=Faults.all(), workers=2, schedule=schedule)
    again = simulate(
        checkout(30), signals=[Approve("Ann")], faults=Faults.all(), workers=2, schedule=Deviations(first.deviations)
    )
    assert (again.history, again.deviations, again.story) == (first.history, first.deviations, first.story)


@given(st.integers(0, 2**64), st.floats(0, 0.5))
def test_a_seed_chooses_the_same_every_time(seed: int, rate: float) -> None:
    schedule = Seeded(seed, rate)
    runs = [simulate(checkout(30), signals=[Approve("Ann")], faults=Faults.all(), schedule=schedule) for _ in range(2)]
    assert runs[0].history == runs[1].history


@given(schedules(choices=60))
def test_every_history_of_every_schedule_is_one_that_swf_could_write(schedule: Deviations) -> None:
    history = HistoryState()
    for event in simulate(checkout(30), signals=[Approve("Ann")], faults=Faults.all(), schedule=schedule).history:
        history.add(event)
    assert history.closed is not None


def test_no_deviation_is_the_plain_run() -> None:
    plain = simulate(checkout(30), signals=[Approve("Ann")])
    asked = simulate(
        checkout(30), signals=[Approve("Ann")], faults=Faults.all(), schedule=Deviations(), check_determinism=False
    )
    assert asked.history == plain.history
    assert asked.deviations == ""


def test_deviations_are_written_and_read() -> None:
    assert Deviations("4:2 9:1") == Deviations({9: 1, 4: 2})
    assert str(Deviations({9: 1, 4: 2})) == "4:2 9:1"
    assert repr(Deviations("4:2")) == "Deviations('4:2')"


@pytest.mark.parametrize("text", ["4", "4:", ":2", "4:two", "4:2,9:1", "-1:2"])
def test_a_text_that_is_not_a_list_of_deviations_is_refused(text: str) -> None:
    with pytest.raises(DefinitionError, match="is not a deviation; write the number of a choice"):
        Deviations(text)


def test_a_rate_that_is_not_a_probability_is_refused() -> None:
    with pytest.raises(DefinitionError, match="a rate is a probability"):
        Seeded(1, rate=2)


def test_a_choice_beyond_the_last_counts_on_from_the_first_deviation() -> None:
    schedule = Deviations({0: 7, 1: 7, 2: 1})
    assert [schedule.choose(n, "") for n in (2, 4, 9)] == [1, 1, 1]


def test_a_recurring_deviation_repeats_at_the_next_choices_with_the_same_reason() -> None:
    whys = ["a", "worker 1 asks", "a", "worker 2 asks", "worker 1 rests", "worker 3 asks", "worker 1 asks"]
    assert list(map(Recurring(1, 2, often=3).choose, [3] * 7, whys)) == [0, 2, 0, 2, 0, 2, 0]
    assert list(map(Recurring(3, 9, often=9).choose, [3] * 7, whys)) == [0, 0, 0, 1, 0, 1, 1]


def test_a_run_with_recurring_faults_equals_one_with_its_deviations() -> None:
    first = simulate(checkout(30), faults=Faults(crashes=3), schedule=Recurring(5, 1, often=2))
    assert len(first.deviations.split()) == 2
    assert (
        simulate(checkout(30), faults=Faults(crashes=3), schedule=Deviations(first.deviations)).history == first.history
    )


PROGRAM = """
from tests.simulation.test_schedule import digest
print(digest())
"""


def digest() -> str:
    """Return a hash of the histories of a hundred seeds, with all faults."""
    whole = hashlib.sha256()
    for seed in range(100):
        made = simulate(
            checkout(30),
            signals=[Approve("Ann")],
            faults=Faults.all(),
            workers=2,
            schedule=Seeded(seed, 0.15),
            check_determinism=False,
        )
        whole.update(msgspec.json.encode(made.history))
    return whole.hexdigest()


def test_a_schedule_gives_the_same_history_byte_for_byte_in_any_process() -> None:
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), str(root / "src")])
    digests = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "PATH": "", "PYTHONPATH": path},
        ).stdout.strip()
        for seed in ("0", "4242")
    }
    golden = Path(__file__).with_name("seeds.sha256")
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(digest() + "\n")
    # A change of the simulator or the decider may change this: check the difference, then run with GOLDEN=write.
    assert {*digests, digest()} == {golden.read_text().strip()}


class Chain(Workflow[int]):
    """`n` activities, one after the other."""

    n: int

    async def flow(self) -> int:
        for _ in range(self.n):
            await charge(1)
        return self.n


def test_a_fleet_runs_side_by_side_in_one_world() -> None:
    runs = simulate_all([Chain(n) for n in range(1, 20)], schedule=Seeded(7, 0.1), workers=3)
    assert [run.result for run in runs] == list(range(1, 20))


def test_an_activity_does_something_else_only_where_the_schedule_deviates() -> None:
    stub: dict[Any, Any] = {charge: sometimes("odd", otherwise="even"), ship: lambda call: call.receipt}
    plain = simulate(checkout(1), stub=stub, signals=[Approve("Ann")])
    assert plain.result == "even"
    found = {
        simulate(
            checkout(1), stub=stub, signals=[Approve("Ann")], schedule=Deviations({n: 1}), check_determinism=False
        ).result
        for n in range(12)
    }
    assert found == {"odd", "even", "expired"}
