"""Ids depend only on the place of a step in its flow."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given

from tests.support.scripted_history import Story
from traction.decider.decider import Decider
from traction.definitions.decorators import activity
from traction.flow.combinators import all_of, done, each, first_of, sleep, step
from traction.flow.retry import Retry
from traction.flow.step import Step
from traction.model import decisions as d
from traction.model.names import WorkflowExecution
from traction.payloads.codec import Codec
from traction.testing.laws.flows import choices, flows, part, work
from traction.testing.laws.history_generator import (
    Choose,
    GeneratedHistory,
    HistoryGenerator,
    TaskFailed,
    choose_plain,
    derive_outcome,
    generate_history,
)
from traction.testing.laws.laws import assert_equivalent, to_workflow


def list_ids(generated: GeneratedHistory) -> set[tuple[str, str | None]]:
    """Return the ids of all tasks and timers, with their inputs."""
    asked = [one for decisions in generated.decisions.values() for one in decisions]
    tasks = {(one.activity_id, one.input) for one in asked if isinstance(one, d.ScheduleActivityTask)}
    return tasks | {(one.timer_id, one.start_to_fire_timeout) for one in asked if isinstance(one, d.StartTimer)}


@given(flows(races=False, failures=False, places=False), choices())
def test_ids_do_not_depend_on_the_order_in_which_branches_close(flow: Step[Any], choose: Choose) -> None:
    plain, other = (
        generate_history(to_workflow(flow), c, outcome=derive_outcome, codec=Codec()) for c in (choose_plain, choose)
    )
    assert list_ids(plain) == list_ids(other)


@given(choices())
def test_do_notation_and_flat_map_give_the_same_decisions(choose: Choose) -> None:
    @step
    async def worked() -> list[int]:
        n = await work(1)
        both = await (work(n) & sleep(n))
        more = await each(work, [n, n], limit=1)
        return [*more, both[0], await work(2)]

    built = work(1).flat_map(
        lambda n: (work(n) & sleep(n)).flat_map(
            lambda both: each(work, [n, n], limit=1).flat_map(
                lambda more: work(2).map(lambda last: [*more, both[0], last])
            )
        )
    )
    assert_equivalent(worked(), built, choose, faults=2)


@pytest.mark.parametrize(
    ("flow", "asked"),
    [
        pytest.param(work(1), ["do work-1"], id="a step is named by what it runs"),
        pytest.param(sleep(1), ["timer sleep-1"], id="a timer is a sleep"),
        pytest.param(work(1) & sleep(2), ["do 1.0.work-1", "timer 1.1.sleep-1"], id="branches open scopes"),
        pytest.param(first_of(work(1), part(1)), ["do 1.0.work-1", "child 1.1.part-1"], id="so do races"),
        pytest.param(
            (done(0) & done(0)).flat_map(lambda _: work(1) & work(1)),
            ["do 2.0.work-1", "do 2.1.work-1"],
            id="groups are counted, also those that ask for nothing",
        ),
        pytest.param(
            all_of(work(1) & work(1), work(1)),
            ["do 1.0.1.0.work-1", "do 1.0.1.1.work-1", "do 1.1.work-1"],
            id="groups within groups",
        ),
        pytest.param(work(1).named("x"), ["do x.work-1"], id="a name opens a scope"),
        pytest.param(
            done(0).named("x").flat_map(lambda _: work(1).named("x")),
            ["do x~2.work-1"],
            id="a name used again is told apart",
        ),
        pytest.param(
            all_of(work(1).named("x"), work(1).named("x")),
            ["do 1.0.x.work-1", "do 1.1.x.work-1"],
            id="a name is counted within its branch",
        ),
        pytest.param(
            (work(1) & work(1)).named("x"), ["do x.1.0.work-1", "do x.1.1.work-1"], id="groups count within a name"
        ),
        pytest.param(
            done(1).map(str).flat_map(done).ensure(done(0)).attempt().flat_map(lambda _: work(1)),
            ["do work-1"],
            id="continuations cost nothing",
        ),
    ],
)
def test_the_id_of_a_step_names_its_place(flow: Step[Any], asked: list[str]) -> None:
    assert Story(flow).turn() == asked


def test_a_sequence_counts_by_name() -> None:
    @step
    async def three() -> None:
        await work(1)
        await sleep(1)
        await work(1)

    story = Story(three())
    assert story.turn() == ["do work-1"]
    story.complete("work-1")
    assert story.turn() == ["timer sleep-1"]
    story.fire_timer("sleep-1")
    assert story.turn() == ["do work-2"]


def test_after_a_name_the_count_goes_on_where_it_was() -> None:
    story = Story(work(1).named("x").flat_map(lambda _: work(1)).flat_map(lambda _: work(1).named("x")))
    assert story.turn() == ["do x.work-1"]
    story.complete("x.work-1")
    assert story.turn() == ["do work-1"]
    story.complete("work-1")
    assert story.turn() == ["do x~2.work-1"]


def test_after_a_name_that_failed_the_count_goes_on_where_it_was() -> None:
    story = Story(work(1).named("x").recover(Exception, lambda _: work(1)))
    story.turn()
    story.end("x.work-1", ValueError("no"))
    assert story.turn() == ["do work-1"]


def test_a_change_beside_a_name_changes_no_id_within_it() -> None:
    before, after = Story(work(1).named("x")), Story(all_of(done(0), done(1)).flat_map(lambda _: work(1).named("x")))
    assert before.turn() == after.turn()


@activity(retry=Retry(attempts=4, backoff=50_000_000, max_delay=50_000_000, jitter=1.0))
def stumble(n: int) -> int:
    return n


def list_pauses(run_id: str) -> list[str]:
    """Return the pauses of two concurrent steps that fail at every attempt."""
    execution = WorkflowExecution("played", run_id)
    workflow, codec = to_workflow(all_of(stumble(1).attempt(), stumble(1).attempt())), Codec()
    table = HistoryGenerator(workflow, choose_plain, lambda _, __: TaskFailed("always"), codec=codec)
    table.make = partial(Decider, workflow, execution=execution, codec=codec)
    asked = [one for decisions in table.run().decisions.values() for one in decisions]
    return [one.start_to_fire_timeout for one in asked if isinstance(one, d.StartTimer)]


def test_the_jitter_of_a_pause_depends_on_the_run_the_step_and_the_attempt() -> None:
    pauses = list_pauses("run-1")
    assert pauses == list_pauses("run-1")
    both = pauses + list_pauses("run-2")
    assert len(set(both)) == len(both) == 2 * 2 * 3
