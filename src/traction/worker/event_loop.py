"""Run async activities on an event loop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

from traction.errors import BackendError
from traction.model import operations as o
from traction.plugins.observer import build_task_fields
from traction.worker.activity_worker import ActivityWorker
from traction.worker.attempt import name_task
from traction.worker.coroutines import await_outcome, cancel_at_await
from traction.worker.heartbeats import RunningActivity
from traction.worker.hosted_activity import HostedActivity
from traction.worker.loop import flush_at_last
from traction.worker.slots import Slots

log = logging.getLogger("traction.worker")


POLLERS_MAX = 4
"""The most threads that poll for the tasks of one loop."""


CHECK_INTERVAL = timedelta(seconds=1)
"""How long a turn waits for a free slot before its loop checks whether to stop."""


class Loop:
    """An event loop in its own thread, with slots. It starts with the first task, and ends with the last poller."""

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
        self._senders: ThreadPoolExecutor | None = None

    def join(self) -> None:
        with self._changed:
            self._pollers += 1

    def leave(self) -> None:
        """Remove a poller. The last one waits for running tasks and ends the loop.

        Bodies that outlived their tasks are not waited for: their loop stays in a daemon thread.
        """
        with self._changed:
            self._pollers -= 1
            if self._pollers:
                return
            self._changed.wait_for(lambda: self._free + self._given_up == self._size)
            loop, thread, senders = self._loop, self._thread, self._senders
            self._loop = self._thread = self._senders = None
        if loop is not None and thread is not None and senders is not None:
            senders.shutdown()
            if self.slots.lost:
                return
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def take_slot(self, wait: timedelta) -> bool:
        """Wait for a free slot and take it. Return whether there was one in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._free > 0, wait.total_seconds()):
                return False
            self._free -= 1
            return True

    def give_slot_back(self) -> None:
        with self._changed:
            self._free += 1
            self._changed.notify_all()

    def outlive(self, running: RunningActivity, loop: Any) -> bool:
        """Replace the slot of a body that outlived its task, and the loop if the body blocks it.

        Returns:
            Whether the slot was replaced.
        """
        with self._changed:
            if not running.noticed and self._loop is loop:
                # It was not cancelled, so it blocks the loop: the next task gets a new one.
                log.error(
                    "%s: blocks the event loop, starting a new one",
                    running.name,
                    extra=build_task_fields(running),
                )
                self._loop = None
        replaced = self.slots.lose(running)
        if not replaced:
            with self._changed:
                self._given_up += 1
                self._changed.notify_all()
        return replaced

    def regain(self, running: RunningActivity, *, replaced: bool) -> None:
        """Free the slot of a body that outlived its task and has ended."""
        self.slots.regain(running)
        if not replaced:
            with self._changed:
                self._given_up -= 1
            self.give_slot_back()

    def start(self, worker: ActivityWorker, task: o.ActivityTask) -> None:
        """Run a task on the loop, send its response from another thread, then free its slot."""
        # Imported here: it loads slower than all of Traction, and only async activities need it.
        import asyncio

        with self._changed:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="async activities", daemon=True)
                self._thread.start()
                self._senders = self._senders or ThreadPoolExecutor(POLLERS_MAX, "responses of async activities")
            loop, senders = self._loop, self._senders
        assert senders is not None
        slot = LoopSlot(self, loop)

        def finish(done: Any) -> None:
            with suppress(RuntimeError):  # the loop was replaced, and the task has ended
                senders.submit(self._respond, worker, task, slot, done)

        asyncio.run_coroutine_threadsafe(_do(worker, task, slot), loop).add_done_callback(finish)

    def _respond(self, worker: ActivityWorker, task: o.ActivityTask, slot: LoopSlot, done: Any) -> None:
        try:
            worker.respond(task, done.result())
        except BackendError as error:
            # If it is retryable, it is sent before the next poll.
            log.warning("%s: the response could not be sent: %s", name_task(task), error, extra=build_task_fields(task))
        except BaseException:
            log.exception("%s: the response could not be sent", name_task(task), extra=build_task_fields(task))
        finally:
            slot.end()


class LoopSlot:
    """The slot of a task on a loop, occupied until its body ends or outlives the task."""

    def __init__(self, loop: Loop, event_loop: Any) -> None:
        self._loop, self._event_loop = loop, event_loop
        self._outlived: RunningActivity | None = None
        self._replaced = False

    def end(self) -> None:
        if self._outlived is None:
            self._loop.give_slot_back()
        else:
            self._loop.regain(self._outlived, replaced=self._replaced)

    def outlive(self, running: RunningActivity) -> None:
        """Replace the slot, because its body outlived its task."""
        self._outlived = running
        self._replaced = self._loop.outlive(running, self._event_loop)


async def _do(worker: ActivityWorker, task: o.ActivityTask, slot: LoopSlot) -> o.Request[None] | None:
    """Run an async activity on the running loop and return its response."""
    import asyncio

    with worker.attempt(task, defer_heartbeats=True, on_outlived=slot.outlive) as attempt:
        if attempt.started:
            body = asyncio.ensure_future(await_outcome(attempt.run_body()))
            cancel_at_await(asyncio.get_running_loop(), body, attempt.running)
            try:
                result, error = await body
            finally:
                attempt.running.wake_when_cancelled(None)
            if error is None:
                attempt.complete(result)
            else:
                attempt.fail(error)
    return attempt.response


class LoopPoller:
    """Polls for tasks that run on a shared loop."""

    def __init__(self, loop: Loop, worker: ActivityWorker, leaving: Callable[[], bool]) -> None:
        self._worker = worker
        self._loop = loop
        self._leaving = leaving
        loop.join()

    @property
    def hosted(self) -> HostedActivity:
        """The activity whose tasks are polled for."""
        return self._worker.hosted

    def work_once(self, wait: timedelta | None = None) -> bool:
        """Wait for a free slot, poll, and start the task. Return whether there was one."""
        if not self._loop.take_slot(CHECK_INTERVAL if wait is None else wait):
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
        """Send the responses that could not be sent before."""
        self._worker.flush()

    def close(self) -> None:
        """Leave the loop. The last poller waits for the running tasks."""
        self._loop.leave()
        flush_at_last(self._worker)
