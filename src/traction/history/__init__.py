"""Read histories: their state, their timeline, text, and JSON export."""

from typing import TYPE_CHECKING

from traction.lazy_imports import import_lazily

if TYPE_CHECKING:
    from traction.history.export import StoredHistory, make_stored, read_stored, write_stored
    from traction.history.rendering import render
    from traction.history.timeline import Row, Timeline, read_timeline

__all__ = ["Row", "StoredHistory", "Timeline", "make_stored", "read_stored", "read_timeline", "render", "write_stored"]

__getattr__ = import_lazily(
    __name__,
    {
        "Row": "traction.history.timeline",
        "StoredHistory": "traction.history.export",
        "Timeline": "traction.history.timeline",
        "make_stored": "traction.history.export",
        "read_stored": "traction.history.export",
        "read_timeline": "traction.history.timeline",
        "render": "traction.history.rendering",
        "write_stored": "traction.history.export",
    },
)
