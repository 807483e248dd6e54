"""The graph of a flow, from simulations: sequences, groups, races, loops, failures and what led to a branch."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from traction import Retry, Signal, activity, all_of, done, move_on_after, receive, sleep, workflow
from traction.errors import HistoryError
from traction.history.graphs.arrangement import Box, arrange, read_overlay
from traction.history.graphs.folding import fold_graph
from traction.history.graphs.graph import Graph, Node, merge_graphs
from traction.history.graphs.reading import make_graph
from traction.history.graphs.svg import write_svg
from traction.testing import fails, raises, simulate


class Declined(Exception): ...


class Approve(Signal):
    yes: bool


@activity
def reserve(n: int) -> int:
    return n


@activity
def charge(n: int) -> bool:
    return n > 0


@activity(retry=Retry(attempts=3, backoff=1))
def ship(n: int) -> int:
    return n


@activity
def refund(n: int) -> int:
    return n


@workflow
async def sell(n: int) -> str:
    try:
        paid = await charge(n)
    except Exception:
        await refund(n)
        return "refunded"
    if paid:
        await ship(n)
    return "sold"


@workflow
async def poll(n: int) -> None:
    for _ in range(n):
        await reserve(n)
        await sleep(3)


@workflow
async def fan_out(n: int) -> None:
    await all_of([reserve(i).flat_map(charge) for i in range(n)])
    await ship(n)


@workflow
async def race(n: int) -> Any:
    await reserve(n)
    return await (charge(n) | sleep(10).map(lambda _: False))


@workflow
async def within(n: int) -> None:
    async with move_on_after(10):
        await reserve(n)
        await ship(n)
    await refund(n)


@workflow
async def approve() -> bool:
    await reserve(1)
    signal = await receive(Approve)
    return signal.yes


@workflow
async def parent(n: int) -> str:
    return await sell(n)


def list_edges(graph: Graph) -> list[str]:
    """Return the edges of a folded graph, by the names of their ends, with what led there."""
    folded = fold_graph(graph)
    names = {node.id: node.name or node.kind for node in folded.nodes}
    return sorted(
        f"{names[edge.source]} > {names[edge.target]}{''.join(f' [{text}]' for text in sorted(edge.outcomes))}"
        for edge in folded.edges
    )


def find(graph: Graph, name: str) -> Node:
    (node,) = (node for node in fold_graph(graph).nodes if node.name == name)
    return node


def test_an_edge_shows_the_outcome_that_led_to_a_branch() -> None:
    runs = [simulate(sell(1)), simulate(sell(0)), simulate(sell(1), stub={charge: raises(Declined())})]
    graph = make_graph(run.history for run in runs)
    assert list_edges(graph) == [
        "charge > completed [done]",
        "charge > refund [failed: Declined]",
        "charge > ship [done]",
        "refund > completed [done]",
        "sell > charge",
        "ship > completed [done]",
    ]
    arrows = {arrow.text for arrow in arrange(graph).arrows}
    assert {"= true", "= false", "failed: Declined"} <= arrows


def test_the_rounds_of_a_loop_are_one_node_with_an_edge_back() -> None:
    graph = make_graph([simulate(poll(3)).history])
    assert list_edges(graph) == [
        "poll > reserve",
        "reserve > sleep [done]",
        "sleep > completed [done]",
        "sleep > reserve [done]",
    ]
    assert (find(graph, "reserve").times, find(graph, "sleep").times) == (3, 3)


def test_a_step_that_occurs_again_after_others_is_not_a_loop() -> None:
    @workflow
    async def return_trip() -> None:
        await reserve(1)
        await ship(1)
        await reserve(2)

    graph = make_graph([simulate(return_trip()).history])
    assert [node.id for node in fold_graph(graph).nodes if node.kind == "activity"] == [
        "reserve-1",
        "reserve-2",
        "ship-1",
    ]


def test_equal_branches_of_a_group_are_one_branch() -> None:
    graph = make_graph([simulate(fan_out(5)).history])
    (branch,) = (node for node in fold_graph(graph).nodes if node.kind == "branch")
    assert branch.times == 5
    assert list_edges(graph) == [
        "fan_out > group",
        "group > ship [done]",
        "reserve > charge [done]",
        "ship > completed [done]",
    ]


@pytest.mark.parametrize("count", [2, 3])
def test_repeated_groups_are_one_group(count: int) -> None:
    @workflow
    async def rounds() -> None:
        for _ in range(count):
            await all_of([reserve(i) for i in range(4)])

    graph = fold_graph(make_graph([simulate(rounds()).history]))
    (group,) = (node for node in graph.nodes if node.kind == "group")
    (branch,) = (node for node in graph.nodes if node.kind == "branch")
    assert (group.times, branch.times) == (count, 4)


def test_a_group_whose_losers_are_cancelled_is_a_race() -> None:
    groups = {
        call.__name__: next(node for node in make_graph([simulate(call(2)).history]).nodes if node.kind == "group")
        for call in (race, fan_out)
    }
    assert {name: group.raced for name, group in groups.items()} == {"race": True, "fan_out": False}


def test_a_deadline_precedes_nothing_that_it_did_not_lead_to() -> None:
    graph = make_graph([simulate(within(1)).history])
    assert list_edges(graph) == [
        "refund > completed [done]",
        "reserve > ship [done]",
        "ship > refund [done]",
        "within > reserve",
        "within > sleep",
    ]


def test_a_retried_activity_is_one_node_with_its_attempts() -> None:
    graph = make_graph([simulate(sell(1), stub={ship: fails(2, then=1)}).history])
    node = find(graph, "ship")
    assert (node.attempts, node.outcomes, node.times) == (3, frozenset({"done"}), 1)


def test_signals_and_children_are_nodes() -> None:
    signalled = make_graph([simulate(approve(), signals=[Approve(True)]).history])
    assert (find(signalled, "Approve").kind, find(signalled, "Approve").times) == ("signal", 1)
    child = find(make_graph([simulate(parent(1)).history]), "sell")
    assert (child.kind, child.outcomes) == ("child", frozenset({"done"}))


@pytest.mark.parametrize("call", [sell(1), fan_out(2), race(1), parent(1)])
def test_a_history_that_grows_only_adds_to_its_graph(call: Any) -> None:
    history = simulate(call).history
    before = set[str]()
    for length in range(1, len(history) + 1):
        ids = {node.id for node in make_graph([history[:length]]).nodes}
        assert before <= ids
        before = ids


def test_the_states_of_a_history_are_laid_over_a_graph() -> None:
    whole = make_graph([simulate(fan_out(3)).history])
    history = simulate(fan_out(3)).history
    half = next(n for n, event in enumerate(history) if type(event).__name__ == "ActivityTaskCompleted") + 1
    graph, overlay = read_overlay(history[:half])
    boxes = {box.node.name: box for box in list_boxes(arrange(merge_graphs(whole, graph), overlay))}
    assert boxes["reserve"].notes == ["… 2 open, ✓ 1 done"]
    assert boxes["ship"].notes == ["not reached"]
    assert (boxes["reserve"].state, boxes["ship"].state) == ("Open", None)


def list_boxes(box: Box) -> list[Box]:
    return [box, *(inner for member in box.members for inner in list_boxes(member))]


def test_a_drawing_is_readable_without_sight_and_without_inline_styles() -> None:
    graph, overlay = read_overlay(simulate(sell(1)).history)
    root = ElementTree.fromstring(write_svg(graph, overlay, description="One sale.", style=""))
    texts = {element.tag.rpartition("}")[2]: element.text for element in root}
    assert root.get("role") == "img"
    assert texts["title"] == "Graph of sell"
    assert texts["desc"] == "One sale. Steps: charge ✓ done, ship ✓ done, completed ✓ done."
    assert "style" not in texts
    assert not any("style" in element.attrib for element in root.iter())
    assert [element.get("data-step") for element in root.iter() if element.get("data-step")] == [
        "~start",
        "charge-1",
        "ship-1",
        "~close completed",
    ]


def test_an_empty_flow_goes_from_start_to_close() -> None:
    @workflow
    async def nothing() -> int:
        return await done(1)

    assert list_edges(make_graph([simulate(nothing()).history])) == ["nothing > completed"]
    assert make_graph([]) == Graph()


def test_a_history_with_a_gap_is_rejected() -> None:
    with pytest.raises(HistoryError, match="event ids are dense"):
        make_graph([simulate(sell(1)).history[1:]])
