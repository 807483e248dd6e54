"""The graph of a flow: its steps, the places that hold them, and what follows what.

Theory of operation. A step id names the place of a step in its flow (`1.0.IndexStories-1`), so the steps of many
histories fall into one tree: groups hold branches, branches and scopes hold steps. An edge connects two members of one
place: a step, group or scope, and what the flow did after it had closed. Two graphs are merged by a union of all their
parts, so a graph of many histories depends neither on their order nor on how often each occurs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias, TypeVar, get_args

import msgspec

NodeKind: TypeAlias = Literal[
    "activity",
    "local",
    "timer",
    "child",
    "lambda",
    "send",
    "cancel",
    "signal",
    "marker",
    "group",
    "branch",
    "scope",
    "start",
    "close",
]
"""What a node is: a step, a place that holds steps, or (the last two) how the execution starts or closes."""

PLACES: Final = frozenset({"group", "branch", "scope"})
"""The kinds of nodes that hold others."""

ROOT: Final = ""
"""The place of the flow itself."""

START: Final = "~start"
"""The id of the node before the first step."""

RESULTS_MAX: Final = 4
"""How many results an edge keeps: the first ones in alphabetical order."""

_RANKS: Final = {kind: rank for rank, kind in enumerate(get_args(NodeKind))}


class Node(msgspec.Struct, frozen=True):
    """A step, a place, the start or a close; `place` is the id of the place that holds it, `""` for the flow."""

    id: str
    place: str
    kind: NodeKind
    name: str
    outcomes: frozenset[str] = frozenset()
    """How it closed: `done`, `failed: CardDeclined`, `timed out: START_TO_CLOSE`, `cancelled`; `open` if it did not."""
    attempts: int = 0
    """The most attempts that a history shows."""
    raced: bool = False
    """Whether a branch of the group was cancelled because another one was done."""
    first: bool = False
    """Whether it comes first in its place in a history."""
    paths: frozenset[str] = frozenset()
    """The digests of the paths that contain it."""
    steps: frozenset[str] = frozenset()
    """The ids that it stands for; more than one in a folded graph."""
    times: int = 1
    """How often it occurs in its place, in a folded graph."""


class Edge(msgspec.Struct, frozen=True):
    """What follows a node: both ends are in one place."""

    source: str
    target: str
    outcomes: frozenset[str] = frozenset()
    """The outcomes of the source that led to the target."""
    results: frozenset[str] = frozenset()
    """The results of the source that led to the target, if they are short: up to `RESULTS_MAX`, and `…` for others."""
    paths: frozenset[str] = frozenset()
    """The digests of the paths that contain it."""


class Graph(msgspec.Struct, frozen=True):
    """Nodes and edges, each sorted, and the digests of the different paths that histories took."""

    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    paths: frozenset[str] = frozenset()


T = TypeVar("T")


def merge_graphs(*graphs: Graph) -> Graph:
    """Return the union of graphs.

    Laws:
        Associative, commutative and idempotent; `Graph()` is neutral.
        The graph of a part of the histories is a subgraph: `merge_graphs(part, whole) == whole`.
    """
    nodes, edges = dict[str, Node](), dict[tuple[str, str], Edge]()
    for graph in graphs:
        for node in graph.nodes:
            found = nodes.get(node.id)
            nodes[node.id] = node if found is None or found is node else join_nodes(found, node)
        for edge in graph.edges:
            key = edge.source, edge.target
            nearest = edges.get(key)
            edges[key] = edge if nearest is None or nearest is edge else join_edges(nearest, edge)
    return build_graph(nodes.values(), edges.values(), unite(graph.paths for graph in graphs))


def build_graph(nodes: Iterable[Node], edges: Iterable[Edge], paths: frozenset[str]) -> Graph:
    """Return a graph with its nodes and edges in their order."""
    return Graph(
        tuple(sorted(nodes, key=lambda node: sort_key(node.id))),
        tuple(sorted(edges, key=lambda edge: (sort_key(edge.source), sort_key(edge.target)))),
        paths,
    )


def join_nodes(left: Node, right: Node) -> Node:
    """Return one node for two with the same id, or for two that are folded: that of the left one."""
    return Node(
        id=left.id,
        place=left.place,
        kind=max(left.kind, right.kind, key=lambda kind: -_RANKS[kind]),
        name=max(left.name, right.name),
        outcomes=left.outcomes | right.outcomes,
        attempts=max(left.attempts, right.attempts),
        raced=left.raced or right.raced,
        first=left.first or right.first,
        paths=left.paths | right.paths,
        steps=left.steps | right.steps,
        times=max(left.times, right.times),
    )


def join_edges(left: Edge, right: Edge) -> Edge:
    """Return one edge for two with the same ends, or for two that are folded: that of the left one."""
    return Edge(
        left.source,
        left.target,
        left.outcomes | right.outcomes,
        keep_results(left.results | right.results),
        left.paths | right.paths,
    )


def keep_results(results: Iterable[str]) -> frozenset[str]:
    """Return the first results in alphabetical order."""
    return frozenset(sorted(results)[:RESULTS_MAX])


def unite(sets: Iterable[frozenset[T]]) -> frozenset[T]:
    """Return the union of sets."""
    return frozenset().union(*sets)


def sort_key(id: str) -> tuple[tuple[int, str], ...]:
    """Return a key that sorts ids, with the numbers in them as numbers."""
    return tuple((int(part), "") if part.isdecimal() and part.isascii() else (-1, part) for part in _PARTS.split(id))


_PARTS: Final = re.compile(r"(\d{1,18})")
