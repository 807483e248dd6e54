"""Generate a history that SWF could write for a flow, with no service, no worker and no clock. Pure.

A *choice* is `choose(n)`, a number below `n`, and 0 is always the plain one: the decider responds before anything else
happens, the first task in line is next, work succeeds, nothing is refused. So a list of choices is a list of deviations
from the plain run, and a shorter list is a simpler history.

Consequences of SWF's rules (it refuses an id that is in use, a cancellation that comes too late, a close while a
decision task is queued) cost no choice. *Faults* may happen at any time: a decision task times out, a decision is
refused by a limit, a task is lost, a cancellation is requested. Their number is limited, so the history of every
finite flow ends.

Source: Amazon SWF API reference, decisions and HistoryEvent; developer guide, "Developing deciders".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec

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
from traction.testing.laws.decision_rules import TASK_LIST, build_event, check_batch

Choose: TypeAlias = Callable[[int], int]
"""Returns a number below its argument; 0 is the plain choice."""

ChooseOutcome: TypeAlias = Callable[[Any, Choose], str | BaseException | None]
"""Returns the outcome of a task or a child from its decision: a payload is its result, an exception its failure,
`Cancelled()` its cancellation, `None` its timeout."""

EXECUTION: Final = WorkflowExecution("played", "run-1")
"""The execution of all generated histories."""

_BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_TICK: Final = timedelta(milliseconds=1)


def choose_plain(_: int) -> int:
    """Choose the plain alternative."""
    return 0


def choose_from(choices: Iterable[int]) -> Choose:
    """Return the choices of a list, then the plain ones."""
    left = iter(choices)
    return lambda n: next(left, 0) % n


def derive_outcome(decision: Any, _: Choose) -> str | BaseException | None:
    """Return a number that depends only on the decision, so that the order of events does not change it."""
    type = decision.activity_type if isinstance(decision, d.ScheduleActivityTask) else decision.workflow_type
    return str(sum(map(ord, f"{type.name} {decision.input}")) % 7)


def choose_outcome(_: Any, choose: Choose) -> str | BaseException | None:
    """Choose one of three numbers, a failure, a timeout, or a cancellation by the worker."""
    chosen = choose(6)
    return str(chosen) if chosen < 3 else (TaskFailed("chosen"), None, Cancelled())[chosen - 3]


class TaskFailed(DeclaredError):
    """The failure of tasks in generated histories."""

    why: str


class GeneratedHistory(msgspec.Struct):
    """A history, with the decisions, and the records of local activities, by the id of their DecisionTaskStarted."""

    events: list[e.Event] = []
    decisions: dict[int, list[d.Decision]] = {}
    local: dict[int, list[str]] = {}

    @property
    def closed(self) -> e.Event | None:
        """The event that closed the execution; `None` if the flow waits for something that never happens."""
        last = self.events[-1]
        return last if type(last) in EXECUTION_CLOSES else None


def generate_history(
    workflow: type[WorkflowStep[Any]],
    choose: Choose = choose_plain,
    *,
    outcome: ChooseOutcome = choose_outcome,
    faults: int = 0,
    input: str = "{}",
    incremental: bool = True,
    codec: Codec = JSON,
) -> GeneratedHistory:
    """Generate a history until the execution closes, or until nothing can happen any more.

    Args:
        workflow: the definition.
        choose: the source of choices.
        outcome: chooses the outcomes of tasks and children.
        faults: the maximal number of faults.
        input: the payload of the execution.
        incremental: whether one decider is fed new events; else each decision task has a new decider.
        codec: as for `decide`.

    Raises:
        BatchRejected: SWF would reject the decisions.
    """
    options: dict[str, Any] = {"faults": faults, "input": input, "incremental": incremental, "codec": codec}
    return HistoryGenerator(workflow, choose, outcome, **options).run()


def repeat_decision(decider: Decider, generated: GeneratedHistory, started: int) -> list[d.Decision]:
    """Decide at a decision task of a generated history, with the recorded outcomes of its local activities."""
    decided = decider.decide()
    for record in generated.local.get(started, ()):
        pending = decider.find_local()
        assert pending is not None, (
            f"at event {started} the decider requests no local activity, and the history has {record}"
        )
        decider.complete_local(pending, record)
        decided = decider.decide()
    return decided


def decide_from_start(
    workflow: type[WorkflowStep[Any]], generated: GeneratedHistory, started: int, *, codec: Codec = JSON
) -> list[d.Decision]:
    """Decide at a decision task of a generated history with a new decider."""
    decider = Decider(workflow, execution=EXECUTION, codec=codec)
    decider.feed(generated.events[:started])
    decided = repeat_decision(decider, generated, started)
    decider.close()
    return decided


class _OpenItem(msgspec.Struct):
    """A task, a timer, a child or a request to another execution that is open."""

    decision: Any
    due: datetime | None = None
    started: int = 0
    cancel: int = 0


class HistoryGenerator:
    """The state that SWF keeps of an execution, and the moves that change it.

    `generate_history` chooses the moves; a test may make them itself.
    """

    def __init__(
        self,
        workflow: type[WorkflowStep[Any]],
        choose: Choose = choose_plain,
        outcome: ChooseOutcome = choose_outcome,
        *,
        faults: int = 0,
        input: str = "{}",
        incremental: bool = True,
        codec: Codec = JSON,
    ) -> None:
        self.history = GeneratedHistory()
        self.make = partial(Decider, workflow, execution=EXECUTION, codec=codec)
        self.choose, self.choose_outcome, self.codec = choose, outcome, codec
        self.faults, self.incremental = faults, incremental
        self.decider: Decider | None = None
        self.fed = 0
        self.now = _BEGIN
        self.queued = self.scheduled = self.running = 0
        # Whether a close was refused for a mistake of the author, which the decider has not raised yet.
        self.close_denied = False
        # By the id of the opening event; and by the type and the id of the decision.
        self.open: dict[int, _OpenItem] = {}
        self.named: dict[tuple[type, str], int] = {}
        self.deliver(
            e.WorkflowExecutionStarted,
            child_policy="TERMINATE",
            task_list=TASK_LIST,
            workflow_type=workflow.spec.type,
            input=input,
        )

    def run(self) -> GeneratedHistory:
        """Choose moves until the execution closes, or until nothing can happen any more."""
        while self.history.closed is None and (moves := self.list_moves()):
            move, *arguments = moves[self.pick(len(moves))]
            self.now += _TICK
            move(*arguments)
        self.drop_decider()
        return self.history

    def pick(self, n: int) -> int:
        return self.choose(n) if n > 1 else 0

    def choose_fault(self) -> bool:
        """Choose whether a fault happens here."""
        if self.faults <= 0 or self.choose(4) != 1:
            return False
        self.faults -= 1
        return True

    def write(self, kind: Callable[..., Any], **attributes: Any) -> int:
        events = self.history.events
        events.append(kind(event_id=len(events) + 1, event_timestamp=self.now, **attributes))
        return len(events)

    def deliver(self, kind: Callable[..., Any], **attributes: Any) -> int:
        """Write an event for which a decision task is scheduled."""
        event_id = self.write(kind, **attributes)
        self.schedule_decision()
        return event_id

    def deliver_outcome(
        self, outcome: Any, completed: Any, failed: Any, timed_out: Any, canceled: Any, **attributes: Any
    ) -> None:
        """Write the event with which a task or a child closes."""
        if isinstance(outcome, str):
            self.deliver(completed, result=outcome, **attributes)
        elif outcome is None:
            self.deliver(timed_out, timeout_type="START_TO_CLOSE", **attributes)
        elif isinstance(outcome, Cancelled):
            self.deliver(canceled, **attributes)
        else:
            reason, details = describe_failure(outcome, JSON)
            self.deliver(failed, reason=reason, details=details, **attributes)

    def schedule_decision(self) -> None:
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
        for event_id, item in self.open.items():
            if item.due is not None:
                timers.append((item.due, event_id))
            else:
                moves.append((_MOVES[type(item.decision)], self, event_id, item))
        if timers:
            moves.append((self.fire, *min(timers)))
        if moves and self.faults > 0:
            moves.append((self.request_cancel,))
            if self.running:
                moves.append((self.time_out_decision,))
        return moves

    def start(self) -> None:
        self.scheduled, self.queued = self.queued, 0
        self.running = self.write(e.DecisionTaskStarted, scheduled_event_id=self.scheduled)
        if self.decider is None:
            self.decider, self.fed = self.make(), 0
        self.decider.feed(self.history.events[self.fed :])
        self.fed = self.running
        try:
            self.history.decisions[self.running] = self.decide(self.decider)
        except FlowError:
            if not self.close_denied:
                raise
            # A worker logs the error and sends no response, so the decision task times out.
            self.close_denied = False
            self.time_out_decision()
        if not self.incremental:
            self.drop_decider()

    def decide(self, decider: Decider) -> list[d.Decision]:
        """Decide, and run local activities; of several, some may be left to the next decision task."""
        decided = decider.decide()
        records: list[str] = []
        while (pending := decider.find_local()) is not None and not (records and self.choose_fault()):
            self.history.local[self.running] = records
            call = pending.call
            decision = d.ScheduleActivityTask(
                activity_type=call.spec.type, activity_id=pending.task_id, input=self.codec.encode(call)
            )
            outcome = self.choose_outcome(decision, self.choose)
            failed = TaskFailed("late") if outcome is None else outcome
            ended = (None, failed) if isinstance(failed, str) else describe_failure(failed, self.codec)
            records.append(write_record(Record(call.spec.type.name, call.spec.type.version, self.now, 0.0, *ended)))
            decider.complete_local(pending, records[-1])
            decided = decider.decide()
        return decided

    def drop_decider(self) -> None:
        if self.decider is not None:
            self.decider.close()
            self.decider = None

    def time_out_decision(self) -> None:
        self.faults -= 1
        # Its decisions are lost, and with them the decider that made them.
        self.drop_decider()
        running, self.running = self.running, 0
        self.deliver(
            e.DecisionTaskTimedOut,
            timeout_type="START_TO_CLOSE",
            scheduled_event_id=self.scheduled,
            started_event_id=running,
        )

    def request_cancel(self) -> None:
        self.faults -= 1
        self.deliver(e.WorkflowExecutionCancelRequested, external_initiated_event_id=0)

    def fire(self, due: datetime, event_id: int) -> None:
        self.now = max(self.now, due)
        timer_id = self.close(event_id).decision.timer_id
        self.deliver(e.TimerFired, timer_id=timer_id, started_event_id=event_id)

    def close(self, event_id: int) -> _OpenItem:
        item = self.open.pop(event_id)
        if self.named.get(_key(item.decision)) == event_id:
            del self.named[_key(item.decision)]
        return item

    def move_activity(self, event_id: int, task: _OpenItem) -> None:
        if not task.started and not task.cancel:
            if self.choose_fault():
                self.close(event_id)
                self.deliver(
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
        outcome = Cancelled() if cancels else self.choose_outcome(task.decision, self.choose)
        self.close(event_id)
        canceled = partial(e.ActivityTaskCanceled, latest_cancel_requested_event_id=task.cancel)
        kinds = (e.ActivityTaskCompleted, e.ActivityTaskFailed, e.ActivityTaskTimedOut, canceled)
        self.deliver_outcome(outcome, *kinds, **links)

    def move_child(self, event_id: int, child: _OpenItem) -> None:
        decision = child.decision
        of: dict[str, Any] = {"workflow_type": decision.workflow_type, "initiated_event_id": event_id}
        run = WorkflowExecution(decision.workflow_id, f"run-{event_id}")
        if not child.started:
            if self.named.setdefault(_key(decision), event_id) != event_id or self.choose_fault():
                self.close(event_id)
                dtc = self.history.events[event_id - 1].decision_task_completed_event_id  # type: ignore[union-attr]
                of |= {"workflow_id": decision.workflow_id, "control": decision.control}
                of |= {"cause": "WORKFLOW_ALREADY_RUNNING", "decision_task_completed_event_id": dtc}
                self.deliver(e.StartChildWorkflowExecutionFailed, **of)
            else:
                child.started = self.deliver(e.ChildWorkflowExecutionStarted, workflow_execution=run, **of)
            return
        of |= {"workflow_execution": run, "started_event_id": child.started}
        outcome = Cancelled() if child.cancel and self.choose(2) == 0 else self.choose_outcome(decision, self.choose)
        self.close(event_id)
        self.deliver_outcome(
            outcome,
            e.ChildWorkflowExecutionCompleted,
            e.ChildWorkflowExecutionFailed,
            e.ChildWorkflowExecutionTimedOut,
            e.ChildWorkflowExecutionCanceled,
            **of,
        )

    def move_request(self, event_id: int, request: _OpenItem) -> None:
        decision = self.close(event_id).decision
        child = self.open.get(self.named.get((d.StartChildWorkflowExecution, decision.workflow_id), 0))
        if child is not None and child.started:
            child.cancel = event_id
            run = WorkflowExecution(decision.workflow_id, decision.run_id or "")
            self.deliver(
                e.ExternalWorkflowExecutionCancelRequested, workflow_execution=run, initiated_event_id=event_id
            )
            return
        dtc = self.history.events[event_id - 1].decision_task_completed_event_id  # type: ignore[union-attr]
        self.deliver(
            e.RequestCancelExternalWorkflowExecutionFailed,
            workflow_id=decision.workflow_id,
            cause="UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION",
            initiated_event_id=event_id,
            decision_task_completed_event_id=dtc,
        )

    def move_signal(self, event_id: int, _: _OpenItem) -> None:
        decision = self.close(event_id).decision
        run = WorkflowExecution(decision.workflow_id, decision.run_id or EXECUTION.run_id)
        if decision.workflow_id == EXECUTION.workflow_id:
            self.deliver(
                e.WorkflowExecutionSignaled,
                signal_name=decision.signal_name,
                input=decision.input,
                external_workflow_execution=EXECUTION,
                external_initiated_event_id=event_id,
            )
        self.deliver(e.ExternalWorkflowExecutionSignaled, workflow_execution=run, initiated_event_id=event_id)

    def signal(self, name: str, input: str | None = None) -> None:
        """Write a signal from outside."""
        self.deliver(e.WorkflowExecutionSignaled, signal_name=name, input=input, external_initiated_event_id=0)

    # What SWF does with decisions, one after the other.

    def respond(self) -> None:
        decisions = self.history.decisions[self.running]
        check_batch(decisions)
        running, self.running = self.running, 0
        dtc = self.write(e.DecisionTaskCompleted, scheduled_event_id=self.scheduled, started_event_id=running)
        refused = False
        for decision in decisions:
            cause = self.find_refusal(decision)
            kind, attributes = build_event(decision, cause)
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
                self.open[event_id] = _OpenItem(decision, due)
                self.named.setdefault(_key(decision), event_id)
        if refused:
            self.schedule_decision()

    def find_refusal(self, decision: d.Decision) -> str | None:
        """Return the cause for which SWF refuses a decision, or `None`."""
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
                return causes[self.choose(len(causes))] if self.choose_fault() else None
            case d.RequestCancelActivityTask(activity_id=id):
                return None if (d.ScheduleActivityTask, id) in self.named else "ACTIVITY_ID_UNKNOWN"
            case d.StartTimer():
                if _key(decision) in self.named:
                    return "TIMER_ID_ALREADY_IN_USE"
                if not self.choose_fault():
                    return None
                # The limit on open timers can be reached only by open timers.
                full = any(kind is d.StartTimer for kind, _ in self.named)
                return "OPEN_TIMERS_LIMIT_EXCEEDED" if full and self.choose(2) else "TIMER_CREATION_RATE_EXCEEDED"
            case d.CancelTimer(timer_id=id):
                return None if (d.StartTimer, id) in self.named else "TIMER_ID_UNKNOWN"
            case d.StartChildWorkflowExecution():
                return "OPEN_CHILDREN_LIMIT_EXCEEDED" if self.choose_fault() else None
            case _ if not isinstance(decision, CLOSE_DECISIONS):
                return None
            case _ if self.queued:
                return "UNHANDLED_DECISION"
            case _:
                self.close_denied = self.choose_fault()
                return "OPERATION_NOT_PERMITTED" if self.close_denied else None


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
    raise AssertionError(f"{decision!r} has no id")
