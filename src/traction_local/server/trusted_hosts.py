"""Say who may ask a server that is for one machine.

Takes the headers of a request and the names that were allowed; gives why it is refused, or nothing.

A page in a browser can make requests to 127.0.0.1, and can make its own name resolve to that address. The first kind
tells its own site as `Origin`, the second as `Host`: so both must be names of this machine's loopback, or allowed.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_accepted(host: str, allowed: frozenset[str]) -> bool:
    """Say whether a host, as a client names it, is this machine's loopback or allowed. `*` allows all.

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
    """Say why a client is not answered, if it is not."""
    host = headers.get(b"host", b"").decode("latin-1")
    if not is_accepted(host, allowed):
        return f"this server does not answer to the name {host!r}: see --allow-host"
    origin = headers.get(b"origin")
    if origin is not None and not is_accepted(origin.decode("latin-1").partition("://")[2], allowed):
        return "this server does not answer to pages of other sites"
    return None
