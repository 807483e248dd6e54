"""Match signals with the steps that receive them, in the order of arrival."""

from __future__ import annotations

from traction.decider.context import DecisionContext
from traction.decider.frames import VALUE, Given, Leaf
from traction.errors import (
    PayloadError,
    PayloadUnavailableError,
)
from traction.model import events as e


def _takes(leaf: Leaf, event: e.WorkflowExecutionSignaled) -> bool:
    return any(signal.spec.name == event.signal_name for signal in leaf.node.signals)


def _take_signal(desk: DecisionContext, leaf: Leaf) -> Given | None:
    """Take the first signal that a leaf receives; one that does not decode is put aside, and told of."""
    kinds = {signal.spec.name: signal for signal in leaf.node.signals}
    for event in list(desk.signals):
        kind = kinds.get(event.signal_name)
        if kind is None:
            continue
        desk.signals.remove(event)
        try:
            return VALUE, desk.codec.decode_call(
                event.input, kind, f"the signal {event.signal_name} (event {event.event_id})"
            )
        except PayloadUnavailableError:
            raise  # another decider may read it, and must not find that this one has passed it over
        except PayloadError as error:
            desk.notes.append(str(error))
    return None
