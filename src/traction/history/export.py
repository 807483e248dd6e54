"""Write histories as JSON, and read them.

Events have SWF's own shape: an envelope with a member for the attributes, named after the event's type. So the output
of `aws swf get-workflow-execution-history` can be read too.

A file has four members, of which only the last is needed for reading:

    {"traction": 1, "workflowType": {...}, "execution": {...}, "events": [...]}

Source: Amazon SWF API reference, GetWorkflowExecutionHistory and HistoryEvent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import structs

from traction.errors import HistoryError
from traction.model.events import Event, WorkflowExecutionStarted
from traction.model.names import WorkflowExecution, WorkflowType

FORMAT: Final = 1
"""The version of the format, in its member `traction`."""


class StoredHistory(msgspec.Struct, frozen=True):
    """A stored history: the events in order, and the execution if the file names it."""

    events: Sequence[Event]
    execution: WorkflowExecution | None = None

    @property
    def workflow_type(self) -> WorkflowType:
        """The type of the execution, from its first event."""
        begun = self.events[0]
        assert isinstance(begun, WorkflowExecutionStarted)
        return begun.workflow_type


def make_stored(events: Iterable[Event], execution: WorkflowExecution | None = None) -> StoredHistory:
    """Build a stored history from events, oldest or newest first.

    Raises:
        HistoryError: the first event is not WorkflowExecutionStarted.
    """
    events = sorted(events, key=lambda event: event.event_id)
    if not events or type(events[0]) is not WorkflowExecutionStarted:
        first = f"event {events[0].event_id} {type(events[0]).__name__}" if events else "nothing"
        raise HistoryError(
            f"a history begins with event 1 WorkflowExecutionStarted (SWF), and this one begins with {first}. Include "
            "all its pages"
        )
    return StoredHistory(events, execution)


def write_stored(history: StoredHistory) -> str:
    """Write a history as JSON, in lines that can be read and compared.

    Laws:
        `read_stored(write_stored(h)) == h`.
    """
    fields = {
        "traction": FORMAT,
        "workflowType": history.workflow_type,
        "execution": history.execution,
        "events": [write_event(event) for event in history.events],
    }
    return msgspec.json.format(msgspec.json.encode(fields), indent=1).decode() + "\n"


def read_stored(text: str | bytes, what: str = "the history") -> StoredHistory:
    """Read what `write_stored` or the AWS CLI wrote; `what` names it in errors.

    Raises:
        HistoryError: it is not JSON, or not a history of SWF.
    """
    try:
        fields = msgspec.json.decode(text, type=_File)
        if fields.traction > FORMAT:
            raise HistoryError(
                f"{what} is of format {fields.traction}, and this Traction reads formats up to {FORMAT}: install a "
                "newer version"
            )
        events = [read_event(event) for event in fields.events]
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise HistoryError(
            f"{what} is not a history: {error}. Write one with traction history ID --export FILE, or with "
            "aws swf get-workflow-execution-history"
        ) from error
    return make_stored(events, fields.execution)


class _File(msgspec.Struct):
    events: list[dict[str, Any]]
    execution: WorkflowExecution | None = None
    traction: int = FORMAT


_ENVELOPE: Final = ("eventId", "eventTimestamp", "eventType")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def _name_attributes(kind: str) -> str:
    return f"{kind[:1].lower()}{kind[1:]}EventAttributes"


def write_event(event: Event) -> dict[str, Any]:
    """Write one event in SWF's shape, into dicts, lists and scalars; its time is a number of seconds."""
    facts = msgspec.to_builtins(event)
    kind = facts.pop("eventType")
    number = facts.pop("eventId")
    del facts["eventTimestamp"]
    time = (event.event_timestamp - _EPOCH) // _MILLISECOND / 1000
    return {"eventId": number, "eventTimestamp": time, "eventType": kind, _name_attributes(kind): facts}


def read_event(fields: dict[str, Any]) -> Event:
    """Read one event; its time is a number of seconds, or text in the form of ISO 8601.

    Raises:
        msgspec.ValidationError: it is not an event of SWF.
    """
    facts = {name: fields.get(name) for name in _ENVELOPE}
    time = facts["eventTimestamp"]
    if isinstance(time, int | float):
        facts["eventTimestamp"] = _EPOCH + timedelta(milliseconds=round(time * 1000))
    attributes = fields.get(_name_attributes(str(facts["eventType"]))) or {}
    # Old histories have tags that are null (SWF), which no type declares.
    tags = attributes.get("tagList") or ()
    odd: dict[str, Any] = {"tagList": []} if None in tags else {}
    event: Event = msgspec.convert(facts | attributes | odd, Event)
    return structs.replace(event, tag_list=tuple(tags)) if odd else event
