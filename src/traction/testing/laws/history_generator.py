"""Play a legal history for a flow, with no service, no worker and no clock.

Takes a workflow and a source of choices; gives the events that SWF would write and what was decided at each decision
task. Pure: equal choices, equal play.

A *choice* is `choose(n)`, a number below `n`, and 0 is always the plain one: the decider answers before anything else
happens, the first task in line is next, work succeeds, nothing is refused. So a list of choices is a list of deviations
from the plain run, and what shrinks the list shrinks the story.

What SWF would do alone (refuse an id that is in use, a cancel that comes too late, a close with news queued) follows
from the rules and costs no choice. What others may do at any time (let a decision task time out, refuse for a limit,
lose a task, ask the execution to cancel) is *mischief*, of which a play has a fixed amount, so that every play of a
finite flow ends.

Source: Amazon SWF API reference, decisions and HistoryEvent; developer guide, "Developing deciders".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeAlias

from traction.decider.decider import Decider
from traction.errors import FlowError
from traction.flow.step import Cancelled, WorkflowStep
from traction.history.local_records import Record, write_record
from traction.model import decisions as d
from traction.model import events as e
from traction.model.correlation import CLOSE_DECISIONS, EXECUTION_CLOSES
from traction.model.names import WorkflowExecution
from traction.payloads.codec import JSON, Codec
from traction.payloads.failures import DeclaredError, describe_failure
from traction.testing.laws.batches import TASK_LIST, check_batch, write_answer

Choose: TypeAlias = Callable[[int], int]
"""Gives a number below its argument; 0 is the plain choice."""

Answer: TypeAlias = Callable[[Any, Choose], str | BaseException | None]
"""What becomes of a task or a child, given the decision that asked for it: a payload is its result, an exception its
failure, `Cancelled()` its cancellation, `None` that it timed out."""

EXECUTION: Final = WorkflowExecution("played", "run-1")
"""The execution whose history is played."""

_BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_TICK: Final = timedelta(milliseconds=1)


def choose_plainly(_: int) -> int:
    """Choose the plain run."""
    return 0


def choose_from(choices: Iterable[int]) -> Choose:
    """Choose what a list says, and the plain run after its end."""
    left = iter(choices)
    return lambda n: next(left, 0) % n


def answer_steadily(asked: Any, _: Choose) -> str | BaseException | None:
    """Give a number that depends on what was asked alone, so that no order of events can change it."""
    name = (asked.activity_type if isinstance(asked, d.ScheduleActivityTask) else asked.workflow_type).name
    return str(sum(map(ord, f"{name} {asked.input}")) % 7)


def answer_freely(_: Any, choose: Choose) -> str | BaseException | None:
    """Give one of three numbers, or fail, or time out, or be cancelled by the worker."""
    chosen = choose(6)
    return str(chosen) if chosen < 3 else (TaskFailed("chosen"), None, Cancelled())[chosen - 3]


class TaskFailed(DeclaredError):
    """How tasks fail in plays."""

    why: str


class Play:
    """A history, and what was decided on the way: the decisions by the event id of their DecisionTaskStarted.

    So are the records of the local activities that were done.
    """

    __slots__ = ("decisions", "events", "local")

    def __init__(self) -> None:
        self.events: list[e.Event] = []
        self.decisions: dict[int, list[d.Decision]] = {}
        self.local: dict[int, list[str]] = {}

    @property
    def closed(self) -> e.Event | None:
        """The event that closed the execution; `None` if the flow waits for what never comes."""
        last = self.events[-1]
        return last if type(last) in EXECUTION_CLOSES else None


def play(
    workflow: type[WorkflowStep[Any]],
    choose: Choose = choose_plainly,
    *,
    answer: Answer = answer_freely,
    mischief: int = 0,
    input: str = "{}",
    incremental: bool = True,
    codec: Codec = JSON,
) -> Play:
    """Play until the execution closes, or until nothing can happen any more.

    Args:
        workflow: the definition.
        choose: the source of choices.
        answer: what becomes of tasks and children.
        mischief: how many times things may go wrong that are nobody's plan.
        input: the payload of the execution.
        incremental: feed one decider as the events come; else decide from the start each time.
        codec: as for `decide`.

    Raises:
        BatchRejected: the decider asked for what SWF does not take.
    """
    options: dict[str, Any] = {"mischief": mischief, "input": input, "incremental": incremental, "codec": codec}
    return HistoryGenerator(workflow, choose, answer, **options).run()


def decide_again(decider: Decider, played: Play, started: int) -> list[d.Decision]:
    """Decide at a decision task of a play, where the local activities that were done then end as they did."""
    decided = decider.decide()
    for record in played.local.get(started, ()):
        pending = decider.find_local()
        assert pending is not None, f"at event {started} it asks for no local activity, and had {record}"
        decider.complete_local(pending, record)
        decided = decider.decide()
    return decided


def decide_anew(
    workflow: type[WorkflowStep[Any]], played: Play, started: int, *, codec: Codec = JSON
) -> list[d.Decision]:
    """Decide at a decision task of a play from its start."""
    decider = Decider(workflow, execution=EXECUTION, codec=codec)
    decider.feed(played.events[:started])
    decided = decide_again(decider, played, started)
    decider.close()
    return decided


class _Open:
    """A task, a timer, a child or a request to another execution that is open."""

    __slots__ = ("asked", "cancel", "due", "started")

    def __init__(self, asked: Any, due: datetime | None = None) -> None:
        self.asked, self.due = asked, due
        self.started = 0
        self.cancel = 0


class HistoryGenerator:
    """The table on which a play is played: the state that SWF keeps of an execution, and the moves that change it.

    `play` chooses the moves; a test that tells one story makes them itself.
    """

    def __init__(
        self,
        workflow: type[WorkflowStep[Any]],
        choose: Choose = choose_plainly,
        answer: Answer = answer_freely,
        *,
        mischief: int = 0,
        input: str = "{}",
        incremental: bool = True,
        codec: Codec = JSON,
    ) -> None:
        self.play = Play()
        self.make = partial(Decider, workflow, execution=EXECUTION, codec=codec)
        self.choose, self.answer, self.codec = choose, answer, codec
        self.mischief, self.incremental = mischief, incremental
        self.decider: Decider | None = None
        self.fed = 0
        self.now = _BEGIN
        self.queued = self.scheduled = self.running = 0
        # Whether a close was refused for what somebody must mend, and its decider has not said so yet.
        self.denied = False
        # By the id of the opening event; and by the decision's type and the id that the decider gave.
        self.open: dict[int, _Open] = {}
        self.named: dict[tuple[type, str], int] = {}
        self.tell(
            e.WorkflowExecutionStarted,
            child_policy="TERMINATE",
            task_list=TASK_LIST,
            workflow_type=workflow.spec.type,
            input=input,
        )

    def run(self) -> Play:
        """Make chosen moves until the execution closes, or until nothing can happen any more."""
        while self.play.closed is None and (moves := self.list_moves()):
            move, *arguments = moves[self.pick(len(moves))]
            self.now += _TICK
            move(*arguments)
        self.forget()
        return self.play

    def pick(self, n: int) -> int:
        return self.choose(n) if n > 1 else 0

    def meddle(self) -> bool:
        """Say whether something goes wrong here."""
        if self.mischief <= 0 or self.choose(4) != 1:
            return False
        self.mischief -= 1
        return True

    def write(self, kind: type[Any], **attributes: Any) -> int:
        events = self.play.events
        events.append(kind(event_id=len(events) + 1, event_timestamp=self.now, **attributes))
        return len(events)

    def tell(self, kind: type[Any], **attributes: Any) -> int:
        """Write what the decider must hear of."""
        event_id = self.write(kind, **attributes)
        self.queue()
        return event_id

    def queue(self) -> None:
        if not self.queued:
            self.queued = self.write(e.DecisionTaskScheduled, task_list=TASK_LIST)

    # What may happen next. The first is the plain move.

    def list_moves(self) -> list[tuple[Any, ...]]:
        moves: list[tuple[Any, ...]] = []
        if self.running:
            moves.append((self.respond,))
        elif self.queued:
            moves.append((self.start,))
        timers: list[tuple[Any, int]] = []
        for event_id, thing in self.open.items():
            if thing.due is not None:
                timers.append((thing.due, event_id))
            else:
                moves.append((_MOVES[type(thing.asked)], self, event_id, thing))
        if timers:
            moves.append((self.fire, *min(timers)))
        if moves and self.mischief > 0:
            moves.append((self.ask_to_cancel,))
            if self.running:
                moves.append((self.time_out_decision,))
        return moves

    def start(self) -> None:
        self.scheduled, self.queued = self.queued, 0
        self.running = self.write(e.DecisionTaskStarted, scheduled_event_id=self.scheduled)
        if self.decider is None:
            self.decider, self.fed = self.make(), 0
        self.decider.feed(self.play.events[self.fed :])
        self.fed = self.running
        try:
            self.play.decisions[self.running] = self.decide(self.decider)
        except FlowError:
            if not self.denied:
                raise
            # It is told to people, and the decision task left to time out.
            self.denied = False
            self.time_out_decision()
        if not self.incremental:
            self.forget()

    def decide(self, decider: Decider) -> list[d.Decision]:
        """Decide, and do what is to be done locally; of several, some may be left to the next decision task."""
        decided = decider.decide()
        told: list[str] = []
        while (pending := decider.find_local()) is not None and not (told and self.meddle()):
            self.play.local[self.running] = told
            call = pending.call
            asked = d.ScheduleActivityTask(
                activity_type=call.spec.type, activity_id=pending.task_id, input=self.codec.encode(call)
            )
            outcome = self.answer(asked, self.choose)
            failed = TaskFailed("late") if outcome is None else outcome
            ended = (None, failed) if isinstance(failed, str) else describe_failure(failed, self.codec)
            told.append(write_record(Record(call.spec.type.name, call.spec.type.version, self.now, 0.0, *ended)))
            decider.complete_local(pending, told[-1])
            decided = decider.decide()
        return decided

    def forget(self) -> None:
        if self.decider is not None:
            self.decider.close()
            self.decider = None

    def time_out_decision(self) -> None:
        self.mischief -= 1
        # What it decided is lost, and so is the decider that believes in it.
        self.forget()
        running, self.running = self.running, 0
        self.tell(
            e.DecisionTaskTimedOut,
            timeout_type="START_TO_CLOSE",
            scheduled_event_id=self.scheduled,
            started_event_id=running,
        )

    def ask_to_cancel(self) -> None:
        self.mischief -= 1
        self.tell(e.WorkflowExecutionCancelRequested, external_initiated_event_id=0)

    def fire(self, due: datetime, event_id: int) -> None:
        self.now = max(self.now, due)
        timer_id = self.close(event_id).asked.timer_id
        self.tell(e.TimerFired, timer_id=timer_id, started_event_id=event_id)

    def close(self, event_id: int) -> _Open:
        thing = self.open.pop(event_id)
        if self.named.get(_key(thing.asked)) == event_id:
            del self.named[_key(thing.asked)]
        return thing

    def move_activity(self, event_id: int, task: _Open) -> None:
        if not task.started and not task.cancel:
            if self.meddle():
                self.close(event_id)
                self.tell(
                    e.ActivityTaskTimedOut,
                    timeout_type="SCHEDULE_TO_START",
                    scheduled_event_id=event_id,
                    started_event_id=0,
                )
            else:
                task.started = self.write(e.ActivityTaskStarted, scheduled_event_id=event_id)
            return
        links = {"scheduled_event_id": event_id, "started_event_id": task.started}
        # A task that has not started is cancelled by SWF; one that has, if its worker obeys.
        cancels = task.cancel and (not task.started or self.choose(2) == 0)
        outcome = Cancelled() if cancels else self.answer(task.asked, self.choose)
        self.close(event_id)
        if isinstance(outcome, str):
            self.tell(e.ActivityTaskCompleted, result=outcome, **links)
        elif outcome is None:
            self.tell(e.ActivityTaskTimedOut, timeout_type="START_TO_CLOSE", **links)
        elif isinstance(outcome, Cancelled):
            self.tell(e.ActivityTaskCanceled, latest_cancel_requested_event_id=task.cancel, **links)
        else:
            reason, details = describe_failure(outcome, JSON)
            self.tell(e.ActivityTaskFailed, reason=reason, details=details, **links)

    def move_child(self, event_id: int, child: _Open) -> None:
        asked = child.asked
        of: dict[str, Any] = {"workflow_type": asked.workflow_type, "initiated_event_id": event_id}
        run = WorkflowExecution(asked.workflow_id, f"run-{event_id}")
        if not child.started:
            if self.named.setdefault(_key(asked), event_id) != event_id or self.meddle():
                self.close(event_id)
                dtc = self.play.events[event_id - 1].decision_task_completed_event_id  # type: ignore[union-attr]
                of |= {"workflow_id": asked.workflow_id, "control": asked.control}
                of |= {"cause": "WORKFLOW_ALREADY_RUNNING", "decision_task_completed_event_id": dtc}
                self.tell(e.StartChildWorkflowExecutionFailed, **of)
            else:
                child.started = self.tell(e.ChildWorkflowExecutionStarted, workflow_execution=run, **of)
            return
        of |= {"workflow_execution": run, "started_event_id": child.started}
        outcome = Cancelled() if child.cancel and self.choose(2) == 0 else self.answer(asked, self.choose)
        self.close(event_id)
        if isinstance(outcome, str):
            self.tell(e.ChildWorkflowExecutionCompleted, result=outcome, **of)
        elif outcome is None:
            self.tell(e.ChildWorkflowExecutionTimedOut, timeout_type="START_TO_CLOSE", **of)
        elif isinstance(outcome, Cancelled):
            self.tell(e.ChildWorkflowExecutionCanceled, **of)
        else:
            reason, details = describe_failure(outcome, JSON)
            self.tell(e.ChildWorkflowExecutionFailed, reason=reason, details=details, **of)

    def move_request(self, event_id: int, request: _Open) -> None:
        asked = self.close(event_id).asked
        child = self.open.get(self.named.get((d.StartChildWorkflowExecution, asked.workflow_id), 0))
        if child is not None and child.started:
            child.cancel = event_id
            run = WorkflowExecution(asked.workflow_id, asked.run_id or "")
            self.tell(e.ExternalWorkflowExecutionCancelRequested, workflow_execution=run, initiated_event_id=event_id)
            return
        dtc = self.play.events[event_id - 1].decision_task_completed_event_id  # type: ignore[union-attr]
        self.tell(
            e.RequestCancelExternalWorkflowExecutionFailed,
            workflow_id=asked.workflow_id,
            cause="UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION",
            initiated_event_id=event_id,
            decision_task_completed_event_id=dtc,
        )

    def move_signal(self, event_id: int, _: _Open) -> None:
        asked = self.close(event_id).asked
        run = WorkflowExecution(asked.workflow_id, asked.run_id or EXECUTION.run_id)
        if asked.workflow_id == EXECUTION.workflow_id:
            self.tell(
                e.WorkflowExecutionSignaled,
                signal_name=asked.signal_name,
                input=asked.input,
                external_workflow_execution=EXECUTION,
                external_initiated_event_id=event_id,
            )
        self.tell(e.ExternalWorkflowExecutionSignaled, workflow_execution=run, initiated_event_id=event_id)

    def signal(self, name: str, input: str | None = None) -> None:
        """Let a signal arrive."""
        self.tell(e.WorkflowExecutionSignaled, signal_name=name, input=input, external_initiated_event_id=0)

    # What SWF does with decisions, one after the other.

    def respond(self) -> None:
        decisions = self.play.decisions[self.running]
        check_batch(decisions)
        running, self.running = self.running, 0
        dtc = self.write(e.DecisionTaskCompleted, scheduled_event_id=self.scheduled, started_event_id=running)
        refused = False
        for decision in decisions:
            cause = self.find_refusal(decision)
            kind, attributes = write_answer(decision, cause)
            refused |= cause is not None
            if isinstance(decision, d.CancelTimer) and cause is None:
                attributes["started_event_id"] = self.named[d.StartTimer, decision.timer_id]
                self.close(attributes["started_event_id"])
            event_id = self.write(kind, decision_task_completed_event_id=dtc, **attributes)
            if cause is not None:
                continue
            if isinstance(decision, d.RequestCancelActivityTask):
                self.open[self.named[d.ScheduleActivityTask, decision.activity_id]].cancel = event_id
            elif type(decision) in _MOVES or isinstance(decision, d.StartTimer):
                due = None
                if isinstance(decision, d.StartTimer):
                    due = self.now + timedelta(seconds=int(decision.start_to_fire_timeout))
                self.open[event_id] = _Open(decision, due)
                self.named.setdefault(_key(decision), event_id)
        if refused:
            self.queue()

    def find_refusal(self, decision: d.Decision) -> str | None:
        """Say the cause for which SWF refuses a decision, or `None`."""
        match decision:
            case d.ScheduleActivityTask():
                if _key(decision) in self.named:
                    return "ACTIVITY_ID_ALREADY_IN_USE"
                causes = (
                    "OPEN_ACTIVITIES_LIMIT_EXCEEDED",
                    "ACTIVITY_CREATION_RATE_EXCEEDED",
                    "ACTIVITY_TYPE_DEPRECATED",
                    "ACTIVITY_TYPE_DOES_NOT_EXIST",
                )
                return causes[self.choose(len(causes))] if self.meddle() else None
            case d.RequestCancelActivityTask(activity_id=id):
                return None if (d.ScheduleActivityTask, id) in self.named else "ACTIVITY_ID_UNKNOWN"
            case d.StartTimer():
                if _key(decision) in self.named:
                    return "TIMER_ID_ALREADY_IN_USE"
                if not self.meddle():
                    return None
                # The limit on open timers can be reached only by open timers.
                full = any(kind is d.StartTimer for kind, _ in self.named)
                return "OPEN_TIMERS_LIMIT_EXCEEDED" if full and self.choose(2) else "TIMER_CREATION_RATE_EXCEEDED"
            case d.CancelTimer(timer_id=id):
                return None if (d.StartTimer, id) in self.named else "TIMER_ID_UNKNOWN"
            case d.StartChildWorkflowExecution():
                return "OPEN_CHILDREN_LIMIT_EXCEEDED" if self.meddle() else None
            case _ if not isinstance(decision, CLOSE_DECISIONS):
                return None
            case _ if self.queued:
                return "UNHANDLED_DECISION"
            case _:
                self.denied = self.meddle()
                return "OPERATION_NOT_PERMITTED" if self.denied else None


_MOVES: Final[dict[type, Any]] = {
    d.ScheduleActivityTask: HistoryGenerator.move_activity,
    d.StartChildWorkflowExecution: HistoryGenerator.move_child,
    d.RequestCancelExternalWorkflowExecution: HistoryGenerator.move_request,
    d.SignalExternalWorkflowExecution: HistoryGenerator.move_signal,
}


def _key(decision: Any) -> tuple[type, str]:
    for name in ("activity_id", "timer_id", "workflow_id"):
        if hasattr(decision, name):
            return type(decision), getattr(decision, name)
    raise AssertionError(f"{decision!r} opens nothing")
