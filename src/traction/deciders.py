"""Keep the deciders of live executions between their tasks, so that a decision costs what is new and not all there was.

Takes deciders that have decided; gives them back, each to one thread. Whether one is still good, its user sees.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from traction.decide import Decider
from traction.names import WorkflowExecution

EVENTS_CACHED_MAX = 200_000
"""How many events the deciders in a cache may have read between them: some hundred megabytes."""


class DeciderCache:
    """Deciders of live executions, those used least recently let go first. Safe to share between threads.

    A decider is taken out while it is used, so no two threads have the same one.
    """

    def __init__(self, events_max: int = EVENTS_CACHED_MAX) -> None:
        self._events_max = events_max
        self._events = 0
        self._deciders: OrderedDict[str, Decider] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, execution: WorkflowExecution) -> Decider | None:
        """Take out the decider of an execution, if there is one."""
        with self._lock:
            decider = self._deciders.pop(execution.run_id, None)
            if decider is not None:
                self._events -= decider.history.last
            return decider

    def put(self, execution: WorkflowExecution, decider: Decider) -> None:
        """Put back a decider that has decided, in the place of any other of the same execution."""
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

    def __len__(self) -> int:
        return len(self._deciders)
