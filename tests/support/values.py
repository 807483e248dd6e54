"""Hypothesis strategies for any request, response, event or decision, from type hints alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
from hypothesis import strategies as st

from traction.model.decisions import Decision
from traction.model.events import Event


def moments(ms_max: int) -> st.SearchStrategy[datetime]:
    """Return a strategy for times in whole milliseconds since 1970."""
    return st.integers(0, ms_max).map(lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms))


def make_values(
    texts: st.SearchStrategy[str], numbers: st.SearchStrategy[int], times: st.SearchStrategy[datetime]
) -> Callable[[Any], st.SearchStrategy[Any]]:
    """Return a function from a type hint to a strategy, given those of the basic types."""
    known: dict[Any, st.SearchStrategy[Any]] = {str: texts, int: numbers, bool: st.booleans(), datetime: times}

    @cache
    def values(hint: Any) -> st.SearchStrategy[Any]:
        origin, args = get_origin(hint), get_args(hint)
        if hint in (Event, Decision):
            return st.one_of([values(kind) for kind in args])
        if origin in (Union, UnionType):
            return st.one_of([st.none() if arg is type(None) else values(arg) for arg in args])
        if origin is Literal:
            return st.sampled_from(args)
        if origin is tuple:
            return st.lists(values(args[0]), max_size=3).map(tuple)
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            return st.builds(hint, **{field.name: values(field.type) for field in msgspec.structs.fields(hint)})
        return known[hint]

    return values
