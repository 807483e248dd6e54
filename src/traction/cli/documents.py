"""What `--json` prints: one type for each document, with the same spelling of keys in all of them.

Keys are in snake case and always present; what is unknown is `null`. Instants are text in ISO 8601, in UTC; spans are
numbers of seconds. Values of workflows (results, states) are printed as their payloads would be. A key keeps its
meaning and its type; new keys may be added.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import msgspec

from traction.client.batch import Outcome
from traction.client.query import ExecutionCount, ListedExecution
from traction.history.contents import read_content
from traction.history.explanation import Explanation
from traction.history.graphs.json_export import GraphView
from traction.history.views import AwaitedSignal, ExecutionView, FailureView, Link
from traction.inspection import Branch
from traction.model import events as e
from traction.model import operations as o
from traction.payloads.codec import Codec


class Execution(ListedExecution, frozen=True, kw_only=True):
    """An execution, as `traction list` prints it."""

    state: str | None = None
    """The last state that its flow published, as a payload; of open executions, if states are read."""
    reason: str | None = None
    """Why it closed, if it did not complete, and if reasons are read; with `--stuck`, why it is stuck."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A decision task that waits for a worker."""

    task_list: str
    seconds: float


class Description(Execution, frozen=True, kw_only=True):
    """An execution with its settings, as `traction describe` prints it. Spans without limit are `null`."""

    task_list: str
    priority: int
    child_policy: str
    lambda_role: str | None
    execution_start_to_close: float | None
    task_start_to_close: float | None
    open_activities: int
    open_decision_tasks: int
    open_timers: int
    open_children: int
    open_lambdas: int
    latest_activity_at: datetime | None
    waiting: Waiting | None
    input: Any
    result: Any
    continued_from: Link | None
    continued_as: Link | None
    due_at: datetime | None


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many executions match."""

    count: int
    truncated: bool

    @classmethod
    def of(cls, counted: ExecutionCount) -> Count:
        """Return the document of a count."""
        return cls(count=counted.count, truncated=counted.truncated)


class DecisionView(msgspec.Struct, frozen=True):
    """A decision that the flow would make; `attributes` are SWF's own, in snake case."""

    decision_type: str
    """SWF's name of the decision."""
    attributes: dict[str, Any]
    """SWF's attributes of the decision, without those that are absent."""


class DebuggedMoment(msgspec.Struct, frozen=True):
    """The flow at an event, as `traction debug` prints it."""

    event_id: int
    """The number of the event."""
    at: datetime
    """When it was recorded."""
    event: str
    """SWF's name of the event."""
    branches: tuple[Branch, ...]
    """The strands of the flow that wait."""
    decisions: tuple[DecisionView, ...]
    """What the flow would decide now."""
    awaited: tuple[AwaitedSignal, ...]
    """The signals that it waits for."""
    blocked: FailureView | None
    """Why the code cannot get to this event, if it cannot."""
    next_events: tuple[str, ...]
    """The names of the next events."""


class HistoryEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event, as `traction history --events` prints it; `attributes` are SWF's own, in snake case."""

    event_id: int
    event_type: str
    timestamp: datetime
    attributes: dict[str, Any]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a flow; `null` if it has set none."""

    workflow_id: str
    run_id: str
    state: Any


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """A start; `new_run` is false if the execution was found."""

    workflow_id: str
    run_id: str
    new_run: bool


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """A signal, a cancel request or a termination of an execution. With `--all-matching`, a list of them is printed."""

    action: str
    workflow_id: str
    run_id: str
    outcome: Outcome
    detail: str | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """How a workflow failed: the error that the client raises, and the failure that it reports."""

    kind: str
    text: str
    type: str | None
    message: str | None
    traceback: str | None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run of `traction run`; `result` is `null` if there is an `error`."""

    workflow_id: str
    run_id: str
    result: Any
    error: Failure | None
    execution: ExecutionView | None


class Divergence(msgspec.Struct, frozen=True, kw_only=True):
    """Where the current code and a history differ, or why a history cannot be replayed."""

    kind: str
    message: str
    step: str | None
    event_id: int | None
    event: str | None
    expected: str | None
    actual: str | None
    place: str | None


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """The replay of a file; the counts are `null` if there is an `error`."""

    file: str
    events: int | None
    decision_tasks: int | None
    notes: tuple[str, ...]
    error: Divergence | None


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """An execution that the current code would break."""

    workflow_id: str
    run_id: str
    error: Divergence


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `traction check`."""

    replayed: int
    broken: tuple[Broken, ...]


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """A run of `traction simulate`; `result` is `null` if there is an `error`."""

    result: Any
    error: Failure | None
    seconds: float
    deviations: str
    story: tuple[str, ...]


class Explored(msgspec.Struct, frozen=True, kw_only=True):
    """The coverage of `traction explore`."""

    deviations: int
    runs: int
    histories: int
    complete: bool


class Discovered(msgspec.Struct, frozen=True, kw_only=True):
    """What a graph of `traction graph` rests on."""

    inputs: int
    runs: int
    deviations: int
    complete: bool
    unseen: tuple[str, ...]


class DrawnGraph(GraphView, frozen=True, kw_only=True):
    """The graph of `traction graph`; `coverage` is `null` for that of a history alone."""

    coverage: Discovered | None


class TaskCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many tasks of a kind wait on a task list."""

    task_list: str
    kind: Literal["decision", "activity"]
    count: int
    truncated: bool


class RegisteredType(msgspec.Struct, frozen=True, kw_only=True):
    """A type that is registered; `status` is SWF's word."""

    kind: Literal["workflow", "activity"]
    name: str
    version: str
    status: str
    description: str | None
    created_at: datetime
    deprecated_at: datetime | None


DOCUMENTS: Final[dict[str, Any]] = {
    "run": Run,
    "start": Start,
    "list": list[Execution],
    "list --count-only": Count,
    "describe": Description,
    "why": Explanation,
    "debug": DebuggedMoment,
    "history": ExecutionView,
    "history --events": list[HistoryEvent],
    "state": State,
    "signal": Action,
    "cancel": Action,
    "terminate": Action,
    "signal --all-matching": list[Action],
    "cancel --all-matching": list[Action],
    "terminate --all-matching": list[Action],
    "tasks": list[TaskCount],
    "types": list[RegisteredType],
    "replay": list[Replay],
    "check": Check,
    "simulate": Simulated,
    "explore": Explored,
    "graph": DrawnGraph,
}
"""What each command prints with `--json`."""


# From the model to documents.


def to_execution(execution: ListedExecution, *, state: str | None = None, reason: str | None = None) -> Execution:
    """Return the document of a listed execution."""
    return Execution(**msgspec.structs.asdict(execution), state=state, reason=reason)


def to_description(
    execution: Execution,
    detail: o.WorkflowExecutionDetail,
    waiting: tuple[str, timedelta] | None,
    begun: ExecutionView,
    closing: e.Event | None,
    codec: Codec,
) -> Description:
    """Return the document of a described execution.

    Args:
        begun: its view after event 1, which has its input and links.
        closing: the event that closed it, if one did.
    """
    settings, counts = detail.execution_configuration, detail.open_counts
    next_run = getattr(closing, "new_execution_run_id", None)
    return Description(
        **msgspec.structs.asdict(execution),
        task_list=settings.task_list.name,
        priority=int(settings.task_priority or 0),
        child_policy=settings.child_policy,
        lambda_role=settings.lambda_role,
        execution_start_to_close=read_duration(settings.execution_start_to_close_timeout),
        task_start_to_close=read_duration(settings.task_start_to_close_timeout),
        open_activities=counts.open_activity_tasks,
        open_decision_tasks=counts.open_decision_tasks,
        open_timers=counts.open_timers,
        open_children=counts.open_child_workflow_executions,
        open_lambdas=counts.open_lambda_functions or 0,
        latest_activity_at=detail.latest_activity_task_timestamp,
        waiting=None if waiting is None else Waiting(task_list=waiting[0], seconds=waiting[1].total_seconds()),
        input=begun.input,
        result=read_content(getattr(closing, "result", None), codec),
        continued_from=begun.continued_from,
        continued_as=None if next_run is None else Link(execution.workflow_id, next_run),
        due_at=begun.due_at if execution.closed_at is None else None,
    )


def to_event(event: e.Event) -> HistoryEvent:
    """Return the document of an event. Members that it does not have are left out of its attributes."""
    fields = _to_snake_case(event)
    for name in ("event_id", "event_timestamp"):
        del fields[name]
    return HistoryEvent(
        event_id=event.event_id,
        event_type=type(event).__name__,
        timestamp=event.event_timestamp,
        attributes=fields,
    )


def _to_snake_case(value: Any) -> Any:
    """Return a record of SWF as plain values, under the names that its members have in Python."""
    if isinstance(value, msgspec.Struct):
        named = ((name, getattr(value, name)) for name in value.__struct_fields__)
        return {name: _to_snake_case(member) for name, member in named if member is not None}
    if isinstance(value, tuple):
        return [_to_snake_case(member) for member in value]
    return value


def to_failure(error: BaseException) -> Failure:
    """Return the document of an error that a client raised."""
    return Failure(
        kind=type(error).__name__,
        text=str(error),
        type=getattr(error, "type", None),
        message=getattr(error, "message", None),
        traceback=getattr(error, "traceback", None) or None,
    )


def to_divergence(error: BaseException) -> Divergence:
    """Return the document of an error that a replay raised."""
    names: Sequence[str] = ("step", "event_id", "event", "expected", "actual", "place")
    return Divergence(
        kind=type(error).__name__, message=str(error), **{name: getattr(error, name, None) for name in names}
    )


def read_duration(duration: str) -> float | None:
    """Return SWF's duration in seconds, `None` for no limit."""
    return None if duration == "NONE" else float(duration)
