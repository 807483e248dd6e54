"""The outcome of a step or a flow, outside the interpreter's loop."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec


class Returned(msgspec.Struct, frozen=True):
    """A value."""

    value: Any


class Raised(msgspec.Struct, frozen=True):
    """A failure."""

    error: BaseException


Outcome: TypeAlias = Returned | Raised
