"""The context in which a decision is applied, and the error that refuses it."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from traction.model.decisions import Decision
from traction_local.service.state.domain import Domain
from traction_local.service.state.execution import Execution


class Refused(Exception):
    """A decision fails. `cause` is SWF's; the event that reports it is written by `apply_decisions`."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class Batch(NamedTuple):
    """The execution that a decision belongs to, the DecisionTaskCompleted that carries it, and the time."""

    domain: Domain
    execution: Execution
    completed_event_id: int
    now: datetime
    failed: bool
    """Whether an earlier decision of the batch failed."""

    def is_denied(self, decision: Decision) -> bool:
        """Whether the caller has no permission for this decision."""
        return type(decision).__name__ in self.execution.region.knobs.denied

    def check_permission(self, decision: Decision) -> None:
        """Refuse a decision that the caller has no permission for."""
        if self.is_denied(decision):
            raise Refused("OPERATION_NOT_PERMITTED")

    def check_rate(self, decision: Decision, cause: str) -> None:
        """Take a rate-limit token for the decision. Refuse it if none is left."""
        if not self.execution.region.buckets.take("decision", type(decision).__name__, self.now):
            raise Refused(cause)

    def check_close(self, decision: Decision) -> None:
        """Refuse to close the execution if the caller may not, or if events are still unhandled.

        UNHANDLED_DECISION: a decision task is queued, so there are events that the decider has not seen. Source: the
        API reference, and what clients rely on.
        """
        execution = self.execution
        self.check_permission(decision)
        if execution.queued is not None or (self.failed and execution.region.knobs.failed_decision_blocks_close):
            raise Refused("UNHANDLED_DECISION")
