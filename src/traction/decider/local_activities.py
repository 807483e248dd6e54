"""Local activities: the worker that decides runs them itself, and their records become markers.

The decider finds them one by one, and the worker passes it the record of each, which the decider adds to its response
as a marker. Later deciders read it there.
"""

from __future__ import annotations

from typing import Any

from traction.decider.activities import PendingAttempt
from traction.decider.context import DecisionContext
from traction.decider.diagnostics import encode_call
from traction.decider.divergence import explain_marker
from traction.decider.frames import Leaf
from traction.decider.markers import Markers, UnfinishedStep
from traction.decider.outcomes import Outcome
from traction.decider.pending import read_result
from traction.flow.effects import Local
from traction.history.local_records import Record, find_record
from traction.model import decisions as d


class PendingLocalActivity(PendingAttempt, UnfinishedStep):
    """A call of an activity that runs in the worker which decides."""

    def request(self) -> Outcome | None:
        """Queue the call for the worker.

        Raises:
            PayloadError: it is too long for SWF, as it would be for any other activity.
        """
        encode_call(self.context.codec, self.call, self.leaf.fiber)
        self.began = self.began or self.context.flow.now
        self.context.markers.add_unfinished(self)
        return None

    def withdraw(self) -> bool:
        """Do not run it, or stop the pause before its next attempt."""
        if not self.context.markers.remove_unfinished(self):
            super().withdraw()
        return False

    def complete(self, details: str | None) -> None:
        """Queue its marker, and retry it or resume the flow.

        Raises:
            NonDeterminismError: the record is of another activity, or of another version.
        """
        record = self._take_record(details)
        if record.reason is None:
            self.resume(read_result(self.context, self.leaf, self.call, record.details))
        else:
            self.fail_attempt(self.read_failure(record))

    def _take_record(self, details: str | None) -> Record:
        record, mine = find_record(details), self.call.spec.type
        if record is None or record.type != mine:
            recorded = self.task_id if record is None else f"{record.activity} {record.version}"
            expected = f"RecordMarker  {recorded}"
            raise explain_marker(self.context, self.leaf, self.task_id, expected, f"{mine.name} {mine.version}")
        self.context.markers.remove_unfinished(self)
        self.context.queue.add_marker(d.RecordMarker(marker_name=self.task_id, details=details))
        return record


def request_local(context: DecisionContext, leaf: Leaf) -> Outcome | None:
    """Queue a local activity for the worker."""
    node: Local[Any] = leaf.node
    return PendingLocalActivity(context, leaf, node.call).request()


def find_local(markers: Markers) -> PendingLocalActivity | None:
    """Return the first local activity that is not done, if any."""
    return next((step for step in markers.unfinished.values() if isinstance(step, PendingLocalActivity)), None)
