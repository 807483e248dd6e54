"""Write a graph as JSON: the folded nodes and edges, and the states of a history that is laid over.

    {"traction": 1, "paths": 3, "nodes": [{...}], "edges": [{...}]}

A node has `id`, `place` (the id of the group, branch or scope that holds it, "" for the flow), `kind`, `name`, `times`,
`attempts`, `raced`, `paths` (the number of paths that contain it), `outcomes`, `steps` (the ids that it stands for) and
with a history `states`: how many of its steps have each state. An edge has `source`, `target`, `text`, `outcomes`,
`results` and `paths`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from traction.history.graphs.arrangement import Overlay, describe_edge
from traction.history.graphs.folding import fold_graph
from traction.history.graphs.graph import Edge, Graph, Node, sort_key

FORMAT: Final = 1
"""The version of the format, in its member `traction`."""


def write_graph(graph: Graph, overlay: Overlay | None = None, *, more: Mapping[str, Any] | None = None) -> str:
    """Return a graph, folded, as JSON.

    Args:
        graph: the graph.
        overlay: the states of the steps of a history, which are laid over.
        more: further members of the object, such as what the graph rests on.
    """
    folded = fold_graph(graph)
    leaving = defaultdict[str, list[Edge]](list)
    for edge in folded.edges:
        leaving[edge.source].append(edge)
    fields = {
        "traction": FORMAT,
        **(more or {}),
        "paths": len(graph.paths),
        "nodes": [_write_node(node, overlay) for node in folded.nodes],
        "edges": [
            {
                "source": edge.source,
                "target": edge.target,
                "text": describe_edge(edge, leaving[edge.source]),
                "outcomes": sorted(edge.outcomes),
                "results": sorted(edge.results),
                "paths": len(edge.paths),
            }
            for edge in folded.edges
        ],
    }
    return msgspec.json.format(msgspec.json.encode(fields), indent=1).decode() + "\n"


def _write_node(node: Node, overlay: Overlay | None) -> dict[str, Any]:
    fields = {
        "id": node.id,
        "place": node.place,
        "kind": node.kind,
        "name": node.name,
        "times": node.times,
        "attempts": node.attempts,
        "raced": node.raced,
        "paths": len(node.paths),
        "outcomes": sorted(node.outcomes),
        "steps": sorted(node.steps, key=sort_key),
    }
    if overlay is not None:
        fields["states"] = dict(sorted(Counter(overlay[step] for step in node.steps if step in overlay).items()))
    return fields
