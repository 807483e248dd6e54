"""Compute the next decisions of an execution from its history.

Pure: never waits, logs, or reads a clock. Steps, decisions and events meet only here.

Theory of operation. `decide(workflow, events)` is the specification; the engine is a `Decider` that is fed events as
they come, and the function is the engine fed from the start.

*Decision order.* Events that arrived between DecisionTaskStarted(s) and DecisionTaskCompleted(d) were not seen by the
decider that wrote d. So a turn applies, one event at a time, what had arrived before s; then come the events that d
caused; then the events that arrived meanwhile; and so on. Decision tasks that timed out are ignored: their
events are delivered to the next decision task. (Source: Amazon SWF developer guide, "Developing deciders"; the AWS Flow
Framework reads histories in the same order.)

*Queue.* Each decision is in a queue until the history shows it. The head of the queue is sent with each decision task;
a decision that is withdrawn before that is never sent. At DecisionTaskCompleted(d) the events that d
caused are compared with the queue, one by one: a difference is a `NonDeterminismError`. If not all fit into one
response, the rest waits for the next (`batching`).

*Local activities* run in the worker that has the decider: it finds them one by one, runs them, and passes their
records to the decider, which adds them to the response as markers. The next decider reads them there, in that order.

Laws (`traction.testing.laws.laws`):
    Chunk invariance: fed in any pieces that end at a DecisionTaskStarted, a decider decides the same.
    Confluence: for a flow without races, the result does not depend on the order of completions.
    Stability: a longer history never retracts what a shorter one decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, Final, TypeAlias

from traction.decider.batching import DECISIONS_MAX, MORE, choose
from traction.decider.children import adopt_id
from traction.decider.closing import make_close_decision
from traction.decider.context import DecisionContext
from traction.decider.divergence import explain
from traction.decider.inbound import HANDLERS
from traction.decider.local_activities import PendingLocalActivity, find_local
from traction.decider.markers import UnfinishedStep
from traction.decider.outbound import request
from traction.decider.outcomes import Outcome, Raised
from traction.decider.pending import PendingDecision
from traction.decider.queue import QueuedDecision
from traction.errors import HistoryError, NonDeterminismError
from traction.flow.effects import ContinuedAsNew
from traction.flow.step import WorkflowStep
from traction.history.state import HistoryState
from traction.model import decisions as d
from traction.model import events as e
from traction.model.correlation import CAUSES, CLOSE_REFUSALS, REFUSALS, is_caused_by, matches
from traction.model.names import WorkflowExecution
from traction.payloads.codec import JSON, Codec
from traction.runtime.turn import take_turn


def decide(
    workflow: type[WorkflowStep[Any]],
    events: Iterable[e.Event],
    *,
    execution: WorkflowExecution | None = None,
    codec: Codec = JSON,
) -> list[d.Decision]:
    """Return the next decisions, given the history up to a DecisionTaskStarted.

    Args:
        workflow: the definition; its input is in event 1.
        events: the whole history, ids from 1.
        execution: whose history it is; `uuid4` and `random` in the flow depend on its run id.

    Raises:
        NonDeterminismError: the history was made by other code.
        FlowError: the flow broke a rule of flows.
        PayloadError: an input or a result does not decode as the declared type.
        HistoryError: no execution can have these events, or no decision task is started.
    """
    with closing(Decider(workflow, execution=execution, codec=codec, silent=True)) as decider:
        decider.feed(events)
        return decider.decide()


class Decider:
    """Decides for one execution, fed with its events as they come.

    Feed it events up to and including a DecisionTaskStarted, then call `decide`; and so on until it is `closed`. After
    any error it must be thrown away, and a new one fed from the start.
    """

    __slots__ = (
        "_arrived",
        "_arrived_later",
        "_caused",
        "_close",
        "_decided",
        "_open",
        "_started",
        "context",
        "decided_event_id",
        "history",
    )

    def __init__(
        self,
        workflow: type[WorkflowStep[Any]],
        *,
        execution: WorkflowExecution | None = None,
        codec: Codec = JSON,
        silent: bool = False,
    ) -> None:
        execution = execution or WorkflowExecution("", "")
        self.context = DecisionContext(workflow, execution, codec.defer(), silent=silent, request=request)
        self.history = HistoryState()
        self.decided_event_id = 0
        """The DecisionTaskStarted for which it last decided, 0 if none: the next task's `previousStartedEventId`."""
        # What waits for the event that closes what a given event opened.
        self._open: dict[int, PendingDecision] = {}
        # Events not applied yet: for the next turn, and those that arrived while a decider was deciding.
        self._arrived: list[_Arrived] = []
        self._arrived_later: list[_Arrived] = []
        # The decision task that is started, and whether its turn has been taken.
        self._started: e.DecisionTaskStarted | None = None
        self._decided = False
        # The events that the completed decision task caused, as far as they have been read.
        self._caused: list[e.Event] = []
        self._close: d.Decision | None = None

    @property
    def closed(self) -> bool:
        """Whether the history shows that the execution has closed."""
        return self.history.closed is not None

    @property
    def outcome(self) -> Outcome | None:
        """The outcome of the flow, once it has ended."""
        return self.context.flow.outcome

    @property
    def notes(self) -> list[str]:
        """Problems that fail nothing, for a worker to log and clear."""
        return self.context.notes

    @property
    def signals(self) -> list[e.WorkflowExecutionSignaled]:
        """The signals that no step has received yet."""
        return self.context.mailbox.signals

    def feed(self, events: Iterable[e.Event]) -> None:
        """Process the next events.

        Raises:
            NonDeterminismError, FlowError, PayloadError, HistoryError: as `decide`.
        """
        context, add, handlers, opened = self.context, self.history.add, _FEED_HANDLERS, self._open
        for event in events:
            step = add(event)
            handler = handlers.get(type(event))
            if handler is None:
                continue
            if context.completed_event_id:
                if type(event) in CAUSES and is_caused_by(event, context.completed_event_id):
                    self._caused.append(event)
                    if self.history.closed is not None:
                        self._end_completed()
                    continue
                self._end_completed()
            if handler is not _APPLY:
                handler(self, event)
                continue
            if step is None:
                pending = None
            elif step.closed is event:
                pending = opened.pop(step.opened.event_id, None)
            else:
                pending = opened.get(step.opened.event_id)
            (self._arrived if self._started is None else self._arrived_later).append((event, pending))

    def decide(self) -> list[d.Decision]:
        """Return the decisions for the DecisionTaskStarted that was fed last. Idempotent.

        Raises:
            FlowError, PayloadError: as `feed`.
            HistoryError: no decision task is started.
        """
        context = self.context
        if self._started is None or context.completed_event_id:
            raise HistoryError(
                f"no decision task is started after event {self.history.last}, so there is nothing to decide"
            )
        if not self._decided:
            take_turn(context, self._take_turn, self._started)
        entries, more = context.queue.entries, bool(context.markers.unfinished)
        if len(entries) == 1 and not more:
            return [entries[0].decision]
        head = [entry.decision for entry in islice(entries, DECISIONS_MAX + 1)]
        return choose(head, self._started.event_id, more=more, state=context.state_payload)

    def find_local(self) -> PendingLocalActivity | None:
        """Return the next local activity to run, if any and if the response has room for its record.

        Those that remain at `decide` wait for the next decision task, which is requested at once.
        """
        return find_local(self.context.markers) if self.context.queue.has_room_for_marker() else None

    def complete_local(self, pending: UnfinishedStep, record: str | None) -> None:
        """Record how a local activity from `find_local` ended, and resume the flow.

        Raises:
            NonDeterminismError, FlowError, PayloadError: as `decide`.
        """
        take_turn(self.context, pending.complete, record)
        self._end_turn()

    def end(self) -> None:
        """Finish the completed decision task that is being read: no more events follow for now.

        Raises:
            NonDeterminismError, FlowError, PayloadError: as `feed`.
        """
        if self.context.completed_event_id:
            self._end_completed()

    def query(self, events: Sequence[e.Event]) -> str | None:
        """Process all events of an execution, run the flow as far as it gets, and return its last state as JSON.

        The flow waits for the value of a new `side_effect`, and for local activities. The decider is of no further use.

        Raises:
            NonDeterminismError, FlowError, PayloadError, HistoryError: as `decide`.
        """
        self.feed(events)
        self.end()
        context = self.context
        if not self.closed:
            self._arrived += self._arrived_later
            context.querying = context.replaying = True
            take_turn(context, self._take_turn, events[-1])
        return context.state

    def close(self) -> None:
        """Close the flow, unlogged; call it when the decider is dropped before its execution has closed."""
        self.context.silent = True
        take_turn(self.context, self.context.flow.close)

    # Turns.

    def _take_turn(self, started: e.Event) -> None:
        """Apply the events that had arrived, one at a time, and let the flow run after each."""
        context = self.context
        context.turn_event_id = started.event_id
        context.state_payload = None
        context.flow.now = started.event_timestamp
        context.queue.begin_turn()
        if unfinished := context.markers.unfinished:
            for step in list(unfinished.values()):
                step.begin_turn()
        arrived, self._arrived = self._arrived, []
        for event, pending in arrived:
            HANDLERS[type(event)](context, event, pending)
        self._end_turn()
        self._decided = True
        self.decided_event_id = started.event_id

    def _end_turn(self) -> None:
        """Queue the close if the flow has ended, and drop withdrawn decisions."""
        context = self.context
        if context.flow.outcome is not None:
            self._queue_close(context.flow.outcome)
        if context.queue.has_withdrawn:
            context.queue.drop_withdrawn()

    def _queue_close(self, outcome: Outcome) -> None:
        """Queue the close of the execution, and before it what the next run needs."""
        context = self.context
        if self._close is None:
            assert context.begun is not None
            self._close = make_close_decision(context.workflow, context.begun, context.codec, outcome)
        if isinstance(self._close, d.ContinueAsNewWorkflowExecution):
            assert isinstance(outcome, Raised)
            assert isinstance(outcome.error, ContinuedAsNew)
            context.definitions.add(type(outcome.error.call))
            if context.mailbox.awaits_forwarded:
                return  # the last close was refused: the forwarded signals come back first, and keep their place
            # Signals not received yet would be lost with this run.
            for decision, signal in context.mailbox.forward():
                context.queue.add(decision, signal=signal)
            if context.flow.unheeded:
                id = context.execution.workflow_id
                context.queue.add(d.RequestCancelExternalWorkflowExecution(workflow_id=id))
                context.flow.unheeded = False
        context.queue.add_close(self._close)

    # Decision tasks.

    def _on_started(self, event: e.DecisionTaskStarted) -> None:
        self._started, self._decided = event, False

    def _on_timed_out(self, event: e.DecisionTaskTimedOut) -> None:
        if event.timeout_type == "SCHEDULE_TO_START":
            return
        if self._decided:
            raise HistoryError(
                f"the decisions for event {event.started_event_id} were not recorded: that decision task timed out "
                f"(event {event.event_id}). Pass the history from event 1 to a new decider"
            )
        # The decider of this task saw that a close was refused. The next one requests it again.
        kept = [arrived for arrived in self._arrived if type(arrived[0]) not in CLOSE_REFUSALS]
        self._arrived = kept + self._arrived_later
        self._arrived_later.clear()
        self._started = None

    def _on_completed(self, event: e.DecisionTaskCompleted) -> None:
        self.context.completed_event_id, self.context.more = event.event_id, False

    def _end_completed(self) -> None:
        """Take the turn of a completed decision task, unless this decider did, and match its events with the queue."""
        context, markers, started = self.context, self.context.markers, self._started
        assert started is not None
        caused = self._caused
        # If it left decisions to the next one, the last of them was a timer that requests it.
        if caused and _requests_task(caused[-1]):
            caused.pop()
            context.more = True
        if not self._decided:
            markers.recorded = {
                event.marker_name: event.details for event in caused if isinstance(event, e.MarkerRecorded)
            }
            context.replaying = True
            take_turn(context, self._take_turn, started)
            # In the order in which they ended.
            for name, details in markers.recorded.items():
                if (step := markers.unfinished.get(name)) is not None:
                    self.complete_local(step, details)
            context.replaying = False
        for event in caused:
            self._match(event)
        if (context.queue.entries or markers.unfinished) and not context.more:
            raise self._explain(None, next(iter(context.queue.entries), None))
        self._started = None
        context.completed_event_id = 0
        caused.clear()
        self._arrived += self._arrived_later
        self._arrived_later.clear()

    def _match(self, event: Any) -> None:
        """Match an event that the completed decision task caused with the first decision of the queue."""
        context, kind = self.context, type(event)
        if kind is e.MarkerRecorded and context.markers.is_of_retired_patch(event.marker_name):
            return
        entries = context.queue.entries
        if not entries:
            raise self._explain(event, None)
        entry = entries.popleft()
        if type(entry.decision) is d.StartChildWorkflowExecution and not context.execution.run_id:
            # The run id is unknown: the ids of children are taken from the history.
            entry.decision = adopt_id(entry.decision, event)
        if not matches(event, entry.decision):
            raise self._explain(event, entry)
        pending: Any = entry.pending
        if kind in REFUSALS:
            self._arrived.append((event, pending))
        elif kind is e.TimerCanceled:
            self._open.pop(event.started_event_id, None)
            # Applied in the next turn: a timer that was refused before it in the same batch is not parked yet.
            self._arrived.append((event, None))
        elif entry.signal is not None:
            context.mailbox.note_forwarded(event.event_id, entry.signal)
        elif pending is not None:
            entry.pending = None
            pending.open(event)
            self._open[event.event_id] = pending

    def _explain(self, event: e.Event | None, entry: QueuedDecision | None) -> NonDeterminismError:
        context = self.context
        pending: Any = None if entry is None else entry.pending
        decision = None if entry is None else entry.decision
        if entry is None and (step := next(iter(context.markers.unfinished.values()), None)) is not None:
            pending, decision = step, d.RecordMarker(marker_name=step.task_id)
        place = context.flow.find_place(pending and pending.leaf)
        return explain(context.workflow.spec.type, event, decision, context.completed_event_id, place)


def _requests_task(event: Any) -> bool:
    """Return whether an event is that of a timer which requests another decision task."""
    return type(event) in (e.TimerStarted, e.StartTimerFailed) and event.timer_id.startswith(MORE)


_Arrived: TypeAlias = tuple[e.Event, PendingDecision | None]

_APPLY: Final[Any] = object()

# Events of decision tasks are handled when they are fed, and those of `inbound.HANDLERS` in a turn. The decider ignores
# all others: earlier or later events carry the same information.
_FEED_HANDLERS: Final[dict[type, Any]] = {
    **dict.fromkeys(HANDLERS, _APPLY),
    e.DecisionTaskStarted: Decider._on_started,
    e.DecisionTaskCompleted: Decider._on_completed,
    e.DecisionTaskTimedOut: Decider._on_timed_out,
}
