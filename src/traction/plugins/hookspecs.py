"""The hooks that a plugin may implement.

A plugin is a module or object that an entry point of the group `traction` names. Its functions are
decorated with `hookimpl`.

Example:
    # pyproject.toml of a package
    [project.entry-points.traction]
    redis = "traction_redis.plugin"

    # traction_redis/plugin.py
    from traction.plugins.hookspecs import hookimpl

    @hookimpl
    def traction_backend(url):
        return RedisBackend(url) if url.startswith("redis:") else None

    @hookimpl
    def traction_schemes():
        return ["redis:"]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

from traction.backend import Backend
from traction.model.decisions import Decision
from traction.model.operations import DecisionTask
from traction.payloads.stores import PayloadStore
from traction.runtime.activity_task import RunningTask

if TYPE_CHECKING:
    import typer

PROJECT = "traction"
"""The name of the entry-point group, and of pluggy's markers."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec(firstresult=True)
def traction_backend(url: str) -> Backend | None:
    """Open the backend that a URL names, or return `None` for an unknown scheme.

    Raises:
        BackendError: the scheme belongs to this plugin, and the URL is wrong or the service cannot be reached.
    """


@hookspec
def traction_schemes() -> Sequence[str]:  # type: ignore[empty-body]
    """Return the schemes of the URLs that this plugin opens, each with its colon."""


@hookspec(firstresult=True)
def traction_payload_store(url: str) -> PayloadStore | None:
    """Open the payload store that a URL names, or return `None` for an unknown scheme.

    Raises:
        BackendError: the scheme belongs to this plugin, and the URL is wrong or the store cannot be reached.
    """


@hookspec
def traction_task_started(task: RunningTask) -> None:
    """Called when an attempt of an activity begins, in its thread or event loop."""


@hookspec
def traction_task_finished(task: RunningTask, outcome: str, seconds: float, error: BaseException | None) -> None:
    """Called when it ends: `COMPLETED`, `FAILED` with its error, `CANCELED`, or `LEFT` to be completed elsewhere."""


@hookspec
def traction_decision_started(task: DecisionTask) -> None:
    """Called before a decision task is decided."""


@hookspec
def traction_decision_finished(task: DecisionTask, outcome: str, seconds: float, decisions: Sequence[Decision]) -> None:
    """Called when it is `DECIDED`, or `STUCK`: then the task times out."""


@hookspec
def traction_commands(app: typer.Typer) -> None:
    """Add commands to `traction`. A command should import what it needs when it runs."""
