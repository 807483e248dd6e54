"""Find out whether an open execution is stuck: its decision task waits for a worker, or times out again and again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from traction.backend import Backend
from traction.client.looking import read_view
from traction.definitions.classes import Workflow
from traction.errors import UnknownResourceFault
from traction.history.explanation import STUCK_TIMEOUTS
from traction.history.rendering import format_span
from traction.history.views import ExecutionView
from traction.model.names import WorkflowExecution
from traction.payloads.codec import JSON, Codec

WAIT_MAX: Final = timedelta(minutes=1)
"""A decision task that waits longer than this makes its execution stuck."""


def explain_stuck(
    backend: Backend,
    execution: WorkflowExecution,
    *,
    workflows: Iterable[type[Workflow[Any]]] = (),
    codec: Codec = JSON,
) -> str | None:
    """Return in one line why a run is stuck; `None` if it is not, or is not stored any more. Reads its whole history.

    Args:
        backend: where it is.
        execution: the run.
        workflows: definitions. If that of the run is among them, the error that blocks it is shown.
        codec: reads its payloads.

    Raises:
        BackendError: the service refused, or could not be reached.
    """
    try:
        view = read_view(backend, execution, workflows=workflows, codec=codec)
    except UnknownResourceFault:
        return None
    return describe_stuck(view)


def describe_stuck(view: ExecutionView) -> str | None:
    """Return in one line why a run is stuck, `None` if it is not."""
    task = view.decision_task
    texts: list[str] = []
    if view.blocked is not None:
        texts.append(view.blocked.summary)
    if task is not None and task.timeouts >= STUCK_TIMEOUTS:
        texts.append(f"{task.timeouts} decision tasks in a row timed out")
    elif task is not None and task.started_at is None and view.until - task.scheduled_at > WAIT_MAX:
        waited = format_span(view.until - task.scheduled_at)
        texts.append(f"a decision task has waited on the list {task.task_list} for {waited}")
    return "; ".join(texts) or None
