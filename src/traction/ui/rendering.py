"""Render the templates. Everything that a template shows is escaped twice: control characters, then HTML.

A template cannot forget it: `finalize` escapes each value, and jinja escapes the HTML of what it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from traction.extras import needed_by
from traction.history.contents import show_content
from traction.history.escaping import escape, escape_lines
from traction.history.rendering import format_span
from traction.history.views import FailureView, Unreadable
from traction.ui.links import link, link_to
from traction.ui.rows import CLASSES, WORDS

with needed_by("the page"):
    import jinja2
    from markupsafe import Markup
    from markupsafe import escape as escape_html

VALUE_CHARS_MAX: Final = 20_000
"""How many characters of a payload, a traceback or a message are shown."""

STATUS_CLASSES: Final = {
    "OPEN": "open",
    "COMPLETED": "ok",
    "CONTINUED_AS_NEW": "ok",
    "FAILED": "bad",
    "TIMED_OUT": "bad",
    "CANCELED": "off",
    "TERMINATED": "off",
}


@cache
def get_environment() -> jinja2.Environment:
    """Return the environment of the templates, which all pages share."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("traction.ui"),
        autoescape=True,
        finalize=_finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: Mapping[str, Callable[..., Any]] = {
        "lines": show_lines,
        "raw": show_exactly,
        "content": show_value,
        "time": show_time,
        "span": format_span,
        "status": show_status,
        "summary": summarize,
    }
    environment.filters.update(filters)
    environment.globals.update(
        link=link,
        link_to=link_to,
        CLASSES=CLASSES,
        WORDS=WORDS,
        STATUS_CLASSES=STATUS_CLASSES,
        is_unreadable=lambda value: isinstance(value, Unreadable),
    )
    return environment


def _finalize(value: Any) -> Any:
    if isinstance(value, Markup):
        return value
    if value is None:
        return ""
    return escape(cut(str(value)))


def cut(text: str) -> str:
    """Return a text, cut to `VALUE_CHARS_MAX` characters with a note of how many are missing."""
    missing = len(text) - VALUE_CHARS_MAX
    return text if missing <= 0 else f"{text[:VALUE_CHARS_MAX]}… ({missing:,} more characters)"


def show_lines(text: str) -> Markup:
    """Return a text of several lines as HTML."""
    return escape_html(escape_lines(cut(text)))


def show_exactly(text: str) -> Markup:
    """Return a text as HTML as it is, for the value of an input that is sent back."""
    return escape_html(text)


def show_value(value: Any) -> str:
    """Return a payload as JSON on one line, or why it cannot be read."""
    return f"unreadable: {value.unreadable}" if isinstance(value, Unreadable) else show_content(value)


def show_status(status: str) -> str:
    """Return a status of SWF in words.

    Example:
        >>> show_status("CONTINUED_AS_NEW")
        'Continued as new'
    """
    return status.replace("_", " ").capitalize().replace("Canceled", "Cancelled")


def summarize(failure: FailureView) -> str:
    """Return the type and the message of a failure."""
    name = failure.type.rpartition(".")[2]
    return f"{name}: {failure.message}" if failure.message else name


def show_time(at: datetime | None, now: datetime | None = None) -> Markup:
    """Return an instant as HTML: in UTC, which the script of the page replaces by local time.

    Args:
        at: the instant.
        now: the instant of the page; the date is left out if it is the same.
    """
    if at is None:
        return Markup("")
    at = at.astimezone(UTC)
    short = (
        f"{at:%H:%M:%S}" if now is not None and now.astimezone(UTC).date() == at.date() else f"{at:%Y-%m-%d %H:%M:%S}"
    )
    exact = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{0}" title="{1} UTC">{2}</time>').format(exact, exact[:-1].replace("T", " "), short)
