"""Steps whose value the decider computes once and records in a marker: `side_effect` and `patched`."""

from __future__ import annotations

from typing import Any, Final

from traction.decider.context import DecisionContext
from traction.decider.diagnostics import to_failure
from traction.decider.divergence import explain_marker
from traction.decider.frames import Leaf
from traction.decider.markers import PATCH, UnfinishedStep
from traction.decider.outcomes import Outcome, Raised, Returned
from traction.errors import FlowError, PayloadError, PayloadUnavailableError
from traction.flow.effects import SideEffect
from traction.model import decisions as d
from traction.runtime.turn import leave_flow

UNSENT: Final = "!"
"""The first character of the details of a marker that holds an error in place of a value. No payload begins with it."""


class DeferredSideEffect(UnfinishedStep):
    """A side effect that waits for a decision task that has room for its marker."""

    def __init__(self, context: DecisionContext, leaf: Leaf) -> None:
        self.context = context
        self.leaf = leaf

    @property
    def task_id(self) -> str:
        return self.leaf.id

    def withdraw(self) -> bool:
        self.context.markers.remove_unfinished(self)
        return False

    def begin_turn(self) -> None:
        """Run it if there is room, unless the flow has cancelled it."""
        if not self.context.markers.remove_unfinished(self):
            return
        try:
            outcome = request_side_effect(self.context, self.leaf)
        except PayloadError as error:
            outcome = to_failure(error)
        if outcome is not None:
            self.context.flow.resume(self.leaf, outcome)

    def complete(self, details: str | None) -> None:
        """Never called: where its marker is recorded, the side effect is not deferred."""
        raise AssertionError(details)


def request_side_effect(context: DecisionContext, leaf: Leaf) -> Outcome | None:
    """Run the code, or read its value from the marker.

    Wait for the next decision task if this one has no room for the marker. A query never runs the code.
    """
    markers, name = context.markers, leaf.id
    if context.replaying and not context.querying:
        waits = context.more and name not in markers.recorded
    else:
        waits = context.querying or not context.queue.has_room_for_marker()
    if waits:
        markers.add_unfinished(DeferredSideEffect(context, leaf))
        return None
    if not context.replaying:
        details: str | None = _compute(context, leaf)
    elif name in markers.recorded:
        details = markers.recorded[name]
    else:
        raise explain_marker(context, leaf, name, "nothing", name)
    context.queue.add_marker(d.RecordMarker(marker_name=name, details=details))
    if details is not None and details.startswith(UNSENT):
        return Raised(PayloadError(context.codec.decode(details[len(UNSENT) :], str, f"the marker {name}")))
    return Returned(context.codec.decode(details, leaf.node.type, f"the marker {name}"))


def _compute(context: DecisionContext, leaf: Leaf) -> str:
    """Run the code of a side effect, and return the details of its marker."""
    node: SideEffect[Any] = leaf.node
    try:
        return context.codec.encode_as(leave_flow(node.f), node.type, "it")
    except (PayloadUnavailableError, FlowError):
        raise
    except PayloadError as error:
        message = f"the value of {leaf.id} cannot be kept as a marker: {error}"
        if error.is_bug:
            raise PayloadError(message).as_bug() from error
        # Recorded as well, since the code may return another value when it is run again.
        return UNSENT + context.codec.encode(message)
    except Exception as error:
        raise FlowError(
            f"the code of {leaf.id} raised {type(error).__name__}: {error}. A side effect must not fail (Traction): "
            "move code that may fail to an activity"
        ) from error


def request_patched(context: DecisionContext, leaf: Leaf) -> Outcome:
    """Return whether the execution has the patch. An execution that runs this step for the first time has it."""
    name: str = leaf.node.name
    marker, markers = f"{PATCH}{name}", context.markers
    if name not in markers.patches:
        replays = context.replaying and not context.querying
        has = markers.patches[name] = marker in markers.recorded if replays else True
        if has:
            context.queue.add_marker(d.RecordMarker(marker_name=marker))
    return Returned(markers.patches[name])
