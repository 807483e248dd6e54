"""What is known of an exception in another process: names, texts, tracebacks and causes."""

from __future__ import annotations

import msgspec

from traction.model.limits import SWF

REASON_CHARS_MAX = SWF.reason_chars_max
"""The most characters that the reason of a failure may have (SWF)."""


class Cause(msgspec.Struct, frozen=True, omit_defaults=True):
    """A failure of a step or an execution that an exception was, or was raised from.

    If it reports an exception of another process, it also has the type, message and traceback of that one.
    """

    failure: str
    """The name of its class in `traction.errors`."""
    text: str
    facts: dict[str, str | float | None]
    """Its attributes, such as `step`; spans in seconds."""
    type: str = ""
    message: str = ""
    traceback: str = ""
    bases: tuple[str, ...] = ()


class FailureInfo(msgspec.Struct, frozen=True):
    """A description of an exception: the names of its type and its base classes, its text, traceback and causes.

    The traceback is that of one process; each cause has its own. For a declared error, `kinds` are the names under
    which it may be caught, its own first, and `fields` are its fields as JSON.
    """

    type: str
    message: str
    traceback: str = ""
    kinds: tuple[str, ...] = ()
    fields: str | None = None
    heartbeat: str | None = None
    """The details of the last heartbeat, as a payload: SWF reports them only for tasks that timed out."""
    bases: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    """The outermost first."""


def note_loss(message: str, why: str) -> str:
    """Add to a message why the fields of a declared error are missing."""
    note = f"(its fields are left out: {why})"
    return f"{message} {note}" if message else note


def cut_middle(text: str, chars_max: int) -> str:
    """Keep both ends of a text that is too long, with a note on how much is left out if there is room for it.

    Example:
        >>> cut_middle("a" * 50 + "b" * 50, 40)
        'aa\\n... 93 characters left out ...\\nbbbbb'
    """
    if len(text) <= chars_max:
        return text
    # The longest possible remark, so that the length of the ends does not depend on the number in it.
    room = max(chars_max - len(_REMARK.format(len(text))), 0)
    remark = _REMARK.format(len(text) - room)[: chars_max - room]
    head = room // 3
    return f"{text[:head]}{remark}{text[len(text) - (room - head) :]}"


_REMARK = "\n... {:,} characters left out ...\n"
