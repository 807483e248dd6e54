"""Describe in one line why an execution closed, from the event that closed it. Pure."""

from __future__ import annotations

from traction.history.contents import read_content, show_content
from traction.history.reading import NOTE_CHARS_MAX, read_failure_view
from traction.history.text import shorten
from traction.model import events as e
from traction.payloads.codec import Codec


def describe_closing_event(closing: e.Event, codec: Codec | None = None) -> str:
    """Return the failure, the reason or the timeout that closed an execution; empty if it completed.

    Args:
        closing: the last event of the execution.
        codec: reads encrypted failures.
    """
    match closing:
        case e.WorkflowExecutionFailed():
            text = read_failure_view(closing.reason, closing.details, codec).summary
        case e.WorkflowExecutionTerminated():
            text = closing.reason or closing.cause or ""
        case e.WorkflowExecutionTimedOut():
            text = closing.timeout_type
        case e.WorkflowExecutionCanceled():
            text = show_content(read_content(closing.details, codec))
        case _:
            text = ""
    return shorten(text, NOTE_CHARS_MAX)
