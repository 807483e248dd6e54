"""Start executions, find them and read their results."""

from typing import TYPE_CHECKING

from traction.lazy_imports import import_lazily

if TYPE_CHECKING:
    from traction.client.batch import ActionResult, RequestCancel, SendSignal, Terminate
    from traction.client.client import Client
    from traction.client.handle import Handle
    from traction.client.query import ExecutionCount, ListedExecution, Query
    from traction.client.system import WorkerSystem

__all__ = [
    "ActionResult",
    "Client",
    "ExecutionCount",
    "Handle",
    "ListedExecution",
    "Query",
    "RequestCancel",
    "SendSignal",
    "Terminate",
    "WorkerSystem",
]

__getattr__ = import_lazily(
    __name__,
    {
        "ActionResult": "traction.client.batch",
        "RequestCancel": "traction.client.batch",
        "SendSignal": "traction.client.batch",
        "Terminate": "traction.client.batch",
        "Client": "traction.client.client",
        "ExecutionCount": "traction.client.query",
        "Handle": "traction.client.handle",
        "ListedExecution": "traction.client.query",
        "Query": "traction.client.query",
        "WorkerSystem": "traction.client.system",
    },
)
