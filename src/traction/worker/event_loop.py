"""Run async activities on an event loop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

from traction.errors import BackendError
from traction.model import operations as o
from traction.plugins.observer import tell_task
from traction.runtime.activity_task import _current
from traction.worker.activity_worker import ActivityWorker, cancel_at_await, name_task, settle
from traction.worker.heartbeats import RunningActivity
from traction.worker.loop import flush_at_last
from traction.worker.slots import Slots

log = logging.getLogger("traction.worker")


POLLERS_MAX = 4
"""How many threads poll for the tasks of one loop, at the most."""


LOOK = timedelta(seconds=1)
"""How long a turn waits for a free slot before it lets its loop look whether to stop."""


class Loop:
    """An event loop in a thread of its own, with slots. It begins with the first poller, and ends with the last."""

    def __init__(self, size: int, slots: Slots | None = None) -> None:
        self.slots = slots or Slots("async activities")
        self.slots.replace = self.give_slot_back
        self._free = size
        self._size = size
        # Slots that were lost and not replaced.
        self._given_up = 0
        self._changed = threading.Condition()
        self._pollers = 0
        self._loop: Any = None
        self._thread: threading.Thread | None = None
        self._answers: ThreadPoolExecutor | None = None

    def join(self) -> None:
        """A poller comes."""
        with self._changed:
            self._pollers += 1

    def leave(self) -> None:
        """A poller goes; the last one waits until all is done, and ends the loop.

        Nobody waits for bodies that outlived their tasks: their loop is left behind, in a daemon thread.
        """
        with self._changed:
            self._pollers -= 1
            if self._pollers:
                return
            self._changed.wait_for(lambda: self._free + self._given_up == self._size)
            loop, thread, answers = self._loop, self._thread, self._answers
            self._loop = self._thread = self._answers = None
        if loop is not None and thread is not None and answers is not None:
            answers.shutdown()
            if self.slots.lost:
                return
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def take_slot(self, wait: timedelta) -> bool:
        """Wait for a free slot, and take it; say whether there was one in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._free > 0, wait.total_seconds()):
                return False
            self._free -= 1
            return True

    def give_slot_back(self) -> None:
        """Free a slot."""
        with self._changed:
            self._free += 1
            self._changed.notify_all()

    def outlive(self, running: RunningActivity, loop: Any) -> bool:
        """Replace the slot of a body that outlived its task, and the loop if the body holds it up.

        Returns:
            Whether it was replaced.
        """
        with self._changed:
            if not running.noticed and self._loop is loop:
                # Its cancellation did not come through: the next task gets a new loop.
                log.error(
                    "%s: holds up the event loop, and a new one is started", running.name, extra=tell_task(running)
                )
                self._loop = None
        replaced = self.slots.lose(running)
        if not replaced:
            with self._changed:
                self._given_up += 1
                self._changed.notify_all()
        return replaced

    def regain(self, running: RunningActivity, *, replaced: bool) -> None:
        """A body that had outlived its task has ended."""
        self.slots.regain(running)
        if not replaced:
            with self._changed:
                self._given_up -= 1
            self.give_slot_back()

    def start(self, worker: ActivityWorker, task: o.ActivityTask) -> None:
        """Do a task on the loop, answer it beside the loop, and then free its slot."""
        # Not at the top: it takes longer to load than all of Traction, and only async activities need it.
        import asyncio

        with self._changed:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="async activities", daemon=True)
                self._thread.start()
                self._answers = self._answers or ThreadPoolExecutor(POLLERS_MAX, "answers of async activities")
            loop, answers = self._loop, self._answers
        assert answers is not None
        attempt = LoopAttempt(self, loop)

        def finish(done: Any) -> None:
            with suppress(RuntimeError):  # the loop was left behind, and nobody wants the answer
                answers.submit(self._answer, worker, task, attempt, done)

        asyncio.run_coroutine_threadsafe(_do(worker, task, attempt), loop).add_done_callback(finish)

    def _answer(self, worker: ActivityWorker, task: o.ActivityTask, attempt: LoopAttempt, done: Any) -> None:
        try:
            worker.answer(task, done.result())
        except BackendError as error:
            # What may be sent again is sent before the next poll.
            log.warning("%s: its answer could not be sent: %s", name_task(task), error, extra=tell_task(task))
        except BaseException:
            log.exception("%s: its answer could not be sent", name_task(task), extra=tell_task(task))
        finally:
            attempt.end()


class LoopAttempt:
    """A task that is done on a loop, and holds a slot until its body has ended or has outlived the task."""

    def __init__(self, loop: Loop, event_loop: Any) -> None:
        self._loop, self._event_loop = loop, event_loop
        self._outlived: RunningActivity | None = None
        self._replaced = False

    def begin(self, running: RunningActivity) -> None:
        """Watch whether the body outlives its task."""
        running.when_outlived(partial(self._outlive, running))

    def end(self) -> None:
        """The body has ended, and is answered."""
        if self._outlived is None:
            self._loop.give_slot_back()
        else:
            self._loop.regain(self._outlived, replaced=self._replaced)

    def _outlive(self, running: RunningActivity) -> None:
        self._outlived = running
        self._replaced = self._loop.outlive(running, self._event_loop)


async def _do(worker: ActivityWorker, task: o.ActivityTask, attempt: LoopAttempt) -> o.Request[None] | None:
    """Run an async activity on the running loop, and say how it ended."""
    import asyncio

    host, call, unread = worker.open(task)
    if unread is not None:
        return unread
    running = worker.begin(host, task, aside=True)
    attempt.begin(running)
    reset = _current.set(running)
    try:
        if running.handed_back:
            return None
        body = asyncio.ensure_future(settle(host.act(call)))
        cancel_at_await(asyncio.get_running_loop(), body, running)
        result, error = await body
        if error is not None:
            return worker.explain(running, task, error)
        return worker.tell(host, running, task, result)
    except BaseException as error:
        return worker.explain(running, task, error)
    finally:
        running.wake_when_cancelled(None)
        _current.reset(reset)
        worker.end(running)
        running.when_outlived(None)


class LoopPoller:
    """Polls for tasks that are done on a loop; one of several that share it."""

    def __init__(self, loop: Loop, worker: ActivityWorker, leaving: Callable[[], bool]) -> None:
        self._worker = worker
        self._loop = loop
        self._leaving = leaving
        loop.join()

    @property
    def host(self) -> ActivityWorker:
        """What does a task of this activity that came to another worker."""
        return self._worker

    def work_once(self, wait: timedelta | None = None) -> bool:
        """Wait for a free slot, poll, and have the task done; say whether there was one."""
        if not self._loop.take_slot(LOOK if wait is None else wait):
            return False
        started = False
        try:
            if not self._leaving() and (task := self._worker.poll_once(wait)) is not None:
                self._loop.start(self._worker, task)
                started = True
            return started
        finally:
            if not started:
                self._loop.give_slot_back()

    def flush(self) -> None:
        """Send the answers that could not be sent."""
        self._worker.flush()

    def close(self) -> None:
        """Leave the loop; the last one to leave waits until all is done and answered."""
        self._loop.leave()
        flush_at_last(self._worker)
