"""The context in which a decision is applied, and the error that refuses it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from traction.model.correlation import BY_DECISION
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

    def make_accepted(self, decision: Decision, **others: Any) -> Any:
        """Build the event that accepts a decision. It has the members of the decision, and others."""
        return BY_DECISION[type(decision)].accepted(
            event_id=self.execution.next_event_id,
            event_timestamp=self.now,
            decision_task_completed_event_id=self.completed_event_id,
            **msgspec.structs.asdict(decision) | others,
        )

    def accept(self, decision: Decision, **others: Any) -> Any:
        """Append the event that accepts a decision, and return it."""
        event = self.make_accepted(decision, **others)
        self.execution.append(event)
        return event

    def check_permission(self, decision: Decision) -> None:
        """Refuse a decision that the caller has no permission for."""
        if type(decision).__name__ in self.execution.region.knobs.denied:
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
