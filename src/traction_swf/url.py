"""Parse `swf://` URLs."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from traction.errors import BackendError
from traction.model.names import find_name_error

POOL = 2_000
"""The most connections for polls, and as many for other calls. A thread uses one at a time, and none is
opened in advance, so this is more than the threads of any process. With fewer, urllib3 warns and reconnects."""

STICKY = timedelta(seconds=10)
"""How long a decision task waits for the worker that has its decider."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts of servers on this machine, which check no signatures."""


class SwfOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a URL."""

    domain: str
    region: str | None = None
    """The AWS region; without it, the region of the profile or the environment."""

    endpoint: str | None = None
    """Another address than the region's, such as one that `traction serve` prints."""

    profile: str | None = None
    """A profile of the AWS configuration, with region and credentials."""

    pool: int = POOL
    """How many connections are kept for polls, and as many for everything else."""

    sticky: timedelta | None = STICKY
    """How long a decision task waits for the worker that has its decider; `None` if they go to any."""

    decode: Literal["fast", "plain"] = "fast"
    """Whether answers are read from their bytes at once, or from what botocore has made of them."""

    retention_days: int | None = None
    """If set, a missing domain is registered with this retention period for closed executions."""

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is on this machine."""
        return self.endpoint is not None and urlsplit(self.endpoint).hostname in LOOPBACK


def read_url(url: str) -> SwfOptions:
    """Read a URL.

    Raises:
        BackendError: the domain is missing, or an option or its value is unknown.
    """
    parts = urlsplit(url)
    domain = unquote(parts.netloc)
    if not domain or parts.path not in ("", "/") or parts.fragment:
        raise BackendError(f"{url!r} does not name a domain of Amazon SWF: {USAGE}")
    if fault := find_name_error(domain):
        raise BackendError(f"{url!r}: {domain!r} is not the name of a domain: {fault} (SWF)")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    if len(given) != len(parse_qsl(parts.query, keep_blank_values=True)):
        raise BackendError(f"{url!r}: an option is given twice: {USAGE}")
    options: dict[str, object] = {"domain": domain}
    for name, value in given.items():
        read = _READ.get(name)
        if read is None:
            raise BackendError(f"{url!r}: {name} is not an option: {USAGE}")
        try:
            options[name] = read(value)
        except ValueError:
            raise BackendError(f"{url!r}: {name}={value!r} is not valid: {USAGE}") from None
    return SwfOptions(**options)  # type: ignore[arg-type]


def _read_text(value: str) -> str:
    if not value:
        raise ValueError
    return value


def _read_endpoint(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError
    return value


def _read_count(value: str) -> int:
    return _read_number(value, 1, 10_000)


def _read_days(value: str) -> int:
    return _read_number(value, 0, 90)


def _read_sticky(value: str) -> timedelta | None:
    return None if value == "off" else timedelta(seconds=_read_number(value, 1, 3600))


def _read_decode(value: str) -> str:
    if value not in ("fast", "plain"):
        raise ValueError
    return value


def _read_number(value: str, least: int, most: int) -> int:
    if not (value.isascii() and value.isdigit() and least <= int(value) <= most):
        raise ValueError
    return int(value)


_READ = {
    "region": _read_text,
    "endpoint": _read_endpoint,
    "profile": _read_text,
    "pool": _read_count,
    "sticky": _read_sticky,
    "decode": _read_decode,
    "retention_days": _read_days,
}

USAGE = (
    "write swf://DOMAIN?region=us-east-1, and optionally endpoint=URL, profile=NAME, pool=1 to 10000, "
    "sticky=off or seconds, decode=fast or plain, retention_days=0 to 90 (registers the domain if it does not exist)"
)
