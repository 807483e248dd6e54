"""Load the installed plugins, and open backends and payload stores through them."""

from __future__ import annotations

import pluggy

from traction.backend import Backend
from traction.errors import UnknownSchemeError
from traction.payloads.stores import PayloadStore
from traction.plugins import hookspecs


def load_plugins(*extra: object) -> pluggy.PluginManager:
    """Return a plugin manager with all installed plugins. The extra ones (modules or objects) have precedence."""
    plugins = pluggy.PluginManager(hookspecs.PROJECT)
    plugins.add_hookspecs(hookspecs)
    plugins.load_setuptools_entrypoints(hookspecs.PROJECT)
    for plugin in extra:
        plugins.register(plugin)
    return plugins


def open_backend(url: str, plugins: pluggy.PluginManager | None = None) -> Backend:
    """Open the backend that a URL names, such as `local:` or `swf://acme`.

    Raises:
        UnknownSchemeError: no installed plugin opens URLs of this scheme.
        BackendError: the URL is wrong, or the service cannot be reached.
    """
    plugins = plugins or load_plugins()
    backend: Backend | None = plugins.hook.traction_backend(url=url)
    if backend is None:
        scheme = url.partition(":")[0] + ":" if ":" in url else "no scheme"
        known = sorted(scheme for schemes in plugins.hook.traction_schemes() for scheme in schemes)
        raise UnknownSchemeError(
            f"no installed backend opens {url!r} ({scheme}); the known schemes are {', '.join(known) or 'nothing'}. "
            "Backends come with packages that have an entry point in the group 'traction'"
        )
    return backend


def open_payload_store(url: str, plugins: pluggy.PluginManager | None = None) -> PayloadStore:
    """Open the payload store that a URL names, such as `file:///srv/payloads` or `s3://bucket/prefix`.

    Raises:
        UnknownSchemeError: no installed plugin opens URLs of this scheme.
        BackendError: the URL is wrong, or the store cannot be reached.
    """
    plugins = plugins or load_plugins()
    store: PayloadStore | None = plugins.hook.traction_payload_store(url=url)
    if store is None:
        raise UnknownSchemeError(
            f"no installed payload store opens {url!r}. Traction has file:///directory, and s3://bucket/prefix with "
            "its extra: traction[swf]"
        )
    return store
