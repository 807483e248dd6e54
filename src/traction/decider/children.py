"""Child executions of a flow: start them, read their outcomes, cancel them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from msgspec import structs

from traction.decider.context import DecisionContext
from traction.decider.diagnostics import encode_call
from traction.decider.external import PendingCancelRequest
from traction.decider.frames import Leaf
from traction.decider.outcomes import Outcome, Raised, Returned
from traction.decider.pending import PendingDecision, read_result
from traction.errors import ChildFailed
from traction.flow.effects import ChildHandle, RequestCancel
from traction.flow.specs import Cancellation
from traction.flow.step import AdjustedChild, WorkflowStep
from traction.model import decisions as d
from traction.model import events as e
from traction.model.correlation import CLOSE_STATUSES
from traction.model.names import make_child_id
from traction.payloads.causes import make_known
from traction.payloads.failure_text import read_failure
from traction.payloads.failures import revive


class PendingChild(PendingDecision):
    """A child that its step starts, until it has closed."""

    overrides: Mapping[str, Any] = MappingProxyType({})
    """Options of this call, as members of the decision."""
    cancellation: Cancellation = "wait"
    """What happens to the child when the flow cancels the step."""
    run_id: str | None = None
    """Its run, once it has started."""
    cancelling: bool = False
    """Whether it must be cancelled."""
    canceller: PendingCancelRequest | None = None
    """The request that cancels it."""

    def __init__(self, context: DecisionContext, leaf: Leaf, call: WorkflowStep[Any] | AdjustedChild[Any]) -> None:
        super().__init__(context, leaf)
        self.call: WorkflowStep[Any] = call.call if isinstance(call, AdjustedChild) else call
        if isinstance(call, AdjustedChild):
            self.overrides, self.cancellation = call.overrides, call.cancellation

    def request(self) -> Outcome | None:
        context, call = self.context, self.call
        context.definitions.add(type(call))
        settings: dict[str, Any] = {"workflow_id": None, "tag_list": call.spec.tags or None} | dict(self.overrides)
        if settings["workflow_id"] is None:
            named = call.spec.names_itself
            id = make_child_id(context.execution.run_id, self.leaf.id)
            settings["workflow_id"] = call.workflow_id() if named else id
        self.queue(
            d.StartChildWorkflowExecution(
                workflow_type=call.spec.type,
                input=encode_call(context.codec, call, self.leaf.fiber),
                control=self.leaf.id,
                **settings,
            )
        )
        return None

    def on_started(self, event: e.ChildWorkflowExecutionStarted) -> None:
        """Record its run. A step of `start_child` is done."""
        self.run_id = event.workflow_execution.run_id
        if self.cancelling:
            # The flow cancelled it before it had started, when a request might not have found it.
            self._cancel()
        elif self.leaf.fiber is not None and self.context.children.find(self.leaf.id) is not None:
            self.resume(Returned(ChildHandle(self.leaf.id, event.workflow_execution)))

    def on_closed(self, event: Any) -> None:
        """Resume the steps that wait for the outcome."""
        started = self.context.children.find(self.leaf.id)
        if not self.close() and started is None:
            return
        outcome = self._read_outcome(event)
        if started is None:
            self.resume(outcome)
            return
        started.outcome = outcome
        # One at a time, since a resumed flow may cancel the steps after it.
        while started.waiting:
            self.context.flow.resume(started.waiting.pop(0), outcome)

    def _read_outcome(self, event: Any) -> Outcome:
        id, codec = self.leaf.id, self.context.codec
        if isinstance(event, e.ChildWorkflowExecutionCompleted):
            return read_result(self.context, self.leaf, self.call, event.result)
        if isinstance(event, e.ChildWorkflowExecutionFailed):
            failure = read_failure(event.reason, event.details, codec)
            failed = ChildFailed(id, **make_known(failure), status="FAILED", details=event.details)
            return Raised(revive(failed, failure, self.call.spec.raises, codec))
        details = getattr(event, "details", None)
        return Raised(ChildFailed(id, status=CLOSE_STATUSES[type(event)], details=details))

    def close(self) -> bool:
        """Record that it has closed, withdraw its cancel request, and resume a fiber that only waited for this."""
        if (canceller := self.canceller) is not None:
            self.canceller = canceller.child = None
            canceller.withdraw()
        if self.leaf.leaving is not None and self.leaf.fiber is not None:
            self.opened_event_id = 0
            self.context.flow.leave(self.leaf)
            return False
        return super().close()

    def withdraw(self) -> bool:
        """Cancel or abandon an open child, and return whether to wait until it has closed."""
        if not self.opened_event_id or not isinstance(self.entry.decision, d.StartChildWorkflowExecution):
            return super().withdraw()
        # The flow has no handle of a child that was not known to have started, so its result cannot be requested.
        self.context.children.remove(self.leaf.id)
        self.cancelling = self.cancellation != "abandon"
        # A child that has not started may not be found, so the request is sent when it has started. With "request",
        # this run may have closed by then, so it is sent now as well.
        if self.cancelling and (self.run_id is not None or self.cancellation == "request"):
            self._cancel()
        return self.cancellation == "wait"

    def _cancel(self) -> None:
        if self.canceller is not None:
            self.canceller.withdraw()
            self.canceller.child = None
        decision: Any = self.entry.decision
        id = self.leaf.id
        leaf = Leaf(f"{id}~cancel", RequestCancel(decision.workflow_id, self.run_id, id), None)
        self.canceller = PendingCancelRequest(self.context, leaf)
        self.canceller.child = self
        self.canceller.request()


def request_start_child(context: DecisionContext, leaf: Leaf) -> Outcome | None:
    """Start a child that runs beside the flow."""
    context.children.add(leaf.id)
    return PendingChild(context, leaf, leaf.node.call).request()


def adopt_id(decision: d.StartChildWorkflowExecution, event: Any) -> d.StartChildWorkflowExecution:
    """Return the decision with the id of the child in its event, where the run id of the parent is not known."""
    events = (e.StartChildWorkflowExecutionInitiated, e.StartChildWorkflowExecutionFailed)
    by_place = decision.control is not None and decision.workflow_id == make_child_id("", decision.control)
    if not by_place or not isinstance(event, events) or event.control != decision.control:
        return decision
    return structs.replace(decision, workflow_id=event.workflow_id)
