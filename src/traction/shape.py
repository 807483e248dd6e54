"""Make the frozen records that every vocabulary is written in.

Takes fields; gives msgspec structs that are frozen, built by keyword, and written under SWF's camelCase
names with what is at its default left out. Knows nothing else.
"""

from __future__ import annotations

from typing import Any, dataclass_transform

import msgspec


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class ShapeMeta(msgspec.StructMeta):
    """Give each shape the same options, so that a class body is its fields alone."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> ShapeMeta:
        common: dict[str, Any] = {
            "frozen": True,
            "kw_only": True,
            "omit_defaults": True,
            "gc": False,
            "rename": "camel",
        }
        return super().__new__(mcls, name, bases, namespace, **(common | options))


class Shape(msgspec.Struct, metaclass=ShapeMeta):
    """A frozen record of SWF's: an event, a decision, a request, an answer, or a part of one."""
