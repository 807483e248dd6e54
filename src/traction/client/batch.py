"""Act on many executions: signal, cancel or terminate those that match a query, at a rate, and report each.

A batch may be run again after it was interrupted: what has had its effect is not repeated. A terminated execution is
not open, a cancelled one shows its request, and a history shows the signals that it has received.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Literal, TypeAlias

import msgspec

from traction.backend import Backend
from traction.client.handle import Handle
from traction.client.listing import list_executions
from traction.client.query import ListedExecution, Query
from traction.errors import DefinitionError, ServiceFault, UnknownResourceFault
from traction.flow.signals import Signal, check_sent
from traction.history.contents import read_content
from traction.model import events as e
from traction.model import operations as o
from traction.payloads.codec import Codec

Outcome: TypeAlias = Literal["done", "already", "closed", "refused", "planned"]
"""What became of an action on one execution.

`done`: the service accepted it. `already`: it had been done before, and was not repeated. `closed`: the execution was
not open any more. `refused`: the service refused it. `planned`: nothing was sent, in a dry run.
"""

TRIES_MAX: Final = 6
"""How often a request is sent that the service refuses for its rate."""

PER_SECOND: Final = 20.0
"""The default rate. SWF permits 30 signals, cancel requests or terminations per second, after a burst of 2,000."""


class Action(msgspec.Struct, frozen=True):
    """What a batch does to an execution."""

    @property
    @abstractmethod
    def name(self) -> str:
        """`signal`, `cancel` or `terminate`."""

    @abstractmethod
    def is_done(self, backend: Backend, execution: ListedExecution, codec: Codec) -> bool:
        """Return whether an execution shows that the action was done before."""

    @abstractmethod
    def send(self, handle: Handle[Any]) -> None:
        """Do it.

        Raises:
            BackendError: the service refused, or could not be reached.
        """


class SendSignal(Action, frozen=True):
    """Send a signal to executions that have not received it: one of the same name with the same fields.

    The whole history of the open run is read for that.
    """

    signal: Signal

    def __post_init__(self) -> None:
        check_sent("SendSignal", self.signal)

    @property
    def name(self) -> str:
        """`signal`."""
        return "signal"

    def is_done(self, backend: Backend, execution: ListedExecution, codec: Codec) -> bool:
        """Return whether the history has a signal of the same name with the same fields."""
        fields = read_content(codec.encode_call(self.signal), codec)
        token: str | None = None
        while True:
            page = backend.call(
                o.GetWorkflowExecutionHistory(
                    domain=backend.domain, execution=execution.execution, reverse_order=True, next_page_token=token
                )
            )
            signals = (event for event in page.events if isinstance(event, e.WorkflowExecutionSignaled))
            same = (event for event in signals if event.signal_name == self.signal.spec.name)
            if any(read_content(event.input, codec) == fields for event in same):
                return True
            if (token := page.next_page_token) is None:
                return False

    def send(self, handle: Handle[Any]) -> None:
        """Send the signal."""
        handle.send(self.signal)


class RequestCancel(Action, frozen=True):
    """Request the cancellation of executions that have no such request."""

    @property
    def name(self) -> str:
        """`cancel`."""
        return "cancel"

    def is_done(self, backend: Backend, execution: ListedExecution, codec: Codec) -> bool:
        """Return whether the list showed a request."""
        return execution.cancel_requested

    def send(self, handle: Handle[Any]) -> None:
        """Request the cancellation."""
        handle.cancel()


class Terminate(Action, frozen=True):
    """Close executions at once. Their flows cannot clean up."""

    reason: str | None = None

    @property
    def name(self) -> str:
        """`terminate`."""
        return "terminate"

    def is_done(self, backend: Backend, execution: ListedExecution, codec: Codec) -> bool:
        """Return false: a terminated execution is not open."""
        return False

    def send(self, handle: Handle[Any]) -> None:
        """Terminate it."""
        handle.terminate(self.reason)


class ActionResult(msgspec.Struct, frozen=True):
    """What became of an action on one execution."""

    execution: ListedExecution
    outcome: Outcome
    detail: str | None = None
    """Why the service refused it, or how the execution closed."""


def find_targets(backend: Backend, query: Query) -> list[ListedExecution]:
    """Return the open executions that match a query, newest first.

    Raises:
        DefinitionError: the query matches only closed executions.
        BackendError: the service refused, or could not be reached.
    """
    if not query.includes_open:
        raise DefinitionError(
            "only open executions can be signalled, cancelled or terminated; leave out the filters "
            "for closed ones (status, closed)"
        )
    return list(list_executions(backend, msgspec.structs.replace(query, status="OPEN")))


def run_batch(
    backend: Backend,
    targets: Iterable[ListedExecution],
    action: Action,
    *,
    codec: Codec,
    wait: Callable[[float], object],
    per_second: float = PER_SECOND,
    dry_run: bool = False,
) -> Iterator[ActionResult]:
    """Do an action to executions, and yield what became of each.

    An execution that was continued as new is followed to its open run.

    Args:
        backend: where they are.
        targets: the executions, as `find_targets` returns them.
        action: what to do.
        codec: encodes signals.
        wait: waits for some seconds before each request but the first; if it returns true, the batch ends.
        per_second: how many requests are sent in a second, at most.
        dry_run: yield what would be done, and send nothing.

    Raises:
        DefinitionError: the rate is not positive.
        PayloadError: the signal cannot be encoded.
        BackendError: the service could not be reached. Run the batch again: what was done is not repeated.
    """
    if not per_second > 0:
        raise DefinitionError(f"per_second={per_second!r}: expected a positive number of requests per second")
    return _run(backend, targets, action, codec, wait, per_second, dry_run)


def _run(
    backend: Backend,
    targets: Iterable[ListedExecution],
    action: Action,
    codec: Codec,
    wait: Callable[[float], object],
    per_second: float,
    dry_run: bool,
) -> Iterator[ActionResult]:
    pause = 0.0
    for target in targets:
        if dry_run:
            yield ActionResult(
                target, "already" if isinstance(action, RequestCancel) and target.cancel_requested else "planned"
            )
            continue
        if pause and wait(pause):
            return
        pause = 1 / per_second
        yield _act(backend, target, action, codec, wait)


def _act(
    backend: Backend, target: ListedExecution, action: Action, codec: Codec, wait: Callable[[float], object]
) -> ActionResult:
    for attempt in range(1, TRIES_MAX + 1):
        try:
            if action.is_done(backend, target, codec):
                return ActionResult(target, "already")
            action.send(Handle(backend, target.execution, codec=codec))
        except UnknownResourceFault as error:
            return ActionResult(target, "closed", str(error))
        except ServiceFault as error:
            if error.retryable and attempt < TRIES_MAX:
                wait(0.5 * 2**attempt)
                continue
            if error.retryable:
                raise
            return ActionResult(target, "refused", str(error))
        return ActionResult(target, "done")
    raise AssertionError("the last attempt returns or raises")
