"""The plugin that opens `swf://` and `s3://` URLs. It imports boto3 only when such a URL is opened."""

from __future__ import annotations

from traction.backend import Backend
from traction.payloads.stores import PayloadStore
from traction.plugins.hookspecs import hookimpl

SCHEME = "swf:"


@hookimpl
def traction_backend(url: str) -> Backend | None:
    """Open `swf://domain?region=us-east-1`; `docs/production.md` lists the options."""
    if not url.startswith(SCHEME):
        return None
    from traction_swf.backend import open_swf

    return open_swf(url)


@hookimpl
def traction_schemes() -> list[str]:
    """Return the schemes of this backend."""
    return [SCHEME]


@hookimpl
def traction_payload_store(url: str) -> PayloadStore | None:
    """Open `s3://bucket/prefix`; `docs/payloads.md` lists the options."""
    if not url.startswith("s3:"):
        return None
    from traction_swf.s3 import open_bucket

    return open_bucket(url)
