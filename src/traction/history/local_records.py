"""Keep how an attempt of a local activity ended: write it as the details of a marker, and read it back.

The text is a head, one line of JSON with what ran, when, for
how long, and how it failed if it did. Below it stands the result, or the details of the failure, as any activity's
would: so a codec makes of them what it makes of all payloads, and the head can be read without one.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from traction.errors import PayloadError
from traction.history.state import HistoryStep
from traction.model import events as e
from traction.model.names import ActivityType
from traction.payloads.codec import PAYLOAD_CHARS_MAX

HEAD_CHARS_MAX = 1_536
"""The most characters of a head: SWF's longest names, each character escaped, and the time."""


_SECONDS_LONGEST = 99_999_999.999_999
"""No decision task takes longer (SWF), and no number of seconds is written in more characters."""


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """How an attempt ended: with a result, or, if there is a `reason`, with a failure."""

    activity: str
    version: str
    began: datetime
    seconds: float
    reason: str | None = None
    details: str = ""
    """The payload of the result, or the details of the failure."""

    @property
    def type(self) -> ActivityType:
        """Which activity it was."""
        return ActivityType(self.activity, self.version)

    @property
    def ended(self) -> datetime:
        """When it ended."""
        return self.began + timedelta(seconds=self.seconds)


def find_room(activity: str, version: str, began: datetime) -> int:
    """Return how many characters remain for a result after the head of its record."""
    return PAYLOAD_CHARS_MAX - len(write_record(Record(activity, version, began, _SECONDS_LONGEST)))


def write_record(record: Record) -> str:
    """Write a record as the details of a marker.

    Raises:
        PayloadError: it is longer than SWF takes.
    """
    head = msgspec.json.encode(msgspec.structs.replace(record, details="")).decode()
    details = f"{head}\n{record.details}"
    if len(details) > PAYLOAD_CHARS_MAX:
        raise PayloadError(
            f"the record of {record.activity} {record.version} has {len(details):,} characters, and a marker may "
            f"have at most {PAYLOAD_CHARS_MAX:,} (SWF). Leave out .locally(), or return a reference to the large value"
        )
    return details


def find_record(details: str | None) -> Record | None:
    """Read the details of a marker; `None` if they are not a record.

    Laws:
        find_record(write_record(r)) == r
    """
    head, line, rest = (details or "").partition("\n")
    if not line or not head.startswith('{"activity":'):
        return None
    try:
        return msgspec.structs.replace(msgspec.json.decode(head, type=Record), details=rest)
    except msgspec.DecodeError:
        return None


def find_step(event: e.MarkerRecorded, since: datetime) -> HistoryStep | None:
    """Convert the record of a local activity to the events of an ordinary one; `None` if the marker has none.

    Args:
        event: the marker.
        since: when the run began. The worker's clock is trusted within the run.
    """
    record = find_record(event.details)
    if record is None:
        return None
    began, ended = (min(max(time, since), event.event_timestamp) for time in (record.began, record.ended))
    step = HistoryStep(event.marker_name, msgspec.structs.replace(event, event_timestamp=began))
    step.started = step.opened
    closed: dict[str, Any] = {
        "event_id": event.event_id,
        "event_timestamp": ended,
        "scheduled_event_id": 0,
        "started_event_id": 0,
    }
    if record.reason is None:
        step.closed = e.ActivityTaskCompleted(result=record.details, **closed)
    else:
        step.closed = e.ActivityTaskFailed(reason=record.reason, details=record.details, **closed)
    return step
