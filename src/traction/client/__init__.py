"""Start executions, find them and read their results."""

from typing import TYPE_CHECKING

from traction.lazy_imports import import_lazily

if TYPE_CHECKING:
    from traction.client.client import Client
    from traction.client.handle import Handle
    from traction.client.system import WorkerSystem

__all__ = ["Client", "Handle", "WorkerSystem"]

__getattr__ = import_lazily(
    __name__,
    {
        "Client": "traction.client.client",
        "Handle": "traction.client.handle",
        "WorkerSystem": "traction.client.system",
    },
)
