"""The plugin that opens `local:` URLs.

`local:` is in memory. `local:work.db` is the file `work.db`, which processes share. `domain` names another domain
than the default, and with `sync=full` responses survive a power cut: `local:work.db?domain=acme&sync=full`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from traction.backend import Backend
from traction.errors import BackendError, DomainAlreadyExistsFault
from traction.model import operations as o
from traction.payloads.stores import PayloadStore
from traction.plugins.hookspecs import hookimpl
from traction_local.backend import DOMAIN, LocalBackend
from traction_local.service.service import Service

if TYPE_CHECKING:
    import typer

SCHEME = "local:"

RETENTION_DAYS = "30"
"""How long the domain keeps closed executions."""

_OPTIONS: dict[str, tuple[str, ...] | None] = {"domain": None, "sync": ("normal", "full")}
"""The options of a URL and their possible values."""


@hookimpl
def traction_backend(url: str) -> Backend | None:
    """Open `local:`, a backend in memory, or `local:FILE`, a backend in a file."""
    if not url.startswith(SCHEME):
        return None
    path, _, query = url.removeprefix(SCHEME).partition("?")
    options = _read_options(url, query)
    domain = options.get("domain", DOMAIN)
    if path:
        return open_file(path, url=url, domain=domain, sync=options.get("sync", "normal"))
    if "sync" in options:
        raise BackendError(
            f"{url!r} does not name a file to sync: local: is in memory. Name a file: local:work.db?{query}"
        )
    return open_local(url=url, domain=domain)


@hookimpl
def traction_schemes() -> list[str]:
    """Return the schemes of this backend."""
    return [SCHEME]


@hookimpl
def traction_payload_store(url: str) -> PayloadStore | None:
    """Open `file:///directory`."""
    if not url.startswith("file:"):
        return None
    from traction_local.file_store import open_directory

    return open_directory(url)


@hookimpl
def traction_commands(app: typer.Typer) -> None:
    """Add `traction serve`."""
    from traction_local.server.cli import add_to

    add_to(app)


def open_local(*, url: str = SCHEME, domain: str = DOMAIN) -> LocalBackend:
    """Open a new backend in memory."""
    # Run ids are never the same in two processes, as in SWF.
    return _begin(LocalBackend(Service(seed=_make_seed()), url=url, domain=domain))


def open_file(path: str, *, url: str | None = None, domain: str = DOMAIN, sync: Any = "normal") -> LocalBackend:
    """Open a backend on a file, which is created if it does not exist; see docs/durability.md.

    Raises:
        JournalError: the file cannot be used.
        JournalUnavailable: the file cannot be used now.
    """
    # Imported here so that backends in memory do not load SQLite.
    from traction_local.journal import JournaledService

    service = JournaledService(os.path.expanduser(path), seed=_make_seed(), sync=sync, group=True)
    url = f"{SCHEME}{path}" if url is None else url
    return _begin(LocalBackend(service, url=url, domain=domain, file=service))


def _make_seed() -> str:
    return os.urandom(16).hex()


def _begin(backend: LocalBackend) -> LocalBackend:
    try:
        with suppress(DomainAlreadyExistsFault):
            backend.call(
                o.RegisterDomain(name=backend.domain, workflow_execution_retention_period_in_days=RETENTION_DAYS)
            )
    except BaseException:
        backend.close()
        raise
    return backend


def _read_options(url: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS or name in options:
            raise BackendError(f"{url!r}: {name} is {'given twice' if name in options else 'not an option'}: {_USAGE}")
        allowed = _OPTIONS[name]
        if not value or (allowed is not None and value not in allowed):
            raise BackendError(f"{url!r}: {name}={value!r} is not valid: {_USAGE}")
        options[name] = value
    return options


_USAGE = "write local:work.db?domain=NAME&sync=full, where domain and sync are optional, and sync is normal or full"
