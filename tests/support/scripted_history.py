"""Tell the history of a flow move by move, where the order of moves is the point."""

from __future__ import annotations

from typing import Any

from traction.decider.decider import decide
from traction.flow.step import Step
from traction.model import decisions as d
from traction.payloads.codec import Codec
from traction.testing.laws.history_generator import EXECUTION, HistoryGenerator, Play
from traction.testing.laws.laws import to_workflow


class Story(HistoryGenerator):
    """A history under way. Ids are those that the decider gave."""

    def __init__(self, flow: Step[Any]) -> None:
        self.codec = Codec()
        self.workflow = to_workflow(flow)
        super().__init__(self.workflow, codec=self.codec)
        self.refusals: dict[str, str] = {}
        self.outcome: Any = None

    def turn(self) -> list[str]:
        """Start a decision task and answer it; give what was asked."""
        asked = self.ask()
        self.respond()
        return asked

    def turn_refused(self, cause: str) -> list[str]:
        """Start a decision task, answer it, and have its one decision refused; give what was asked."""
        asked = self.ask()
        (decision,) = self.play.decisions[self.running]
        self.refusals[find_id(decision)] = cause
        self.respond()
        return asked

    def ask(self) -> list[str]:
        """Start a decision task; give what is asked, each in a word and an id."""
        self.start()
        decided = self.play.decisions[self.running]
        whole = decide(self.workflow, self.play.events, execution=EXECUTION, codec=self.codec)
        assert decided == whole
        return [name_ask(decision) for decision in decided]

    def complete(self, id: str, result: int = 0) -> None:
        """Let a task start, if it has not, and complete; or a child."""
        self.end(id, str(result))

    def end(self, id: str, outcome: str | BaseException | None) -> None:
        """Let a task or child start, if it has not, and end so."""
        self.outcome = outcome
        event_id, thing = self.find(id)
        move = self.move_activity if isinstance(thing.asked, d.ScheduleActivityTask) else self.move_child
        if not thing.started and not (thing.cancel and move == self.move_activity):
            move(event_id, thing)
        self.answer = lambda _, __: self.outcome
        # Workers of a story end as it says, asked to cancel or not.
        if thing.started:
            thing.cancel = 0
        move(event_id, thing)

    def begin(self, id: str) -> None:
        """Let a task or a child start."""
        event_id, thing = self.find(id)
        (self.move_activity if isinstance(thing.asked, d.ScheduleActivityTask) else self.move_child)(event_id, thing)

    def fire_timer(self, id: str) -> None:
        event_id, thing = self.find(id)
        assert thing.due is not None
        self.fire(thing.due, event_id)

    def find(self, id: str) -> tuple[int, Any]:
        (found,) = [(event_id, thing) for event_id, thing in self.open.items() if find_id(thing.asked) == id]
        return found

    def find_refusal(self, decision: d.Decision) -> str | None:
        return self.refusals.pop(find_id(decision), None) or super().find_refusal(decision)

    def finish(self) -> Play:
        """Let the rest go the plain way."""
        self.answer = lambda _, __: "0"
        return self.run()


def find_id(said: Any) -> str:
    names = ("activity_id", "timer_id", "control", "signal_name", "marker_name", "workflow_id", "result")
    return next((getattr(said, name) for name in names if getattr(said, name, None) is not None), "")


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


def name_ask(decision: Any) -> str:
    """Say a decision in a word and an id."""
    return f"{SHORT[type(decision)]} {find_id(decision)}".rstrip()
