"""The page: what runs on a backend, in a browser. Needs the extra `server`."""

from typing import TYPE_CHECKING

from traction.lazy_imports import import_lazily

if TYPE_CHECKING:
    from traction.ui.app import Page, Site
    from traction.ui.listening import serve_page

__all__ = ["Page", "Site", "serve_page"]

__getattr__ = import_lazily(
    __name__,
    {"Page": "traction.ui.app", "Site": "traction.ui.app", "serve_page": "traction.ui.listening"},
)
