"""Write the history of a flow move by move, for tests of an order of events."""

from __future__ import annotations

from typing import Any

from traction.decider.decider import decide
from traction.flow.step import Step
from traction.model import decisions as d
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

    def complete(self, id: str, result: int = 0) -> None:
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

    def find(self, id: str) -> tuple[int, Any]:
        (found,) = [(event_id, item) for event_id, item in self.open.items() if find_id(item.decision) == id]
        return found

    def find_refusal(self, decision: d.Decision) -> str | None:
        return self.refusals.pop(find_id(decision), None) or super().find_refusal(decision)

    def finish(self) -> GeneratedHistory:
        """Generate the rest with plain choices."""
        self.choose_outcome = lambda _, __: "0"
        return self.run()


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
