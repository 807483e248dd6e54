"""Answer to the contract in real time, in this process: the embedded backend.

Takes requests from any thread; gives the service's answers. Holds the lock, the polls that wait, and the thread that
calls the service when an alarm is due. Decides nothing: `service` does.

Theory of operation. One lock covers the service. A poll that finds nothing leaves a *waiter*, its request and a way to
wake whoever asked: a thread sleeps on a lock of its own, a server has a loop to call. Whoever brings the task, a
responder or the alarm thread, makes the waiter's poll for it while it still holds the service's lock, puts the answer
into the waiter, and wakes it: one task wakes one poll, once. A waiter whose time is up is withdrawn from the list, and
if a task was assigned in between, that is its answer: so none is lost. If other processes share the service's file, the
alarm thread looks into it as long as somebody waits: often while there is news, and seldom when there is none.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from traction.backend import POLL_WAIT_MAX, Backend
from traction.errors import BackendError, LimitExceededFault, ServiceFault
from traction.model import operations as o
from traction.model.limits import Limits
from traction.model.names import WorkflowExecution
from traction.model.sizes import check_request_size
from traction_local.clock import system_now
from traction_local.service.service import Service
from traction_local.service.state.task_list import Ready

T = TypeVar("T")

log = logging.getLogger("traction.local")

DOMAIN = "traction"
"""The domain that an embedded backend has from the start."""

LOOK = timedelta(seconds=30)
"""How often the clock is looked at while an alarm is pending: clocks are set, and machines sleep."""

NEWS_EVERY_MIN, NEWS_EVERY_MAX = timedelta(milliseconds=1), timedelta(milliseconds=16)
"""How often a file that is shared is looked into while somebody waits: after news, and after a while without."""

RETRY = timedelta(seconds=1)
"""How soon what is due is tried again when the service could not be reached."""

_KINDS: dict[type, Any] = {o.PollForDecisionTask: "decision", o.PollForActivityTask: "activity"}


class Waiter:
    """A poll that waits: its request, the answer or fault once there is one, and what then wakes whoever asked."""

    __slots__ = ("answer", "empty", "fault", "queue", "request", "wake")

    def __init__(self, request: Any, empty: Any, queue: deque[Waiter], wake: Callable[[], None]) -> None:
        self.request = request
        self.empty = empty
        self.queue = queue
        self.wake = wake
        self.answer: Any = None
        self.fault: BackendError | None = None

    def get_answer(self) -> Any:
        """Give the task, or the empty answer if none came; or raise SWF's fault."""
        if self.fault is not None:
            raise self.fault
        return self.empty if self.answer is None else self.answer


class SharedFile(Protocol):
    """What other processes share with a service."""

    def commit(self) -> None:
        """Write down all that was called since the last time. If that fails, none of it has happened."""
        ...

    def close(self) -> None:
        """Let go of the file. What is called later opens it for as long as it takes."""
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
        """Begin to answer for a service.

        Args:
            service: What decides. Nobody else may call it.
            url: What this was opened by.
            domain: The domain of its requests.
            limits: The quotas that it tells.
            clock: What tells the time.
            pace: How many seconds of that clock pass in one; 0 if it only moves when somebody moves it.
            file: The service's file, if it has one that other processes share.
        """
        self.url = url
        self.domain = domain
        self.limits = limits or Limits()
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
        """Make a request and give its answer; see `Backend.call`."""
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
            # Its time is up, or its thread is interrupted: no task may go to it any more.
            if not in_time:
                self.withdraw(waiter)
        return waiter.get_answer()  # type: ignore[no-any-return]

    def ask(self, request: o.Request[T], wake: Callable[[], None] | None = None) -> T | Waiter:
        """Make a request and give its answer; or, if it is a poll that finds nothing, leave a waiter and give that.

        Args:
            request: one of the 39 operations.
            wake: called once when the waiter has its answer, in any thread, while nobody else can ask: it must be
                quick and must not ask itself. Without it, a poll that finds nothing is answered empty.

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
        """Let no task go to a waiter any more. If one did, `get_answer` has it."""
        with self._lock, suppress(ValueError):
            waiter.queue.remove(waiter)

    def settle(self) -> tuple[datetime, datetime | None]:
        """Let happen what is due; give the time, and when there is next something to do."""
        with self._lock:
            now = self._clock()
            self._look(now)
            return now, self._service.next_alarm()

    def now(self) -> datetime:
        """Tell the time."""
        return self._clock()

    def wait_until_closed(self, execution: WorkflowExecution, wait: timedelta) -> bool:
        """Wait until a run has closed, or for so long; say whether it has."""
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
        """Answer the polls that wait, empty, and stop the alarm thread."""
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

    # All of the below is done while the lock is held.

    def _is_closed(self, execution: WorkflowExecution, now: datetime) -> bool:
        request = o.DescribeWorkflowExecution(domain=self.domain, execution=execution)
        return self._service.call(request, now).execution_info.execution_status == "CLOSED"

    def _settle(self, now: datetime) -> None:
        """Let happen what follows at once: effects that are due, tasks for those who wait, news of closes.

        Nobody hears of it before it is written down.
        """
        if self._file is None and not self._waiters and not self._watchers:
            # Nobody waits, so that nobody need be told.
            self._happen(now)
            self._service.drop_news()
            return
        woken = self._woken
        try:
            self._follow(now)
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

    def _follow(self, now: datetime) -> None:
        waiters = self._waiters
        while True:
            self._happen(now)
            # Only what wakes somebody can bring about more.
            wanted = [key for key in self._service.take_ready() if waiters.get(key)]
            if not wanted:
                break
            for key in wanted:
                self._wake(key, now)

    def _happen(self, now: datetime) -> None:
        """Let the service do what is due, and see to it that it is called again."""
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
        """Have the service's file looked into, since somebody waits now, if there is such a file."""
        if self._file is not None and not self._awaits_news and not self._closed:
            self._wake_ringer()

    def _look(self, now: datetime) -> None:
        """Settle what is due, and what other processes wrote."""
        if self._file is None:
            self._settle(now)
            return
        before = self._service.revision
        try:
            self._service.advance(now)
            news = self._service.revision != before
            self._settle(now)
        except BackendError as error:
            log.warning("what is due is tried again in %s: %s", RETRY, error)
            with suppress(BackendError):
                self._file.commit()
            self._news_every, self._wakes_at = RETRY, now + RETRY
        else:
            self._news_every = NEWS_EVERY_MIN if news else min(self._news_every * 1.25, NEWS_EVERY_MAX)

    def _wake(self, key: Ready, now: datetime) -> None:
        """Give a task to the poll that waits longest, if one does; one that is refused is told, and the next asked."""
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
        """For how many seconds there is nothing to do; `None` until somebody says otherwise."""
        pauses = []
        if self._wakes_at is not None and self._pace:
            pauses.append(max(min((self._wakes_at - now) / self._pace, LOOK), timedelta(0)))
        self._awaits_news = self._file is not None and bool(self._watchers or any(self._waiters.values()))
        if self._awaits_news:
            pauses.append(self._news_every)
        return min(pauses).total_seconds() if pauses else None
