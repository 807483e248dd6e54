"""Count the slots of workers that are held by bodies whose tasks have ended, and replace them.

Theory of operation. A task ends without its body when it times out or its execution closes. A coroutine is cancelled
and a process is killed, but Python cannot stop a thread. Its worker would do nothing for as long as the body lasts,
so another thread takes its place. As the lost threads stay in memory there is a bound on them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from traction.plugins.observer import tell_task
from traction.worker.heartbeats import RunningActivity

log = logging.getLogger("traction.worker")

LOST_SLOTS_MAX = 32
"""How many slots of one activity are replaced while the bodies that hold them still run. No more are after that."""


class WorkerThread(threading.Thread):
    """A thread in which a worker takes its turns, until it is told to stop or is left behind.

    Args:
        work: what the thread does. It is given a function that says whether the thread was left behind.
    """

    def __init__(self, name: str, work: Callable[[Callable[[], bool]], None]) -> None:
        # Daemons, since the interpreter must not wait for a body that never ends.
        super().__init__(name=name, daemon=True)
        self._work = work
        self.left_behind = False
        self.settled = threading.Event()
        """Set when the thread has ended or was left behind: nobody needs to wait for it."""

    def run(self) -> None:
        """Work."""
        try:
            self._work(lambda: self.left_behind)
        finally:
            self.settled.set()

    def leave_behind(self) -> None:
        """Stop waiting for it. It ends with the body that it runs."""
        self.left_behind = True
        self.settled.set()


class Slots:
    """The slots of one activity: which are lost to bodies that outlived their tasks.

    Args:
        name: the activity.
        replace: gives a new slot for one that is lost.
    """

    def __init__(self, name: str, replace: Callable[[], object] = lambda: None) -> None:
        self.name = name
        self.replace = replace
        self.lost = 0
        """How many are lost now. A slot is no longer lost once its body has ended."""
        self._lock = threading.Lock()

    def lose(self, running: RunningActivity) -> bool:
        """Log that a body outlived its task, and replace its slot; return whether there was room for another one."""
        with self._lock:
            self.lost += 1
            lost = self.lost
        about, why = tell_task(running), running.describe_loss()
        if lost <= LOST_SLOTS_MAX:
            self.replace()
            log.warning(
                "%s: %s, and its body still runs. It cannot be stopped, so its slot is lost, and another one takes its "
                "place (lost slots of %s: %d; at most %d are replaced). Give what the body calls timeouts, or use "
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
        """Log that a body ended after all."""
        with self._lock:
            self.lost -= 1
        log.info("%s: its body has ended, long after its task", running.name, extra=tell_task(running))
