"""Fault injection: the one place where a simulation chooses faults, and counts them against the budgets of `Faults`.

The plain choice is always that no fault happens. A kind of fault whose budget is spent is not an alternative any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from enum import Enum, auto
from typing import Final, TypeVar

from traction.errors import BackendError, ThrottlingException
from traction.model import operations as o
from traction_local.service.service import POLLS, READING
from traction_local.simulation.faults import Faults
from traction_local.simulation.trace import Trace

T = TypeVar("T")


class MachineCrashed(BaseException):
    """A machine crashed. Workers cannot catch it."""


class Unreachable(BackendError):
    """The connection was lost: the request may have arrived, or not."""

    retryable = True


class Budget(Enum):
    """The kinds of faults that `Faults` counts."""

    CRASHES = auto()
    LOSSES = auto()
    REPEATS = auto()
    THROTTLES = auto()
    TIMEOUTS = auto()
    DELAYS = auto()


class _Fault(Enum):
    """A fault, with its budget and its description in the trace."""

    def __init__(self, budget: Budget, what: str) -> None:
        self.budget, self.what = budget, what


class RequestFault(_Fault):
    """A fault of a request of a machine to the service."""

    REQUEST_LOST = Budget.LOSSES, "the request is lost"
    REPLY_LOST = Budget.LOSSES, "the reply is lost"
    CRASH_BEFORE = Budget.CRASHES, "crashes before it"
    CRASH_AFTER = Budget.CRASHES, "crashes after it"
    REPEATED = Budget.REPEATS, "the request arrives twice"
    THROTTLED = Budget.THROTTLES, "throttled"


class AttemptFault(_Fault):
    """A fault of an attempt that takes time and sends heartbeats."""

    SILENT_AT_ONCE = Budget.TIMEOUTS, "its heartbeats stop at once"
    SILENT_HALF_WAY = Budget.TIMEOUTS, "its heartbeats stop half-way"
    CRASH_HALF_WAY = Budget.CRASHES, "the machine crashes half-way"

    @property
    def part(self) -> float:
        """The part of the attempt's time after which it happens."""
        return 0.0 if self is AttemptFault.SILENT_AT_ONCE else 0.5


# The order is that of the alternatives of a choice, which deviations number.
_OF_READS: Final = (RequestFault.REPLY_LOST, RequestFault.THROTTLED)
_OF_POLLS: Final = (*_OF_READS, RequestFault.CRASH_AFTER)
_OF_OTHERS: Final = tuple(RequestFault)
_OF_ATTEMPTS: Final = tuple(AttemptFault)

F = TypeVar("F", bound=_Fault)


class FaultInjector:
    """Chooses the faults of a simulation, within the budgets that are left."""

    def __init__(self, faults: Faults, trace: Trace) -> None:
        self._trace = trace
        self._skews = (timedelta(0), faults.skew, -faults.skew) if faults.skew else (timedelta(0),)
        self._left = {
            Budget.CRASHES: faults.crashes,
            Budget.LOSSES: faults.losses,
            Budget.REPEATS: faults.repeats,
            Budget.THROTTLES: faults.throttles,
            Budget.TIMEOUTS: faults.timeouts,
            Budget.DELAYS: faults.delays,
        }
        self._list_possible()

    def call(self, name: str, request: o.Request[T], send: Callable[[o.Request[T]], T]) -> T:
        """Send a request of the machine `name`, unless a fault prevents it.

        Raises:
            MachineCrashed, Unreachable, ThrottlingException: a fault was chosen.
        """
        kind = type(request)
        possible = self._of_polls if kind in POLLS else self._of_reads if kind in READING else self._of_others
        fault = self._choose(possible, f"{name} calls {kind.__name__}") if possible else None
        if fault is None:
            return send(request)
        self._trace.note(name, f"{kind.__name__}: {fault.what}")
        match fault:
            case RequestFault.REQUEST_LOST:
                raise Unreachable(f"{kind.__name__}: the request was lost")
            case RequestFault.THROTTLED:
                raise ThrottlingException("Rate exceeded")
            case RequestFault.CRASH_BEFORE:
                raise MachineCrashed
            case RequestFault.REPEATED:
                send(request)
                return send(request)
        with suppress(BackendError):  # an error response is lost too
            send(request)
        if fault is RequestFault.REPLY_LOST:
            raise Unreachable(f"{kind.__name__}: the reply was lost")
        raise MachineCrashed

    def choose_for_attempt(self, activity_id: str) -> AttemptFault | None:
        """Return the fault of an attempt that sends heartbeats; `None` for no fault."""
        possible = [fault for fault in _OF_ATTEMPTS if self._left[fault.budget] > 0]
        return self._choose(possible, f"the fault of {activity_id}") if possible else None

    def choose_late_registration(self, name: str) -> bool:
        """Return whether the registration of a type takes effect late."""
        if self._left[Budget.DELAYS] <= 0 or not self._trace.choose(2, f"when {name} is known"):
            return False
        self._spend(Budget.DELAYS)
        return True

    def choose_skew(self, name: str) -> timedelta:
        return self._skews[self._trace.choose(len(self._skews), f"the clock of {name}")]

    @property
    def allows_timeout(self) -> bool:
        """Whether time may pass until a task times out though its worker could act."""
        return self._left[Budget.TIMEOUTS] > 0

    def spend_timeout(self) -> None:
        """Count a task that timed out because time passed."""
        self._spend(Budget.TIMEOUTS)

    def _choose(self, possible: Sequence[F], why: str) -> F | None:
        chosen = self._trace.choose(1 + len(possible), why)
        if chosen == 0:
            return None
        fault = possible[chosen - 1]
        self._spend(fault.budget)
        return fault

    def _spend(self, budget: Budget) -> None:
        self._left[budget] -= 1
        self._list_possible()

    def _list_possible(self) -> None:
        """List the faults of requests whose budgets are not spent. Each request looks at these lists."""
        self._of_polls, self._of_reads, self._of_others = (
            [fault for fault in faults if self._left[fault.budget] > 0] for faults in (_OF_POLLS, _OF_READS, _OF_OTHERS)
        )
