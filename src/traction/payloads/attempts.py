"""Facts about an attempt, written beside the input of an activity task."""

from __future__ import annotations

import msgspec

from traction.model.literals import Duration
from traction.payloads.codec import PAYLOAD_CHARS_MAX
from traction.payloads.transforms import MARK

# Names that no field can have, so that readers of the input alone ignore them.
_MEMBERS = {"number": "~attempt", "details": "~details", "heartbeat": "~heartbeat", "limit": "~limit"}


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True, rename=_MEMBERS):
    """What is written for a later attempt, for one that was handed back, or for a call with timeouts of its own."""

    number: int
    """The number of the attempt, from 1."""
    details: str | None = None
    """The details of the last heartbeat of the attempts before it, as a payload."""
    heartbeat: Duration | None = None
    """The heartbeat timeout of the call, which SWF does not send to workers; `None` if it is the type's."""
    limit: Duration | None = None
    """The shorter of the call's `start_to_close` and `schedule_to_close`; `None` if it has neither of its own."""


FIRST_ATTEMPT = Attempt(1)
"""The attempt of an input that has nothing beside it."""


def write_attempt(
    payload: str,
    number: int,
    details: str | None,
    heartbeat: Duration | None = None,
    limit: Duration | None = None,
) -> str:
    """Return an input with the facts of an attempt beside it, or the input alone if SWF leaves no room for them."""
    facts = msgspec.json.encode(Attempt(number, details, heartbeat, limit)).decode()
    if payload.startswith(MARK):
        # Behind the body of a transformed payload, which has no brace.
        joined = payload + facts
    else:
        joined = payload[:-1] + ("," if len(payload) > 2 else "") + facts[1:]
    return joined if len(joined) <= PAYLOAD_CHARS_MAX else payload


def read_attempt(payload: str | None) -> Attempt:
    """Return the facts that `write_attempt` wrote, if any."""
    if payload is None or '"~attempt"' not in payload:
        return FIRST_ATTEMPT
    if payload.startswith(MARK):
        payload = "{" + payload.partition("{")[2]
    try:
        return msgspec.json.decode(payload, type=Attempt)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return FIRST_ATTEMPT
