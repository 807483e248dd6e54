"""Read what a test says comes from outside.

Takes what stands in `signals=[...]`; gives when a signal comes, its name and its value. Knows no service.
"""

from __future__ import annotations

from typing import Any

from traction.errors import DefinitionError
from traction.flow.durations import Span
from traction.flow.signals import Signal


def read_signal(said: Any) -> tuple[Span | None, str, Any]:
    """Read a signal: after how long it comes, `None` for at any time; its name; its value.

    Raises:
        DefinitionError: it is none.
    """
    if isinstance(said, Signal):
        return None, said.spec.name, said
    if isinstance(said, tuple) and len(said) == 2 and isinstance(said[1], Signal):
        return said[0], said[1].spec.name, said[1]
    if isinstance(said, tuple) and len(said) == 3 and isinstance(said[1], str):
        return said
    raise DefinitionError(
        f"signals=[{said!r:.200}]: write Approve(...) for a signal that comes at any time, (days(9), Approve(...)) for "
        'one that comes after so long, or (days(9), "Approve", value)'
    )
