"""The graph of a flow: it is a union of what histories show, and its drawings are well formed for any names."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from typing import Any
from xml.etree import ElementTree

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from traction.flow.step import Step
from traction.history.graphs.arrangement import Box, arrange, read_overlay
from traction.history.graphs.folding import fold_graph
from traction.history.graphs.graph import PLACES, Graph, merge_graphs
from traction.history.graphs.json_export import write_graph
from traction.history.graphs.layout import PlacedBox, lay_out
from traction.history.graphs.mermaid import write_mermaid
from traction.history.graphs.reading import make_graph
from traction.history.graphs.svg import write_svg
from traction.history.reading import read_execution
from traction.model import events as e
from traction.payloads.codec import Codec
from traction.testing.laws.flows import choices, flows
from traction.testing.laws.history_generator import Choose, generate_history
from traction.testing.laws.laws import to_workflow

fault_counts = st.integers(0, 3)
small_flows = flows(max_leaves=6)
lists_of_choices = choices()


def generate(flow: Step[Any], choose: Choose, faults: int = 0) -> list[e.Event]:
    return generate_history(to_workflow(flow), choose, faults=faults, codec=Codec()).events


@st.composite
def histories(draw: st.DrawFn, count: int = 3) -> list[list[e.Event]]:
    """Draw histories of one flow, some of them cut off."""
    flow = draw(small_flows)
    found = [generate(flow, draw(lists_of_choices), draw(fault_counts)) for _ in range(draw(st.integers(1, count)))]
    return [events[: draw(st.integers(1, len(events)))] if draw(st.booleans()) else events for events in found]


@given(flows(), choices(), fault_counts)
def test_each_step_of_a_history_is_in_one_node(flow: Step[Any], choose: Choose, faults: int) -> None:
    events = generate(flow, choose, faults)
    graph = make_graph([events])
    moments = ("signal", "marker", "cancel")
    expected = Counter(
        step.id for step in read_execution(events).walk() if step.kind not in PLACES and step.kind not in moments
    )
    nodes = Counter(
        node.id for node in graph.nodes if node.kind not in PLACES and node.kind not in (*moments, "start", "close")
    )
    assert nodes == expected
    folded = Counter(step for node in fold_graph(graph).nodes for step in node.steps)
    assert folded == Counter(node.id for node in graph.nodes)


@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_histories_makes_no_difference(found: list[list[e.Event]], random: Any) -> None:
    shuffled = random.sample(found, len(found))
    assert make_graph([*shuffled, shuffled[0]]) == make_graph(found)


@given(histories(), histories(), histories())
def test_merging_is_associative_commutative_and_idempotent(
    one: list[list[e.Event]], two: list[list[e.Event]], three: list[list[e.Event]]
) -> None:
    a, b, c = make_graph(one), make_graph(two), make_graph(three)
    assert merge_graphs(a, merge_graphs(b, c)) == merge_graphs(merge_graphs(a, b), c)
    assert merge_graphs(a, b) == merge_graphs(b, a)
    assert merge_graphs(a, a) == a == merge_graphs(a, Graph())


@given(histories(), histories())
def test_the_graph_of_some_histories_is_a_subgraph(one: list[list[e.Event]], two: list[list[e.Event]]) -> None:
    whole = make_graph([*one, *two])
    assert merge_graphs(make_graph(one), whole) == whole == merge_graphs(make_graph(one), make_graph(two))


@given(histories())
def test_every_step_is_reached_from_the_start_of_its_place(found: list[list[e.Event]]) -> None:
    for graph in (make_graph(found), fold_graph(make_graph(found))):
        reached = {node.id for node in graph.nodes if node.first}
        for _ in graph.nodes:
            reached |= {edge.target for edge in graph.edges if edge.source in reached}
        assert reached == {node.id for node in graph.nodes}


HOSTILE = st.lists(
    st.sampled_from(
        [
            '"]; click n1 "javascript:alert(1)"',
            "</title><script>alert(1)</script>",
            "end",
            "%%{init: {}}%%",
            "`**bold**`",
            "a\nsubgraph x",
            "\u202egnitirw",
            "]]>&lt;<!--",
            "x\x00\x1b[31m",
            "#quot;",
            "",
        ]
    )
    | st.text(max_size=20),
    min_size=1,
    max_size=5,
)


def rename(graph: Graph, names: list[str]) -> Graph:
    """Return a graph with hostile names, outcomes and results."""
    next_name = cycle(names).__next__
    nodes = [msgspec.structs.replace(node, name=next_name(), outcomes=frozenset({next_name()})) for node in graph.nodes]
    edges = [msgspec.structs.replace(edge, outcomes=frozenset({next_name()})) for edge in graph.edges]
    return Graph(tuple(nodes), tuple(edges), graph.paths)


LABEL = r'"(?:[^"#<>`%\x00-\x1f]|#\d+;|<br/>)*"'
NODE = rf"n\d+(?:\[|\(|\{{\{{|\[\[|>|\(\[|\[/){LABEL}(?:\]|\)|\}}\}}|\]\]|\]\)|/\])"
MERMAID = re.compile(
    rf"flowchart TD|%% [^\x00-\x1f]*|{NODE}|subgraph n\d+\[{LABEL}\]|end|n\d+ (?:-->|-\.->)(?:\|{LABEL}\|)? n\d+|"
    r"classDef \w+ [\w#:,.-]+|class n\d+(?:,n\d+)* \w+"
)


@given(flows(), choices(), HOSTILE)
def test_mermaid_is_well_formed_for_hostile_names(flow: Step[Any], choose: Choose, names: list[str]) -> None:
    graph = rename(make_graph([generate(flow, choose)]), names)
    lines = [line.lstrip(" ") for line in write_mermaid(graph, {}, comments=names).split("\n")[:-1]]
    assert [line for line in lines if not MERMAID.fullmatch(line)] == []
    assert sum(line.startswith("subgraph ") for line in lines) == lines.count("end")


@given(flows(), choices(), HOSTILE)
def test_svg_is_xml_without_scripts_for_hostile_names(flow: Step[Any], choose: Choose, names: list[str]) -> None:
    graph = rename(make_graph([generate(flow, choose)]), names)
    root = ElementTree.fromstring(write_svg(graph, {}, description=names[0]))
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags <= {"svg", "title", "desc", "style", "g", "rect", "path", "text"}
    attributes = {name for element in root.iter() for name in element.attrib}
    assert not any(name.startswith("on") or "href" in name for name in attributes)


@given(histories())
def test_json_has_each_folded_node_and_edge(found: list[list[e.Event]]) -> None:
    graph, overlay = read_overlay(found[0])
    written, folded = json.loads(write_graph(graph, overlay)), fold_graph(graph)
    assert [node["id"] for node in written["nodes"]] == [node.id for node in folded.nodes]
    assert len(written["edges"]) == len(folded.edges)
    states = sum(sum(node["states"].values()) for node in written["nodes"])
    assert states == sum(node.kind not in PLACES for node in graph.nodes)


def list_boxes(box: Box) -> Iterator[Box]:
    yield box
    for member in box.members:
        yield from list_boxes(member)


@given(histories())
def test_a_drawing_has_each_folded_step_once_and_nothing_overlaps(found: list[list[e.Event]]) -> None:
    graph = make_graph(found)
    flow = arrange(graph)
    drawn = Counter(box.node.id for box in list_boxes(flow) if box.node.kind not in PLACES)
    assert drawn == Counter(node.id for node in fold_graph(graph).nodes if node.kind not in PLACES)
    check_places(lay_out(flow))


def check_places(placed: PlacedBox) -> None:
    """Check that the members of a box are within it, and beside or below each other."""
    for number, one in enumerate(placed.members):
        assert placed.x <= one.x <= placed.x + placed.width - one.width + 0.001
        assert placed.y <= one.y <= placed.y + placed.height - one.height + 0.001
        for other in placed.members[:number]:
            beside = one.x + one.width <= other.x or other.x + other.width <= one.x
            below = one.y + one.height <= other.y or other.y + other.height <= one.y
            assert beside or below
        check_places(one)
