"""Name the extra of `pip install "traction[...]"` that a missing package belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from traction.errors import MissingExtraError

EXTRA_BY_PACKAGE = {
    "boto3": "swf",
    "botocore": "swf",
    "click": "cli",
    "cryptography": "crypto",
    "hypothesis": "testing",
    "jinja2": "server",
    "opentelemetry": "otel",
    "rich": "cli",
    "starlette": "server",
    "typer": "cli",
    "uvicorn": "server",
}
"""The extra that installs a package, by the name under which the package is imported."""


@contextmanager
def needed_by(what: str, instead: str = "") -> Iterator[None]:
    """Raise `MissingExtraError` where an import in this block finds that a package of an extra is not installed.

    Args:
        what: what needs the package, in the reader's words.
        instead: a sentence on what works without the package, if anything does.
    """
    try:
        yield
    except MissingExtraError:
        raise
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA_BY_PACKAGE:
            raise
        raise MissingExtraError(what, package=package, extra=EXTRA_BY_PACKAGE[package], instead=instead) from error
