"""Compute the next decisions of an execution from its history.

Pure: never waits, logs, or reads a clock. Steps, decisions and events meet only here.

Theory of operation. `decide(workflow, events)` is the specification; the engine is a `Decider` that is fed events as
they come, and the function is the engine fed from the start.

*Decision order.* Events that arrived between DecisionTaskStarted(s) and DecisionTaskCompleted(d) were not seen by the
decider that wrote d. So a turn applies, one event at a time, what had arrived before s; then come the events that d
caused; then what arrived meanwhile; and so on. Decision tasks that timed out are ignored: their
events are delivered to the next decision task. (Source: Amazon SWF developer guide, "Developing deciders"; the AWS Flow
Framework reads histories in the same order.)

*Queue.* Each decision stands in a queue until the history shows it. The head of the queue is sent with each
decision task; a decision that is withdrawn before it is sent never is. At DecisionTaskCompleted(d) the events that d
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

from bisect import insort
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any, Final

from traction.decider.batching import DECISIONS_MAX, MARKER_BYTES_LONGEST, MARKER_BYTES_MAX, MORE, choose
from traction.decider.children import adopt_child
from traction.decider.closing import make_close_decision, send_on
from traction.decider.context import QueuedDecision, StartedChild
from traction.decider.divergence import explain
from traction.decider.frames import Leaf
from traction.decider.inbound import HANDLERS, on_local, resume_deferred
from traction.decider.interpreter import Interpreter
from traction.decider.markers import PATCH
from traction.decider.outbound import ask as ask_for
from traction.decider.outbound import withdraw
from traction.errors import FlowError, HistoryError, InvalidPayloadError, NonDeterminismError
from traction.flow.durations import to_duration
from traction.flow.effects import ContinuedAsNew, Local
from traction.flow.step import Fail, WorkflowStep
from traction.history.state import HistoryState
from traction.model import decisions as d
from traction.model import events as e
from traction.model.correlation import ANSWERS, CLOSE_REFUSALS, REFUSALS, is_answer
from traction.model.correlation import is_answer_to as fits
from traction.model.names import WorkflowExecution
from traction.model.sizes import measure
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

    Feed it events up to and including a DecisionTaskStarted, then ask it to `decide`; so on until it is `closed`. After
    any error it must be thrown away, and a new one fed from the start.
    """

    __slots__ = (
        "_answers",
        "_asks",
        "_decided",
        "_finished",
        "_later",
        "_marker_bytes",
        "_markers_asked",
        "_news",
        "_open",
        "_parked",
        "_sent_on",
        "_started",
        "_withdrawn",
        "answering",
        "begun",
        "beside",
        "codec",
        "decided_event_id",
        "execution",
        "flow",
        "history",
        "local",
        "looking",
        "markers",
        "met",
        "more",
        "notes",
        "patches",
        "receivers",
        "replaying",
        "report",
        "reported",
        "signals",
        "silent",
        "turn_event_id",
        "workflow",
    )

    def __init__(
        self,
        workflow: type[WorkflowStep[Any]],
        *,
        execution: WorkflowExecution | None = None,
        codec: Codec = JSON,
        silent: bool = False,
    ) -> None:
        self.workflow = workflow
        self.silent = silent
        self.execution = execution or WorkflowExecution("", "")
        self.codec = codec.defer()
        self.history = HistoryState()
        self.decided_event_id = 0
        """The DecisionTaskStarted for which it last decided, 0 if none: the next task's `previousStartedEventId`."""
        self.met: set[type] = set()
        """The definitions that the flow has used."""
        self.report: str | None = None
        """What the flow reported in the last turn, as a payload; `None` if nothing."""
        self.reported: str | None = None
        """What it reported last, as JSON of any length."""
        self.signals: list[e.WorkflowExecutionSignaled] = []
        """The signals not received yet, in the order of their arrival."""
        self.notes: list[str] = []
        """Problems that fail nothing, for a worker to log and clear: signals that do not decode."""
        # Leaves that wait without a decision of their own: for signals, and for started children.
        self.receivers: list[Leaf] = []
        self.beside: dict[str, StartedChild] = {}
        # Whether the turn being taken is one that another decider took, and then the markers it left; patches by name.
        self.replaying = self.looking = False
        self.markers: dict[str, str | None] = {}
        self.patches: dict[str, bool] = {}
        self.local: dict[str, Leaf] = {}
        """The local activities and side effects that are not done yet, in the order in which the flow reached them."""
        self.turn_event_id = 0
        self.begun: e.WorkflowExecutionStarted | None = None
        """Event 1, once a turn has been taken."""
        self.flow = Interpreter(self.execution.run_id, partial(ask_for, self), self.withdraw_leaf)
        # Decisions that the history does not show yet, in order; the first `_markers_asked` are markers.
        self._asks: deque[QueuedDecision] = deque()
        self._markers_asked = self._marker_bytes = 0
        # Who waits for the event that closes what a given event opened.
        self._open: dict[int, Leaf] = {}
        # Events not applied yet: for the next turn, and those that came while a decider was deciding.
        self._news: list[tuple[e.Event, Leaf | None]] = []
        self._later: list[tuple[e.Event, Leaf | None]] = []
        # The decision task that is started, whether its turn has been taken, and the completed one that is being read.
        self._started: e.DecisionTaskStarted | None = None
        self._decided = False
        self.answering = 0
        self._answers: list[e.Event] = []
        self.more = False
        """Whether the completed decision task that is being read left something to the next one."""
        self._withdrawn = False
        # Timers that SWF refused because too many are open: asked again when one closes.
        self._parked: list[QueuedDecision] = []
        self._finished: QueuedDecision | None = None
        # The signals that were sent on to the next run and have not come back, by the event that sent them.
        self._sent_on: dict[int, e.WorkflowExecutionSignaled] = {}

    @property
    def closed(self) -> bool:
        """Whether the history shows that the execution has closed."""
        return self.history.closed is not None

    def feed(self, events: Iterable[e.Event]) -> None:
        """Process the next events.

        Raises:
            NonDeterminismError, FlowError, PayloadError, HistoryError: as `decide`.
        """
        add, roles, opened = self.history.add, _ROLES, self._open
        for event in events:
            known = add(event)
            role = roles.get(type(event))
            if role is None:
                continue
            if self.answering:
                if role is _ANSWER and is_answer(event, self.answering):
                    self._answers.append(event)
                    if self.history.closed is not None:
                        self._end_answers()
                    continue
                self._end_answers()
            if role is _NEWS or role is _ANSWER:
                if known is None:
                    leaf = None
                elif known.closed is event:
                    leaf = opened.pop(known.opened.event_id, None)
                else:
                    leaf = opened.get(known.opened.event_id)
                (self._news if self._started is None else self._later).append((event, leaf))
            else:
                role(self, event)

    def decide(self) -> list[d.Decision]:
        """Return the decisions for the DecisionTaskStarted that was fed last. Idempotent.

        Raises:
            FlowError, PayloadError: as `feed`.
            HistoryError: no decision task is started.
        """
        if self._started is None or self.answering:
            raise HistoryError(
                f"no decision task is started after event {self.history.last}, so there is nothing to decide"
            )
        if not self._decided:
            take_turn(self, self._take_turn, self._started)
        return self._choose()

    def find_local(self) -> Leaf | None:
        """Return the next local activity to run, if any and if the response has room for its record.

        Those that remain at `decide` wait for the next decision task, which is requested at once.
        """
        if not self.has_room():
            return None
        return next((leaf for leaf in self.local.values() if isinstance(leaf.node, Local)), None)

    def has_room(self) -> bool:
        """Return whether this decision task can carry another marker of any length.

        Half of the decisions are kept free for `patched`, which cannot wait for the next decision task.
        """
        count, size = self._markers_asked, self._marker_bytes
        return count < DECISIONS_MAX // 2 and size + MARKER_BYTES_LONGEST <= MARKER_BYTES_MAX

    def tell_local(self, leaf: Leaf, record: str | None) -> None:
        """Record how a local activity from `find_local` ended, and resume the flow.

        Raises:
            NonDeterminismError, FlowError, PayloadError: as `decide`.
        """
        take_turn(self, on_local, self, leaf, record)
        self._end_turn()

    def end(self) -> None:
        """Finish the completed decision task that is being read: no more events follow for now.

        Raises:
            NonDeterminismError, FlowError, PayloadError: as `feed`.
        """
        if self.answering:
            self._end_answers()

    def look(self, events: Sequence[e.Event]) -> str | None:
        """Process all events of an execution, run the flow as far as it gets, and return its last report.

        What it does that no history shows yet is not done: it waits for the value of a new `side_effect`, and for local
        activities. The decider is of no further use.

        Raises:
            NonDeterminismError, FlowError, PayloadError, HistoryError: as `decide`.
        """
        self.feed(events)
        self.end()
        if not self.closed:
            self._news += self._later
            self.looking = self.replaying = True
            take_turn(self, self._take_turn, events[-1])
        return self.reported

    def close(self) -> None:
        """Close the flow, unlogged; call it when the decider is dropped before its execution has closed."""
        self.silent = True
        take_turn(self, self.flow.close)

    # Decision tasks.

    def _on_started(self, event: e.DecisionTaskStarted) -> None:
        self._started, self._decided = event, False

    def _on_timed_out(self, event: e.DecisionTaskTimedOut) -> None:
        if event.timeout_type == "SCHEDULE_TO_START":
            return
        if self._decided:
            raise HistoryError(
                f"what was decided at event {event.started_event_id} was lost: event {event.event_id} says that the "
                "decision task timed out; decide again from the start of the history"
            )
        # The decider of this task saw that a close was refused. The next one requests it again.
        self._news = [news for news in self._news if type(news[0]) not in CLOSE_REFUSALS] + self._later
        self._later.clear()
        self._started = None

    def _on_completed(self, event: e.DecisionTaskCompleted) -> None:
        self.answering, self.more = event.event_id, False

    def _take_turn(self, started: e.Event) -> None:
        """Apply what had arrived, one event at a time, and let the flow run after each."""
        self.turn_event_id = started.event_id
        self._markers_asked = self._marker_bytes = 0
        self.report = None
        self.flow.now = started.event_timestamp
        if self._asks and self._asks[-1] is self._finished:
            self._asks.pop()
        for deferred in list(self.local.values()) if self.local else ():
            resume_deferred(self, deferred)
        news, self._news = self._news, []
        for event, leaf in news:
            if type(event) is e.WorkflowExecutionStarted:
                self._begin(event)
            else:
                HANDLERS[type(event)](self, event, leaf)
        self._end_turn()
        self._decided = True
        self.decided_event_id = started.event_id

    def _end_turn(self) -> None:
        """Queue the close if the flow has ended, and drop withdrawn decisions."""
        if self.flow.outcome is not None:
            self._ask_close(*self.flow.outcome)
        if self._withdrawn:
            self._asks = deque(ask for ask in self._asks if not ask.withdrawn)
            self._withdrawn = False

    def _begin(self, event: e.WorkflowExecutionStarted) -> None:
        type = self.workflow.spec.type
        self.begun = event
        try:
            workflow = self.codec.decode_call(event.input, self.workflow, f"the input of {type.name} {type.version}")
        except InvalidPayloadError as error:
            # No decider can ever read it, so waiting for another one is useless.
            self.flow.start(partial(Fail.of, error))
        else:
            self.flow.start(workflow.flow)

    # Asking.

    def _choose(self) -> list[d.Decision]:
        """Return the decisions at the head of the queue that fit into one response."""
        if len(self._asks) == 1 and not self.local:
            return [self._asks[0].decision]
        assert self._started is not None
        head = [ask.decision for ask in islice(self._asks, DECISIONS_MAX + 1)]
        return choose(head, self._started.event_id, more=bool(self.local), report=self.report)

    def ask(self, leaf: Leaf, decision: d.Decision) -> None:
        """Queue the decision of a leaf."""
        leaf.ask = QueuedDecision(decision, leaf)
        self._asks.append(leaf.ask)

    def ask_pause(self, leaf: Leaf, id: str, pause: timedelta) -> None:
        """Queue a timer after which a leaf is requested again."""
        self.ask(leaf, d.StartTimer(timer_id=id, start_to_fire_timeout=to_duration(pause)))

    def ask_later(self, leaf: Leaf, longest: timedelta) -> None:
        """Request a leaf again after a pause that doubles each time."""
        leaf.refusals += 1
        pause = min(timedelta(seconds=1 << min(leaf.refusals - 1, 20)), longest)
        self.ask_pause(leaf, f"{leaf.id}~wait-{leaf.refusals}", pause)

    def ask_marker(self, decision: d.RecordMarker) -> None:
        """Ask to record a marker with this very decision task: what it keeps is known to the flow from here on.

        So markers go before all else that waits to be sent, and all of one turn's must fit into one response.

        Raises:
            FlowError: they do not.
        """
        self._asks.insert(self._markers_asked, QueuedDecision(decision, None))
        self._markers_asked += 1
        self._marker_bytes += measure(decision)
        if self._markers_asked >= DECISIONS_MAX or self._marker_bytes > MARKER_BYTES_MAX:
            raise FlowError(
                f"the flow records {self._markers_asked} markers of {self._marker_bytes:,} bytes in one decision task, "
                f"which carries at most {DECISIONS_MAX - 1} and {MARKER_BYTES_MAX:,}. Let it wait for something "
                "between them, such as traction.sleep"
            )

    def withdraw_leaf(self, leaf: Leaf) -> bool:
        """Take back what a leaf asks for, or ask to cancel what the history shows as open.

        Returns:
            Whether the fiber that waits for the leaf must wait until it has closed.
        """
        decision, waits = withdraw(self, leaf)
        if decision is not None:
            leaf.cancel = QueuedDecision(decision, None)
            self._asks.append(leaf.cancel)
        return waits

    def _ask_close(self, mode: int, given: Any) -> None:
        """Queue the close of the execution, last of all (SWF)."""
        if self._finished is None:
            assert self.begun is not None
            self._finished = QueuedDecision(
                make_close_decision(self.workflow, self.begun, self.codec, mode, given), None
            )
        if isinstance(given, ContinuedAsNew) and isinstance(self._finished.decision, d.ContinueAsNewWorkflowExecution):
            self.met.add(type(given.call))
            if self._sent_on:
                return  # the last close was refused: what it sent on comes back first, and keeps its place
            # Signals not received yet would be lost with this run.
            id = self.execution.workflow_id
            self._asks.extend(QueuedDecision(send_on(id, event), None, event) for event in self.signals)
            if self.flow.unheeded:
                self._asks.append(QueuedDecision(d.RequestCancelExternalWorkflowExecution(workflow_id=id), None))
            self.signals, self.flow.unheeded = [], False
        self._asks.append(self._finished)

    # What the handlers use.

    def keep_signal(self, event: e.WorkflowExecutionSignaled) -> e.WorkflowExecutionSignaled:
        """Insert a signal among the unreceived ones, and return it as it first arrived.

        One that this run sent on to the next takes its old place. What the run before sent on came before all else.
        """
        if event.external_workflow_execution == self.execution:
            event = self._sent_on.pop(event.external_initiated_event_id or 0, event)
        insort(self.signals, event, key=self._rank)
        return event

    def keep_unsent(self, initiated_event_id: int) -> None:
        """Keep a signal that could not be forwarded to the next run."""
        if (event := self._sent_on.pop(initiated_event_id, None)) is not None:
            insort(self.signals, event, key=self._rank)

    def _rank(self, event: e.WorkflowExecutionSignaled) -> tuple[bool, int]:
        source, begun = event.external_workflow_execution, self.begun
        sent_on = source is not None and begun is not None and source.run_id == begun.continued_execution_run_id
        return not sent_on, event.event_id

    def forget(self, leaf: Leaf) -> bool:
        """Record that what a leaf opened has closed, and return whether the flow does not want its outcome.

        A fiber that waited only for the close of a cancelled child is resumed here.
        """
        leaf.opened_event_id = 0
        if (canceller := leaf.canceller) is not None:
            leaf.canceller = canceller.target = None
            self.withdraw_leaf(canceller)
        if leaf.leaving is not None and leaf.fiber is not None:
            self.flow.resume(leaf, *leaf.leaving)
            return True
        if leaf.fiber is not None or (leaf.target is not None and leaf.target.opened_event_id):
            return False
        if leaf.cancel is not None:
            self.withdraw(leaf.cancel)
        return True

    def withdraw(self, ask: QueuedDecision) -> None:
        """Remove a queued decision that the history does not show."""
        ask.withdrawn = self._withdrawn = True

    def park(self, leaf: Leaf) -> None:
        """Keep the ask of a timer until another timer has closed."""
        self._parked.append(leaf.ask)

    def unpark(self) -> None:
        """A timer has closed, so that there is room for those that were refused."""
        self._asks.extend(ask for ask in self._parked if not ask.withdrawn)
        self._parked.clear()

    # Answers: what the history shows for what was asked.

    def _read_answer(self, event: Any) -> None:
        """Compare one event of the completed decision task with the head of the queue."""
        kind = type(event)
        if (
            kind is e.MarkerRecorded
            and event.marker_name.startswith(PATCH)
            and event.marker_name[len(PATCH) :] not in self.patches
        ):
            return  # a patch that the code has retired
        ask = self._asks.popleft() if self._asks else None
        if ask is not None and type(ask.decision) is d.StartChildWorkflowExecution and not self.execution.run_id:
            # The run id is unknown: the ids of children are taken from the history.
            ask.decision = adopt_child(ask.decision, event)
        if ask is None or not fits(event, ask.decision):
            raise self._explain(event, ask)
        if kind in REFUSALS:
            self._news.append((event, ask.leaf))
        elif kind is e.TimerCanceled:
            self._open.pop(event.started_event_id, None)
            # News too: a timer that was refused before it in the same batch is not parked yet.
            self._news.append((event, None))
        elif ask.signal is not None:
            self._sent_on[event.event_id] = ask.signal
        elif (leaf := ask.leaf) is not None:
            ask.leaf = None
            leaf.opened_event_id = event.event_id
            leaf.began = leaf.began or event.event_timestamp
            self._open[event.event_id] = leaf

    def _end_answers(self) -> None:
        """The events of a completed decision task are read: take its turn, if another decider did, and compare."""
        assert self._started is not None
        answers = self._answers
        if answers and _is_more(answers[-1]):
            self.more = True
        if not self._decided:
            self.markers = {event.marker_name: event.details for event in self._answers if type(event) is _MARKER}
            self.replaying = True
            take_turn(self, self._take_turn, self._started)
            for event in self._answers:
                # In the order in which they were done.
                if type(event) is _MARKER and (leaf := self.local.get(event.marker_name)) is not None:
                    self.tell_local(leaf, event.details)
            self.replaying = False
        for event in answers[:-1] if self.more else answers:
            self._read_answer(event)
        if (self._asks or self.local) and not self.more:
            raise self._explain(None, self._asks[0] if self._asks else None)
        self._started = None
        self.answering = 0
        self._answers.clear()
        self._news += self._later
        self._later.clear()

    def _explain(self, event: e.Event | None, ask: QueuedDecision | None) -> NonDeterminismError:
        if ask is None and self.local:
            ask = QueuedDecision(d.RecordMarker(marker_name=next(iter(self.local))), next(iter(self.local.values())))
        leaf, decision = (None, None) if ask is None else (ask.leaf, ask.decision)
        return explain(self.workflow.spec.type, event, decision, self.answering, self.flow.find_place(leaf))


def _is_more(event: Any) -> bool:
    """Return whether an event is of the timer that requests another decision task. It is the last of its response."""
    kind = type(event)
    return (kind is e.TimerStarted or kind is e.StartTimerFailed) and event.timer_id.startswith(MORE)


_MARKER = e.MarkerRecorded
_ANSWER: Final = object()
_NEWS: Final = object()

# What feeding does with an event: read it as an answer, keep it as news, or keep the books of the decision task.
# All others are ignored: earlier or later events carry the same information.
_ROLES: dict[type, Any] = {
    **dict.fromkeys(HANDLERS, _NEWS),
    e.WorkflowExecutionStarted: _NEWS,
    **dict.fromkeys(ANSWERS, _ANSWER),
    e.DecisionTaskStarted: Decider._on_started,
    e.DecisionTaskCompleted: Decider._on_completed,
    e.DecisionTaskTimedOut: Decider._on_timed_out,
}
