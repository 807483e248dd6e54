"""Give tests of workers a service whose time they set, a backend that loses calls at their word, and turns to take."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from traction.backend import Backend
from traction.client.handle import Handle
from traction.client.system import WorkerSystem
from traction.definitions.classes import Workflow
from traction.errors import BackendError
from traction.model import operations as o
from traction.model.events import Event
from traction.model.limits import Limits
from traction.model.names import WorkflowExecution
from traction.worker.activity_worker import ActivityWorker
from traction.worker.loop import Worker
from traction.worker.workflow_worker import StuckDecisionError, WorkflowWorker
from traction_local.backend import DOMAIN, LocalBackend
from traction_local.service.knobs import Knobs
from traction_local.service.service import Service

BEGIN = datetime(2024, 2, 29, 12, tzinfo=UTC)
NOW = timedelta(0)


class ConnectionLost(BackendError):
    """What a backend raises when it does not know whether a call had its effect."""

    retryable = True


class LossyBackend(Backend):
    """A backend over another that loses the next request, or the next reply, of the given operations."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.url, self.domain, self.limits = inner.url, inner.domain, inner.limits
        self.lose_requests: list[type] = []
        self.lose_replies: list[type] = []
        self.asked: list[str] = []
        self.sent: list[Any] = []

    def call(self, request: Any, wait: timedelta | None = None) -> Any:
        kind = type(request)
        self.asked.append(kind.__name__)
        self.sent.append(request)
        if kind in self.lose_requests:
            self.lose_requests.remove(kind)
            raise ConnectionLost("the connection was lost before the request was sent")
        answer = self.inner.call(request, wait)
        if kind in self.lose_replies:
            self.lose_replies.remove(kind)
            raise ConnectionLost("the connection was lost before the reply came")
        return answer

    def now(self) -> datetime:
        return self.inner.now()

    def wait_until_closed(self, execution: WorkflowExecution, wait: timedelta) -> bool:
        return self.inner.wait_until_closed(execution, wait)

    def close(self) -> None:
        self.inner.close()


class Stage:
    """A service, a client, and a clock that stands still until `advance`."""

    def __init__(self, limits: Limits | None = None, knobs: Knobs | None = None) -> None:
        self.time = BEGIN
        limits = limits or Limits()
        service = Service(seed="stage", limits=limits, knobs=knobs or Knobs())
        self.backend = LossyBackend(LocalBackend(service, limits=limits, clock=lambda: self.time))
        self.backend.call(o.RegisterDomain(name=DOMAIN, workflow_execution_retention_period_in_days="30"))
        self.system = WorkerSystem(backend=self.backend, identity="stage")
        self.stuck: list[StuckDecisionError] = []

    def advance(self, seconds: float) -> None:
        """Let time pass; what is due meanwhile happens."""
        self.time += timedelta(seconds=seconds)
        self.backend.call(o.DescribeDomain(name=DOMAIN))

    def register(self, *definitions: Any) -> None:
        for definition in definitions:
            self.system._registrar.register(definition)

    def start(self, workflow: Workflow[Any], *needed: Any, **given: Any) -> Handle[Any]:
        self.register(*needed)
        return self.system.start(workflow, **given)

    def decider(self, *workflows: Any, **given: Any) -> WorkflowWorker:
        self.register(*workflows)
        return WorkflowWorker(self.backend, workflows, identity="decider", **({"on_stuck": self.stuck.append} | given))

    def worker(self, activity: Any, dependency: Any = None, **given: Any) -> ActivityWorker:
        self.register(activity)
        return ActivityWorker(self.backend, activity, dependency, **given)

    def close(self) -> None:
        self.system.close()


@contextmanager
def open_stage(limits: Limits | None = None, knobs: Knobs | None = None) -> Iterator[Stage]:
    stage = Stage(limits, knobs)
    try:
        yield stage
    finally:
        stage.close()


def take_turns(*workers: Worker) -> int:
    """Let each take turns until none finds work; count the tasks."""
    count = 0
    while done := sum([worker.work_once(NOW) for worker in workers]):
        count += done
    return count


def name_types(handle: Handle[Any]) -> list[str]:
    return [type(event).__name__ for event in handle.history()]


def find_events(handle: Handle[Any], kind: type) -> list[Any]:
    return [event for event in handle.history() if isinstance(event, kind)]


def find_last(events: list[Event], kind: type) -> Any:
    return [event for event in events if isinstance(event, kind)][-1]


def run_threads(*targets: Callable[[], object]) -> None:
    """Run each target in a thread of its own, to its end; raise what one of them raised."""
    raised: list[BaseException] = []

    def guard(target: Callable[[], object]) -> None:
        try:
            target()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=guard, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]
