"""The base class of decisions, events and operations.

Frozen msgspec structs with keyword arguments, written under SWF's camelCase names without members that have their
default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, dataclass_transform

import msgspec

if TYPE_CHECKING:
    # That shapes are built by keyword is for type checkers to see to. A metaclass written in Python could do it as
    # well, but Python 3.11 then takes ten times as long to make one, and every event, decision and request is one.
    @dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
    class ShapeMeta(msgspec.StructMeta):
        """The metaclass of shapes, as type checkers see it."""

else:
    ShapeMeta = msgspec.StructMeta


class ModelStruct(msgspec.Struct, metaclass=ShapeMeta, frozen=True, omit_defaults=True, gc=False, rename="camel"):
    """A frozen record of SWF's: an event, a decision, a request, an answer, or a part of one."""
