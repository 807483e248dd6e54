"""Check the `Host` and `Origin` headers of requests to a server for one machine.

A page in a browser can send requests to 127.0.0.1, and can make its own host name resolve to that address. The first
kind of request has its site as `Origin`, the second as `Host`. So both must be loopback names, or allowed names.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_accepted(host: str, allowed: frozenset[str]) -> bool:
    """Whether the host of a request is a loopback name or allowed. `*` allows all.

    Example:
        >>> [is_accepted(host, frozenset({"swf.test"})) for host in ("localhost:80", "127.0.0.2", "[::1]", "swf.test")]
        [True, True, True, True]
        >>> is_accepted("127.0.0.1.evil.example", frozenset())
        False
    """
    if "*" in allowed:
        return True
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    if name is None or any(sign in host for sign in "@/?#\\"):
        return False
    name = name.removesuffix(".")
    if name in allowed or name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def find_refusal(headers: dict[bytes, bytes], allowed: frozenset[str]) -> str | None:
    """Return why a request is refused, or `None` if it is accepted."""
    host = headers.get(b"host", b"").decode("latin-1")
    if not is_accepted(host, allowed):
        return f"this server does not accept the host name {host!r}: see --allow-host"
    origin = headers.get(b"origin")
    if origin is not None and not is_accepted(origin.decode("latin-1").partition("://")[2], allowed):
        return "this server does not accept requests from pages of other sites"
    return None
