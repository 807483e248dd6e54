"""Read histories: their state, the view of an execution, the graph of a flow, text, and JSON export."""

from typing import TYPE_CHECKING

from traction.lazy_imports import import_lazily

if TYPE_CHECKING:
    from traction.history.explanation import Backlog, Explanation, Fact, explain
    from traction.history.export import StoredHistory, make_stored, read_stored, write_stored
    from traction.history.graphs.arrangement import Overlay, read_overlay
    from traction.history.graphs.graph import Edge, Graph, Node, merge_graphs
    from traction.history.graphs.json_export import write_graph
    from traction.history.graphs.mermaid import write_mermaid
    from traction.history.graphs.reading import make_graph
    from traction.history.graphs.svg import write_svg
    from traction.history.reading import read_execution
    from traction.history.rendering import render
    from traction.history.views import (
        AttemptView,
        AwaitedSignal,
        CancelRequestView,
        DecisionTaskView,
        ExecutionView,
        FailureView,
        Link,
        StepView,
        Unreadable,
    )

__all__ = [
    "AttemptView",
    "AwaitedSignal",
    "Backlog",
    "CancelRequestView",
    "DecisionTaskView",
    "Edge",
    "ExecutionView",
    "Explanation",
    "Fact",
    "FailureView",
    "Graph",
    "Link",
    "Node",
    "Overlay",
    "StepView",
    "StoredHistory",
    "Unreadable",
    "explain",
    "make_graph",
    "make_stored",
    "merge_graphs",
    "read_execution",
    "read_overlay",
    "read_stored",
    "render",
    "write_graph",
    "write_mermaid",
    "write_stored",
    "write_svg",
]

_VIEWS = "traction.history.views"
_EXPLANATION = "traction.history.explanation"

__getattr__ = import_lazily(
    __name__,
    {
        "AttemptView": _VIEWS,
        "AwaitedSignal": _VIEWS,
        "Backlog": _EXPLANATION,
        "CancelRequestView": _VIEWS,
        "DecisionTaskView": _VIEWS,
        "Edge": "traction.history.graphs.graph",
        "ExecutionView": _VIEWS,
        "Explanation": _EXPLANATION,
        "Fact": _EXPLANATION,
        "FailureView": _VIEWS,
        "Graph": "traction.history.graphs.graph",
        "Link": _VIEWS,
        "Node": "traction.history.graphs.graph",
        "Overlay": "traction.history.graphs.arrangement",
        "StepView": _VIEWS,
        "StoredHistory": "traction.history.export",
        "Unreadable": _VIEWS,
        "explain": _EXPLANATION,
        "make_graph": "traction.history.graphs.reading",
        "make_stored": "traction.history.export",
        "merge_graphs": "traction.history.graphs.graph",
        "read_execution": "traction.history.reading",
        "read_overlay": "traction.history.graphs.arrangement",
        "read_stored": "traction.history.export",
        "render": "traction.history.rendering",
        "write_graph": "traction.history.graphs.json_export",
        "write_mermaid": "traction.history.graphs.mermaid",
        "write_stored": "traction.history.export",
        "write_svg": "traction.history.graphs.svg",
    },
)
