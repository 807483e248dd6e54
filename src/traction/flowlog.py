"""Let a flow log: once for each thing that it does, however often it is replayed.

Takes the logger's name; gives a logger whose records tell of the execution, and which is silent in a turn that was
taken before.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from traction.turns import find_turn


class FlowLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger for flows; anywhere else it is one like any other."""

    def isEnabledFor(self, level: int) -> bool:
        """Say whether a record of this level would be emitted now."""
        turn = find_turn()
        return (turn is None or not turn.replaying) and super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the fields `workflow_id` and `run_id` to a record."""
        if (turn := find_turn()) is not None:
            kwargs["extra"] = {
                "workflow_id": turn.execution.workflow_id,
                "run_id": turn.execution.run_id,
                **(kwargs.get("extra") or {}),
            }
        return msg, kwargs


def get_logger(name: str = "traction.flow") -> FlowLogger:
    """Give a logger for flows: silent while a flow is replayed, so that each record is emitted once.

    A decision task that is lost after its turn is taken again, and then its records come again.

    Example:
        >>> log = get_logger("shop.orders")
        >>> log.name
        'shop.orders'
    """
    return FlowLogger(logging.getLogger(name))
