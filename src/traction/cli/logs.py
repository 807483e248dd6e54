"""Format log records for a terminal, so that no text in a record can pass for another record."""

from __future__ import annotations

import logging

from traction.history.escaping import escape, escape_lines

TRACE_PREFIX = "  | "
"""How each line of a traceback begins. No record begins so."""


class RecordFormatter(logging.Formatter):
    """Formats each record as one line, followed by the lines of its traceback, each with `TRACE_PREFIX`."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # logging's name
        """Return the line of a record, escaped."""
        return escape(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # logging's name
        """Return the lines of a traceback, escaped and prefixed."""
        return _prefix(super().formatException(ei))  # type: ignore[arg-type]  # logging has no public name for its type

    def formatStack(self, stack_info: str) -> str:  # logging's name
        """Return the lines of a stack, escaped and prefixed."""
        return _prefix(super().formatStack(stack_info))


def make_handler() -> logging.Handler:
    """Return a handler that writes records to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(RecordFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return handler


def _prefix(text: str) -> str:
    return "\n".join(f"{TRACE_PREFIX}{line}" for line in escape_lines(text).split("\n"))
