"""The read model of an execution: immutable views, which Python, the terminal and the page show.

`reading.read_execution` makes them from events alone. `traction.inspection` adds what depends on the code of the
workflow: the line where each branch waits, the signals that it awaits, and what blocks it.

All instants are those of the history. The tree of steps is read back from their ids: `1.0.IndexStories-1` is the first
`IndexStories` of branch 0 of group 1. A part before a dot that is not a number is a scope of `.named`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

import msgspec

State: TypeAlias = Literal["Open", "Done", "Failed", "Cancelled", "TimedOut"]
"""The state of a step. `Open` steps have a `Phase`."""

Phase: TypeAlias = Literal["scheduled", "started", "retrying", "cancelling"]
"""What an open step waits for: a worker, its end, the pause before its next attempt, or the end of its cancellation."""

Kind: TypeAlias = Literal[
    "activity", "local", "timer", "child", "lambda", "send", "cancel", "signal", "marker", "group", "branch", "scope"
]
"""What a step is. The last three hold other steps."""


class Link(msgspec.Struct, frozen=True):
    """Another execution. `run_id` is empty while it is not known."""

    workflow_id: str
    run_id: str = ""


class FailureView(msgspec.Struct, frozen=True):
    """How something failed."""

    type: str
    """The exception's name with its module, or the reason that another program gave; for timeouts, SWF's word."""
    message: str = ""
    place: str = ""
    """File, line and function that raised it, without folders, such as `shop.py:8 in fetch`."""
    traceback: str = ""
    """The remote traceback, as Python writes it."""

    @property
    def summary(self) -> str:
        """One line: type, message and place."""
        name = self.type.rpartition(".")[2]
        text = f"{name}: {self.message}" if self.message else self.type
        return f"{text} ({self.place.partition(' ')[0]})" if self.place else text


class AttemptView(msgspec.Struct, frozen=True):
    """One attempt of a step, or a pause between two."""

    kind: Literal["attempt", "pause"]
    state: State
    scheduled_at: datetime
    started_at: datetime | None
    closed_at: datetime | None
    due_at: datetime | None = None
    """While it is open: when a timer fires, or the next of the attempt's timeouts passes. Heartbeats are not known."""
    worker: str = ""
    """The identity of the poller that took it."""
    failure: FailureView | None = None
    event_id: int = 0
    """The event that opened it."""


class StepView(msgspec.Struct, frozen=True):
    """A step, or a group, branch or scope of steps.

    A group, branch or scope is `Open` while one of its steps is, and otherwise has the worst state of its steps; a
    cancelled step beside a completed one counts as done.

    Laws:
        The labels from the root to a step, joined together, are its id.
    """

    id: str
    label: str
    kind: Kind
    state: State
    scheduled_at: datetime
    started_at: datetime | None
    closed_at: datetime | None
    phase: Phase | None = None
    due_at: datetime | None = None
    """While it is open: when its timer fires, its next attempt begins, or its next timeout passes."""
    name: str = ""
    """What runs: the name and version of an activity, child or Lambda function; the name of a signal or marker."""
    task_list: str = ""
    worker: str = ""
    input: Any = None
    """Plain JSON data, or `Unreadable`."""
    result: Any = None
    failure: FailureView | None = None
    """The last failure, also while the step is retried."""
    execution: Link | None = None
    """The child, the execution that a signal came from or goes to."""
    place: str = ""
    """The line of the flow that waits for it, if the definition is at hand."""
    note: str = ""
    """The most important of all this, on one line."""
    attempts: int = 0
    parts: tuple[AttemptView, ...] = ()
    event_id: int = 0
    """The event that opened its first attempt; 0 for a group, branch or scope."""
    steps: tuple[StepView, ...] = ()

    @property
    def duration(self) -> timedelta | None:
        """How long it took, waiting included; `None` while it is open."""
        return None if self.closed_at is None else self.closed_at - self.scheduled_at


class DecisionTaskView(msgspec.Struct, frozen=True):
    """The decision task that is open: it waits for a decider, or one has it."""

    task_list: str
    scheduled_at: datetime
    started_at: datetime | None
    worker: str
    due_at: datetime | None
    """When it times out."""
    timeouts: int
    """How many decision tasks in a row before it started and timed out: no decider could answer them."""
    failing_since: datetime | None
    """When the first of those was scheduled."""


class CancelRequestView(msgspec.Struct, frozen=True):
    """A request to cancel the execution."""

    requested_at: datetime
    source: Link | None
    """The execution that requested it; `None` if a client did."""
    cause: str


class AwaitedSignal(msgspec.Struct, frozen=True):
    """A step of the flow that waits for one of some signals. Histories do not show it: the definition is needed."""

    names: tuple[str, ...]
    place: str
    targets: tuple[str, ...] = ()
    """Where the signals are defined, each as `module:Signal`, as `traction signal` takes them."""


class Unreadable(msgspec.Struct, frozen=True):
    """A payload that cannot be shown."""

    unreadable: str
    """Why, and what to do."""


class ExecutionView(msgspec.Struct, frozen=True):
    """One run of an execution: its settings, links, steps, and what it waits for."""

    workflow_id: str
    run_id: str
    workflow: str
    version: str
    status: str
    """`OPEN`, or how it closed, in SWF's words."""
    started_at: datetime
    closed_at: datetime | None
    until: datetime
    """The instant that this view shows: the close, or of an open run the instant that the caller passed."""
    due_at: datetime | None
    """When the execution times out, if it is open."""
    events: int
    task_list: str
    tags: tuple[str, ...]
    child_policy: str
    input: Any
    result: Any
    state: Any
    """The last state that the flow set (`set_state`) and that a decision task brought to the service."""
    failure: FailureView | None
    """How it failed or timed out; `None` if it did not."""
    reason: str
    """Why it was terminated, or the details of its cancellation."""
    parent: Link | None
    continued_from: Link | None
    continued_as: Link | None
    cancel_requests: tuple[CancelRequestView, ...]
    decision_task: DecisionTaskView | None
    steps: tuple[StepView, ...]
    awaited: tuple[AwaitedSignal, ...] | None = None
    """The signals that the flow waits for; `None` if the definition was not at hand."""
    blocked: FailureView | None = None
    """Why the code at hand cannot decide for this history."""

    @property
    def lasted(self) -> timedelta:
        """How long the run has lasted."""
        return self.until - self.started_at

    @property
    def type(self) -> str:
        """Name and version of the workflow."""
        return f"{self.workflow} {self.version}"

    def walk(self) -> Iterator[StepView]:
        """Yield all steps, groups, branches and scopes, each before those that it holds."""
        stack = list(reversed(self.steps))
        while stack:
            step = stack.pop()
            yield step
            stack.extend(reversed(step.steps))

    def list_open(self) -> list[StepView]:
        """Return the steps that are open and hold no others."""
        return [step for step in self.walk() if step.state == "Open" and not step.steps]
