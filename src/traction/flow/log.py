"""Loggers for flows: each record is emitted once, however often a flow is replayed, and names its execution."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from traction.model.names import WorkflowExecution
from traction.runtime.activity_task import find_task
from traction.runtime.turn import find_turn


class FlowLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger for flows. It drops records while a flow is replayed, read or closed."""

    def isEnabledFor(self, level: int) -> bool:
        """Return whether a record of this level would be emitted now."""
        turn = find_turn()
        return (turn is None or not (turn.replaying or turn.silent)) and super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the fields `workflow_id` and `run_id` to a record; both are "-" outside of flows and activities."""
        source = find_turn() or find_task()
        execution = _NO_EXECUTION if source is None else source.execution
        kwargs["extra"] = {
            "workflow_id": execution.workflow_id,
            "run_id": execution.run_id,
            **(kwargs.get("extra") or {}),
        }
        return msg, kwargs


_NO_EXECUTION = WorkflowExecution("-", "-")


def get_logger(name: str = "traction.flow") -> FlowLogger:
    """Return a logger for flows: silent while a flow is replayed, so that each record is emitted once.

    It is silent also while a flow is replayed by `Handle.state`, `replay` or a simulation, and when it leaves memory:
    what its `finally` blocks log then did not happen in the execution. Every record has the fields `workflow_id` and
    `run_id`. A decision task that is lost is decided again, and then its records are emitted again.

    Example:
        >>> log = get_logger("shop.orders")
        >>> log.name
        'shop.orders'
    """
    return FlowLogger(logging.getLogger(name))
