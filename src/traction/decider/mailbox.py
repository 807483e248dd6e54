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


def _take_signal(context: DecisionContext, leaf: Leaf) -> Given | None:
    """Return the first signal that a leaf receives. Signals that do not decode are dropped with a note."""
    kinds = {signal.spec.name: signal for signal in leaf.node.signals}
    for event in list(context.signals):
        kind = kinds.get(event.signal_name)
        if kind is None:
            continue
        context.signals.remove(event)
        try:
            return VALUE, context.codec.decode_call(
                event.input, kind, f"the signal {event.signal_name} (event {event.event_id})"
            )
        except PayloadUnavailableError:
            raise  # another decider may be able to read it
        except PayloadError as error:
            context.notes.append(str(error))
    return None
