"""Format the traceback of an exception with the user's frames alone, and find lines in one that was formatted."""

from __future__ import annotations

import re
import traceback
from pathlib import Path
from traceback import StackSummary, TracebackException
from typing import Any

from traction.errors import RemoteTraceback, TractionError

CAUSED = "\nThe above exception was the direct cause of the following exception:\n\n"
"""What Python writes between two exceptions."""

_PLACE = re.compile(r'^[ |]*File "(.+)", line (\d+), in (.+)$', re.MULTILINE)
_STANDARD = Path(traceback.__file__).parent
_OURS = tuple(Path(__file__).parents[2] / name for name in ("traction", "traction_local", "traction_swf"))
_STUBS = _OURS[1] / "simulation" / "stubs.py"


def format_traceback(error: BaseException) -> str:
    """Format an exception and those that it was raised from, without the frames of Traction.

    The traceback of another process is left out, since failures have it separately. An exception that only Traction's
    code raised, and that is not of one of its types, keeps its frames: it is a bug.
    """
    formatted = TracebackException.from_exception(error, compact=True)
    pairs: list[tuple[TracebackException | None, BaseException | None]] = [(formatted, error)]
    while pairs:
        one, of = pairs.pop()
        if one is None or of is None:
            continue
        stack = _keep_users(one.stack)
        if not stack and of is error and _is_bug(of, one.stack):
            stack = list(one.stack)
        # Python writes the head of a traceback without frames, unless there is no stack.
        one.stack = StackSummary.from_list(stack) if stack else None  # type: ignore[assignment]
        if isinstance(of.__cause__, RemoteTraceback):
            one.__cause__ = None
        pairs += [(one.__cause__, of.__cause__), (one.__context__, of.__context__)]
        if isinstance(of, BaseExceptionGroup) and one.exceptions:
            pairs += zip(one.exceptions, of.exceptions, strict=False)
    return "".join(formatted.format())


def _keep_users(stack: StackSummary) -> list[Any]:
    """Leave out our frames, and those of the standard library before the first frame of the user."""
    kept: list[Any] = []
    for frame in stack:
        folders = Path(frame.filename).parents
        standard = _STANDARD in folders and "site-packages" not in frame.filename
        if not any(folder in folders for folder in _OURS) and (kept or not standard):
            kept.append(frame)
    return kept


def _is_bug(error: BaseException, stack: StackSummary) -> bool:
    scripted = bool(stack) and Path(stack[-1].filename) == _STUBS
    return not isinstance(error, TractionError) and not scripted


def find_place(formatted: str) -> str | None:
    """Return where an exception was raised, by its formatted traceback.

    Example:
        >>> find_place('  File "/srv/shop.py", line 8, in fetch')
        'shop.py:8 in fetch'
    """
    places = _PLACE.findall(formatted)
    if not places:
        return None
    file, line, function = places[-1]
    name = file.replace("\\", "/").rpartition("/")[2]
    return f"{name}:{line} in {function}"
