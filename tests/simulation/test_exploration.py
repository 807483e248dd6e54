"""A test of runs is run in every ordering, with every fault, and its failure is a short story."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import partial, wraps
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, currently_in_test_context, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import DeadlineExceeded, InvalidArgument

from traction import (
    Retry,
    Signal,
    Workflow,
    activity,
    all_of,
    current_task,
    days,
    first_of,
    minutes,
    receive,
    sleep,
    workflow,
)
from traction.decider.decider import decide
from traction.errors import DefinitionError, MissingExtraError, NonDeterminismError
from traction.model import events as e
from traction.testing import (
    Deviations,
    Faults,
    StuckExecutionError,
    UnsoundFlowError,
    crashes,
    explore,
    fails,
    heartbeats_then_crashes,
    simulate,
    takes,
)
from traction.testing import strategies as ts
from traction_local.simulation import cross_process

QUICK = settings(max_examples=60, derandomize=True, database=None, deadline=None)


class Approve(Signal):
    by: str


@activity(retry=Retry(attempts=3, backoff=minutes(1)))
def charge(amount: int) -> str:
    raise ConnectionError(f"no bank for {amount}")


@activity
def ship(receipt: str) -> str:
    raise ConnectionError(f"no warehouse for {receipt}")


@activity
def refund(receipt: str) -> None:
    raise ConnectionError(f"no bank for {receipt}")


@workflow
async def checkout(amount: int) -> str:
    receipt = await charge(amount)
    if await first_of(receive(Approve), sleep(days(30))) is None:
        await refund(receipt)
        return "refunded"
    return await ship(receipt)


WORLD: dict[str, Any] = {"stub": {charge: "receipt", ship: "parcel", refund: None}, "signals": [Approve("Ann")]}


@QUICK
@explore(checkout(30), **WORLD)
def test_every_ordering_of_signal_and_timer_ends_well(run: Any) -> None:
    assert run.result in ("parcel", "refunded")
    assert run.called(ship) != run.called(refund)


@explore(checkout(30), deviations=2, **WORLD)
def test_all_schedules_with_two_deviations_end_well(run: Any) -> None:
    assert run.called(ship) != run.called(refund)


@QUICK
@explore(checkout(30), **WORLD)
def test_fixtures_come_to_the_other_parameters(run: Any, request: pytest.FixtureRequest) -> None:
    assert run.result
    assert request.node.name == "test_fixtures_come_to_the_other_parameters"


@explore(checkout(30), deviations=1, **WORLD)
def test_fixtures_come_to_systematic_explorations_too(run: Any, request: pytest.FixtureRequest) -> None:
    assert run.result
    assert request.node.name == "test_fixtures_come_to_systematic_explorations_too"


@pytest.mark.parametrize("deviations", [None, 1])
def test_marks_and_settings_below_are_kept(deviations: int | None) -> None:
    runs: list[Any] = []

    @explore(checkout(30), deviations=deviations, **WORLD)
    @settings(max_examples=3, database=None)
    @pytest.mark.parametrize("n", [1, 2])
    def look(run: Any, n: int) -> None:
        runs.append((run, n))

    assert [mark.name for mark in look.pytestmark] == ["parametrize"]
    look(n=1)
    assert len(runs) == 3 if deviations is None else len(runs) > 3


class TestInAClass:
    @QUICK
    @explore(checkout(30), **WORLD)
    def test_a_method_tests_runs_too(self, run: Any) -> None:
        assert isinstance(self, TestInAClass)
        assert run.result in ("parcel", "refunded")

    @explore(checkout(30), deviations=1, **WORLD)
    def test_a_method_is_explored_systematically_too(self, run: Any, request: pytest.FixtureRequest) -> None:
        assert request.node.name == "test_a_method_is_explored_systematically_too"
        assert run.result in ("parcel", "refunded")


class Wrong:
    @explore(checkout(30), deviations=1, **WORLD)
    def orders_are_refunded(self, *, run: Any) -> None:
        assert run.result == "refunded"


def test_a_method_that_fails_prints_the_call_that_runs_it_again() -> None:
    with pytest.raises(AssertionError) as failed:
        Wrong().orders_are_refunded()
    again = 'Wrong.orders_are_refunded.at("", Wrong())'
    assert again in failed.value.__notes__[0]
    with pytest.raises(AssertionError):
        eval(again)


def test_a_systematic_exploration_has_its_coverage() -> None:
    test_all_schedules_with_two_deviations_end_well()
    coverage = test_all_schedules_with_two_deviations_end_well.explored.coverage
    assert coverage.complete
    assert coverage.runs >= coverage.histories > 5
    assert str(coverage).startswith(f"all {coverage.runs} runs with up to 2 deviations")


def test_a_failure_prints_its_story_and_the_test_that_runs_it_again() -> None:
    @QUICK
    @explore(checkout(30), **WORLD)
    def always_ships(run: Any) -> None:
        assert run.result == "parcel"

    with pytest.raises(AssertionError) as failed:
        always_ships()
    error: Any = failed.value
    assert len(error.deviations.split()) == 1
    notes = "\n".join(error.__notes__)
    assert "The story, 1 deviation from the plain run (those with a star)" in notes
    assert "delayed: signal Approve" in notes
    assert f'always_ships.at("{error.deviations}")' in notes
    with pytest.raises(AssertionError):
        always_ships.at(error.deviations)
    assert always_ships.explored.at.__self__ is always_ships.explored


def test_a_systematic_exploration_runs_all_alternatives_fewest_deviations_first() -> None:
    runs: list[Any] = []

    @explore(add_both(), stub={charge: "r"}, deviations=2, faults=Faults(crashes=1))
    def see(run: Any) -> None:
        runs.append(run)

    logging.disable(logging.DEBUG)
    try:
        see()
        assert logging.root.manager.disable == logging.DEBUG
    finally:
        logging.disable(logging.NOTSET)
    ran = [run.deviations for run in runs]
    counts = [len(deviations.split()) for deviations in ran]
    assert counts == sorted(counts)
    assert counts[-1] == 2
    assert len(set(ran)) == len(ran)
    plain, *others = runs
    assert ran[0] == ""
    assert set(list_following(plain)) == {each for each in ran if len(each.split()) == 1}
    assert max(plain.widths) > 2
    for run in others:
        if len(run.deviations.split()) == 1:
            assert set(list_following(run)) <= set(ran)


def list_numbers(run: Any) -> list[int]:
    return [int(each.partition(":")[0]) for each in run.deviations.split()]


def list_following(run: Any) -> list[str]:
    """Return the schedules with one more deviation after the last of a run."""
    first = max(list_numbers(run), default=-1) + 1
    following = enumerate(run.widths[first:], first)
    return [f"{run.deviations} {n}:{chosen}".strip() for n, width in following for chosen in range(1, width)]


def test_a_systematic_exploration_finds_the_failure_of_fewest_deviations() -> None:
    @explore(checkout(30), deviations=3, **WORLD)
    def always_ships(run: Any) -> None:
        assert run.result == "parcel"

    with pytest.raises(AssertionError) as failed:
        always_ships()
    error: Any = failed.value
    assert len(error.deviations.split()) == 1


@workflow
async def add_both() -> int:
    return sum(await all_of([charge(1).map(len), charge(2).map(len), charge(3).map(len)]))


@activity(retry=Retry(attempts=3, backoff=1))
def reserve() -> None: ...


@activity(retry=Retry(attempts=3, backoff=1))
def pay() -> None: ...


@activity(retry=Retry(attempts=3, backoff=1))
def pack() -> None: ...


@activity(retry=Retry(attempts=3, backoff=1))
def mail() -> None: ...


@workflow
async def order() -> None:
    await (reserve() & pay() & pack())
    await mail()


class Shop:
    """A world that records the order of its calls, which the history of an order does not show."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def touch(self, call: Any) -> None:
        self.done.append(type(call).__name__)


@pytest.mark.parametrize(
    "touched", [("reserve", "pack", "pay"), ("pay", "reserve", "pack"), ("pack", "reserve", "pay")]
)
def test_a_failure_after_one_order_of_branches_is_found(touched: tuple[str, ...]) -> None:
    @explore(
        order(),
        world=Shop,
        stub=lambda shop: dict.fromkeys((reserve, pay, pack, mail), shop.touch),
        faults=Faults(crashes=1),
        deviations=2,
    )
    def mails_once(run: Any) -> None:
        done = run.world.done
        assert not (tuple(done[:3]) == touched and done.count("mail") == 2), done

    with pytest.raises(AssertionError) as failed:
        mails_once()
    assert len(failed.value.deviations.split()) == 2  # type: ignore[attr-defined]


def test_a_systematic_exploration_that_is_cut_short_is_not_complete() -> None:
    explored = explore(add_both(), stub={charge: "r"}, deviations=2)(lambda run: None).explored  # noqa: ARG005
    assert not explored.cover(2, runs_max=20).complete
    assert str(explored.coverage).startswith("the first 20 runs with up to 2 deviations")


def test_a_deadlocked_execution_is_stuck_and_reports_what_it_waits_for() -> None:
    @explore(checkout(30), stub=WORLD["stub"], deviations=0)
    def may_expire(run: Any) -> None:
        assert run.result == "refunded"

    may_expire()

    @workflow
    async def patient() -> str:
        return (await receive(Approve)).by

    @explore(patient(), deviations=0)
    def closes(run: Any) -> None:
        assert run.result

    with pytest.raises(StuckExecutionError, match="the signal Approve: it was not sent"):
        closes()


def test_a_world_is_made_anew_for_each_run() -> None:
    class Bank:
        def __init__(self) -> None:
            self.charged: list[int] = []

        def charge(self, call: Any) -> str:
            self.charged.append(call.amount)
            return "receipt"

    seen: list[Bank] = []

    @explore(
        add_both(),
        world=Bank,
        stub=lambda bank: {charge: bank.charge},
        faults=Faults(crashes=1),
        deviations=1,
    )
    def charges(run: Any) -> None:
        seen.append(run.world)
        assert sorted(set(run.world.charged)) == [1, 2, 3]

    charges()
    assert len({id(bank) for bank in seen}) == len(seen)
    assert max(len(bank.charged) for bank in seen) == 4  # a crash after the effect, and once more


@QUICK
@explore(checkout(30), given={"more": st.integers(1, 3)}, **WORLD)
def test_further_strategies_are_drawn_as_by_given(run: Any, more: int) -> None:
    assert run.result
    assert 1 <= more <= 3


def test_the_other_process_starts_before_the_first_example(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[bool] = []

    class Counting(cross_process.OtherProcess):
        def __init__(self) -> None:
            begun.append(currently_in_test_context())
            super().__init__()

    processes: list[cross_process.OtherProcess] = []
    monkeypatch.setattr(cross_process, "_processes", processes)
    monkeypatch.setattr(cross_process, "_differences", {})
    monkeypatch.setattr(cross_process, "OtherProcess", Counting)

    @QUICK
    @explore(checkout(30), **WORLD)
    def look(run: Any) -> None:
        assert run.error is None

    look()
    assert begun == [False]
    processes[0].close()


def test_settings_seeds_and_phases_are_those_of_hypothesis() -> None:
    runs: list[str] = []

    @seed(7)
    @settings(max_examples=5, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @explore(checkout(30), **WORLD)
    def looks(run: Any) -> None:
        runs.append(run.deviations)

    looks()
    first, runs[:] = list(runs), []
    looks()
    assert runs == first
    assert len(runs) == 5
    with pytest.raises(InvalidArgument):
        settings(max_examples=5)(looks)


class Old(Workflow[str], name="Deployed"):
    async def flow(self) -> str:
        receipt = await charge(1)
        await sleep(days(1))
        return receipt


class New(Workflow[str], name="Deployed"):
    async def flow(self) -> str:
        await sleep(days(1))
        return await charge(1)


def test_a_deployment_of_other_steps_meets_its_histories() -> None:
    @explore(Old(), stub={charge: "r"}, deploy={Old: New}, deviations=1)
    def survives(run: Any) -> None:
        assert run.result == "r"

    with pytest.raises(NonDeterminismError) as failed:
        survives()
    assert "is restarted with the new code" in failed.value.story  # type: ignore[attr-defined]


LAST: list[int] = []


@workflow
async def forgetful() -> str:
    LAST.append(1)
    return await charge(len(LAST))


def test_what_a_flow_keeps_between_its_runs_is_found_out() -> None:
    with pytest.raises(UnsoundFlowError, match="makes another decision when its history is replayed"):
        simulate(forgetful(), stub={charge: "r"})


def test_the_moment_of_a_signal_in_a_long_run_is_two_deviations_deep() -> None:
    @workflow
    async def rounds() -> list[bool]:
        return [await (receive(Approve) | sleep(days(30))) is not None for _ in range(6)]

    came = set()

    @explore(rounds(), signals=[Approve("Ann")], deviations=2)
    def looks(run: Any) -> None:
        came.add(run.result.index(True) if True in run.result else None)

    looks()
    assert came == {0, 1, 2, 3, 4, 5, None}


def test_a_flow_that_was_unsound_once_is_reported_though_later_runs_are_sound() -> None:
    amounts = iter([1, 2])

    @workflow
    async def settled() -> str:
        return await charge(next(amounts, 3))

    @settings(max_examples=20, database=None)
    @explore(settled(), stub={charge: "r"})
    def looks(run: Any) -> None:
        assert run.result

    with pytest.raises(UnsoundFlowError, match="makes another decision") as found:
        looks()
    assert "charge-1" in found.value.story  # type: ignore[attr-defined]


def test_a_worker_crashes_at_the_end_of_an_attempt_and_another_starts() -> None:
    run = simulate(
        checkout(1),
        stub={charge: crashes(then=lambda call: f"attempt {call.amount}"), ship: lambda call: call.receipt},
        provide={},
        signals=[(days(2), Approve("Ann"))],
    )
    assert run.result == "attempt 1"
    assert len(run.calls(charge)) == 2
    assert [event.timeout_type for event in run.history if isinstance(event, e.ActivityTaskTimedOut)] == [
        "START_TO_CLOSE"
    ]


def test_heartbeats_of_a_worker_that_died_are_read_by_the_next() -> None:
    @activity(retry=Retry(attempts=2, backoff=1), heartbeat=30, start_to_close=600)
    def copy(pages: int) -> int:
        return (current_task().last_details(int) or 0) + pages

    @workflow
    async def copies() -> int:
        return await copy(9)

    run = simulate(copies(), stub={copy: heartbeats_then_crashes(5)})
    timed_out = [event for event in run.history if isinstance(event, e.ActivityTaskTimedOut)]
    assert [(event.timeout_type, event.details) for event in timed_out] == [("HEARTBEAT", "5")]


@activity(retry=Retry(attempts=9, backoff=1), heartbeat=30, start_to_close=600)
def copy_pages() -> int | None:
    raise ConnectionError("no disk here")


@workflow
async def copied() -> int | None:
    return await copy_pages()


@given(st.lists(st.one_of(st.just("crashes"), st.just("fails"), st.integers(0, 9)), max_size=6))
def test_an_attempt_has_the_last_heartbeat_details_of_any_earlier_timeout(
    attempts: list[Any],
) -> None:
    script: Any = lambda _: current_task().last_details(int)  # noqa: E731
    for one in reversed(attempts):
        match one:
            case "crashes":
                script = crashes(then=script)
            case "fails":
                script = fails(1, then=script)
            case _:
                script = heartbeats_then_crashes(one, then=script)
    details = [one for one in attempts if isinstance(one, int)]
    assert simulate(copied(), stub={copy_pages: script}).result == (details[-1] if details else None)


@pytest.mark.parametrize("item", [7, "Approve", (1, 2), (days(1), "Approve"), (days(1), Approve)])
def test_signals_that_are_none_are_refused(item: Any) -> None:
    with pytest.raises(DefinitionError, match=r"write Approve\(...\) for a signal at any time"):
        simulate(checkout(30), signals=[item])


@pytest.mark.parametrize("workers", [0, -1])
def test_a_simulation_without_workers_is_refused(workers: int) -> None:
    with pytest.raises(DefinitionError, match="needs at least one worker"):
        simulate(checkout(30), workers=workers)


@pytest.mark.parametrize(
    ("words", "says"),
    [({"schedule": "4:2"}, "expected a schedule; write Deviations"), ({"faults": "some"}, "write Faults.some()")],
)
def test_words_for_schedules_and_faults_are_refused(words: Any, says: str) -> None:
    with pytest.raises(DefinitionError, match=re.escape(says)):
        simulate(checkout(30), **words)


def test_a_test_of_runs_that_takes_none_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"write def no_run\(run\)"):

        @explore(checkout(30))
        def no_run() -> None: ...


async def asserts_later(run: Any) -> None:
    assert run is None


def yields(run: Any) -> Iterator[None]:
    yield
    assert run is None


async def yields_later(run: Any) -> AsyncIterator[None]:
    yield
    assert run is None


class Asserting:
    async def method(self, run: Any) -> None:
        assert run is None

    async def __call__(self, run: Any) -> None:
        assert run is None


@pytest.mark.parametrize("deviations", [None, 1])
@pytest.mark.parametrize(
    "test",
    [
        asserts_later,
        yields,
        yields_later,
        Asserting().method,
        Asserting.method,
        Asserting(),
        partial(asserts_later),
        partial(partial(Asserting().method)),
        pytest.mark.filterwarnings("error")(asserts_later),
        staticmethod(asserts_later),
    ],
)
def test_a_test_whose_body_would_not_run_is_refused(test: Any, deviations: int | None) -> None:
    with pytest.raises(DefinitionError, match=r"a call of it does not run its body"):
        explore(checkout(30), deviations=deviations, **WORLD)(test)


def through(test: Any) -> Any:
    @wraps(test)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return test(*args, **kwargs)

    return inner


@pytest.mark.parametrize("deviations", [None, 1])
@pytest.mark.parametrize(
    ("test", "says"),
    [
        (lambda run: run.result == "nothing", "returned False, and the result of a test is ignored"),
        (lambda run: run is not None, "returned True"),
        (partial(lambda wanted, run: run.result == wanted, "nothing"), "returned False"),
        (through(asserts_later), "which has not run"),
        (through(yields), "which has not run"),
        (through(yields_later), "which has not run"),
    ],
)
def test_a_test_that_returns_a_value_fails(test: Any, says: str, deviations: int | None) -> None:
    first = settings(max_examples=1, database=None, phases=[Phase.generate])
    explored = first(explore(checkout(30), deviations=deviations, **WORLD)(test))
    with pytest.raises(DefinitionError, match=says):
        explored()
    with pytest.raises(DefinitionError, match=says):
        explored.at("")


def test_a_test_that_returns_a_value_in_one_order_only_fails_there() -> None:
    @explore(checkout(30), deviations=1, **WORLD)
    def refunded(run: Any) -> Any:
        return run.result if run.called(refund) else None

    with pytest.raises(DefinitionError, match="returned 'refunded'") as failed:
        refunded()
    assert len(failed.value.deviations.split()) == 1  # type: ignore[attr-defined]


def test_a_wrapper_that_runs_the_coroutine_is_a_test() -> None:
    ran = []

    async def looks(run: Any) -> None:
        ran.append(run.result)

    @explore(checkout(30), deviations=0, **WORLD)
    @wraps(looks)
    def runs(run: Any) -> None:
        asyncio.run(looks(run))

    runs()
    assert len(ran) == 1


def test_a_partial_is_a_test() -> None:
    def looks(seen: list[Any], run: Any) -> None:
        seen.append(run.result)

    seen: list[Any] = []
    explored = explore(checkout(30), deviations=0, **WORLD)(partial(looks, seen))
    explored()
    assert (explored.__name__, len(seen)) == ("looks", 1)


class Slow:
    """A world that takes its time."""

    def __init__(self) -> None:
        until = time.perf_counter() + 0.25
        while time.perf_counter() < until:
            pass


SLOW: dict[str, Any] = {"stub": WORLD["stub"], "world": Slow}


def look_slowly(run: Any) -> None:
    assert run.result


@pytest.fixture
def hypothesis_default() -> Iterator[None]:
    before = settings.get_current_profile_name()
    plain: dict[str, Any] = {"max_examples": 1, "database": None, "phases": [Phase.generate]}
    for name, options in (("plain", {}), ("strict", {"deadline": 100})):
        settings.register_profile(name, settings.get_profile("default"), **plain, **options)
    settings.load_profile("plain")
    yield
    settings.load_profile(before)


@pytest.mark.usefixtures("hypothesis_default")
class TestDeadlines:
    def test_a_slow_run_does_not_fail(self) -> None:
        explore(checkout(30), **SLOW)(look_slowly)()
        settings(max_examples=1)(explore(checkout(30), **SLOW)(look_slowly))()
        explore(checkout(30), **SLOW)(settings(max_examples=1)(through(look_slowly)))()

    @pytest.mark.parametrize("deadline", [100, 200, timedelta(milliseconds=200)])
    def test_a_deadline_of_the_tests_settings_holds(self, deadline: Any) -> None:
        for explored in (
            settings(deadline=deadline)(explore(checkout(30), **SLOW)(look_slowly)),
            explore(checkout(30), **SLOW)(settings(deadline=deadline)(through(look_slowly))),
        ):
            with pytest.raises(DeadlineExceeded):
                explored()

    def test_a_deadline_of_a_profile_holds(self) -> None:
        settings.load_profile("strict")
        with pytest.raises(DeadlineExceeded):
            explore(checkout(30), **SLOW)(look_slowly)()


# Strategies.


class Order(Workflow[int]):
    number: int
    notes: list[str]
    due: timedelta | None = None

    async def flow(self) -> int:
        return self.number


@given(ts.inputs(Order))
def test_calls_are_drawn_by_the_types_of_their_fields(order: Order) -> None:
    assert simulate(order).result == order.number


@given(ts.signals(Approve, within=timedelta(days=40)))
def test_signals_are_drawn_with_their_times(drawn: list[Any]) -> None:
    run = simulate(checkout(30), stub=WORLD["stub"], signals=drawn)
    assert run.called(ship) == any(when < timedelta(days=30) for when, _ in drawn)


@given(ts.histories(checkout(30), faults=Faults.some(), **WORLD))
def test_histories_are_drawn_whole(events: list[e.Event]) -> None:
    cut = max(event.event_id for event in events if isinstance(event, e.DecisionTaskStarted))
    assert decide(checkout, events[:cut]) is not None  # type: ignore[arg-type]


@given(ts.executions(checkout, stub={charge: takes(minutes(1), then="r"), ship: "p", refund: None}))
def test_executions_of_a_workflow_have_drawn_inputs(run: Any) -> None:
    assert run.result == "refunded"


def test_inputs_of_a_value_that_is_not_a_workflow_are_refused() -> None:
    with pytest.raises(DefinitionError, match="expected a workflow"):
        ts.inputs(charge)  # type: ignore[arg-type]


def test_a_schedule_may_be_given_to_any_test() -> None:
    run = test_every_ordering_of_signal_and_timer_ends_well.at(Deviations())
    assert run.deviations == ""


def test_only_schedules_that_are_drawn_need_hypothesis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    world = {charge: "receipt", ship: "parcel", refund: None}

    def looks(run: Any) -> None:
        assert run.result in ("parcel", "refunded")

    with pytest.raises(MissingExtraError, match=r'pip install "traction\[testing\]"'):
        explore(checkout(30), stub=world)(looks)
    explore(checkout(30), stub=world, deviations=1)(looks)()


def test_what_draws_nothing_takes_no_strategies() -> None:
    with pytest.raises(DefinitionError, match=r"'amount'.+ draws nothing"):
        explore(checkout(30), deviations=1, given={"amount": st.integers()})


@pytest.mark.parametrize("run", [simulate, explore])
def test_a_workflow_that_is_not_called_is_refused(run: Any) -> None:
    with pytest.raises(DefinitionError, match=r"expected a call .*, got checkout.* write checkout\(\.\.\.\)"):
        run(checkout)
