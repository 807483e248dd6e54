"""Send the heartbeats of running activities, and learn from the replies which were cancelled or have ended.

One `Heartbeater` serves all activities of a process, with a few threads.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

from traction.backend import Backend
from traction.errors import BackendError, PayloadError, UnknownResourceFault
from traction.flow.durations import NO_TIMEOUT
from traction.flow.step import Cancelled
from traction.model.limits import SWF
from traction.model.literals import Duration
from traction.model.operations import ActivityTask, RecordActivityTaskHeartbeat, RespondActivityTaskFailed
from traction.payloads.attempts import read_attempt
from traction.payloads.codec import HINT_READING, Codec
from traction.payloads.failure_info import FailureInfo
from traction.payloads.failure_text import HANDED_BACK, write_failure
from traction.plugins.observer import build_task_fields
from traction.runtime.activity_task import RunningTask

log = logging.getLogger("traction.worker")

HEARTBEAT_CHARS_MAX = SWF.heartbeat_chars_max
"""The most characters of the details of a heartbeat (SWF)."""

BEATS_PER_TIMEOUT = 3
"""How many heartbeats are sent within a task's heartbeat timeout."""

PROBE_DELAY = 0.1
"""How many seconds after a task's timeout a heartbeat checks whether it has ended."""

PROBE_PAUSE_MAX = 60.0
"""The longest pause before the next such check, in seconds."""

OUTLIVED_SECONDS = 1.0
"""How long a body may run after its task is known to have ended, before its slot is replaced."""

CLEANUP_SECONDS = 10.0
"""The same for a body that was notified by `heartbeat()` or at its await, and may be cleaning up."""

SECONDS_APART_MIN = 1.0
"""The shortest time between two heartbeats of one task, in seconds."""

QUEUE_SHARE_MAX, QUEUE_SLACK = 4, 256
"""How many planned heartbeats are kept per running task, and in addition, before stale ones are removed."""

THREADS = 4
"""How many threads send heartbeats: one blocked by a lost connection must not delay the others."""


class RunningActivity(RunningTask):
    """A running activity task.

    Args:
        timeout: the activity's heartbeat timeout, unless the call has one of its own.
        limits: the timeouts within which the activity must end, unless the call has one of its own.
        heartbeater: sends heartbeats for the task. Without one, only calls of `heartbeat` send them.
        defer_heartbeats: leave heartbeats to the heartbeater's threads, as on an event loop, which must not block.
    """

    def __init__(
        self,
        backend: Backend,
        task: ActivityTask,
        codec: Codec,
        *,
        timeout: Duration = NO_TIMEOUT,
        limits: Iterable[Duration] = (),
        heartbeater: Heartbeater | None = None,
        defer_heartbeats: bool = False,
    ) -> None:
        self.execution = task.workflow_execution
        self.activity_type = task.activity_type
        self.activity_id = task.activity_id
        self.token = task.task_token
        sent = read_attempt(task.input)
        self.attempt = sent.number
        self.backend = backend
        self.every = find_interval(timeout if sent.heartbeat is None else sent.heartbeat)
        limits = limits if sent.limit is None else (sent.limit,)
        self.limit = min((float(limit) for limit in limits if limit != NO_TIMEOUT), default=None)
        self.defer_heartbeats = defer_heartbeats
        # When it began and when it was found to have ended, by the heartbeater's clock.
        self.began = 0.0
        self.gone_at: float | None = None
        self.gone_because = ""
        # Whether the task has ended elsewhere, was handed back, and whether the activity was notified of it.
        self.gone = self.handed_back = self.notified = False
        # Whether the activity has seen its cancellation, and so may be cleaning up.
        self.noticed = False
        # Whether a heartbeat of the activity is unsent, when the last one was sent, and when the next is due.
        self.unsent = False
        self.sent_at = float("-inf")
        self.due: float | None = None
        self._last_details = sent.details
        self._codec = codec
        self._heartbeater = heartbeater
        self._details: str | None = None
        self._cancelled = False
        self._wake: Callable[[], object] | None = None
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._outliving = threading.Lock()
        self._when_outlived: Callable[[], object] | None = None

    @property
    def name(self) -> str:
        """The name of the task in logs."""
        return f"{self.execution.workflow_id} {self.activity_id}"

    @property
    def cancelled(self) -> bool:
        """Whether cancellation of the task was requested, or the task has ended."""
        self.noticed = self._cancelled
        return self._cancelled

    @property
    def latest_details(self) -> str | None:
        """The details of the last heartbeat of this attempt or an earlier one, as a payload."""
        return self._last_details if self._details is None else self._details

    def last_details(self, type: Any = Any) -> Any:
        """Return the details of the last heartbeat of earlier attempts, decoded as `type`."""
        if self._last_details is None:
            return None
        return self._codec.decode(self._last_details, type, f"the last heartbeat of {self.activity_id}", HINT_READING)

    def heartbeat(self, details: object = None) -> None:
        """Send a heartbeat, at once or as soon as the minimum interval has passed."""
        if details is not None:
            self._details = write_details(self._codec, details)
        if self.gone:
            self.notified = self.noticed = True
            raise Cancelled
        self.unsent = True
        # If the task is unknown to the heartbeater, the response shows whether it has ended.
        if self._heartbeater is None or not self._heartbeater.hasten(self):
            self.beat()
        if self._cancelled:
            self.notified = self.noticed = True
            raise Cancelled

    def beat(self) -> None:
        """Send a heartbeat now with the latest details, and record cancellation from the response."""
        with self._sending:
            self.unsent = False
            try:
                status = self.backend.call(RecordActivityTaskHeartbeat(task_token=self.token, details=self._details))
            except UnknownResourceFault as error:
                # The task timed out, was completed, or its execution has closed.
                self.gone, self.gone_because = True, str(error)
                self.cancel()
                return
            except BackendError as error:
                if not error.retryable:
                    raise
                # A lost heartbeat does not fail the task; the next one may succeed.
                log.warning("%s: a heartbeat could not be sent: %s", self.name, error, extra=build_task_fields(self))
                return
            finally:
                if self._heartbeater is not None:
                    self._heartbeater.note(self)
        if status.cancel_requested:
            self.cancel()

    def cancel(self) -> None:
        """Mark the task as cancelled, and call the function set by `wake_when_cancelled`."""
        with self._lock:
            wake, self._wake = self._wake, None
            self._cancelled = True
        if wake is not None:
            wake()

    def hand_back(self) -> None:
        """Fail the task with a reason for which deciders schedule it again, and cancel the activity."""
        self.handed_back = True
        why = FailureInfo(
            HANDED_BACK, "its worker stopped before it finished; it is scheduled again", heartbeat=self.latest_details
        )
        _, details = write_failure(why, self._codec)
        try:
            self.backend.call(RespondActivityTaskFailed(task_token=self.token, reason=HANDED_BACK, details=details))
        except UnknownResourceFault as error:
            log.info("%s: handed back too late: %s", self.name, error, extra=build_task_fields(self))
        except BackendError as error:
            message = "%s: could not be handed back and will time out: %s"
            log.warning(message, self.name, error, extra=build_task_fields(self))
        self.gone = True
        self.cancel()

    def describe_loss(self) -> str:
        """Return why the task is no longer open, for logs."""
        return f"its task has timed out or its execution has closed ({self.gone_because})"

    def when_outlived(self, act: Callable[[], object] | None) -> None:
        """Set the function that a heartbeater's thread calls if the body outlives its task; `None` to unset it.

        Waits for a call in progress, so that it cannot affect the next task of the slot.
        """
        with self._outliving:
            self._when_outlived = act

    def outlive(self) -> None:
        """Call the function set by `when_outlived`."""
        with self._outliving:
            act, self._when_outlived = self._when_outlived, None
            if act is not None:
                act()

    def wake_when_cancelled(self, wake: Callable[[], object] | None) -> None:
        """Set the function to call, from any thread, when the task is cancelled; `None` to unset it."""
        with self._lock:
            self._wake = wake if not self._cancelled else None
        if self._cancelled and wake is not None:
            wake()


class Heartbeater:
    """Sends heartbeats for tasks from `begin` to `end`, at a fraction of their heartbeat timeouts.

    Args:
        clock: a monotonic clock in seconds.
        threads: the most threads that send heartbeats; with 0, call `beat_once`.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, threads: int = THREADS) -> None:
        self._clock = clock
        self._threads_max = threads
        self._threads: list[threading.Thread] = []
        self._tasks: set[RunningActivity] = set()
        self._queue: list[tuple[float, int, RunningActivity]] = []
        self._order = count()
        self._changed = threading.Condition()
        self._closed = False
        self._handing_back = False

    def begin(self, task: RunningActivity) -> None:
        with self._changed:
            late = self._handing_back
            if not late:
                self._tasks.add(task)
                task.began = self._clock()
                # The service counts the start as a heartbeat, but the activity's first heartbeat is sent at once.
                self._plan_next(task, task.began)
        if late:
            task.hand_back()

    def end(self, task: RunningActivity) -> None:
        with self._changed:
            self._tasks.discard(task)
            task.due = None
            if len(self._queue) > QUEUE_SHARE_MAX * len(self._tasks) + QUEUE_SLACK:
                # Tasks that have ended stay in the queue until they would have been due, which may be hours later.
                self._queue = [entry for entry in self._queue if entry[2].due == entry[0]]
                heapq.heapify(self._queue)

    def hand_back(self) -> None:
        """Hand back all running tasks, and all that begin later."""
        with self._changed:
            self._handing_back = True
            tasks, self._tasks = self._tasks, set()
        for task in tasks:
            log.warning("%s: handed back, because its worker stops", task.name, extra=build_task_fields(task))
            task.hand_back()

    def hasten(self, task: RunningActivity) -> bool:
        """Plan the next heartbeat as early as allowed. Return whether the heartbeater sends it."""
        with self._changed:
            now = self._clock()
            due = max(now, task.sent_at + SECONDS_APART_MIN)
            if task not in self._tasks or (due <= now and not task.defer_heartbeats):
                return False
            if task.due is None or due < task.due:
                self._plan(task, due)
            return True

    def note(self, task: RunningActivity) -> None:
        """Plan the next heartbeat after one was sent or lost."""
        with self._changed:
            task.sent_at = self._clock()
            task.due = None
            if task not in self._tasks:
                return
            if task.gone:
                task.gone_at = task.sent_at
                self._plan(task, task.gone_at + OUTLIVED_SECONDS)
            elif task.unsent:
                self._plan(task, task.sent_at + SECONDS_APART_MIN)
            else:
                self._plan_next(task, task.sent_at)

    def beat_once(self) -> float | None:
        """Send the heartbeat that is due. Return the seconds until the next one, or `None` if there is none."""
        with self._changed:
            while self._queue and self._queue[0][2].due != self._queue[0][0]:
                heapq.heappop(self._queue)
            if not self._queue:
                return None
            due, _, task = self._queue[0]
            if (left := due - self._clock()) > 0:
                return left
            heapq.heappop(self._queue)
            task.due = None
        try:
            if task.gone_at is None:
                task.beat()
            elif not self._spare(task, task.gone_at):
                task.outlive()
        except Exception:
            what = "a heartbeat was rejected" if task.gone_at is None else "its slot could not be replaced"
            log.exception("%s: %s", task.name, what, extra=build_task_fields(task))
        return 0.0

    def _spare(self, task: RunningActivity, gone_at: float) -> bool:
        """Return whether a body may still clean up after its task has ended."""
        with self._changed:
            if task.noticed and self._clock() < (end := gone_at + CLEANUP_SECONDS):
                self._plan(task, end)
                return True
            return task not in self._tasks

    def close(self) -> None:
        """Stop, and wait for heartbeats in progress."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _plan_next(self, task: RunningActivity, now: float) -> None:
        """Plan the heartbeat after one sent now: for the heartbeat timeout, or to check whether the task has ended."""
        dues = [] if task.every is None else [now + task.every]
        if task.limit is not None:
            end = task.began + task.limit
            dues.append(end + PROBE_DELAY if now < end else now + min(max(now - end, 1.0), PROBE_PAUSE_MAX))
        if dues:
            self._plan(task, min(dues))

    def _plan(self, task: RunningActivity, due: float) -> None:
        task.due = due
        heapq.heappush(self._queue, (due, next(self._order), task))
        if len(self._threads) < min(self._threads_max, len(self._tasks)) and not self._closed:
            thread = threading.Thread(target=self._beat_on, name=f"heartbeats {len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        elif self._queue[0][2] is task:
            self._changed.notify()

    def _beat_on(self) -> None:
        while not self._closed:
            left = self.beat_once()
            if left == 0:
                continue
            with self._changed:
                if not self._closed and (not self._queue or self._queue[0][0] > self._clock()):
                    self._changed.wait(left)


def find_interval(timeout: Duration) -> float | None:
    """Return the seconds between heartbeats: a third of the timeout, at least a second, at most half of it."""
    if timeout == NO_TIMEOUT:
        return None
    seconds = float(timeout)
    return min(max(seconds / BEATS_PER_TIMEOUT, SECONDS_APART_MIN), seconds / 2)


def write_details(codec: Codec, details: object) -> str:
    """Encode the details of a heartbeat.

    Raises:
        PayloadError: they cannot be encoded, or are longer than SWF allows.
    """
    payload = codec.encode(details)
    if len(payload) > HEARTBEAT_CHARS_MAX:
        raise PayloadError(
            f"the details of a heartbeat take {len(payload):,} characters; SWF allows at most {HEARTBEAT_CHARS_MAX:,}"
        )
    return payload
