"""What the handlers of steps and events of one execution share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from traction.decider.frames import Leaf, Pending
from traction.decider.interpreter import Interpreter
from traction.decider.mailbox import Mailbox
from traction.decider.markers import Markers
from traction.decider.outcomes import Outcome
from traction.decider.queue import DecisionQueue
from traction.flow.step import WorkflowStep
from traction.model import events as e
from traction.model.names import WorkflowExecution
from traction.payloads.codec import Codec


class StartedChild(msgspec.Struct, eq=False):
    """A child started with `start_child`: its outcome, or the leaves that wait for it."""

    outcome: Outcome | None = None
    waiting: list[Leaf] = []


class PendingResult(Pending):
    """A step that waits for the outcome of a started child."""

    __slots__ = ("_child", "_leaf")

    def __init__(self, child: StartedChild, leaf: Leaf) -> None:
        self._child = child
        self._leaf = leaf

    def withdraw(self) -> bool:
        self._child.waiting.remove(self._leaf)
        return False


class Children:
    """The children started with `start_child`, by the id of the step that started them."""

    __slots__ = ("_by_step",)

    def __init__(self) -> None:
        self._by_step: dict[str, StartedChild] = {}

    def add(self, step: str) -> None:
        self._by_step[step] = StartedChild()

    def find(self, step: str) -> StartedChild | None:
        """Return the child that this step started, if any."""
        return self._by_step.get(step)

    def remove(self, step: str) -> None:
        """Remove a child that the flow cannot refer to, because the step was cancelled before the child had started."""
        self._by_step.pop(step, None)

    def has_closed(self, step: str) -> bool:
        """Return whether this step started a child that has closed. False for an empty id."""
        return bool(step) and self._by_step[step].outcome is not None

    def receive_result(self, leaf: Leaf) -> Outcome | None:
        """Return the outcome of the child that a leaf names, or add the leaf to those that wait for it."""
        child = self._by_step[leaf.node.child]
        if child.outcome is None:
            leaf.pending = PendingResult(child, leaf)
            child.waiting.append(leaf)
        return child.outcome


class DecisionContext:
    """The state of one execution while its decisions are made. It describes the current turn to `traction.runtime`."""

    def __init__(
        self,
        workflow: type[WorkflowStep[Any]],
        execution: WorkflowExecution,
        codec: Codec,
        *,
        silent: bool,
        request: Callable[[DecisionContext, Leaf], Outcome | None],
    ) -> None:
        self.workflow = workflow
        self.execution = execution
        self.codec = codec
        self.notes: list[str] = []
        """Problems that fail nothing, for a worker to log and clear: signals that do not decode."""
        self.flow = Interpreter(execution.run_id, partial(request, self))
        self.queue = DecisionQueue()
        self.mailbox = Mailbox(execution, codec, self.notes)
        self.markers = Markers()
        self.children = Children()
        self.definitions: set[type] = set()
        """The definitions that the flow has used."""
        self.begun: e.WorkflowExecutionStarted | None = None
        """Event 1, once a turn has been taken."""
        self.state: str | None = None
        """The last state that the flow has published, as JSON of any length."""
        self.state_payload: str | None = None
        """The state that the flow published in this turn, if any, unless it is too long for a payload."""
        self.turn_event_id = 0
        """The DecisionTaskStarted of this turn."""
        self.replaying = False
        """Whether another decider took this turn before."""
        self.querying = False
        """Whether this turn only reads the state of the flow."""
        self.silent = silent
        """Whether log lines of the flow are dropped."""
        self.completed_event_id = 0
        """The DecisionTaskCompleted whose events are being read, 0 if none."""
        self.more = False
        """Whether that decision task left decisions to the next one."""
