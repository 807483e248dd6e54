"""The fixture of a check: its own types, task lists and executions, and the requests that checks make most often."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

import msgspec

from traction.backend import Backend
from traction.errors import DomainAlreadyExistsFault, ServiceFault, UnknownResourceFault
from traction.model import events as e
from traction.model import operations as o
from traction.model.decisions import Decision
from traction.model.names import ActivityType, TaskList, WorkflowExecution, WorkflowType
from traction.testing.conformance.expect import ExamFailure, expect
from traction.testing.conformance.history_invariants import expect_sound

T = TypeVar("T")
TaskT = TypeVar("TaskT", o.DecisionTask, o.ActivityTask)

PATIENCE = 90.0
"""How many seconds a check waits for something that must happen: longer than a poll is held."""

AT_ONCE = 30.0
"""How many seconds it may take to wake a waiting call: much less than `LONG`."""

LONG = timedelta(seconds=60)
NOW = timedelta(0)


def name_types(events: list[e.Event]) -> list[str]:
    """Return the type names of events."""
    return [type(event).__name__ for event in events]


def wait_for(look: Callable[[], T | None], description: str) -> T:
    """Call a function at growing intervals until its result is true, and return the result.

    Raises:
        ExamFailure: No result was true within `PATIENCE` seconds.
    """
    deadline = time.monotonic() + PATIENCE
    pause = 0.01
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise ExamFailure(f"waited {PATIENCE:.0f} s in vain for {description}")
        time.sleep(pause)
        pause = min(pause * 2, 2.0)
    return seen


def _wait_for_task(poll: Callable[[], TaskT], description: str) -> TaskT:
    def look() -> TaskT | None:
        task = poll()
        return task if task.task_token else None

    return wait_for(look, description)


class Running:
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._result: Any = None
        self._error: BaseException | None = None
        self.began = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.began.set()
        try:
            self._result = self._call()
        except BaseException as error:
            self._error = error

    def settle(self) -> None:
        """Wait until the call has most likely reached the service. There is no way to be certain."""
        self.began.wait()
        time.sleep(0.2)

    def get(self, seconds: float = PATIENCE) -> Any:
        """Return the result of the call, or raise its exception.

        Raises:
            ExamFailure: It has not returned in time.
        """
        self._thread.join(seconds)
        expect(not self._thread.is_alive(), f"a call should have returned within {seconds:.0f} s")
        if self._error is not None:
            raise self._error
        return self._result


class Fixture:
    """The types, task lists and executions of one check."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.domain = backend.domain
        self.tag = f"exam-{secrets.token_hex(6)}"
        self.deciders = TaskList(f"{self.tag}-deciders")
        self.workers = TaskList(f"{self.tag}-workers")
        self.workflow_type = WorkflowType(self.tag, "1")
        self.activity_type = ActivityType(self.tag, "1")
        with suppress(DomainAlreadyExistsFault):
            self.call(o.RegisterDomain(name=self.domain, workflow_execution_retention_period_in_days="1"))

    def call(self, request: o.Request[T], wait: timedelta | None = None) -> T:
        """Call the backend."""
        return self.backend.call(request, wait)

    def register(self) -> Fixture:
        """Register both types, with defaults for all settings, and return the fixture."""
        self.register_workflow_type()
        self.register_activity_type()
        return self

    def register_workflow_type(self, **overrides: Any) -> None:
        """Register the workflow type."""
        defaults: dict[str, Any] = {
            "name": self.workflow_type.name,
            "version": self.workflow_type.version,
            "default_task_list": self.deciders,
            "default_execution_start_to_close_timeout": "300",
            "default_task_start_to_close_timeout": "120",
            "default_child_policy": "TERMINATE",
        }
        self.call(o.RegisterWorkflowType(domain=self.domain, **(defaults | overrides)))

    def register_activity_type(self, **overrides: Any) -> None:
        """Register the activity type."""
        defaults: dict[str, Any] = {
            "name": self.activity_type.name,
            "version": self.activity_type.version,
            "default_task_list": self.workers,
            "default_task_schedule_to_start_timeout": "NONE",
            "default_task_schedule_to_close_timeout": "NONE",
            "default_task_start_to_close_timeout": "120",
            "default_task_heartbeat_timeout": "NONE",
        }
        self.call(o.RegisterActivityType(domain=self.domain, **(defaults | overrides)))

    def start(self, id: str = "w", **overrides: Any) -> WorkflowExecution:
        """Start an execution of the workflow type, with a workflow id that only this check uses."""
        workflow_id = f"{self.tag}-{id}"
        members: dict[str, Any] = {"workflow_type": self.workflow_type, **overrides}
        request = o.StartWorkflowExecution(domain=self.domain, workflow_id=workflow_id, **members)

        def look() -> o.Run | None:
            # A type may be unknown for a moment after it was registered.
            with suppress(UnknownResourceFault):
                return self.call(request)
            return None

        run_id = wait_for(look, "the new type").run_id
        expect(run_id, "a start should return the id of the run")
        assert run_id is not None
        return WorkflowExecution(workflow_id, run_id)

    def find_decision_task(self, wait: timedelta = NOW, **overrides: Any) -> o.DecisionTask:
        """Poll the deciders' list once."""
        members: dict[str, Any] = {"task_list": self.deciders, **overrides}
        return self.call(o.PollForDecisionTask(domain=self.domain, **members), wait)

    def get_decision_task(self, **overrides: Any) -> o.DecisionTask:
        """Poll the deciders' list until it returns a task."""
        return _wait_for_task(lambda: self.find_decision_task(LONG, **overrides), "a decision task")

    def find_activity_task(self, wait: timedelta = NOW, **overrides: Any) -> o.ActivityTask:
        """Poll the workers' list once."""
        members: dict[str, Any] = {"task_list": self.workers, **overrides}
        return self.call(o.PollForActivityTask(domain=self.domain, **members), wait)

    def get_activity_task(self, **overrides: Any) -> o.ActivityTask:
        """Poll the workers' list until it returns a task."""
        return _wait_for_task(lambda: self.find_activity_task(LONG, **overrides), "an activity task")

    def respond(self, task: o.DecisionTask, *decisions: Decision, **overrides: Any) -> None:
        """Complete a decision task."""
        self.call(o.RespondDecisionTaskCompleted(task_token=task.task_token, decisions=decisions, **overrides))

    def decide(self, *decisions: Decision, **overrides: Any) -> o.DecisionTask:
        """Poll for the next decision task and complete it."""
        task = self.get_decision_task()
        self.respond(task, *decisions, **overrides)
        return task

    def complete(self, task: o.ActivityTask, result: str | None = None) -> None:
        """Complete an activity task."""
        self.call(o.RespondActivityTaskCompleted(task_token=task.task_token, result=result))

    def signal(self, execution: WorkflowExecution, name: str = "poke", **overrides: Any) -> None:
        """Signal an execution."""
        members: dict[str, Any] = {"workflow_id": execution.workflow_id, "signal_name": name, **overrides}
        self.call(o.SignalWorkflowExecution(domain=self.domain, **members))

    def cancel(self, execution: WorkflowExecution) -> None:
        """Request cancellation of an execution."""
        self.call(o.RequestCancelWorkflowExecution(domain=self.domain, workflow_id=execution.workflow_id))

    def terminate(self, execution: WorkflowExecution, **overrides: Any) -> None:
        """Terminate an execution, and check its history."""
        self.call(o.TerminateWorkflowExecution(domain=self.domain, workflow_id=execution.workflow_id, **overrides))
        self.inspect(execution)

    def inspect(self, execution: WorkflowExecution) -> None:
        """Check that SWF could have written the history of an execution."""
        expect_sound(self.backend.get_history(execution))

    def read_pages(self, request: o.Request[T]) -> Iterator[T]:
        """Yield the pages of a list, until one has no token."""
        token: str | None = ""
        while token is not None:
            page: Any = self.call(msgspec.structs.replace(request, next_page_token=token or None))
            yield page
            token = page.next_page_token

    def wait_for_next_timestamp(self) -> None:
        """Wait until the next event will have a later timestamp than the last one."""
        before = self.backend.now()
        while self.backend.now() <= before:
            time.sleep(0.001)

    def describe(self, execution: WorkflowExecution) -> o.WorkflowExecutionDetail:
        """Return the description of an execution."""
        return self.call(o.DescribeWorkflowExecution(domain=self.domain, execution=execution))

    def list_types(self, execution: WorkflowExecution, since: int = 1) -> list[str]:
        """Return the type names of the events of an execution, from an event id on."""
        return name_types(self.backend.get_history(execution)[since - 1 :])

    def wait_for_event(self, execution: WorkflowExecution, kind: type[T]) -> T:
        """Wait until an execution has an event of a type, and return the last one."""

        def look() -> T | None:
            found = [event for event in self.backend.get_history(execution) if isinstance(event, kind)]
            return found[-1] if found else None

        return wait_for(look, kind.__name__)

    def expect_fault(self, fault: type[ServiceFault], request: o.Request[Any], claim: str) -> None:
        """Check that a request is refused with this fault."""
        try:
            self.backend.call(request, NOW)
        except fault:
            return
        except ServiceFault as other:
            raise ExamFailure(f"{claim}: the fault should be {fault.__name__}, and is {other!r}") from other
        raise ExamFailure(f"{claim}: the request should be refused with {fault.__name__}, but succeeded")

    def expect_faults(self, fault: type[ServiceFault], why: str, *requests: o.Request[Any]) -> None:
        """Check that each request is refused with this fault."""
        for request in requests:
            self.expect_fault(fault, request, f"{type(request).__name__} {why}")


def begin(backend: Backend, id: str = "w", **settings: Any) -> tuple[Fixture, WorkflowExecution]:
    """Return a fixture whose types are registered, and an execution of its workflow type."""
    fixture = Fixture(backend).register()
    return fixture, fixture.start(id, **settings)
