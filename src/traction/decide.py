"""Decide what to ask next.

Takes a workflow and the history of an execution; gives decisions. Never waits, logs, or looks at a clock: equal
arguments, equal answer. Here, and only here, steps, decisions and events meet.

Theory of operation. `decide(workflow, events)` is the specification; the engine is a `Decider` that is fed events as
they come, and the function is the engine fed from the start.

*Decision order.* Events that arrived between DecisionTaskStarted(s) and DecisionTaskCompleted(d) were not seen by the
decider that wrote d. So a turn applies, one event at a time, what had arrived before s; then come the events that d
caused; then what arrived meanwhile; and so on. A decision task that timed out is passed over: what its decider
would have seen, the next one sees. (Source: Amazon SWF developer guide, "Developing deciders"; the AWS Flow Framework
reads histories in the same order.)

*Asks.* What the flow asks stands in a queue until the history shows it. The head of the queue is sent with each
decision task; what is withdrawn before it is sent never is. At DecisionTaskCompleted(d) the events that d caused are
held against the queue, one by one: a difference is a `NonDeterminismError`. When there is more than one response may
carry, the first part goes out with a timer of no length, whose firing brings the next decision task (SWF has no other
way to force one).

Laws (`traction.testing.laws`):
    Chunk invariance: fed in any pieces that end at a DecisionTaskStarted, a decider decides the same.
    Confluence: for a flow without races, the result does not depend on the order of completions.
    Stability: a longer history never retracts what a shorter one decided.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Final

from traction import decisions as d
from traction import events as e
from traction.answers import (
    ANSWERS,
    CHILD_STATUS,
    CLOSE_REFUSALS,
    REFUSALS,
    TRANSIENT,
    describe,
    describe_id,
    is_answer,
)
from traction.answers import is_answer_to as fits
from traction.codec import JSON, UNREADABLE, Codec, describe_failure, read_failure
from traction.errors import (
    ActivityCanceled,
    ActivityFailed,
    ActivityTimedOut,
    ChildFailed,
    DecisionFailed,
    FlowError,
    HistoryError,
    NonDeterminismError,
    PayloadError,
    StepFailed,
)
from traction.history import History
from traction.interpret import ERROR, VALUE, Interpreter, Leaf
from traction.names import WorkflowExecution
from traction.options import to_duration
from traction.step import ActivityStep, Cancelled, Sleep, WorkflowStep

DECISIONS_MAX: Final = 100
"""The most decisions in one response. SWF's own quota was 100 for years; what bounds a response today is its size."""

DECISION_CHARS_MAX: Final = 500_000
"""The most characters of payload in one response: half of the 1 MB that SWF takes, to leave room for escapes."""

MORE: Final = "~more-"
"""How the ids of the timers begin that bring the next decision task when there is more to send."""

TRANSIENT_DELAY_MAX: Final = timedelta(minutes=1)
"""The longest pause before a decision is asked again that SWF refused for a limit or a rate."""

UNREADABLE_DELAY_MAX: Final = timedelta(hours=1)
"""The longest pause before an activity is scheduled again whose worker could not read its input."""


class Ask:
    """A decision that the flow asks for and the history does not show yet."""

    __slots__ = ("decision", "leaf", "withdrawn")

    def __init__(self, decision: d.Decision, leaf: Leaf | None) -> None:
        self.decision = decision
        self.leaf = leaf
        self.withdrawn = False


def decide(
    workflow: type[WorkflowStep[Any]],
    events: Iterable[e.Event],
    *,
    execution: WorkflowExecution | None = None,
    codec: Codec = JSON,
) -> list[d.Decision]:
    """Say what to ask for next, given the history up to a DecisionTaskStarted.

    Args:
        workflow: the definition; its input is in event 1.
        events: the whole history, ids from 1.
        execution: whose history it is; `uuid4` and `random` in the flow depend on its run id.

    Raises:
        NonDeterminismError: the history was made by other code.
        FlowError: the flow did what no flow may do.
        PayloadError: an input or a result does not decode as its definition says.
        HistoryError: no execution can have these events, or no decision task is started.
    """
    decider = Decider(workflow, execution=execution, codec=codec)
    try:
        decider.feed(events)
        return decider.decide()
    finally:
        decider.close()


class Decider:
    """Decides for one execution, fed with its events as they come.

    Feed it events up to and including a DecisionTaskStarted, then ask it to `decide`; so on until it is `closed`. After
    any error it must be thrown away, and a new one fed from the start.
    """

    __slots__ = (
        "_answering",
        "_answers",
        "_asks",
        "_codec",
        "_decided",
        "_execution",
        "_finished",
        "_flow",
        "_later",
        "_more",
        "_news",
        "_open",
        "_parked",
        "_started",
        "_withdrawn",
        "_workflow",
        "decided_event_id",
        "history",
        "met",
    )

    def __init__(
        self,
        workflow: type[WorkflowStep[Any]],
        *,
        execution: WorkflowExecution | None = None,
        codec: Codec = JSON,
    ) -> None:
        self.history = History()
        self.decided_event_id = 0
        """The DecisionTaskStarted for which it last decided, 0 if none: the next task's `previousStartedEventId`."""
        self.met: set[type] = set()
        """The definitions that the flow has asked for."""
        self._workflow = workflow
        self._execution = execution or WorkflowExecution("", "")
        self._codec = codec
        self._flow: Interpreter | None = None
        # What the flow asked for and the history does not show yet, in order.
        self._asks: deque[Ask] = deque()
        # Who waits for the event that closes what a given event opened.
        self._open: dict[int, Leaf] = {}
        # Events not applied yet: for the next turn, and those that came while a decider was deciding.
        self._news: list[tuple[e.Event, Leaf | None]] = []
        self._later: list[tuple[e.Event, Leaf | None]] = []
        # The decision task that is started, whether its turn has been taken, and the completed one whose answers we
        # read.
        self._started: e.DecisionTaskStarted | None = None
        self._decided = False
        self._answering = 0
        self._answers: list[e.Event] = []
        self._more = False
        self._withdrawn = False
        # Timers that SWF refused because too many are open: asked again when one closes.
        self._parked: list[Ask] = []
        self._finished: Ask | None = None

    @property
    def closed(self) -> bool:
        """Whether the history shows that the execution has closed."""
        return self.history.closed is not None

    def feed(self, events: Iterable[e.Event]) -> None:
        """Take the next events.

        Raises:
            NonDeterminismError, FlowError, PayloadError, HistoryError: as `decide`.
        """
        add, roles, opened = self.history.add, _ROLES, self._open
        for event in events:
            known = add(event)
            role = roles.get(type(event))
            if role is None:
                continue
            if self._answering:
                if role is _ANSWER and is_answer(event, self._answering):
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
        """Say what to ask for at the DecisionTaskStarted that was fed last; asking twice gives the same.

        Raises:
            FlowError, PayloadError: as `feed`.
            HistoryError: no decision task is started.
        """
        if self._started is None or self._answering:
            raise HistoryError(
                f"no decision task is started after event {self.history.last}, so there is nothing to decide"
            )
        if not self._decided:
            self._take_turn(self._started)
        return self._choose()

    def end(self) -> None:
        """Say that no more events come for now: what was read of a completed decision task is all of it.

        Raises:
            NonDeterminismError, FlowError, PayloadError: as `feed`.
        """
        if self._answering:
            self._end_answers()

    def close(self) -> None:
        """Let go of the flow; call it when the decider is thrown away before its execution has closed."""
        if self._flow is not None:
            self._flow.close()

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
        self._news += self._later
        self._later.clear()
        self._started = None

    def _on_completed(self, event: e.DecisionTaskCompleted) -> None:
        self._answering, self._more = event.event_id, False

    def _take_turn(self, started: e.DecisionTaskStarted) -> None:
        """Apply what had arrived, one event at a time, and let the flow run after each."""
        if self._flow is not None:
            self._flow.now = started.event_timestamp
        news, self._news = self._news, []
        for event, leaf in news:
            apply = _APPLY.get(type(event))
            if apply is not None:
                apply(self, event, leaf, started)
        flow = self._flow
        if flow is not None and flow.outcome is not None and self._finished is None:
            self._finish(*flow.outcome)
        if self._withdrawn:
            self._asks = deque(ask for ask in self._asks if not ask.withdrawn)
            self._withdrawn = False
        self._decided = True
        self.decided_event_id = started.event_id

    # Asking.

    def _choose(self) -> list[d.Decision]:
        """Take as many asks from the head of the queue as one response may carry."""
        if len(self._asks) == 1:
            return [self._asks[0].decision]
        assert self._started is not None
        chosen: list[d.Decision] = []
        chars = 0
        for ask in self._asks:
            decision = ask.decision
            chars += len(getattr(decision, "input", None) or "") + len(getattr(decision, "result", None) or "")
            if len(chosen) == DECISIONS_MAX - 1 < len(self._asks) - 1 or (chars > DECISION_CHARS_MAX and chosen):
                timer = f"{MORE}{self._started.event_id}"
                return [*chosen, d.StartTimer(timer_id=timer, start_to_fire_timeout="0")]
            chosen.append(decision)
        return chosen

    def _ask_leaf(self, leaf: Leaf) -> None:
        """Ask for what a leaf is."""
        node = leaf.node
        decision: d.Decision
        if isinstance(node, ActivityStep):
            self.met.add(type(node))
            spec = node.spec
            id = leaf.id if leaf.attempt == 1 else f"{leaf.id}~{leaf.attempt}"
            payload = self._codec.encode(node)
            decision = d.ScheduleActivityTask(activity_type=spec.type, activity_id=id, input=payload)
        elif isinstance(node, Sleep):
            decision = d.StartTimer(timer_id=leaf.id, start_to_fire_timeout=to_duration(node.span))
        else:
            self.met.add(type(node))
            decision = d.StartChildWorkflowExecution(
                workflow_type=node.spec.type,
                workflow_id=node.workflow_id(),
                input=self._codec.encode(node),
                control=leaf.id,
                tag_list=node.spec.tags or None,
            )
        leaf.ask = Ask(decision, leaf)
        self._asks.append(leaf.ask)

    def _ask_pause(self, leaf: Leaf, id: str, pause: timedelta) -> None:
        """Ask for a timer after which a leaf is asked for again."""
        leaf.ask = Ask(d.StartTimer(timer_id=id, start_to_fire_timeout=to_duration(pause)), leaf)
        self._asks.append(leaf.ask)

    def _ask_later(self, leaf: Leaf, longest: timedelta) -> None:
        """Ask for a leaf again after a pause that doubles."""
        leaf.refusals += 1
        pause = min(timedelta(seconds=1 << min(leaf.refusals - 1, 20)), longest)
        self._ask_pause(leaf, f"{leaf.id}~wait-{leaf.refusals}", pause)

    def _withdraw_leaf(self, leaf: Leaf) -> None:
        """Nobody waits for a leaf any more: take its ask back, or ask to cancel what the history shows as open."""
        if not leaf.opened_event_id:
            self._withdraw(leaf.ask)
            return
        decision = leaf.ask.decision
        if isinstance(decision, d.ScheduleActivityTask):
            leaf.cancel = Ask(d.RequestCancelActivityTask(activity_id=decision.activity_id), None)
        elif isinstance(decision, d.StartTimer):
            leaf.cancel = Ask(d.CancelTimer(timer_id=decision.timer_id), None)
        else:
            assert isinstance(decision, d.StartChildWorkflowExecution)
            leaf.cancel = Ask(
                d.RequestCancelExternalWorkflowExecution(workflow_id=decision.workflow_id, run_id=leaf.run_id), None
            )
        if self._asks and self._asks[-1] is self._finished:
            # The close of the execution is the last of its batch (SWF).
            self._asks.insert(len(self._asks) - 1, leaf.cancel)
        else:
            self._asks.append(leaf.cancel)

    def _finish(self, mode: int, given: Any) -> None:
        """The flow has come to its end: ask to close the execution, last of all."""
        decision: d.Decision
        if mode == VALUE:
            decision = d.CompleteWorkflowExecution(result=self._codec.encode(given))
        elif isinstance(given, Cancelled):
            decision = d.CancelWorkflowExecution()
        else:
            reason, details = describe_failure(given)
            decision = d.FailWorkflowExecution(reason=reason, details=details)
        self._finished = Ask(decision, None)
        self._asks.append(self._finished)

    # Answers: what the history shows for what was asked.

    def _read_answer(self, event: Any) -> None:
        """Hold one event of the completed decision task against the head of the queue."""
        kind = type(event)
        if (kind is e.TimerStarted or kind is e.StartTimerFailed) and event.timer_id.startswith(MORE):
            self._more = True
            return
        ask = self._asks.popleft() if self._asks else None
        if ask is None or not fits(event, ask.decision):
            raise self._explain(event, ask)
        if kind in REFUSALS:
            self._news.append((event, ask.leaf))
        elif kind is e.TimerCanceled:
            self._open.pop(event.started_event_id, None)
            # News too: a timer that was refused before it in the same batch is not parked yet.
            self._news.append((event, None))
        elif (leaf := ask.leaf) is not None:
            leaf.opened_event_id = event.event_id
            self._open[event.event_id] = leaf

    def _end_answers(self) -> None:
        """The events of a completed decision task are read: take its turn, if another decider did, and compare."""
        assert self._started is not None
        if not self._decided:
            self._take_turn(self._started)
        for event in self._answers:
            self._read_answer(event)
        if self._asks and not self._more:
            raise self._explain(None, self._asks[0])
        self._started = None
        self._answering = 0
        self._answers.clear()
        self._news += self._later
        self._later.clear()

    def _explain(self, event: e.Event | None, ask: Ask | None) -> NonDeterminismError:
        spec = self._workflow.spec
        id_name = None if event is None else ANSWERS[type(event)][1]
        step = describe_id(ask.decision) if ask is not None else getattr(event, id_name) if id_name else "the end"
        expected = "nothing" if event is None else describe(event, ANSWERS[type(event)][0].__name__)
        actual = "nothing" if ask is None else describe(ask.decision, type(ask.decision).__name__)
        if event is not None and ask is not None and expected == actual:
            # The same work in another place: only the ids tell the two sides apart.
            expected, actual = f"{expected} as {describe_id(event)}", f"{actual} as {describe_id(ask.decision)}"
        return NonDeterminismError(
            f"{spec.type.name} {spec.type.version}",
            step=step,
            event_id=event.event_id if event is not None else self._answering,
            expected=expected,
            actual=actual,
        )

    # News: what each event means to the flow.

    def _apply_started(self, event: e.WorkflowExecutionStarted, _: None, started: e.DecisionTaskStarted) -> None:
        type = self._workflow.spec.type
        workflow = self._codec.decode(event.input, self._workflow, f"the input of {type.name} {type.version}")
        self._flow = Interpreter(self._execution.run_id, started.event_timestamp, self._ask_leaf, self._withdraw_leaf)
        self._flow.start(workflow.flow)

    def _apply_cancel_request(self, *_: object) -> None:
        assert self._flow is not None
        self._flow.cancel()

    def _apply_activity(self, event: Any, leaf: Leaf | None, _: object) -> None:
        if leaf is None or self._forget(leaf):
            return
        spec = leaf.node.spec
        if type(event) is e.ActivityTaskCompleted:
            self._resume(leaf, VALUE, self._read_result(leaf, event.result))
            return
        error: StepFailed
        if isinstance(event, e.ActivityTaskFailed):
            if event.reason == UNREADABLE:
                # The worker could not read the input. The work was not begun: wait for a worker that can.
                self._ask_later(leaf, UNREADABLE_DELAY_MAX)
                return
            said = read_failure(event.reason, event.details)
            error = ActivityFailed(
                leaf.id,
                type=said.type,
                message=said.message,
                traceback=said.traceback,
                reason=event.reason or "",
                details=event.details or "",
            )
        elif isinstance(event, e.ActivityTaskTimedOut):
            error = ActivityTimedOut(leaf.id, timeout_type=event.timeout_type, details=event.details)
        else:
            self._resume(leaf, ERROR, ActivityCanceled(leaf.id, details=event.details))
            return
        pause = None if spec.retry is None else spec.retry.find_delay(leaf.attempt)
        if pause is None:
            self._resume(leaf, ERROR, error)
            return
        leaf.attempt += 1
        if pause:
            self._ask_pause(leaf, f"{leaf.id}~retry-{leaf.attempt - 1}", pause)
        else:
            self._ask_leaf(leaf)

    def _apply_timer(self, _: e.TimerFired | e.TimerCanceled, leaf: Leaf | None, __: object) -> None:
        self._unpark()
        if leaf is None or self._forget(leaf):
            return
        if isinstance(leaf.node, Sleep):
            self._resume(leaf, VALUE, None)
        else:
            self._ask_leaf(leaf)

    def _apply_child_started(self, event: e.ChildWorkflowExecutionStarted, leaf: Leaf | None, _: object) -> None:
        if leaf is None:
            return
        leaf.run_id = event.workflow_execution.run_id
        if leaf.fiber is None and leaf.cancel is not None:
            # It was to be cancelled before it had started, and such a request may find nobody: ask again.
            self._withdraw(leaf.cancel)
            self._withdraw_leaf(leaf)

    def _apply_child(self, event: Any, leaf: Leaf | None, _: object) -> None:
        if leaf is None or self._forget(leaf):
            return
        if isinstance(event, e.ChildWorkflowExecutionCompleted):
            self._resume(leaf, VALUE, self._read_result(leaf, event.result))
        elif isinstance(event, e.ChildWorkflowExecutionFailed):
            said = read_failure(event.reason, event.details)
            error = ChildFailed(
                leaf.id,
                status="FAILED",
                type=said.type,
                message=said.message,
                traceback=said.traceback,
                details=event.details,
            )
            self._resume(leaf, ERROR, error)
        else:
            error = ChildFailed(leaf.id, status=CHILD_STATUS[type(event)], details=getattr(event, "details", None))
            self._resume(leaf, ERROR, error)

    def _apply_refusal(self, event: Any, leaf: Leaf | None, _: object) -> None:
        """SWF refused a decision: ask again what passes by itself, fail the step for the rest."""
        if event.cause == "UNHANDLED_DECISION":
            # News came while the close was on its way. They are applied by now; ask for the same close again.
            assert self._finished is not None
            self._asks.append(self._finished)
        elif leaf is None:
            if type(event) in CLOSE_REFUSALS:
                raise FlowError(
                    f"the execution cannot be closed: event {event.event_id} {type(event).__name__} with {event.cause}"
                )
        elif self._forget(leaf):
            return
        elif event.cause == "OPEN_TIMERS_LIMIT_EXCEEDED":
            self._parked.append(leaf.ask)
        elif event.cause == "TIMER_CREATION_RATE_EXCEEDED":
            self._asks.append(leaf.ask)
        elif event.cause in TRANSIENT:
            self._ask_later(leaf, TRANSIENT_DELAY_MAX)
        else:
            decision = ANSWERS[type(event)][0].__name__
            self._resume(leaf, ERROR, DecisionFailed(leaf.id, decision=decision, cause=event.cause))

    def _read_result(self, leaf: Leaf, payload: str | None) -> Any:
        spec = leaf.node.spec
        try:
            return self._codec.decode(payload, spec.result)
        except PayloadError:  # once more, in the reader's names
            what = f"the result of {spec.type.name} {spec.type.version} ({leaf.id})"
            return self._codec.decode(payload, spec.result, what)

    def _forget(self, leaf: Leaf) -> bool:
        """What a leaf had opened has closed; say whether nobody waits for it any more."""
        leaf.opened_event_id = 0
        if leaf.fiber is not None:
            return False
        if leaf.cancel is not None:
            self._withdraw(leaf.cancel)
        return True

    def _withdraw(self, ask: Ask) -> None:
        """Take back an ask that the history does not show; one that it shows is past taking back."""
        ask.withdrawn = self._withdrawn = True

    def _resume(self, leaf: Leaf, mode: int, given: Any) -> None:
        assert self._flow is not None
        self._flow.resume(leaf, mode, given)

    def _unpark(self) -> None:
        """A timer has closed, so that there is room for those that were refused."""
        self._asks.extend(ask for ask in self._parked if not ask.withdrawn)
        self._parked.clear()


_Apply = Callable[[Decider, Any, Any, Any], None]

# What the flow is told. A refusal is news as well as an answer; events in no table say nothing to a flow.
_APPLY: dict[type, _Apply] = {
    e.WorkflowExecutionStarted: Decider._apply_started,
    e.WorkflowExecutionCancelRequested: Decider._apply_cancel_request,
    e.ActivityTaskCompleted: Decider._apply_activity,
    e.ActivityTaskFailed: Decider._apply_activity,
    e.ActivityTaskTimedOut: Decider._apply_activity,
    e.ActivityTaskCanceled: Decider._apply_activity,
    e.TimerFired: Decider._apply_timer,
    e.TimerCanceled: Decider._apply_timer,
    e.ChildWorkflowExecutionStarted: Decider._apply_child_started,
    e.ChildWorkflowExecutionCompleted: Decider._apply_child,
    e.ChildWorkflowExecutionFailed: Decider._apply_child,
    e.ChildWorkflowExecutionTimedOut: Decider._apply_child,
    e.ChildWorkflowExecutionCanceled: Decider._apply_child,
    e.ChildWorkflowExecutionTerminated: Decider._apply_child,
} | dict.fromkeys(REFUSALS, Decider._apply_refusal)

_ANSWER: Final = object()
_NEWS: Final = object()

# What feeding does with an event: read it as an answer, keep it as news, or keep the books of the decision task.
# All others are quiet: they tell nobody anything that an earlier or later event does not.
_ROLES: dict[type, Any] = {
    **dict.fromkeys(_APPLY, _NEWS),
    **dict.fromkeys(ANSWERS, _ANSWER),
    e.DecisionTaskStarted: Decider._on_started,
    e.DecisionTaskCompleted: Decider._on_completed,
    e.DecisionTaskTimedOut: Decider._on_timed_out,
}
