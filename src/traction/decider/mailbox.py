"""Match signals with the steps that receive them, in the order of arrival."""

from __future__ import annotations

from bisect import insort

from traction.decider.frames import Leaf, Pending
from traction.decider.outcomes import Outcome, Returned
from traction.errors import PayloadError, PayloadUnavailableError
from traction.flow.signals import Signal
from traction.model import decisions as d
from traction.model import events as e
from traction.model.names import WorkflowExecution
from traction.payloads.codec import Codec


class PendingReceive(Pending):
    """A step that waits for a signal."""

    __slots__ = ("_mailbox", "leaf", "types")

    def __init__(self, mailbox: Mailbox, leaf: Leaf) -> None:
        self._mailbox = mailbox
        self.leaf = leaf
        self.types: dict[str, type[Signal]] = {signal.spec.name: signal for signal in leaf.node.signals}

    def withdraw(self) -> bool:
        self._mailbox.receivers.remove(self)
        return False


class Mailbox:
    """The signals that no step has received yet, and the steps that wait for one."""

    __slots__ = ("_codec", "_execution", "_forwarded", "_notes", "previous_run_id", "receivers", "signals")

    def __init__(self, execution: WorkflowExecution, codec: Codec, notes: list[str]) -> None:
        self._execution = execution
        self._codec = codec
        self._notes = notes
        self.signals: list[e.WorkflowExecutionSignaled] = []
        """The signals not received yet, in the order of their arrival."""
        self.receivers: list[PendingReceive] = []
        self.previous_run_id: str | None = None
        """The run that this one continues, if any."""
        # The signals that were forwarded to the next run and have not come back, by the event that sent them.
        self._forwarded: dict[int, e.WorkflowExecutionSignaled] = {}

    def receive(self, leaf: Leaf) -> Outcome | None:
        """Return the first signal that a leaf receives, or make it wait for one."""
        receiver = PendingReceive(self, leaf)
        if (outcome := self._take(receiver)) is None:
            leaf.pending = receiver
            self.receivers.append(receiver)
        return outcome

    def deliver(self, event: e.WorkflowExecutionSignaled) -> tuple[Leaf, Outcome] | None:
        """Insert a signal, and return the first leaf that waits for it, if any, with the signal.

        A signal that this run forwarded takes its former place. Signals forwarded by the previous run come first.
        """
        if event.external_workflow_execution == self._execution:
            event = self._forwarded.pop(event.external_initiated_event_id or 0, event)
        insort(self.signals, event, key=self._rank)
        # A receiver has taken all signals that came before, so this is the only one that it can take.
        receiver = next((receiver for receiver in self.receivers if event.signal_name in receiver.types), None)
        if receiver is None or (outcome := self._take(receiver)) is None:
            return None
        self.receivers.remove(receiver)
        return receiver.leaf, outcome

    def _take(self, receiver: PendingReceive) -> Outcome | None:
        """Remove and return the first signal of a receiver. Signals that do not decode are dropped with a note."""
        for event in list(self.signals):
            kind = receiver.types.get(event.signal_name)
            if kind is None:
                continue
            self.signals.remove(event)
            try:
                what = f"the signal {event.signal_name} (event {event.event_id})"
                return Returned(self._codec.decode_call(event.input, kind, what))
            except PayloadUnavailableError:
                raise  # another decider may be able to read it
            except PayloadError as error:
                self._notes.append(str(error))
        return None

    # Signals that the next run of the execution receives.

    def forward(self) -> list[tuple[d.Decision, e.WorkflowExecutionSignaled]]:
        """Remove all signals, and return the decisions that send them to the next run.

        They arrive after the batch, at the run that is open under the id then: the next, or this one if its close is
        refused.
        """
        signals, self.signals = self.signals, []
        id = self._execution.workflow_id
        return [
            (d.SignalExternalWorkflowExecution(workflow_id=id, signal_name=event.signal_name, input=event.input), event)
            for event in signals
        ]

    @property
    def awaits_forwarded(self) -> bool:
        """Whether signals were forwarded and have not come back."""
        return bool(self._forwarded)

    def note_forwarded(self, event_id: int, signal: e.WorkflowExecutionSignaled) -> None:
        """Record that the event with this id forwards a signal."""
        self._forwarded[event_id] = signal

    def keep_unsent(self, event_id: int) -> None:
        """Insert a signal again that could not be forwarded."""
        if (signal := self._forwarded.pop(event_id, None)) is not None:
            insort(self.signals, signal, key=self._rank)

    def _rank(self, event: e.WorkflowExecutionSignaled) -> tuple[bool, int]:
        source = event.external_workflow_execution
        from_previous_run = source is not None and source.run_id == self.previous_run_id
        return not from_previous_run, event.event_id
