"""Lambda functions that a flow calls."""

from __future__ import annotations

from typing import Any

from traction.decider.context import DecisionContext
from traction.decider.frames import Leaf
from traction.decider.outcomes import Outcome, Raised, Returned
from traction.decider.pending import PendingDecision
from traction.errors import LambdaFailed, PayloadError, PayloadUnavailableError, UnreadableLambdaResult
from traction.flow.durations import to_duration
from traction.flow.effects import InvokeLambda
from traction.model import decisions as d
from traction.model import events as e
from traction.payloads.codec import JSON, PAYLOAD_CHARS_MAX


class PendingLambda(PendingDecision):
    """A call of a Lambda function."""

    def __init__(self, context: DecisionContext, leaf: Leaf) -> None:
        super().__init__(context, leaf)
        self.node: InvokeLambda[Any] = leaf.node

    def request(self) -> Outcome | None:
        node = self.node
        self.queue(
            d.ScheduleLambdaFunction(
                id=self.leaf.id,
                name=node.name,
                input=None if node.input is None else self._write_input(),
                start_to_close_timeout=None if node.limit is None else to_duration(node.limit),
            )
        )
        return None

    def _write_input(self) -> str:
        # The function does not use Traction, and reads plain JSON. Errors hide the value all the same, if the codec
        # does.
        text = self.context.codec.write(self.node.input)
        return JSON.pack(text, PAYLOAD_CHARS_MAX, f"the input of Lambda function {self.node.name}")

    def on_completed(self, event: e.LambdaFunctionCompleted) -> None:
        node, id = self.node, self.leaf.id
        try:
            what = f"the result of Lambda function {node.name} ({id})"
            outcome: Outcome = Returned(self.context.codec.decode(event.result, node.type, what))
        except PayloadUnavailableError:
            raise
        except PayloadError as error:
            kind = type(error).__name__
            outcome = Raised(UnreadableLambdaResult(id, name=node.name, reason=kind, details=str(error)))
        self.resume(outcome)

    def on_failed(self, event: Any) -> None:
        """Fail the step: the function failed, timed out, or could not be started."""
        reason = getattr(event, "reason", None) or getattr(event, "cause", None) or getattr(event, "timeout_type", None)
        details = getattr(event, "details", None) or getattr(event, "message", None)
        failed = LambdaFailed(self.leaf.id, name=self.node.name, reason=reason or "unknown", details=details)
        self.resume(Raised(failed))
