"""Mint run ids and task tokens, and read tokens.

Takes a seed and numbers; gives strings that look like SWF's and mean nothing to a caller. Equal seeds and
numbers give equal strings.

A token says which execution and which scheduled event, and no more: whether that task is still open is for
its execution to know. So a token costs no memory after its task, and one that was never given out is told
from one that came too late by looking at the event it names.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256, sha384

_PREFIX = "AAAAKgAAAAIAAAAA"
STEM_CHARS = len(_PREFIX) + 64
_DIGITS = 10

DECISION = "D"
ACTIVITY = "A"


def make_run_id(seed: str, number: int) -> str:
    """Make the id of a service's n-th run: 46 characters like `22Pij42qQYS4zptpD4JBqrvr24zGnPxT9rTOkGXVcZVhA=`."""
    return "22" + b64encode(sha256(f"{seed}/{number}".encode()).digest()).decode()


def make_stem(run_id: str) -> str:
    """Make what all task tokens of a run begin with."""
    return _PREFIX + b64encode(sha384(run_id.encode()).digest()).decode()


def make_token(stem: str, kind: str, scheduled_event_id: int) -> str:
    """Make the token of a task."""
    return f"{stem}{kind}{scheduled_event_id:010d}"


def parse_token(token: str, kind: str) -> tuple[str, int] | None:
    """Take a token apart into stem and scheduled event id, or find that it is none of this kind."""
    digits = token[STEM_CHARS + 1 :]
    if (
        token[STEM_CHARS : STEM_CHARS + 1] != kind
        or len(digits) != _DIGITS
        or not (digits.isascii() and digits.isdecimal())
    ):
        return None
    return token[:STEM_CHARS], int(digits)
