"""The decider: a pure function from a history to decisions."""

from typing import TYPE_CHECKING

from traction.lazy_imports import import_lazily

if TYPE_CHECKING:
    from traction.decider.decider import Decider, decide

__all__ = ["Decider", "decide"]

__getattr__ = import_lazily(
    __name__,
    {
        "Decider": "traction.decider.decider",
        "decide": "traction.decider.decider",
    },
)
