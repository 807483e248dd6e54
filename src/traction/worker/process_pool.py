"""Run the bodies of activities in processes of their own.

A process runs one call after another. If it dies, its current task fails with the exit code, and the next task gets a
new process. Polls, responses and heartbeats stay in the worker, so a body that never releases the GIL has heartbeats.

Theory of operation. Worker and process exchange messages over one pipe. The process reports that it is ready. The
worker sends a call, and the process replies with the outcome, or first with requests: what an activity does with its
own task (heartbeat, last details) is forwarded to the worker's `RunningActivity`, and answered or raised there.
Processes are spawned, never forked from a worker with threads. A process ends when its pipe closes, and ignores the
signals that stop a worker: the worker decides whether it goes on.
"""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import cache, partial
from types import CoroutineType
from typing import Any, Generic, TypeVar, cast

from traction.errors import DefinitionError, ProcessDied
from traction.flow.step import Cancelled
from traction.payloads.failures import describe_exception
from traction.plugins.observer import build_task_fields
from traction.runtime.activity_task import CURRENT_TASK, RunningTask, current_task
from traction.worker.attempt import RemoteFailure
from traction.worker.coroutines import await_outcome
from traction.worker.heartbeats import RunningActivity

C = TypeVar("C")

log = logging.getLogger("traction.worker")

CHECK_INTERVAL = 0.5
"""How often an async activity in a process checks whether it was cancelled, in seconds."""

JOIN_SECONDS_MAX = 5.0
"""How long to wait for the end of a process whose pipe is closed, in seconds."""


class PerProcess(Generic[C]):
    """A dependency that each process creates by calling `make`, a module-level function or any picklable callable.

    Example:
        ws.start_activity_worker(CollectChanges, PerProcess(connect), executor="process", instances=4)
    """

    def __init__(self, make: Callable[[], C]) -> None:
        self.make = make


class ProcessPool:
    """Processes that run an activity. `run` is thread-safe; each call has its own process.

    Args:
        activity: the definition, which a process imports by its name.
        dependency: the dependency, pickled to each process, or `PerProcess`.
        ready: how many processes to start at once, and to keep; others are started when they are needed.

    Raises:
        DefinitionError: the activity or its dependency cannot be sent to a process.
    """

    def __init__(self, activity: Any, dependency: Any = None, *, ready: int = 0) -> None:
        self._name = activity.__qualname__
        self._packed = _pack(activity, dependency)
        self._idle: deque[_Process] = deque()
        self._all: set[_Process] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._kept = max(ready, 1)
        for _ in range(ready):
            self._idle.append(self._start())

    def run(self, call: Any) -> Any:
        """Run a call in a process, for the current task, and return its result.

        Raises:
            RemoteFailure: the activity raised an exception, or its process could not load it.
            Cancelled: the task was cancelled, or the process was killed because the body outlived its task.
            ProcessDied: the process ended before the call.
        """
        process, task = self._take(), current_task()
        outlived = threading.Event()
        if isinstance(task, RunningActivity):
            task.when_outlived(partial(self._replace, process, task, outlived))
            task.wake_when_cancelled(partial(self._prepare, task))
        try:
            kind, value = self._converse(process, call, task)
        except (EOFError, OSError):
            exit_code = self._end_process(process)
            if outlived.is_set():
                self._warm_up()
                raise Cancelled from None
            raise ProcessDied(self._name, exit_code) from None
        except BaseException:
            # The state of the pipe is unknown.
            self._end_process(process, kill=True)
            raise
        if outlived.is_set():
            # It was killed as it ended.
            self._end_process(process)
            self._warm_up()
            raise Cancelled
        if kind == "broken":
            # The process cannot run any call: the work has not begun.
            self._end_process(process)
            raise RemoteFailure(value, begun=False)
        self._put_back(process)
        if kind == "failed":
            raise RemoteFailure(value)
        if kind == "cancelled":
            raise Cancelled
        return value

    def _converse(self, process: _Process, call: Any, task: RunningTask) -> tuple[str, Any]:
        try:
            return process.converse(call, task)
        finally:
            if isinstance(task, RunningActivity):
                # From here on another task may use the process.
                task.when_outlived(None)
                task.wake_when_cancelled(None)

    def _prepare(self, task: RunningActivity) -> None:
        """Start a process for the next task when this task's process may have to be killed."""
        with self._lock:
            needed = task.gone and not self._idle and not self._closed
        if needed:
            ready = self._start()
            with self._lock:
                self._idle.append(ready)

    def _replace(self, process: _Process, task: RunningActivity, outlived: threading.Event) -> None:
        """Kill a process whose body outlived its task, and start another one."""
        outlived.set()
        process.kill()
        log.error(
            "%s: %s, and its body still ran. Its process was killed and replaced",
            *(task.name, task.describe_loss()),
            extra=build_task_fields(task),
        )
        self._prepare(task)

    def _warm_up(self) -> None:
        """Wait until a process is ready, so that its start does not use up the time of the next task."""
        process = self._take()
        try:
            process.greet()
        except (EOFError, OSError):
            self._end_process(process)
        else:
            self._put_back(process)

    def close(self) -> None:
        """End the processes; those that still run a call are killed."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, deque()
            busy = self._all - set(idle)
        for process in busy:
            process.kill()
        for process in idle:
            process.pipe.close()
        for process in idle:
            self._end_process(process)

    def _take(self) -> _Process:
        while True:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            if process is None:
                return self._start()
            if process.process.is_alive():
                return process
            self._end_process(process)

    def _put_back(self, process: _Process) -> None:
        with self._lock:
            # There is one too many if a replacement was started for a process that ended in time.
            if not self._closed and len(self._idle) < self._kept:
                self._idle.append(process)
                return
        process.pipe.close()
        self._end_process(process)

    def _start(self) -> _Process:
        process = _Process(self._name, self._packed)
        with self._lock:
            self._all.add(process)
            closed = self._closed
        if closed:
            process.kill()
        return process

    def _end_process(self, process: _Process, *, kill: bool = False) -> int | None:
        with self._lock:
            self._all.discard(process)
        return process.end(kill=kill)


class _Process:
    """One process and our end of its pipe."""

    def __init__(self, name: str, packed: bytes) -> None:
        context = multiprocessing.get_context("spawn")
        _register_kill_all()
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, packed), name=f"activity {name}")
        self.process.start()
        _live.add(self)
        # Now only the process has its end, so the pipe closes with it.
        theirs.close()
        self._greeting: tuple[str, Any] | None = None

    def greet(self) -> tuple[str, Any]:
        """Wait until the process has loaded the activity and its dependency, or has failed to."""
        greeting = self._greeting
        if greeting is None:
            self._greeting = greeting = cast("tuple[str, Any]", pickle.loads(self.pipe.recv_bytes()))
        return greeting

    def converse(self, call: Any, task: RunningTask) -> tuple[str, Any]:
        greeting = self.greet()
        if greeting[0] == "broken":
            return greeting
        facts = (task.execution, task.activity_type, task.activity_id, task.attempt, task.token)
        self.pipe.send((call, facts))
        while True:
            kind, *rest = pickle.loads(self.pipe.recv_bytes())
            if kind != "call":
                return kind, rest[0]
            name, arguments = rest
            try:
                reply = getattr(task, name)
                self.pipe.send(("is", reply if name == "cancelled" else reply(*arguments)))
            except OSError:
                raise
            except BaseException as error:
                self.pipe.send(("raises", error))

    def kill(self) -> None:
        with suppress(ValueError, AttributeError):  # it has ended, or never began
            self.process.kill()

    def end(self, *, kill: bool) -> int | None:
        if kill:
            self.kill()
        self.process.join(JOIN_SECONDS_MAX)
        if self.process.is_alive():
            self.kill()
            self.process.join()
        exit_code = self.process.exitcode
        self.pipe.close()
        self.process.close()
        _live.discard(self)
        return exit_code


_live: set[_Process] = set()


def kill_all() -> None:
    """Kill the processes of all pools. Waits for no lock, so a signal handler may call it."""
    for process in list(_live):
        process.kill()


@cache
def _register_kill_all() -> None:
    """Call `kill_all` at exit, before multiprocessing waits for the processes: the last handler runs first."""

    atexit.register(kill_all)


def _pack(activity: Any, dependency: Any) -> bytes:
    for what, thing in ((f"{activity.__qualname__}", activity), ("its dependency", dependency)):
        try:
            pickle.dumps(thing)
        except Exception as error:
            hint = (
                "Define it at the top of a module, so that a process can import it"
                if thing is activity
                else "Pass PerProcess(make), with a module-level function that creates it in each process"
            )
            raise DefinitionError(
                f'{activity.__qualname__} cannot run with executor="process": {what} cannot be sent to a process '
                f"({error}). {hint}"
            ) from error
    return pickle.dumps((activity, dependency))


# The other side of the pipe.


def _serve(pipe: Any, packed: bytes) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        activity, dependency = pickle.loads(packed)
        if isinstance(dependency, PerProcess):
            dependency = dependency.make()
        arguments = () if activity.spec.needs is None else (dependency,)
    except BaseException as error:
        with suppress(OSError):
            pipe.send(("broken", describe_exception(error)))
        return
    with suppress(OSError):
        pipe.send(("ready", None))
    runner: Any = None
    with suppress(EOFError, OSError):
        while True:
            message = pipe.recv_bytes()
            try:
                call, facts = pickle.loads(message)
                task = _RemoteTask(pipe, *facts)
                reset = CURRENT_TASK.set(task)
                try:
                    # Each call runs in a fresh copy of the context.
                    result = copy_context().run(call.run, *arguments)
                    if isinstance(result, CoroutineType):
                        if runner is None:
                            import asyncio

                            runner = asyncio.Runner()
                        result = runner.run(_watch(task, result), context=copy_context())
                finally:
                    CURRENT_TASK.reset(reset)
                    task.is_over = True
                reply = pickle.dumps(("done", result))
            except Cancelled:
                reply = pickle.dumps(("cancelled", None))
            except BaseException as error:
                reply = pickle.dumps(("failed", describe_exception(error)))
            pipe.send_bytes(reply)


async def _watch(task: _RemoteTask, coroutine: Any) -> Any:
    """Run an async activity, and cancel it at its await when its task is cancelled."""
    import asyncio

    running = asyncio.ensure_future(await_outcome(coroutine))
    while not running.done():
        await asyncio.wait((running,), timeout=CHECK_INTERVAL)
        if not running.done() and not task.notified and task.cancelled:
            task.notified = True
            running.cancel()
    if running.cancelled() and task.notified:
        raise Cancelled
    result, error = running.result()
    if error is not None:
        raise error
    return result


class _RemoteTask(RunningTask):
    """A running task within a process: forwards its methods to the worker."""

    def __init__(
        self, pipe: Any, execution: Any, activity_type: Any, activity_id: str, attempt: int, token: str
    ) -> None:
        self.execution, self.activity_type, self.activity_id = execution, activity_type, activity_id
        self.attempt, self.token = attempt, token
        self.notified = self.is_over = False
        self._pipe = pipe
        self._lock = threading.Lock()

    @property
    def cancelled(self) -> bool:
        return cast("bool", self._forward("cancelled"))

    def last_details(self, type: Any = Any) -> Any:
        return self._forward("last_details", type)

    def heartbeat(self, details: object = None) -> None:
        try:
            self._forward("heartbeat", details)
        except Cancelled:
            self.notified = True
            raise

    def _forward(self, name: str, *arguments: Any) -> Any:
        # One request at a time, from any thread.
        with self._lock:
            if self.is_over:
                raise Cancelled
            try:
                self._pipe.send(("call", name, arguments))
                kind, reply = self._pipe.recv()
            except (EOFError, OSError):
                # The worker is gone, so the result would be lost.
                raise Cancelled from None
        if kind == "raises":
            raise reply
        return reply
