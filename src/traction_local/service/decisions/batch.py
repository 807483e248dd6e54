"""Say where a decision stands in its batch, and what stands against it there.

Takes an execution and the DecisionTaskCompleted that carries the batch; gives the causes that any decision of a
kind may fail of. Never writes an event.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from traction.model.decisions import Decision
from traction_local.service.state.execution import Execution


class Batch(NamedTuple):
    """Where a decision stands: whose it is, the DecisionTaskCompleted that carries it, and when."""

    execution: Execution
    completed_event_id: int
    now: datetime
    failed: bool
    """Whether a decision before it failed."""

    def is_denied(self, decision: Decision) -> bool:
        """Whether the caller may not use this decision."""
        return type(decision).__name__ in self.execution.region.knobs.denied

    def has_rate(self, decision: Decision) -> bool:
        """Take a token for this decision, if there is one left."""
        return self.execution.region.buckets.take("decision", type(decision).__name__, self.now)

    def find_close_fault(self, decision: Decision) -> Literal["UNHANDLED_DECISION", "OPERATION_NOT_PERMITTED"] | None:
        """Why the execution may not close now, if it may not.

        UNHANDLED_DECISION: something happened that the decider has not seen, which is to say that a decision
        task is queued. Source: the API reference, and what clients rely on.
        """
        execution = self.execution
        if self.is_denied(decision):
            return "OPERATION_NOT_PERMITTED"
        if execution.queued is not None:
            return "UNHANDLED_DECISION"
        if self.failed and execution.region.knobs.failed_decision_blocks_close:
            return "UNHANDLED_DECISION"
        return None
