"""Open `swf://` and `s3://` URLs: the plugin by which Traction finds Amazon SWF, and payload stores in S3.

Takes URLs; gives backends and stores. Importing this imports no boto3: who never opens such a URL need not have it.
"""

from __future__ import annotations

from traction.backend import Backend
from traction.payloads.stores import PayloadStore
from traction.plugins.hookspecs import hookimpl

SCHEME = "swf:"


@hookimpl
def traction_backend(url: str) -> Backend | None:
    """Open `swf://domain?region=us-east-1`; `docs/production.md` tells all that may follow the question mark."""
    if not url.startswith(SCHEME):
        return None
    from traction_swf.backend import open_swf

    return open_swf(url)


@hookimpl
def traction_schemes() -> list[str]:
    """Name the scheme."""
    return [SCHEME]


@hookimpl
def traction_payload_store(url: str) -> PayloadStore | None:
    """Open `s3://bucket/prefix`; `docs/payloads.md` tells what may follow the question mark."""
    if not url.startswith("s3:"):
        return None
    from traction_swf.s3 import open_bucket

    return open_bucket(url)
