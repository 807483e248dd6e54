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
from traction.model.literals import Duration
from traction.model.operations import ActivityTask, RecordActivityTaskHeartbeat, RespondActivityTaskFailed
from traction.payloads.codec import MEND_READING, Codec, read_attempt
from traction.payloads.failures import HANDED_BACK, FailureInfo, write_failure
from traction.plugins.observer import tell_task
from traction.runtime.activity_task import RunningTask

log = logging.getLogger("traction.worker")

HEARTBEAT_CHARS_MAX = 2_048
"""The most characters that the details of a heartbeat may have (SWF)."""

BEATS_PER_TIMEOUT = 3
"""How often a task is beaten for within its heartbeat timeout."""

PROBE_DELAY = 0.1
"""How many seconds after a task should have timed out a beat asks whether it has."""

PROBE_PAUSE_MAX = 60.0
"""How many seconds later it is asked again at the latest, if the task had not timed out."""

OUTLIVED_SECONDS = 1.0
"""For how many seconds a body may run on after its task is known to have ended, before its slot is taken from it."""

CLEANUP_SECONDS = 10.0
"""The same for a body that has noticed, since `heartbeat()` or its await raised, and may be cleaning up."""

SECONDS_APART_MIN = 1.0
"""How many seconds two beats of one task are apart, at the least."""

QUEUE_SHARE_MAX, QUEUE_SLACK = 4, 256
"""How many planned beats are kept for each task that is worked on, and in addition, before old ones are removed."""

THREADS = 4
"""How many threads beat for all tasks: one that waits for a lost connection must not silence the others."""


class RunningActivity(RunningTask):
    """A task that is worked on.

    Args:
        timeout: the activity's heartbeat timeout, unless the call has one of its own.
        limits: the timeouts within which the activity must end, unless the call has one of its own.
        pulse: what beats for the task; without one, it beats only when the activity says so.
        aside: whether a beat must not be sent by the thread that says it, as on an event loop.
    """

    def __init__(
        self,
        backend: Backend,
        task: ActivityTask,
        codec: Codec,
        *,
        timeout: Duration = NO_TIMEOUT,
        limits: Iterable[Duration] = (),
        pulse: Heartbeater | None = None,
        aside: bool = False,
    ) -> None:
        self.execution = task.workflow_execution
        self.activity_type = task.activity_type
        self.activity_id = task.activity_id
        self.token = task.task_token
        told = read_attempt(task.input)
        self.attempt = told.number
        self.backend = backend
        self.every = find_interval(timeout if told.heartbeat is None else told.heartbeat)
        limits = limits if told.limit is None else (told.limit,)
        self.limit = min((float(limit) for limit in limits if limit != NO_TIMEOUT), default=None)
        self.aside = aside
        # When its work began and when it was found to have ended, both as the pulse's clock has it.
        self.began = 0.0
        self.gone_at: float | None = None
        self.gone_because = ""
        # Whether it is no longer ours, was handed back, and whether the activity was told that nobody wants it.
        self.gone = self.handed_back = self.told = False
        # Whether the activity asked and was told, or was cancelled, and so may be cleaning up.
        self.noticed = False
        # Whether the activity said something that has not been sent, when the last beat was, and when the next is due.
        self.unsent = False
        self.sent_at = float("-inf")
        self.due: float | None = None
        self._last_details = told.details
        self._codec = codec
        self._pulse = pulse
        self._details: str | None = None
        self._cancelled = False
        self._wake: Callable[[], object] | None = None
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._outliving = threading.Lock()
        self._when_outlived: Callable[[], object] | None = None

    @property
    def name(self) -> str:
        """What logs call it."""
        return f"{self.execution.workflow_id} {self.activity_id}"

    @property
    def cancelled(self) -> bool:
        """Whether the last beat was answered that nobody wants the result."""
        self.noticed = self._cancelled
        return self._cancelled

    @property
    def said(self) -> str | None:
        """What was said of its progress last, by this attempt or one before it, as a payload."""
        return self._last_details if self._details is None else self._details

    def last_details(self, type: Any = Any) -> Any:
        """Read what the last heartbeat of the attempts before this one said."""
        if self._last_details is None:
            return None
        return self._codec.decode(self._last_details, type, f"the last heartbeat of {self.activity_id}", MEND_READING)

    def heartbeat(self, details: object = None) -> None:
        """Say that the task is alive: at once, or with the next beat if the last one was just now."""
        if details is not None:
            self._details = write_details(self._codec, details)
        if self.gone:
            self.told = self.noticed = True
            raise Cancelled
        self.unsent = True
        # What is over is nobody's, or another's who has its token: the answer to a beat will tell.
        if self._pulse is None or not self._pulse.hasten(self):
            self.beat()
        if self._cancelled:
            self.told = self.noticed = True
            raise Cancelled

    def beat(self) -> None:
        """Send a beat now, with the latest details, and note what its answer says."""
        with self._sending:
            self.unsent = False
            try:
                status = self.backend.call(RecordActivityTaskHeartbeat(task_token=self.token, details=self._details))
            except UnknownResourceFault as error:
                # It timed out, was answered, or its execution has closed: it is no longer ours.
                self.gone, self.gone_because = True, str(error)
                self.cancel()
                return
            except BackendError as error:
                if not error.retryable:
                    raise
                # What becomes of one heartbeat is no failure of the work; the next may get through.
                log.warning("%s: a heartbeat was lost: %s", self.name, error, extra=tell_task(self))
                return
            finally:
                if self._pulse is not None:
                    self._pulse.note(self)
        if status.cancel_requested:
            self.cancel()

    def cancel(self) -> None:
        """Note that nobody wants the result, and wake who waits for that."""
        with self._lock:
            wake, self._wake = self._wake, None
            self._cancelled = True
        if wake is not None:
            wake()

    def hand_back(self) -> None:
        """Fail the task as one that was not done, which deciders schedule again, and let the activity know."""
        self.handed_back = True
        why = FailureInfo(
            HANDED_BACK, "its worker stopped before it was done; it is scheduled again", heartbeat=self.said
        )
        _, details = write_failure(why, self._codec)
        try:
            self.backend.call(RespondActivityTaskFailed(task_token=self.token, reason=HANDED_BACK, details=details))
        except UnknownResourceFault as error:
            log.info("%s: it was handed back too late: %s", self.name, error, extra=tell_task(self))
        except BackendError as error:
            said = "%s: it could not be handed back, and will time out: %s"
            log.warning(said, self.name, error, extra=tell_task(self))
        self.gone = True
        self.cancel()

    def describe_loss(self) -> str:
        """Return why the task is no longer open, for logs."""
        return f"its task has timed out or its execution has closed ({self.gone_because})"

    def when_outlived(self, act: Callable[[], object] | None) -> None:
        """Set what is done, in a thread of the pulse, if the body outlives its task; `None` for nothing any more.

        It waits for one that is being done, so that afterwards nothing is done to who has the slot next.
        """
        with self._outliving:
            self._when_outlived = act

    def outlive(self) -> None:
        """Do what is to be done about a body that still runs though its task has ended."""
        with self._outliving:
            act, self._when_outlived = self._when_outlived, None
            if act is not None:
                act()

    def wake_when_cancelled(self, wake: Callable[[], object] | None) -> None:
        """Say what to call, from any thread, as soon as nobody wants the result; `None` for nothing any more."""
        with self._lock:
            self._wake = wake if not self._cancelled else None
        if self._cancelled and wake is not None:
            wake()


class Heartbeater:
    """Beats for tasks from `begin` to `end`, at a fraction of their heartbeat timeouts; knows what is in hand.

    Args:
        clock: tells seconds that never go back.
        threads: how many threads beat, at the most; with none, whoever calls `beat_once`.
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
        """Beat for a task from now on."""
        with self._changed:
            late = self._handing_back
            if not late:
                self._tasks.add(task)
                task.began = self._clock()
                # Its start counts as a beat for the service, but what the activity says first goes out at once.
                self._plan_next(task, task.began)
        if late:
            task.hand_back()

    def end(self, task: RunningActivity) -> None:
        """Beat for it no longer."""
        with self._changed:
            self._tasks.discard(task)
            task.due = None
            if len(self._queue) > QUEUE_SHARE_MAX * len(self._tasks) + QUEUE_SLACK:
                # Tasks that have ended stay in the queue until they would have been due, which may be hours later.
                self._queue = [entry for entry in self._queue if entry[2].due == entry[0]]
                heapq.heapify(self._queue)

    def hand_back(self) -> None:
        """Hand back all tasks that are worked on, and those that come from now on."""
        with self._changed:
            self._handing_back = True
            tasks, self._tasks = self._tasks, set()
        for task in tasks:
            log.warning("%s: handed back, its worker stops", task.name, extra=tell_task(task))
            task.hand_back()

    def hasten(self, task: RunningActivity) -> bool:
        """Let the next beat be as soon as it may; say whether it is for the pulse to send it."""
        with self._changed:
            now = self._clock()
            due = max(now, task.sent_at + SECONDS_APART_MIN)
            if task not in self._tasks or (due <= now and not task.aside):
                return False
            if task.due is None or due < task.due:
                self._plan(task, due)
            return True

    def note(self, task: RunningActivity) -> None:
        """A beat was sent, or lost: plan the next one."""
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
        """Send the beat that is due; give the seconds until the next one, or `None` if there is none."""
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
            what = "a heartbeat was refused" if task.gone_at is None else "its slot cannot be taken from its body"
            log.exception("%s: %s", task.name, what, extra=tell_task(task))
        return 0.0

    def _spare(self, task: RunningActivity, gone_at: float) -> bool:
        """Let a body that has noticed that its task has ended clean up for a while; return whether it still may."""
        with self._changed:
            if task.noticed and self._clock() < (end := gone_at + CLEANUP_SECONDS):
                self._plan(task, end)
                return True
            return task not in self._tasks

    def close(self) -> None:
        """Stop, and wait for a beat that is being sent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _plan_next(self, task: RunningActivity, now: float) -> None:
        """Plan the beat after one that was sent now: for the heartbeat timeout, or to ask whether it has timed out."""
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
    """Say how many seconds lie between beats: a third of the timeout, a second at least, and half of it at most."""
    if timeout == NO_TIMEOUT:
        return None
    seconds = float(timeout)
    return min(max(seconds / BEATS_PER_TIMEOUT, SECONDS_APART_MIN), seconds / 2)


def write_details(codec: Codec, details: object) -> str:
    """Write the details of a heartbeat.

    Raises:
        PayloadError: they cannot be written, or are longer than SWF takes.
    """
    payload = codec.encode(details)
    if len(payload) > HEARTBEAT_CHARS_MAX:
        raise PayloadError(
            f"the details of a heartbeat take {len(payload):,} characters; SWF takes {HEARTBEAT_CHARS_MAX:,}"
        )
    return payload
