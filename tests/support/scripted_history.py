"""Write the history of a flow move by move, for tests of an order of events.

`play` takes a script of lines such as `begin part-1, request cancel -> cancel child part-1~cancel`. To the left of the
arrow are the moves before a decision task, to the right the decisions that it must make. Moves after `/` happen while
it is open. A line without an arrow has only moves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from traction.decider.decider import decide
from traction.flow.step import Cancelled, Step
from traction.model import decisions as d
from traction.model import events as e
from traction.payloads.codec import Codec
from traction.testing.laws.history_generator import EXECUTION, GeneratedHistory, HistoryGenerator
from traction.testing.laws.laws import to_workflow


class Story(HistoryGenerator):
    """A history that a test extends move by move. Ids are those of the decisions."""

    def __init__(self, flow: Step[Any]) -> None:
        self.codec = Codec()
        self.workflow = to_workflow(flow)
        super().__init__(self.workflow, codec=self.codec)
        self.refusals: dict[str, str] = {}
        self.outcome: Any = None

    def turn(self) -> list[str]:
        """Start a decision task and respond; return the decisions, each as a word and an id."""
        decisions = self.start_turn()
        self.respond()
        return decisions

    def turn_refused(self, cause: str) -> list[str]:
        """Start a decision task, respond, and refuse its only decision; return the decisions."""
        decisions = self.start_turn()
        (decision,) = self.history.decisions[self.running]
        self.refusals[find_id(decision)] = cause
        self.respond()
        return decisions

    def start_turn(self) -> list[str]:
        """Start a decision task; return the decisions, each as a word and an id."""
        self.start()
        decided = self.history.decisions[self.running]
        whole = decide(self.workflow, self.history.events, execution=EXECUTION, codec=self.codec)
        assert decided == whole
        return [name_decision(decision) for decision in decided]

    def play(self, *script: str) -> None:
        """Play each line of a script, and compare the decisions with those of the line."""
        for line in script:
            before, arrow, rest = line.partition("->")
            decisions, _, meanwhile = rest.partition(" / ")
            self.move(before)
            if not arrow:
                continue
            asked = self.start_turn()
            self.move(meanwhile)
            self.respond()
            assert ", ".join(asked) == decisions.strip(), line

    def move(self, moves: str) -> None:
        """Make moves that are separated by commas, each a verb of `MOVES`, an id and a value."""
        for move in filter(None, map(str.strip, moves.split(", "))):
            verb = next(verb for verb in MOVES if move.startswith(verb))
            MOVES[verb](self, *move.removeprefix(verb).split())

    def complete(self, id: str, result: int | str = 0) -> None:
        """Complete a task or child; start it if it has not started."""
        self.end(id, str(result))

    def end(self, id: str, outcome: str | BaseException | None) -> None:
        """End a task or child with an outcome; start it if it has not started."""
        self.outcome = outcome
        event_id, item = self.find(id)
        move = self.move_activity if isinstance(item.decision, d.ScheduleActivityTask) else self.move_child
        if not item.started and not (item.cancel and move == self.move_activity):
            move(event_id, item)
        self.choose_outcome = lambda _, __: self.outcome
        # The worker ends the task with this outcome even if it was asked to cancel.
        if item.started:
            item.cancel = 0
        move(event_id, item)

    def begin(self, id: str) -> None:
        """Start a task or a child."""
        event_id, item = self.find(id)
        (self.move_activity if isinstance(item.decision, d.ScheduleActivityTask) else self.move_child)(event_id, item)

    def fire_timer(self, id: str) -> None:
        event_id, item = self.find(id)
        assert item.due is not None
        self.fire(item.due, event_id)

    def refuse(self, id: str, cause: str) -> None:
        """Refuse the next decision of this id."""
        self.refusals[id] = cause

    def reject(self, id: str, cause: str) -> None:
        """Write that an accepted start of a child, or an accepted request to another execution, failed."""
        event_id, item = self.find(id)
        del self.open[event_id]
        request, sent = item.decision, self.history.events[event_id - 1]
        links = {
            "initiated_event_id": event_id,
            "decision_task_completed_event_id": sent.decision_task_completed_event_id,  # type: ignore[attr-defined]
            "workflow_id": request.workflow_id,
            "control": request.control,
        }
        if isinstance(request, d.StartChildWorkflowExecution):
            type = request.workflow_type
            self.deliver(e.StartChildWorkflowExecutionFailed, cause=cause, workflow_type=type, **links)
        else:
            run_id = request.run_id
            self.deliver(e.RequestCancelExternalWorkflowExecutionFailed, cause=cause, run_id=run_id, **links)

    def find(self, id: str) -> tuple[int, Any]:
        (found,) = [(event_id, item) for event_id, item in self.open.items() if find_id(item.decision) == id]
        return found

    def find_refusal(self, decision: d.Decision) -> str | None:
        return self.refusals.pop(find_id(decision), None) or super().find_refusal(decision)

    def finish(self) -> GeneratedHistory:
        """Generate the rest with plain choices."""
        self.choose_outcome = lambda _, __: "0"
        return self.run()


MOVES: dict[str, Callable[..., None]] = {
    "begin": Story.begin,
    "complete": Story.complete,
    "fail": lambda story, id: story.end(id, ValueError("no")),
    "time out": lambda story, id: story.end(id, None),
    "close as cancelled": lambda story, id: story.end(id, Cancelled()),
    "fire": Story.fire_timer,
    "request cancel": Story.request_cancel,
    "signal": Story.signal,
    "return signal": lambda story, id: story.move_signal(*story.find(id)),
    "refuse": Story.refuse,
    "reject": Story.reject,
}
"""The verbs of a script."""


def play(flow: Step[Any], *script: str) -> Story:
    """Play a script with a flow from its start. Return the story as it is after the last decisions."""
    story = Story(flow)
    story.play(*script)
    return story


def find_id(value: Any) -> str:
    names = ("activity_id", "timer_id", "control", "signal_name", "marker_name", "workflow_id", "result")
    return next((getattr(value, name) for name in names if getattr(value, name, None) is not None), "")


SHORT = {
    d.ScheduleActivityTask: "do",
    d.RequestCancelActivityTask: "cancel",
    d.StartTimer: "timer",
    d.CancelTimer: "cancel",
    d.StartChildWorkflowExecution: "child",
    d.RequestCancelExternalWorkflowExecution: "cancel child",
    d.SignalExternalWorkflowExecution: "signal",
    d.RecordMarker: "mark",
    d.ContinueAsNewWorkflowExecution: "go on",
    d.CompleteWorkflowExecution: "complete",
    d.FailWorkflowExecution: "fail",
    d.CancelWorkflowExecution: "be cancelled",
}


def name_decision(decision: Any) -> str:
    """Return a decision as a word and an id."""
    return f"{SHORT[type(decision)]} {find_id(decision)}".rstrip()
