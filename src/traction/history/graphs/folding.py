"""Fold the repeated parts of a graph: the rounds of a loop, and the equal branches of a group.

Theory of operation. Places are folded from the outside in. Two members of a place are alike if they have the same kind
and name; for groups, branches and scopes, if what is in them has the same kinds and names. In a sequence, two alike
members are folded if one follows the other, or if that holds for what follows them too: `A-1 → B-1 → A-2 → B-2` is a
loop of A and B, and `A-1 → B-1 → A-2` is not one. In a group, branches that are alike are folded. Folded members become
one, their contents are merged by their places in them, and then folded in turn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

import msgspec

from traction.history.graphs.graph import PLACES, ROOT, Edge, Graph, Node, build_graph, join_edges, join_nodes, sort_key

Shape: TypeAlias = tuple[str, str, frozenset[tuple[str, str]]]
"""What members that are alike have in common: kind, name, and the kinds and names of the steps within."""

Segment: TypeAlias = str
"""The id of a member without that of its place."""


class _Folding:
    """The parts of the graph by place, and of the folded graph so far."""

    def __init__(self, graph: Graph) -> None:
        self.members: defaultdict[str, list[Node]] = defaultdict(list)
        self.follows: defaultdict[str, list[Edge]] = defaultdict(list)
        places = {}
        for node in graph.nodes:
            self.members[node.place].append(node)
            places[node.id] = node.place
        for edge in graph.edges:
            self.follows[places[edge.source]].append(edge)
        self.shapes = {node.id: self._find_shape(node) for node in reversed(graph.nodes) if node.kind in PLACES}
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []

    def _find_shape(self, node: Node) -> Shape:
        within, waiting = set[tuple[str, str]](), [node.id]
        while waiting:
            for one in self.members[waiting.pop()]:
                if one.kind in PLACES:
                    waiting.append(one.id)
                else:
                    within.add((one.kind, one.name))
        return node.kind, node.name if node.kind == "scope" else "", frozenset(within)

    def fold(self, places: Sequence[str], place: str, *, group: bool) -> Iterator[tuple[list[str], str, bool]]:
        """Fold the members of places that have become one, and yield the places within that have become one."""
        originals, joined = defaultdict[Segment, list[Node]](list), dict[Segment, Node]()
        for one in places:
            for node in self.members[one]:
                segment = node.id[len(one) :]
                originals[segment].append(node)
                joined[segment] = join_nodes(joined[segment], node) if segment in joined else node
        edges = dict[tuple[Segment, Segment], Edge]()
        for one in places:
            for edge in self.follows[one]:
                ends = edge.source[len(one) :], edge.target[len(one) :]
                edges[ends] = join_edges(edges[ends], edge) if ends in edges else edge
        shapes = {segment: self._find_joined_shape(nodes) for segment, nodes in originals.items()}
        first = _find_alike(shapes) if group else _find_rounds(shapes, edges)
        classes = defaultdict[Segment, list[Segment]](list)
        for segment in sorted(joined, key=sort_key):
            classes[first[segment]].append(segment)
        for segment, alike in classes.items():
            node = joined[segment]
            for other in alike[1:]:
                node = join_nodes(node, joined[other])
            id = place + segment
            self.nodes.append(msgspec.structs.replace(node, id=id, place=place, times=len(alike)))
            if node.kind in PLACES:
                yield [one.id for member in alike for one in originals[member]], id, node.kind == "group"
        folded = dict[tuple[str, str], Edge]()
        for (source, target), edge in edges.items():
            ends = place + first[source], place + first[target]
            moved = msgspec.structs.replace(edge, source=ends[0], target=ends[1])
            folded[ends] = join_edges(folded[ends], moved) if ends in folded else moved
        self.edges += folded.values()

    def _find_joined_shape(self, nodes: Sequence[Node]) -> Shape:
        first = nodes[0]
        if first.kind not in PLACES:
            return first.kind, first.name, frozenset()
        kind, name, _ = self.shapes[first.id]
        return kind, name, frozenset().union(*(self.shapes[node.id][2] for node in nodes))


def fold_graph(graph: Graph) -> Graph:
    """Return a graph in which the rounds of loops, and equal branches, are one node with its number of `times`.

    Laws:
        Each step of the graph is in `steps` of exactly one node.
    """
    folding = _Folding(graph)
    waiting = [([ROOT], ROOT, False)]
    while waiting:
        places, place, group = waiting.pop()
        waiting += folding.fold(places, place, group=group)
    return build_graph(folding.nodes, folding.edges, graph.paths)


def _find_alike(shapes: Mapping[Segment, Shape]) -> dict[Segment, Segment]:
    """Return for each branch the first one that is alike."""
    firsts = dict[Shape, Segment]()
    return {segment: firsts.setdefault(shapes[segment], segment) for segment in sorted(shapes, key=sort_key)}


def _find_rounds(
    shapes: Mapping[Segment, Shape], edges: Mapping[tuple[Segment, Segment], Edge]
) -> dict[Segment, Segment]:
    """Return for each member of a sequence the first one that is the same in an earlier round."""
    roots = {segment: segment for segment in shapes}

    def find(segment: Segment) -> Segment:
        while roots[segment] != segment:
            roots[segment] = segment = roots[roots[segment]]
        return segment

    def join(left: Segment, right: Segment) -> None:
        first, second = sorted((find(left), find(right)), key=sort_key)
        roots[second] = first

    alike = defaultdict[tuple[Shape, Shape], list[tuple[Segment, Segment]]](list)
    ordered = sorted(edges, key=lambda ends: (sort_key(ends[0]), sort_key(ends[1])))
    for source, target in ordered:
        if shapes[source] == shapes[target]:
            join(source, target)
        alike[shapes[source], shapes[target]].append((source, target))
    for pairs in alike.values():
        for (source, target), (again, then) in pairwise(pairs):
            if source != again and target != then and shapes[source] != shapes[target]:
                join(source, again)
                join(target, then)
    return {segment: find(segment) for segment in shapes}
