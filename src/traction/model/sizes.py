"""Count the bytes of requests as boto3 sends them.

botocore writes every character beyond ASCII as an escape: six bytes, or twelve outside the Basic Multilingual Plane.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from traction.errors import RequestEntityTooLarge
from traction.model.limits import SWF

REQUEST_BYTES_MAX = SWF.request_bytes_max
"""The most bytes of one request (SWF)."""

ESCAPE_BYTES_MAX = 12
"""The most bytes that botocore writes for one character."""


def measure(shape: Any) -> int:
    """Return how many bytes a request takes, or a decision within one.

    The attributes of a decision are a member of their own on the wire, named after its type.
    """
    plain = msgspec.to_builtins(shape)
    nested = plain.get("decisions") or ([plain] if "decisionType" in plain else ())
    return len(json.dumps(plain)) + sum(len(f'"{one["decisionType"]}DecisionAttributes": {{}}') for one in nested)


def is_surely_below(shapes: Any, bytes_max: int, envelopes: int = 1) -> bool:
    """Return `True` only if `measure` would return at most `bytes_max`. It is much faster than `measure`.

    Args:
        shapes: one shape, or a tuple of shapes and texts.
        envelopes: how many decisions there are.
    """
    try:
        size = len(_encode(shapes))
    except UnicodeEncodeError:
        return False  # lone surrogates
    # An escape is at most three times as long as the same character in UTF-8. Separators take another byte each. The
    # envelope of a decision takes less than 128 bytes.
    return 4 * size + 128 * envelopes <= bytes_max


_encode = msgspec.json.Encoder().encode


def check_request_size(request: Any, bytes_max: int) -> None:
    """Raise if a request is larger than SWF accepts.

    Raises:
        RequestEntityTooLarge: it takes more than `bytes_max` bytes.
    """
    if not is_surely_below(request, bytes_max) and (size := measure(request)) > bytes_max:
        raise explain_size(type(request).__name__, size, bytes_max)


def explain_size(operation: str, size: int, bytes_max: int) -> RequestEntityTooLarge:
    """Return the error for a request that is too large."""
    return RequestEntityTooLarge(
        f"{operation} has {size:,} bytes, and a request may have at most {bytes_max:,} (SWF); {_WAY_OUT}"
    )


def explain_drop(size: int, tries: int, cause: Exception) -> RequestEntityTooLarge:
    """Return the error for a large request that a service never answered."""
    error = RequestEntityTooLarge(
        f"a request of {size:,} bytes was sent {tries} times and never answered: {cause}. SWF may drop the connection "
        f"of a request that is too large for it; {_WAY_OUT}"
    )
    error.__cause__ = cause
    return error


_WAY_OUT = "pass references to large values, or use a payload store: WorkerSystem(..., payloads=...)"
