"""Read histories: their state, the view of an execution, text, and JSON export."""

from typing import TYPE_CHECKING

from traction.lazy_imports import import_lazily

if TYPE_CHECKING:
    from traction.history.export import StoredHistory, make_stored, read_stored, write_stored
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
    "CancelRequestView",
    "DecisionTaskView",
    "ExecutionView",
    "FailureView",
    "Link",
    "StepView",
    "StoredHistory",
    "Unreadable",
    "make_stored",
    "read_execution",
    "read_stored",
    "render",
    "write_stored",
]

_VIEWS = "traction.history.views"

__getattr__ = import_lazily(
    __name__,
    {
        "AttemptView": _VIEWS,
        "AwaitedSignal": _VIEWS,
        "CancelRequestView": _VIEWS,
        "DecisionTaskView": _VIEWS,
        "ExecutionView": _VIEWS,
        "FailureView": _VIEWS,
        "Link": _VIEWS,
        "StepView": _VIEWS,
        "StoredHistory": "traction.history.export",
        "Unreadable": _VIEWS,
        "make_stored": "traction.history.export",
        "read_execution": "traction.history.reading",
        "read_stored": "traction.history.export",
        "render": "traction.history.rendering",
        "write_stored": "traction.history.export",
    },
)
