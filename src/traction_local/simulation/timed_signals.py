"""Parse the items of `signals=[...]`."""

from __future__ import annotations

from typing import Any

from traction.errors import DefinitionError
from traction.flow.durations import Span
from traction.flow.signals import Signal


def read_signal(item: Any) -> tuple[Span | None, str, Any]:
    """Return the delay of a signal (`None` for at any time), its name and its value.

    Raises:
        DefinitionError: `item` is not a signal.
    """
    if isinstance(item, Signal):
        return None, item.spec.name, item
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], Signal):
        return item[0], item[1].spec.name, item[1]
    if isinstance(item, tuple) and len(item) == 3 and isinstance(item[1], str):
        return item
    raise DefinitionError(
        f"signals=[{item!r:.200}]: write Approve(...) for a signal at any time, (days(9), Approve(...)) for "
        'a signal after that span, or (days(9), "Approve", value)'
    )
