"""Plugins: their hooks, and how they are loaded."""

from typing import TYPE_CHECKING

from traction.lazy_imports import import_lazily

if TYPE_CHECKING:
    from traction.plugins.hookspecs import hookimpl
    from traction.plugins.loading import load_plugins, open_backend

__all__ = ["hookimpl", "load_plugins", "open_backend"]

__getattr__ = import_lazily(
    __name__,
    {
        "hookimpl": "traction.plugins.hookspecs",
        "load_plugins": "traction.plugins.loading",
        "open_backend": "traction.plugins.loading",
    },
)
