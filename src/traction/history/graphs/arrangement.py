"""Arrange a graph for drawing: nested boxes in the order of the flow, with the texts of nodes and edges, and states."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from traction.history.graphs.folding import fold_graph
from traction.history.graphs.graph import PLACES, RESULTS_MAX, ROOT, Edge, Graph, Node, NodeKind, sort_key, unite
from traction.history.graphs.reading import read_graph
from traction.history.rendering import MARKS
from traction.history.views import State
from traction.model import events as e
from traction.payloads.codec import Codec

Overlay: TypeAlias = Mapping[str, State]
"""The state of each step that a history shows, by its id in the graph of that history."""

_WORDS: Final[Mapping[State, str]] = {
    "Open": "open",
    "Done": "done",
    "Failed": "failed",
    "Cancelled": "cancelled",
    "TimedOut": "timed out",
}

_WORST: Final[Sequence[State]] = ("Open", "Failed", "TimedOut", "Done", "Cancelled")
"""The order in which one state stands for a node of several steps."""

_KIND_NOTES: Final[Mapping[NodeKind, str]] = {
    "local": "local activity",
    "timer": "timer",
    "child": "child workflow",
    "lambda": "Lambda function",
    "send": "signal to another execution",
    "cancel": "cancellation request",
    "signal": "signal",
    "marker": "marker",
}


class Arrow(msgspec.Struct, frozen=True):
    """An edge as it is drawn, between the boxes with these keys."""

    source: str
    target: str
    text: str
    failed: bool
    """Whether only failures, timeouts, refusals and cancellations lead along it."""


class Box(msgspec.Struct, frozen=True):
    """A node as it is drawn, with the boxes in it in the order of the flow, and the arrows between those."""

    key: str
    """A short name, unique in the drawing, of letters and digits."""
    node: Node
    times: int = 1
    members: tuple[Box, ...] = ()
    arrows: tuple[Arrow, ...] = ()
    states: tuple[tuple[State, int], ...] | None = None
    """The states of its steps in the history that is laid over, and how many have each; `None` without a history."""

    @property
    def state(self) -> State | None:
        """The state that stands for all; `None` for none."""
        return next((state for state in _WORST if state in dict(self.states or ())), None)

    @property
    def title(self) -> str:
        """What is written in it."""
        name = self.node.name
        if self.node.kind == "group":
            name = "race" if self.node.raced else "parallel"
        elif self.node.kind == "branch":
            name = "branch"
        return f"{name} ×{self.times}" if self.times > 1 else name

    @property
    def notes(self) -> list[str]:
        """The lines below the title."""
        notes = [_KIND_NOTES[self.node.kind]] if self.node.kind in _KIND_NOTES else []
        if self.node.attempts > 1:
            notes.append(f"up to {self.node.attempts} attempts")
        if self.states and len(self.node.steps) == 1:
            notes += [f"{MARKS[state]} {_WORDS[state]}" for state, _ in self.states]
        elif self.states:
            notes.append(", ".join(f"{MARKS[state]} {count} {_WORDS[state]}" for state, count in self.states))
        elif self.states is not None and self.node.kind not in PLACES:
            notes.append("not reached")
        return notes


def read_overlay(events: Iterable[e.Event], *, codec: Codec | None = None) -> tuple[Graph, Overlay]:
    """Return the graph of one history, and the states of its steps.

    Raises:
        HistoryError: no execution can have these events.
    """
    graph = read_graph(events, codec=codec)
    return graph, {node.id: _find_state(node) for node in graph.nodes if node.kind not in PLACES}


def _find_state(node: Node) -> State:
    outcome = node.name if node.kind == "close" else next(iter(node.outcomes), "done")
    if outcome in ("done", "completed", "continued as new"):
        return "Done"
    if outcome.startswith("timed out"):
        return "TimedOut"
    if outcome == "open":
        return "Open"
    return "Cancelled" if outcome == "cancelled" else "Failed"


def arrange(graph: Graph, overlay: Overlay | None = None) -> Box:
    """Fold a graph, and return it as one box that holds all others."""
    folded = fold_graph(graph)
    members, edges, places = defaultdict[str, list[Node]](list), defaultdict[str, list[Edge]](list), dict[str, str]()
    for node in folded.nodes:
        members[node.place].append(node)
        places[node.id] = node.place
    for edge in folded.edges:
        edges[places[edge.source]].append(edge)
    ordered = {place: put_in_order(nodes, edges[place]) for place, nodes in members.items()}
    outside_in, waiting = list[Node](), [Node(ROOT, ROOT, "scope", "")]
    while waiting:
        node = waiting.pop()
        outside_in.append(node)
        waiting += reversed(ordered.get(node.id, [])) if node.kind in PLACES else ()
    keys = {node.id: f"n{number}" for number, node in enumerate(outside_in)}
    boxes = dict[str, Box]()
    for node in reversed(outside_in):
        within = [boxes.pop(member.id) for member in ordered.get(node.id, [])] if node.kind in PLACES else []
        arrows = _make_arrows(edges[node.id], keys) if node.kind in PLACES else []
        boxes[node.id] = _make_box(keys[node.id], node, within, arrows, overlay)
    return boxes[ROOT]


def _make_box(key: str, node: Node, members: list[Box], arrows: list[Arrow], overlay: Overlay | None) -> Box:
    shown = list[Box]()
    for box in members:
        # A branch needs no box of its own, unless several steps in it occur several times.
        if box.node.kind != "branch" or (box.times > 1 and len(box.members) > 1):
            shown.append(box)
        else:
            shown += [msgspec.structs.replace(one, times=one.times * box.times) for one in box.members]
            arrows += box.arrows
    places = {box.key: number for number, box in enumerate(shown)}
    arrows.sort(key=lambda arrow: (places[arrow.source], places[arrow.target]))
    states: tuple[tuple[State, int], ...] | None = None
    if overlay is not None:
        counts = Counter(overlay[step] for step in node.steps if step in overlay)
        states = tuple((state, counts[state]) for state in _WORST if counts[state])
    return Box(key, node, node.times, tuple(shown), tuple(arrows), states)


def put_in_order(nodes: Sequence[Node], edges: Sequence[Edge]) -> list[Node]:
    """Return the members of a place so that, but for loops, each comes after those that it follows."""
    by_id = {node.id: node for node in sorted(nodes, key=lambda node: (not node.first, sort_key(node.id)))}
    follows = defaultdict[str, list[str]](list)
    for edge in edges:
        follows[edge.source].append(edge.target)
    firsts = [id for id, node in by_id.items() if node.first]
    others = [id for id, node in by_id.items() if not node.first]
    seen, order = set[str](), list[str]()
    for start in [*reversed(firsts), *others]:
        waiting = [(start, False)]
        while waiting:
            id, left = waiting.pop()
            if left:
                order.append(id)
            elif id not in seen:
                seen.add(id)
                waiting.append((id, True))
                waiting += [(target, False) for target in sorted(follows[id], key=sort_key)]
    return [by_id[id] for id in reversed(order)]


def _make_arrows(edges: Sequence[Edge], keys: Mapping[str, str]) -> list[Arrow]:
    leaving = defaultdict[str, list[Edge]](list)
    for edge in edges:
        leaving[edge.source].append(edge)
    return [
        Arrow(
            keys[edge.source],
            keys[edge.target],
            describe_edge(edge, leaving[edge.source]),
            bool(edge.outcomes) and not edge.outcomes & {"done", "open"},
        )
        for edge in edges
    ]


def describe_edge(edge: Edge, leaving: Sequence[Edge]) -> str:
    """Return what leads along an edge, where that is known and does not go without mention.

    Args:
        edge: the edge.
        leaving: all edges that leave its source.
    """
    texts = sorted(edge.outcomes - {"done", "open"})
    if "done" in edge.outcomes and (len(leaving) > 1 or texts) and edge.source != edge.target:
        done = [other for other in leaving if "done" in other.outcomes]
        elsewhere = unite(other.results for other in done if other is not edge)
        shown = edge.results and "…" not in edge.results and len(edge.results) < RESULTS_MAX
        if len(done) > 1 and shown and not edge.results & elsewhere:
            texts.insert(0, f"= {' or '.join(sorted(edge.results))}")
        elif len(done) == 1 or texts:
            texts.insert(0, "done")
    return ", ".join(texts)
