"""Open `local:` URLs: the plugin by which Traction finds this backend."""

from __future__ import annotations

import os

from traction.backend import Backend
from traction.errors import BackendError
from traction.hookspecs import hookimpl
from traction_local.backend import DOMAIN, LocalBackend
from traction_local.service import Service


@hookimpl
def traction_backend(url: str) -> Backend | None:
    """Open `local:`, a backend in memory that lives as long as it is open."""
    if not url.startswith("local:"):
        return None
    if url != "local:":
        raise BackendError(f"{url!r} is not a backend: local: keeps all in memory, and takes nothing after the colon")
    return open_local()


@hookimpl
def traction_schemes() -> list[str]:
    """Name the scheme."""
    return ["local:"]


def open_local() -> LocalBackend:
    """Open a new backend in memory."""
    from traction import operations as o

    # Run ids are never the same in two processes, as in SWF.
    backend = LocalBackend(Service(seed=os.urandom(16).hex()))
    backend.call(o.RegisterDomain(name=DOMAIN, workflow_execution_retention_period_in_days="30"))
    return backend
