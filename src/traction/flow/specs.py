"""What a definition declares, as the decider and the workers read it."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from traction.flow.durations import NO_TIMEOUT
from traction.flow.retry import Retry
from traction.model.literals import ChildPolicy, Duration
from traction.model.names import ActivityType, TaskList, WorkflowType
from traction.payloads.failures import DeclaredError

Raises: TypeAlias = tuple[type[DeclaredError], ...]
"""The errors that a definition declares."""


Cancellation: TypeAlias = Literal["wait", "request", "abandon"]
"""What happens to a child when its await is cancelled.

`wait`: cancellation of the child is requested, and the await ends when it has closed. `request`: it is requested, and
the await ends at once. `abandon`: the await ends at once, and nothing is requested.
"""


class SignalSpec(msgspec.Struct, frozen=True):
    """The spec of a signal: its name."""

    name: str


class ActivitySpec(msgspec.Struct, frozen=True, kw_only=True):
    """The spec of an activity: its type, defaults as SWF writes them, retries and result."""

    type: ActivityType
    label: str
    task_list: TaskList
    schedule_to_start: Duration = NO_TIMEOUT
    start_to_close: Duration
    schedule_to_close: Duration = NO_TIMEOUT
    heartbeat: Duration = NO_TIMEOUT
    retry: Retry | None = None
    raises: Raises = ()
    priority: str | None = None
    description: str | None = None
    needs: Any = None
    result: Any
    is_async: bool = False


class WorkflowSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The spec of a workflow: its type, defaults as SWF writes them, and result."""

    type: WorkflowType
    label: str
    task_list: TaskList
    execution_start_to_close: Duration
    task_start_to_close: Duration
    child_policy: ChildPolicy
    priority: str | None = None
    tags: tuple[str, ...] = ()
    raises: Raises = ()
    lambda_role: str | None = None
    description: str | None = None
    names_itself: bool = False
    """Whether its class overrides `workflow_id`, so that a child, too, has the id that it returns."""
    result: Any
