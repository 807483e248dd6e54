"""Make run ids and task tokens, and parse tokens.

The strings look like SWF's and are opaque to callers. They depend on the seed and the numbers only.

A token contains its execution and scheduled event. Whether the task is still open is a question for the execution. So a
token needs no memory after its task, and the event it names separates tokens never issued and late ones.
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
    """Return the id of a service's n-th run: 46 characters like `22Pij42qQYS4zptpD4JBqrvr24zGnPxT9rTOkGXVcZVhA=`."""
    return "22" + b64encode(sha256(f"{seed}/{number}".encode()).digest()).decode()


def make_stem(run_id: str) -> str:
    """Return the common prefix of all task tokens of a run."""
    return _PREFIX + b64encode(sha384(run_id.encode()).digest()).decode()


def make_token(stem: str, kind: str, scheduled_event_id: int) -> str:
    """Return the token of a task."""
    return f"{stem}{kind}{scheduled_event_id:010d}"


def parse_token(token: str, kind: str) -> tuple[str, int] | None:
    """Return the stem and scheduled event id of a token, or `None` if it is not one of this kind."""
    digits = token[STEM_CHARS + 1 :]
    if (
        token[STEM_CHARS : STEM_CHARS + 1] != kind
        or len(digits) != _DIGITS
        or not (digits.isascii() and digits.isdecimal())
    ):
        return None
    return token[:STEM_CHARS], int(digits)
