"""Rules for the members of requests, and SWF's messages about values that break them.

`Rule.ok` is the fast path: one call, true or false. `Rule.complain` is only called if a rule of the request failed, and
yields a message for each wrong member.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec

from traction.model.names import FORBIDDEN

NAME_PATTERN = rf"(?!arn$)(?!\s)[^{FORBIDDEN.pattern[1:]}+(?<!\s)"
"""The rule of names: no white space at the ends, none of `:/|` nor control characters, not exactly `arn`."""

ORDINAL_PATTERN = r"[0-9]+"
DURATION_PATTERN = r"[0-9]+|NONE"
INTEGER_PATTERN = r"-?[0-9]+"


def format_violation(value: object, path: str, constraint: str) -> str:
    """Return the message for one broken rule, in SWF's words."""
    if value is None:
        shown = "null"
    elif isinstance(value, tuple | list):
        shown = f"'[{', '.join('null' if item is None else str(item) for item in value)}]'"
    else:
        shown = f"'{value}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: Member must {constraint}"


class Rule(ABC):
    """A condition on a value."""

    __slots__ = ("ok",)

    ok: Callable[[Any], object]
    """Whether a value that is not `None` obeys the rule; any true value counts."""

    @abstractmethod
    def complain(self, value: Any, path: str) -> Iterator[str]:
        """Yield a message for each violation."""


class Text(Rule):
    """A string with limits on its length and form."""

    __slots__ = ("_chars_max", "_chars_min", "_pattern", "_range")

    def __init__(
        self,
        chars_max: int,
        *,
        chars_min: int = 0,
        pattern: str | None = None,
        values: tuple[int, int] | None = None,
        cached: bool = False,
    ) -> None:
        self._chars_min, self._chars_max = chars_min, chars_max
        self._pattern = None if pattern is None else re.compile(pattern)
        self._range = None if values is None else Number(*values)
        if pattern is None and not chars_min:
            self.ok = lambda text: len(text) <= chars_max
        elif pattern is None:
            self.ok = lambda text: chars_min <= len(text) <= chars_max
        elif values is None and pattern == NAME_PATTERN:
            # One C call instead of two: ids are rarely repeated, so a cache does not help.
            self.ok = re.compile(f"(?=.{{{chars_min},{chars_max}}}\\Z)" + pattern).fullmatch
        else:
            self.ok = self._is_ok
        if cached:
            self.ok = lru_cache(maxsize=4096)(self.ok)

    def _is_ok(self, text: str) -> bool:
        return not any(self.complain(text, ""))

    def complain(self, value: str, path: str) -> Iterator[str]:
        if len(value) < self._chars_min:
            yield format_violation(value, path, f"have length greater than or equal to {self._chars_min}")
        elif len(value) > self._chars_max:
            yield format_violation(value, path, f"have length less than or equal to {self._chars_max}")
        elif self._pattern is not None and not self._pattern.fullmatch(value):
            yield format_violation(value, path, f"satisfy regular expression pattern: {self._pattern.pattern}")
        elif self._range is not None and value != "NONE":
            yield from self._range.complain(int(value), path)


class Number(Rule):
    """An integer in a range."""

    __slots__ = ("_max", "_min")

    def __init__(self, values_min: int, values_max: int) -> None:
        self._min, self._max = values_min, values_max
        self.ok = lambda number: values_min <= number <= values_max

    def complain(self, value: int, path: str) -> Iterator[str]:
        if value < self._min:
            yield format_violation(value, path, f"have value greater than or equal to {self._min}")
        elif value > self._max:
            yield format_violation(value, path, f"have value less than or equal to {self._max}")


class Choice(Rule):
    """One of a set of words."""

    __slots__ = ("_words",)

    def __init__(self, *words: str) -> None:
        self._words = words
        self.ok = frozenset(words).__contains__

    def complain(self, value: str, path: str) -> Iterator[str]:
        if not self.ok(value):
            yield format_violation(value, path, f"satisfy enum value set: [{', '.join(self._words)}]")


class Moment(Rule):
    """Any aware datetime."""

    __slots__ = ()

    def __init__(self) -> None:
        self.ok = lambda value: isinstance(value, datetime) and value.tzinfo is not None

    def complain(self, value: object, path: str) -> Iterator[str]:
        if not self.ok(value):
            raise TypeError(f"{path} is not an aware datetime")
        return iter(())


class Each(Rule):
    """A list with a maximum length, each item of which obeys a rule. An item may be null: SWF once accepted
    `[null]` as tags, and old recordings contain it."""

    __slots__ = ("_item", "_items_max")

    def __init__(self, item: Rule, items_max: int) -> None:
        self._item, self._items_max = item, items_max
        self.ok = lambda items: len(items) <= items_max and all(value is None or item.ok(value) for value in items)

    def complain(self, value: tuple[Any, ...], path: str) -> Iterator[str]:
        if len(value) > self._items_max:
            yield format_violation(value, path, f"have length less than or equal to {self._items_max}")
        for position, item in enumerate(value, 1):
            if item is not None:
                yield from self._item.complain(item, f"{path}.{position}.member")


class Members(Rule):
    """A struct, each member of which obeys a rule."""

    __slots__ = ("_members", "_verdicts")

    def __init__(self, struct: type[msgspec.Struct], rules: Mapping[str, Rule], *, cached: bool = False) -> None:
        fields = {field.name: field for field in msgspec.structs.fields(struct)}
        assert rules.keys() <= fields.keys(), (struct, rules.keys() - fields.keys())
        self._members = tuple((fields[name], rule) for name, rule in rules.items())
        self._verdicts = tuple((field.name, rule.ok, not field.required) for field, rule in self._members)
        self.ok = lru_cache(maxsize=4096)(self._is_ok) if cached else self._is_ok

    def _is_ok(self, struct: object) -> bool:
        for name, ok, optional in self._verdicts:
            value = getattr(struct, name)
            if not (optional if value is None else ok(value)):
                return False
        return True

    def complain(self, value: object, path: str) -> Iterator[str]:
        for field, rule in self._members:
            inner = f"{path}.{field.encode_name}" if path else field.encode_name
            member = getattr(value, field.name)
            if member is not None:
                yield from rule.complain(member, inner)
            elif field.required:
                yield format_violation(None, inner, "not be null")
