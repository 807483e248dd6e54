"""The embedded backend: the simulated service in this process, in real time.

Theory of operation. One lock covers the service. A poll that finds no task leaves a *waiter*: its request and a
callback that wakes the caller. The thread that makes a task available, a responder or the alarm thread, repeats the
poll of the waiter while it still holds the lock, stores the response in the waiter, and wakes it: one task wakes one
poll, once. A waiter whose wait is over is withdrawn. If a task was assigned in the meantime, that is its response, so
none is lost. If other processes share the service's file, the alarm thread reads it while callers wait: often after a
change, and less often otherwise.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

import msgspec

from traction.backend import POLL_WAIT_MAX, Backend
from traction.errors import BackendError, LimitExceededFault, ServiceFault
from traction.model import operations as o
from traction.model.limits import SWF, Limits
from traction.model.names import WorkflowExecution
from traction.model.sizes import check_request_size
from traction_local.clock import system_now
from traction_local.service.service import Service
from traction_local.service.state.task_list import Ready

T = TypeVar("T")

log = logging.getLogger("traction.local")

DOMAIN = "traction"
"""The default domain of an embedded backend."""

LOOK = timedelta(seconds=30)
"""The longest sleep while an alarm is pending: clocks are adjusted, and machines suspend."""

NEWS_EVERY_MIN, NEWS_EVERY_MAX = timedelta(milliseconds=1), timedelta(milliseconds=16)
"""The interval at which a shared file is read while callers wait: after a change, and after a while without."""

RETRY = timedelta(seconds=1)
"""The delay before a due alarm is retried after an error of the file."""

_KINDS: dict[type, Any] = {o.PollForDecisionTask: "decision", o.PollForActivityTask: "activity"}


class Waiter(msgspec.Struct, eq=False):
    """A waiting poll: its request, its response or fault once there is one, and the callback that wakes the caller."""

    request: Any
    empty: Any
    queue: deque[Waiter]
    wake: Callable[[], None]
    answer: Any = None
    fault: BackendError | None = None

    def get_answer(self) -> Any:
        """Return the task, or the empty response if there was none. Raises SWF's fault."""
        if self.fault is not None:
            raise self.fault
        return self.empty if self.answer is None else self.answer


class SharedFile(Protocol):
    """The file of a service, which other processes share."""

    def commit(self) -> None:
        """Commit all calls since the last commit. If that fails, they have no effect."""
        ...

    def close(self) -> None:
        """Close the file. A later call opens it for its duration."""
        ...


class LocalBackend(Backend):
    """The simulator of SWF as a backend in this process, in real time."""

    def __init__(
        self,
        service: Service,
        *,
        url: str = "local:",
        domain: str = DOMAIN,
        limits: Limits | None = None,
        clock: Callable[[], datetime] = system_now,
        pace: float = 1.0,
        file: SharedFile | None = None,
    ) -> None:
        """Create a backend for a service.

        Args:
            service: The service. Only this backend may call it.
            url: Its URL.
            domain: The domain of its requests.
            limits: Its quotas.
            clock: Returns the time.
            pace: The speed of that clock; 0 if it only moves when it is advanced.
            file: The service's file, if it has one.
        """
        self.url = url
        self.domain = domain
        self.limits = limits or SWF
        self._service = service
        self._clock = clock
        self._pace = pace
        self._lock = threading.Lock()
        self._waiters: dict[Ready, deque[Waiter]] = {}
        self._watchers: dict[str, list[threading.Event]] = {}
        self._alarm = threading.Condition(self._lock)
        self._alarm_thread: threading.Thread | None = None
        self._wakes_at: datetime | None = None
        self._file = file
        self._woken: list[Waiter] = []
        self._news_every = NEWS_EVERY_MIN
        self._awaits_news = False
        self._closed = False

    def call(self, request: o.Request[T], wait: timedelta | None = None) -> T:
        """Send a request and return its response; see `Backend.call`."""
        check_request_size(request, self.limits.request_bytes_max)
        if type(request) not in _KINDS:
            return self.ask(request)  # type: ignore[return-value]
        seconds = (POLL_WAIT_MAX if wait is None else wait).total_seconds()
        if seconds <= 0:
            return self.ask(request)  # type: ignore[return-value]
        woken = threading.Lock()
        woken.acquire()
        waiter = self.ask(request, woken.release)
        if not isinstance(waiter, Waiter):
            return waiter
        in_time = False
        try:
            in_time = woken.acquire(timeout=min(seconds, threading.TIMEOUT_MAX))
        finally:
            # The wait is over, or the thread was interrupted: no task may be assigned to it.
            if not in_time:
                self.withdraw(waiter)
        return waiter.get_answer()  # type: ignore[no-any-return]

    def ask(self, request: o.Request[T], wake: Callable[[], None] | None = None) -> T | Waiter:
        """Send a request and return its response, or the waiter of a poll that found no task.

        Args:
            request: one of the 39 operations.
            wake: called once when the waiter has its response, in any thread, while the lock is held: it must be quick
                and must not call the backend. Without it, a poll that finds no task returns empty.

        Raises:
            ServiceFault: as `Backend.call`.
        """
        with self._lock:
            now = self._clock()
            try:
                answer: Any = self._service.call(request, now)
            finally:
                self._settle(now)
            if wake is None or (kind := _KINDS.get(type(request))) is None or answer.task_token or self._closed:
                return answer  # type: ignore[no-any-return]
            poll: Any = request
            queue = self._waiters.setdefault(Ready(kind, poll.domain, poll.task_list.name), deque())
            if len(queue) >= self.limits.pollers_max:
                raise LimitExceededFault("Limit on maximum concurrent poll requests per task list reached")
            waiter = Waiter(request, answer, queue, wake)
            queue.append(waiter)
            self._await_news()
            return waiter

    def withdraw(self, waiter: Waiter) -> None:
        """Remove a waiter. If a task was assigned to it before, `get_answer` returns it."""
        with self._lock, suppress(ValueError):
            waiter.queue.remove(waiter)

    def settle(self) -> tuple[datetime, datetime | None]:
        """Fire due alarms. Returns the time, and when the next alarm is due."""
        with self._lock:
            now = self._clock()
            self._look(now)
            return now, self._service.next_alarm()

    def now(self) -> datetime:
        return self._clock()

    def wait_until_closed(self, execution: WorkflowExecution, wait: timedelta) -> bool:
        """Wait until a run has closed, for at most `wait`. Returns whether it has."""
        closed = threading.Event()
        with self._lock:
            now = self._clock()
            try:
                if self._is_closed(execution, now):
                    return True
            finally:
                self._settle(now)
            self._watchers.setdefault(execution.run_id, []).append(closed)
            self._await_news()
        try:
            closed.wait(min(max(wait.total_seconds(), 0.0), threading.TIMEOUT_MAX))
        finally:
            with self._lock:
                if (watchers := self._watchers.get(execution.run_id)) is not None:
                    watchers.remove(closed)
                    if not watchers:
                        del self._watchers[execution.run_id]
        return closed.is_set()

    def close(self) -> None:
        """Stop the alarm thread. Waiting polls return empty."""
        with self._lock:
            self._closed = True
            for queue in self._waiters.values():
                while queue:
                    queue.popleft().wake()
            self._alarm.notify_all()
            thread = self._alarm_thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        if self._file is not None:
            with self._lock:
                self._file.close()

    # The lock is held in all methods below.

    def _is_closed(self, execution: WorkflowExecution, now: datetime) -> bool:
        request = o.DescribeWorkflowExecution(domain=self.domain, execution=execution)
        return self._service.call(request, now).execution_info.execution_status == "CLOSED"

    def _settle(self, now: datetime) -> None:
        """Fire due alarms, assign tasks to waiters, and wake those who wait for a close.

        They are woken after the commit.
        """
        if self._file is None and not self._waiters and not self._watchers:
            # There are no waiters to wake.
            self._fire_due(now)
            self._service.drop_news()
            return
        woken = self._woken
        try:
            self._wake_waiters(now)
            if self._file is not None:
                self._file.commit()
        except BaseException as error:
            for waiter in woken:
                waiter.answer, waiter.fault = None, error if isinstance(error, BackendError) else waiter.fault
            raise
        finally:
            for waiter in woken:
                waiter.wake()
            woken.clear()
        for run_id in self._service.take_closed():
            for watcher in self._watchers.pop(run_id, ()):
                watcher.set()

    def _wake_waiters(self, now: datetime) -> None:
        waiters = self._waiters
        while True:
            self._fire_due(now)
            # Only a woken poll can cause further tasks.
            wanted = [key for key in self._service.take_ready() if waiters.get(key)]
            if not wanted:
                break
            for key in wanted:
                self._wake(key, now)

    def _fire_due(self, now: datetime) -> None:
        """Advance the service, and set the alarm thread to the next alarm."""
        service = self._service
        if self._wakes_at is not None and not service.may_be_due(max(self._wakes_at, now)):
            return
        while (alarm := service.next_alarm()) is not None and alarm <= now:
            service.advance(now)
        if alarm is not None and (self._wakes_at is None or alarm < self._wakes_at) and not self._closed:
            self._wakes_at = alarm
            self._wake_ringer()

    def _wake_ringer(self) -> None:
        if self._alarm_thread is None:
            self._alarm_thread = threading.Thread(target=self._ring, name="traction alarms", daemon=True)
            self._alarm_thread.start()
        else:
            self._alarm.notify()

    def _await_news(self) -> None:
        """Make the alarm thread read the shared file, if there is one."""
        if self._file is not None and not self._awaits_news and not self._closed:
            self._wake_ringer()

    def _look(self, now: datetime) -> None:
        """Fire due alarms, and read what other processes wrote."""
        if self._file is None:
            self._settle(now)
            return
        before = self._service.revision
        try:
            self._service.advance(now)
            news = self._service.revision != before
            self._settle(now)
        except BackendError as error:
            log.warning("a due alarm is retried in %s: %s", RETRY, error)
            with suppress(BackendError):
                self._file.commit()
            self._news_every, self._wakes_at = RETRY, now + RETRY
        else:
            self._news_every = NEWS_EVERY_MIN if news else min(self._news_every * 1.25, NEWS_EVERY_MAX)

    def _wake(self, key: Ready, now: datetime) -> None:
        """Assign a task to the poll that has waited longest. If that poll is refused, wake it and try the next."""
        queue = self._waiters.get(key)
        while queue:
            waiter = queue[0]
            try:
                answer: Any = self._service.call(waiter.request, now)
            except BackendError as error:
                waiter.fault = error
                if not isinstance(error, ServiceFault):
                    self._woken.append(queue.popleft())
                    return
            else:
                if not answer.task_token:
                    return
                waiter.answer = answer
            self._woken.append(queue.popleft())
            if waiter.answer is not None:
                return

    def _ring(self) -> None:
        """Call the service whenever an alarm is due."""
        with self._lock:
            while not self._closed:
                now = self._clock()
                self._wakes_at = None
                self._look(now)
                self._alarm.wait(self._measure_pause(now))

    def _measure_pause(self, now: datetime) -> float | None:
        """Return the seconds until the next alarm or read; `None` if there is neither."""
        pauses = []
        if self._wakes_at is not None and self._pace:
            pauses.append(max(min((self._wakes_at - now) / self._pace, LOOK), timedelta(0)))
        self._awaits_news = self._file is not None and bool(self._watchers or any(self._waiters.values()))
        if self._awaits_news:
            pauses.append(self._news_every)
        return min(pauses).total_seconds() if pauses else None
