"""Say where Traction can be extended: the hooks that a plugin may implement.

A plugin is a module or object that an entry point of the group `traction` names. Its functions carry the mark
`hookimpl`.

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
"""The name of the entry-point group, and of the marks."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec(firstresult=True)
def traction_backend(url: str) -> Backend | None:
    """Open the backend that a URL names, or give `None` if its scheme is another's.

    Raises:
        BackendError: the scheme is this plugin's, and the URL is wrong or the service cannot be reached.
    """


@hookspec
def traction_schemes() -> Sequence[str]:  # type: ignore[empty-body]
    """Name the schemes whose URLs this plugin opens, each with its colon."""


@hookspec(firstresult=True)
def traction_payload_store(url: str) -> PayloadStore | None:
    """Open the payload store that a URL names, or give `None` if its scheme is another's.

    Raises:
        BackendError: the scheme is this plugin's, and the URL is wrong or the store cannot be reached.
    """


@hookspec
def traction_task_started(task: RunningTask) -> None:
    """Hear that an attempt of an activity begins, in the thread or on the loop that it runs on."""


@hookspec
def traction_task_finished(task: RunningTask, outcome: str, seconds: float, error: BaseException | None) -> None:
    """Hear that it ended: `COMPLETED`, `FAILED` with its error, `CANCELED`, or `LEFT` for others to answer."""


@hookspec
def traction_decision_started(task: DecisionTask) -> None:
    """Hear that a decision is about to be made."""


@hookspec
def traction_decision_finished(task: DecisionTask, outcome: str, seconds: float, decisions: Sequence[Decision]) -> None:
    """Hear what was `DECIDED`, or that the decision is `STUCK` and its task left to time out."""


@hookspec
def traction_commands(app: typer.Typer) -> None:
    """Add commands of this plugin's own to those of `traction`. What a command needs, import when it runs."""
