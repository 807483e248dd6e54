"""Simulations discover the graph of a workflow: inputs, outcomes, signals and schedules."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest

from tests.support.trips import Approve, Trip
from traction import activity, continue_as_new, receive, seconds, sleep, workflow
from traction.errors import DefinitionError
from traction.history.graphs.folding import fold_graph
from traction.history.graphs.graph import Graph, merge_graphs
from traction.testing import Faults, discover, simulate


@activity
def ask(n: int) -> bool:
    return n > 0


@activity
def work(n: int) -> int:
    return n


@workflow
async def choose(n: int) -> int:
    return await work(n) if await ask(n) else 0


@workflow
async def divide(n: int) -> int:
    if n == 0:
        await cast(Any, n)
    return await work(n)


@workflow
async def count_down(n: int) -> int:
    await work(n)
    if n > 0:
        return await continue_as_new(count_down(n - 1))
    return n


@workflow
async def wait() -> Any:
    return await (receive(Approve) | sleep(seconds(10)))


def list_names(graph: Graph, kind: str) -> set[str]:
    return {node.name for node in graph.nodes if node.kind == kind}


def test_each_result_and_each_failure_of_a_step_is_tried() -> None:
    found = discover(choose(1))
    assert found.complete
    edges = {(edge.source, edge.target): edge for edge in found.graph.edges}
    assert edges["ask-1", "work-1"].results == {"true"}
    assert edges["ask-1", "~close completed"].results == {"false"}
    assert edges["ask-1", "~close failed: ActivityFailed"].outcomes == {"failed: UndeclaredError"}


def test_declared_errors_signals_loops_and_compensations_are_discovered() -> None:
    graph = fold_graph(discover(Trip).graph)
    assert list_names(graph, "signal") == {"Approve"}
    assert "cancel_booking" in list_names(graph, "activity")
    assert {"failed: SoldOut", "failed: UndeclaredError"} <= {
        outcome for edge in graph.edges if edge.source == "book_flight-1" for outcome in edge.outcomes
    }
    assert {node.name: node.times for node in graph.nodes if node.id in ("is_open-1", "sleep-1")} == {
        "is_open": 3,
        "sleep": 3,
    }


def test_a_signal_and_the_timer_that_it_races_are_discovered() -> None:
    graph = discover(wait).graph
    assert (list_names(graph, "signal"), list_names(graph, "timer")) == ({"Approve"}, {"sleep"})


def test_more_deviations_only_add_to_the_graph() -> None:
    less, more = (discover(Trip("Bern"), deviations=count, runs_max=1_000) for count in (0, 1))
    assert merge_graphs(less.graph, more.graph) == more.graph
    assert less.graph != more.graph


def test_equal_discoveries_have_equal_graphs() -> None:
    assert discover(Trip, runs_max=30) == discover(Trip, runs_max=30)


def test_what_a_simulation_shows_is_in_the_graph() -> None:
    graph = discover(choose).graph
    run = simulate(choose(2))
    ids = {node.id for node in graph.nodes}
    assert {node.id for node in run.graph.nodes} <= ids


def test_a_discovery_that_ends_early_reports_it() -> None:
    found = discover(Trip, runs_max=5)
    assert (found.runs, found.complete) == (5, False)
    assert found.summary.startswith("the first 5 runs of 2 inputs with up to 1 deviation")
    assert "further scenarios" in found.unseen[0]
    assert discover(Trip, seconds_max=0).runs == 0


def test_cancellation_is_discovered_on_request() -> None:
    assert "cancelled" not in list_names(discover(wait).graph, "close")
    found = discover(wait, cancels=True)
    assert "cancelled" in list_names(found.graph, "close")
    assert "cancellation requests" not in found.unseen


def test_faults_show_timeouts() -> None:
    found = discover(choose(1), faults=Faults(crashes=1))
    assert "timeouts of tasks, and workers that crash" not in found.unseen


def test_an_input_on_which_the_flow_breaks_is_reported() -> None:
    found = discover(divide)
    assert any("FlowError" in what for what in found.unseen)
    assert "work" in list_names(found.graph, "activity")


def test_a_flow_that_breaks_at_once_has_a_start_alone() -> None:
    found = discover(divide(0))
    assert [node.kind for node in found.graph.nodes] == ["start"]
    assert any("FlowError" in what for what in found.unseen)


def test_all_runs_of_an_execution_that_continues_are_in_the_graph() -> None:
    closes = list_names(discover(count_down).graph, "close")
    assert {"completed", "continued as new"} <= closes


def test_stubs_replace_samples() -> None:
    found = discover(choose(1), stub={ask: False, work: 1})
    assert list_names(found.graph, "activity") == {"ask"}


def test_fields_that_are_set_are_not_varied() -> None:
    assert discover(choose, fields={"n": 7}).inputs == 1
    assert discover(choose).inputs == 3


def test_logs_of_runs_are_disabled(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        discover(Trip, runs_max=20)
    assert caplog.records == []
    assert logging.root.manager.disable == 0


@pytest.mark.parametrize("wrong", [ask, 7, "choose"])
def test_what_is_not_a_workflow_is_rejected(wrong: Any) -> None:
    with pytest.raises(DefinitionError, match=r"discover\(\) takes a workflow or a call of one"):
        discover(wrong)
