"""Signals and cancel requests that a flow sends to other executions."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from traction.decider.context import DecisionContext
from traction.decider.diagnostics import encode_call
from traction.decider.frames import Leaf
from traction.decider.outcomes import Outcome, Raised, Returned
from traction.decider.pending import PendingDecision
from traction.errors import CancelFailed, SignalFailed
from traction.model import decisions as d
from traction.model import events as e


class PendingMessage(PendingDecision):
    """A signal or a cancel request to another execution."""

    child: PendingDecision | None = None
    """The pending child that it cancels, if the flow cancelled the step of the child. Then no fiber waits for it."""

    def __init__(self, context: DecisionContext, leaf: Leaf) -> None:
        super().__init__(context, leaf)
        self.node: Any = leaf.node

    def on_delivered(self) -> None:
        if self.child is None:
            self.resume(Returned(None))

    def retry_refused(self, cause: str) -> bool:
        """Send it again after a refusal that may be transient, and return whether it was."""
        node = self.node
        if not cause.endswith("RATE_EXCEEDED"):
            if cause != "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION" or not node.child or node.run_id is None:
                return False
            if self.child is None and self.context.children.has_closed(node.child):
                return False
            # The child has continued as new, or the event of its close is on its way. After a pause, which lets that
            # event arrive, send it to whichever run is open under its id.
            self.node = structs.replace(node, run_id=None)
        self.retry_later()
        return True


class PendingSignal(PendingMessage):
    """A signal to another execution."""

    def request(self) -> Outcome | None:
        node = self.node
        self.queue(
            d.SignalExternalWorkflowExecution(
                workflow_id=node.workflow_id,
                run_id=node.run_id,
                signal_name=node.signal.spec.name,
                input=encode_call(self.context.codec, node.signal, self.leaf.fiber),
                control=self.leaf.id,
            )
        )
        return None

    def on_refused(self, event: e.SignalExternalWorkflowExecutionFailed) -> None:
        """Send it again, or fail the step."""
        if not self.retry_refused(event.cause):
            self.resume(Raised(SignalFailed(self.leaf.id, workflow_id=event.workflow_id, cause=event.cause)))


class PendingCancelRequest(PendingMessage):
    """A request to cancel another execution: a step of its own, or the cancellation of the step of a child."""

    def request(self) -> Outcome | None:
        """Send the request, unless it is for a child that has closed."""
        node = self.node
        if self.child is None and self.context.children.has_closed(node.child):
            return Returned(None)
        self.queue(
            d.RequestCancelExternalWorkflowExecution(
                workflow_id=node.workflow_id, run_id=node.run_id, control=self.leaf.id
            )
        )
        return None

    def close(self) -> bool:
        """Record that it is answered, and return whether the flow waits for that, or the child is still open."""
        if self.child is not None and self.child.opened_event_id:
            self.opened_event_id = 0
            return True
        return super().close()

    def on_refused(self, event: e.RequestCancelExternalWorkflowExecutionFailed) -> None:
        """Send it again, fail the step, or do not wait for the child any more."""
        if self.retry_refused(event.cause):
            return
        unknown, child = event.cause == "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION", self.child
        if child is not None:
            if not unknown and child.leaf.leaving is not None and child.leaf.fiber is not None:
                self.context.notes.append(
                    f"{child.leaf.id} could not be cancelled ({event.cause}): the flow does not wait for it"
                )
                self.context.flow.leave(child.leaf)
        elif unknown and self.node.child:
            # A child that has closed needs no request.
            self.resume(Returned(None))
        else:
            self.resume(Raised(CancelFailed(self.leaf.id, workflow_id=event.workflow_id, cause=event.cause)))
