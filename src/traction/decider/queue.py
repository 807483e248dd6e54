"""The queue of decisions that the history does not show yet."""

from __future__ import annotations

from collections import deque

import msgspec

from traction.decider.batching import DECISIONS_MAX, MARKER_BYTES_LONGEST, MARKER_BYTES_MAX
from traction.decider.frames import Pending
from traction.errors import FlowError
from traction.model import decisions as d
from traction.model import events as e
from traction.model.sizes import measure


class QueuedDecision(msgspec.Struct, eq=False):
    """A decision that the flow made and the history does not show yet.

    `pending` is what it was made for, until the history shows the decision. Then the reference is dropped, since a
    cycle would leave every step to Python's garbage collector.
    """

    decision: d.Decision
    pending: Pending | None = None
    signal: e.WorkflowExecutionSignaled | None = None
    """The signal that it forwards to the next run."""
    withdrawn: bool = False


class DecisionQueue:
    """Decisions in the order in which they are sent: markers of this turn first, the close of the execution last."""

    __slots__ = ("_close", "_marker_bytes", "_markers", "_parked", "entries", "has_withdrawn")

    def __init__(self) -> None:
        self.entries: deque[QueuedDecision] = deque()
        """The decisions that the history does not show yet. The decider removes those that it shows, first to last."""
        # The first `_markers` entries are markers.
        self._markers = self._marker_bytes = 0
        self.has_withdrawn = False
        # Timers that SWF refused because too many are open: queued again when one closes.
        self._parked: list[QueuedDecision] = []
        self._close: QueuedDecision | None = None

    def begin_turn(self) -> None:
        """Forget the markers of the last turn, and take the close out, since this turn may add decisions before it."""
        self._markers = self._marker_bytes = 0
        if self.entries and self.entries[-1] is self._close:
            self.entries.pop()

    def drop_withdrawn(self) -> None:
        self.entries = deque(entry for entry in self.entries if not entry.withdrawn)
        self.has_withdrawn = False

    def add(self, decision: d.Decision, signal: e.WorkflowExecutionSignaled | None = None) -> QueuedDecision:
        """Append a decision that no step waits for."""
        entry = QueuedDecision(decision, signal=signal)
        self.entries.append(entry)
        return entry

    def add_close(self, decision: d.Decision) -> None:
        """Append the decision that closes the execution, last of all (SWF)."""
        self._close = self.add(decision)

    def add_marker(self, decision: d.RecordMarker) -> None:
        """Queue a marker for the response to the current decision task: the flow already uses its value.

        So markers go before all other decisions, and all markers of one turn must fit into one response.

        Raises:
            FlowError: they do not.
        """
        self.entries.insert(self._markers, QueuedDecision(decision))
        self._markers += 1
        self._marker_bytes += measure(decision)
        if self._markers >= DECISIONS_MAX or self._marker_bytes > MARKER_BYTES_MAX:
            raise FlowError(
                f"the flow records {self._markers} markers of {self._marker_bytes:,} bytes in one decision task, "
                f"and at most {DECISIONS_MAX - 1} markers of {MARKER_BYTES_MAX:,} bytes are allowed (Traction). Wait "
                "between them, for example with traction.sleep"
            )

    def has_room_for_marker(self) -> bool:
        """Return whether this decision task can carry another marker of any length.

        Half of the decisions are kept free for `patched`, which cannot wait for the next decision task.
        """
        return self._markers < DECISIONS_MAX // 2 and self._marker_bytes + MARKER_BYTES_LONGEST <= MARKER_BYTES_MAX

    def withdraw(self, entry: QueuedDecision) -> None:
        """Remove a decision that the history does not show."""
        entry.withdrawn = self.has_withdrawn = True

    def park(self, entry: QueuedDecision) -> None:
        """Hold back the decision of a timer until another timer has closed."""
        self._parked.append(entry)

    def unpark(self) -> None:
        """Queue the timers that were held back: another timer has closed."""
        self.entries.extend(entry for entry in self._parked if not entry.withdrawn)
        self._parked.clear()
