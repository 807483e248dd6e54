"""Count and replace the slots of workers that are occupied by bodies whose tasks have ended.

Theory of operation. A task ends without its body when it times out or its execution closes. A coroutine is cancelled
and a process is killed, but Python cannot stop a thread. Its worker is blocked for as long as the body runs,
so another thread replaces it. The lost threads stay in memory, so their number is limited.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from traction.plugins.observer import build_task_fields
from traction.worker.heartbeats import RunningActivity

log = logging.getLogger("traction.worker")

LOST_SLOTS_MAX = 32
"""The most slots of one activity that are replaced while the bodies that occupy them still run."""


class WorkerThread(threading.Thread):
    """A thread that runs a worker's turns until the worker stops or the thread is left behind.

    Args:
        work: the target. It is called with a function that returns whether the thread was left behind.
    """

    def __init__(self, name: str, work: Callable[[Callable[[], bool]], None]) -> None:
        # A daemon, since the interpreter must not wait for a body that never ends.
        super().__init__(name=name, daemon=True)
        self._work = work
        self.left_behind = False
        self.settled = threading.Event()
        """Set when the thread has ended or was left behind, so that it need not be waited for."""

    def run(self) -> None:
        try:
            self._work(lambda: self.left_behind)
        finally:
            self.settled.set()

    def leave_behind(self) -> None:
        """Stop waiting for the thread. It ends with the body that it runs."""
        self.left_behind = True
        self.settled.set()


class Slots:
    """Counts the slots of one activity that are lost to bodies that outlived their tasks.

    Args:
        name: the activity.
        replace: creates a slot in place of a lost one.
    """

    def __init__(self, name: str, replace: Callable[[], object] = lambda: None) -> None:
        self.name = name
        self.replace = replace
        self.lost = 0
        """How many slots are lost now. A slot is regained when its body ends."""
        self._lock = threading.Lock()

    def lose(self, running: RunningActivity) -> bool:
        """Log that a body outlived its task, and replace its slot. Return whether it was replaced."""
        with self._lock:
            self.lost += 1
            lost = self.lost
        about, why = build_task_fields(running), running.describe_loss()
        if lost <= LOST_SLOTS_MAX:
            self.replace()
            log.warning(
                "%s: %s, and its body still runs. It cannot be stopped, so its slot is lost and replaced by a new one "
                "(lost slots of %s: %d; at most %d are replaced). Set timeouts on what the body calls, or use "
                'executor="process": processes are killed',
                *(running.name, why, self.name, lost, LOST_SLOTS_MAX),
                extra=about,
            )
            return True
        log.error(
            "%s: %s, and its body still runs. Lost slots of %s: %d. No more are replaced: restart this worker",
            *(running.name, why, self.name, lost),
            extra=about,
        )
        return False

    def regain(self, running: RunningActivity) -> None:
        """Log that a body which outlived its task has ended."""
        with self._lock:
            self.lost -= 1
        log.info("%s: its body has ended, long after its task", running.name, extra=build_task_fields(running))
