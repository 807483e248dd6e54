"""Write a graph as JSON: the folded nodes and edges, and the states of a history that is laid over."""

from __future__ import annotations

from collections import Counter, defaultdict

import msgspec

from traction.history.graphs.arrangement import Overlay, describe_edge
from traction.history.graphs.folding import fold_graph
from traction.history.graphs.graph import Edge, Graph, Node, NodeKind, sort_key


class GraphNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node of a folded graph: a step, a group, branch or scope, the start or a close."""

    id: str
    place: str
    kind: NodeKind
    name: str
    times: int
    attempts: int
    raced: bool
    paths: int
    outcomes: tuple[str, ...]
    steps: tuple[str, ...]
    states: dict[str, int] | None
    """`None` without a history."""


class GraphEdge(msgspec.Struct, frozen=True, kw_only=True):
    """What follows a node."""

    source: str
    target: str
    text: str
    outcomes: tuple[str, ...]
    results: tuple[str, ...]
    paths: int


class GraphView(msgspec.Struct, frozen=True, kw_only=True):
    """A folded graph."""

    paths: int
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]


def write_graph(graph: Graph, overlay: Overlay | None = None) -> str:
    """Return a graph, folded, as JSON; docs/cli.md describes its keys.

    Args:
        graph: the graph.
        overlay: the states of the steps of a history, which are laid over.
    """
    return msgspec.json.encode(view_graph(graph, overlay)).decode()


def view_graph(graph: Graph, overlay: Overlay | None = None) -> GraphView:
    """Return what `write_graph` writes."""
    folded = fold_graph(graph)
    leaving = defaultdict[str, list[Edge]](list)
    for edge in folded.edges:
        leaving[edge.source].append(edge)
    edges = [
        GraphEdge(
            source=edge.source,
            target=edge.target,
            text=describe_edge(edge, leaving[edge.source]),
            outcomes=tuple(sorted(edge.outcomes)),
            results=tuple(sorted(edge.results)),
            paths=len(edge.paths),
        )
        for edge in folded.edges
    ]
    return GraphView(
        paths=len(graph.paths), nodes=tuple(_view_node(node, overlay) for node in folded.nodes), edges=tuple(edges)
    )


def _view_node(node: Node, overlay: Overlay | None) -> GraphNode:
    states: dict[str, int] | None = None
    if overlay is not None:
        states = dict(sorted(Counter(overlay[step] for step in node.steps if step in overlay).items()))
    return GraphNode(
        id=node.id,
        place=node.place,
        kind=node.kind,
        name=node.name,
        times=node.times,
        attempts=node.attempts,
        raced=node.raced,
        paths=len(node.paths),
        outcomes=tuple(sorted(node.outcomes)),
        steps=tuple(sorted(node.steps, key=sort_key)),
        states=states,
    )
