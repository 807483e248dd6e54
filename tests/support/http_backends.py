"""Give tests a service whose time they move, reached in this process or by boto3 over HTTP, and turns to take."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from traction.backend import Backend
from traction.client.handle import Handle, start_execution
from traction.client.registration import register_type
from traction.definitions.classes import Workflow
from traction.model import operations as o
from traction.model.decisions import Decision
from traction.model.events import Event
from traction.model.names import WorkflowExecution
from traction.worker.activity_worker import ActivityWorker
from traction.worker.loop import Worker
from traction.worker.workflow_worker import WorkflowWorker
from traction_local.backend import DOMAIN, LocalBackend
from traction_local.server.app import make_app, serving_app
from traction_local.service.service import Service
from traction_local.virtual_clock import VirtualClock, advance
from traction_swf.backend import open_swf

BEGIN = datetime(2024, 2, 29, 12, tzinfo=UTC)
NOW = timedelta(0)


class Counting(Backend):
    """A backend over another that keeps what was asked and how many events came."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.url, self.domain, self.limits = inner.url, inner.domain, inner.limits
        self.asked: list[str] = []
        self.decided: list[tuple[Decision, ...]] = []
        self.events_read: list[int] = []
        """How many events each decision read."""
        self._events = 0

    def call(self, request: Any, wait: timedelta | None = None) -> Any:
        answer: Any = self.inner.call(request, wait)
        if not (isinstance(request, o.PollForDecisionTask | o.PollForActivityTask) and not answer.task_token):
            self.asked.append(type(request).__name__)
        if isinstance(request, o.PollForDecisionTask | o.GetWorkflowExecutionHistory):
            self._events += len(answer.events)
        if isinstance(request, o.RespondDecisionTaskCompleted):
            self.decided.append(request.decisions or ())
            self.events_read.append(self._events)
            self._events = 0
        return answer

    def now(self) -> datetime:
        return self.inner.now()

    def wait_until_closed(self, execution: WorkflowExecution, wait: timedelta) -> bool:
        return self.inner.wait_until_closed(execution, wait)

    def close(self) -> None:
        self.inner.close()


class World:
    """A service in time that stands still until it is moved, and a backend that reaches it."""

    def __init__(self, reach: Callable[[LocalBackend], Backend], **given: Any) -> None:
        self.clock = VirtualClock(BEGIN)
        self.local = LocalBackend(Service(seed="world", **given), clock=self.clock, pace=0)
        self.local.call(o.RegisterDomain(name=DOMAIN, workflow_execution_retention_period_in_days="30"))
        self.backend = Counting(reach(self.local))

    def register(self, *definitions: Any) -> None:
        for definition in definitions:
            register_type(self.backend, definition)

    def start(self, workflow: Workflow[Any], workflow_id: str = "one") -> Handle[Any]:
        return start_execution(self.backend, workflow, workflow_id=workflow_id)

    def decider(self, *workflows: Any, **given: Any) -> WorkflowWorker:
        self.register(*workflows)
        return WorkflowWorker(self.backend, workflows, identity="decider", **given)

    def worker(self, activity: Any, dependency: Any = None, **given: Any) -> ActivityWorker:
        self.register(activity)
        return ActivityWorker(self.backend, activity, dependency, identity="worker", **given)

    def advance(self, seconds: float) -> None:
        advance(self.local, self.clock, seconds)

    def run(self, workers: Sequence[Worker], *executions: WorkflowExecution, turns_max: int = 10_000) -> None:
        """Run the workers in turn until these executions have closed, and advance the time when all are idle."""
        for _ in range(turns_max):
            if sum(worker.work_once(NOW) for worker in workers):
                continue
            if all(self.local.find_closing_event(execution) is not None for execution in executions):
                return
            now, alarm = self.local.settle()
            assert alarm is not None, "nobody will ever move again"
            self.advance(max((alarm - now).total_seconds(), 0.001))
        raise AssertionError(f"still open after {turns_max} turns")

    def history(self, handle: Handle[Any]) -> list[Event]:
        return self.local.get_history(handle.execution)

    def close(self) -> None:
        self.backend.close()
        self.local.close()


class Site:
    """One server that lasts, and asks whichever service is on it."""

    def __init__(self) -> None:
        self._app: Any = None
        self._url = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)

    def reach(self, local: LocalBackend) -> Backend:
        """Put a service on the site, and give the backend that reaches it."""
        self._app = make_app(local, wait=NOW)
        return open_swf(self._url)

    @contextmanager
    def serve(self) -> Iterator[Site]:
        idle = LocalBackend(Service())
        with serving_app(self, idle) as endpoint:
            self._url = f"swf://{DOMAIN}?endpoint={quote(endpoint)}"
            yield self
        idle.close()


def reach_here(local: LocalBackend) -> Backend:
    return local


def leave_out_clocks(response: object) -> str:
    """Remove the time and duration of a local activity, which depend on the clock of the machine."""
    return re.sub(r'"began":"[^"]*","seconds":[0-9.e-]+', "", repr(response))
