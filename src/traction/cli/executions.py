"""Open the backend that a command names, and list what is on it.

Takes a URL and words; gives what the backend tells. Prints nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import pluggy
import typer

from traction.backend import Backend
from traction.client.visibility import walk
from traction.model import operations as o
from traction.plugins.loading import open_backend


@contextmanager
def opened(url: str, context: typer.Context) -> Iterator[Backend]:
    """Open a backend for a command, with the plugins that it was given."""
    backend = open_backend(url, context.find_object(pluggy.PluginManager))
    try:
        yield backend
    finally:
        backend.close()


def list_executions(backend: Backend, *, closed: bool, count: int) -> list[o.WorkflowExecutionInfo]:
    """Give the newest executions, open or closed."""
    return list(islice(walk(backend, closed=closed), count))
