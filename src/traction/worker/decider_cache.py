"""Cache the deciders of live executions between their decision tasks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from traction.decider.batching import MORE
from traction.decider.decider import Decider
from traction.model.decisions import Decision, FailWorkflowExecution
from traction.model.names import WorkflowExecution
from traction.payloads.failure_text import read_failure

STUCK_PAUSE = timedelta(seconds=30)
"""For how long an execution is skipped after its decision task could not be decided. It doubles each time."""


STUCK_PAUSE_MAX = timedelta(minutes=5)
"""The longest time for which a stuck execution is skipped."""


STUCK_MAX = 10_000
"""How many stuck executions are remembered. The oldest ones are dropped, and tried again at once."""


EVENTS_CACHED_MAX = 200_000
"""The most events that the cached deciders may have read in total: some hundred megabytes."""


class DeciderCache:
    """An LRU cache of the deciders of live executions. Thread-safe.

    A decider is taken out while it is used, so no two threads have the same one.
    """

    def __init__(self, events_max: int = EVENTS_CACHED_MAX) -> None:
        self._events_max = events_max
        self._events = 0
        self._deciders: OrderedDict[str, Decider] = OrderedDict()
        self._lock = threading.Lock()
        self.stuck = StuckExecutions()

    def take(self, execution: WorkflowExecution) -> Decider | None:
        """Remove and return the decider of an execution, if there is one."""
        with self._lock:
            decider = self._deciders.pop(execution.run_id, None)
            if decider is not None:
                self._events -= decider.history.last
            return decider

    def put(self, execution: WorkflowExecution, decider: Decider) -> None:
        """Store the decider of an execution, and close any other one of the same execution."""
        dropped = []
        with self._lock:
            if (other := self._deciders.pop(execution.run_id, None)) is not None:
                self._events -= other.history.last
                dropped.append(other)
            self._deciders[execution.run_id] = decider
            self._events += decider.history.last
            while self._events > self._events_max and len(self._deciders) > 1:
                _, oldest = self._deciders.popitem(last=False)
                self._events -= oldest.history.last
                dropped.append(oldest)
        for oldest in dropped:
            oldest.close()

    def close(self) -> None:
        with self._lock:
            dropped = list(self._deciders.values())
            self._deciders.clear()
            self._events = 0
        for decider in dropped:
            decider.close()

    def __len__(self) -> int:
        return len(self._deciders)


class StuckExecutions:
    """Executions that could not be decided, and until when each is skipped. Thread-safe.

    Each try reads a whole history. So that a deploy that breaks many executions does not exhaust the rate limits,
    each is tried less often the longer it is stuck. A new process tries all of them.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[timedelta, datetime]] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, execution: WorkflowExecution, now: datetime) -> timedelta:
        """Record a stuck execution, and return for how long it is skipped."""
        with self._lock:
            before = self._known.pop(execution.run_id, None)
            pause = STUCK_PAUSE if before is None else min(2 * before[0], STUCK_PAUSE_MAX)
            self._known[execution.run_id] = pause, now + pause
            if len(self._known) > STUCK_MAX:
                self._known.popitem(last=False)
            return pause

    def is_skipped(self, execution: WorkflowExecution, clock: Callable[[], datetime]) -> bool:
        known = self._known.get(execution.run_id)
        return known is not None and clock() < known[1]

    def forget(self, execution: WorkflowExecution) -> None:
        if execution.run_id in self._known:
            with self._lock:
                self._known.pop(execution.run_id, None)


def store_payloads(decider: Decider, decisions: Sequence[Decision]) -> None:
    """Write the stored payloads of a response, before it is sent. A decider itself writes nothing.

    Raises:
        PayloadStoreError: the store cannot be written.
    """
    if not decider.context.codec.has_store:
        return
    payloads = [getattr(decision, name, None) for decision in decisions for name in ("input", "result", "details")]
    failures = (one for one in decisions if isinstance(one, FailWorkflowExecution))
    payloads += [read_failure(None, one.details, decider.context.codec).fields for one in failures]
    more = bool(decisions) and getattr(decisions[-1], "timer_id", "").startswith(MORE)
    decider.context.codec.settle([*payloads, decider.context.state_payload], more=more)
