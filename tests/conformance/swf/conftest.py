"""Give the exam its one fixture: a service, and a hand to move its clock.

The tests ask by operations and look at answers, histories and faults, by SWF's code and message: nothing else.
Whoever answers the same operations otherwise (over HTTP, say) sits the same exam with another fixture.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from traction.decisions import Decision
from traction.errors import ServiceFault
from traction.events import BaseEvent, Event
from traction.limits import Limits
from traction.names import ActivityType, TaskList, WorkflowExecution, WorkflowType
from traction.operations import (
    ActivityTask,
    DecisionTask,
    DescribeWorkflowExecution,
    GetWorkflowExecutionHistory,
    PollForActivityTask,
    PollForDecisionTask,
    RegisterActivityType,
    RegisterDomain,
    RegisterWorkflowType,
    Request,
    RespondDecisionTaskCompleted,
    SignalWorkflowExecution,
    StartWorkflowExecution,
    WorkflowExecutionDetail,
)
from traction_local.knobs import Knobs, LambdaCall, LambdaOutcome
from traction_local.service import Service

T = TypeVar("T")

BEGIN = datetime(2024, 2, 29, 12, 0, 0, tzinfo=UTC)
WORKFLOW = WorkflowType("trip", "1")
ACTIVITY = ActivityType("book", "1")
DECIDERS = TaskList("deciders")
WORKERS = TaskList("workers")

Line = tuple[int, str, dict[str, Any]]


class Swf:
    """A service with a domain `d`, a workflow type and an activity type that have all defaults."""

    def __init__(self, service: Service, now: datetime = BEGIN) -> None:
        self.service = service
        self.now = now

    def call(self, request: Request[T]) -> T:
        return self.service.call(request, self.now)

    def advance(self, seconds: float = 0) -> None:
        """Let time pass; what is due meanwhile happens."""
        self.now += timedelta(seconds=seconds)
        self.service.advance(self.now)

    def refuse(self, request: Request[Any]) -> tuple[str, str]:
        """Make a call that must fail: the fault's code and message."""
        with pytest.raises(ServiceFault) as caught:
            self.call(request)
        return caught.value.code, str(caught.value)

    def register(self) -> None:
        self.call(RegisterDomain(name="d", workflow_execution_retention_period_in_days="7"))
        self.register_workflow_type(WORKFLOW)
        self.register_activity_type(ACTIVITY)

    def register_workflow_type(self, type: WorkflowType, **given: Any) -> None:
        defaults: dict[str, Any] = {
            "default_task_list": DECIDERS,
            "default_execution_start_to_close_timeout": "3600",
            "default_task_start_to_close_timeout": "60",
            "default_child_policy": "TERMINATE",
        }
        self.call(RegisterWorkflowType(domain="d", name=type.name, version=type.version, **(defaults | given)))

    def register_activity_type(self, type: ActivityType, **given: Any) -> None:
        defaults: dict[str, Any] = {
            "default_task_list": WORKERS,
            "default_task_schedule_to_start_timeout": "300",
            "default_task_schedule_to_close_timeout": "900",
            "default_task_start_to_close_timeout": "600",
            "default_task_heartbeat_timeout": "NONE",
        }
        self.call(RegisterActivityType(domain="d", name=type.name, version=type.version, **(defaults | given)))

    def start(self, workflow_id: str = "w", type: WorkflowType = WORKFLOW, **given: Any) -> WorkflowExecution:
        run = self.call(StartWorkflowExecution(domain="d", workflow_id=workflow_id, workflow_type=type, **given))
        assert run.run_id is not None
        return WorkflowExecution(workflow_id, run.run_id)

    def poll(self, task_list: str = "deciders", **given: Any) -> DecisionTask:
        return self.call(PollForDecisionTask(domain="d", task_list=TaskList(task_list), **given))

    def work(self, task_list: str = "workers", **given: Any) -> ActivityTask:
        return self.call(PollForActivityTask(domain="d", task_list=TaskList(task_list), **given))

    def respond(self, task: DecisionTask, *decisions: Decision, **given: Any) -> None:
        self.call(RespondDecisionTaskCompleted(task_token=task.task_token, decisions=decisions, **given))

    def decide(self, *decisions: Decision, task_list: str = "deciders", **given: Any) -> DecisionTask:
        """Take the next decision task and answer it. Effects come with the next call or `advance`."""
        task = self.poll(task_list)
        assert task.task_token, f"no decision task on {task_list}"
        self.respond(task, *decisions, **given)
        return task

    def signal(self, execution: WorkflowExecution, name: str = "poke", **given: Any) -> None:
        self.call(SignalWorkflowExecution(domain="d", workflow_id=execution.workflow_id, signal_name=name, **given))

    def describe(self, execution: WorkflowExecution) -> WorkflowExecutionDetail:
        return self.call(DescribeWorkflowExecution(domain="d", execution=execution))

    def history(self, execution: WorkflowExecution) -> list[Event]:
        """All events so far, every page of them."""
        events: list[Event] = []
        token: str | None = None
        while True:
            page = self.call(GetWorkflowExecutionHistory(domain="d", execution=execution, next_page_token=token))
            events.extend(page.events)
            token = page.next_page_token
            if token is None:
                return events

    def types(self, execution: WorkflowExecution, since: int = 1) -> list[str]:
        """The types of the events from an id on."""
        return [type(event).__name__ for event in self.history(execution)[since - 1 :]]

    def lines(self, execution: WorkflowExecution, since: int = 1) -> list[Line]:
        """The events from an id on: id, type, and the attributes that are there."""
        return [tell(event) for event in self.history(execution)[since - 1 :]]

    def last(self, execution: WorkflowExecution) -> Line:
        return tell(self.history(execution)[-1])

    def seconds(self, execution: WorkflowExecution) -> list[float]:
        """When each event came, in seconds since the first."""
        events = self.history(execution)
        return [(event.event_timestamp - events[0].event_timestamp).total_seconds() for event in events]

    def find(self, execution: WorkflowExecution, name: str) -> dict[str, Any]:
        """The attributes of the last event of a type."""
        return [tell(event) for event in self.history(execution) if type(event).__name__ == name][-1][2]


def tell(event: BaseEvent) -> Line:
    names = (name for name in event.__struct_fields__ if name not in ("event_id", "event_timestamp"))
    attributes = {name: value for name in names if (value := getattr(event, name)) is not None}
    return event.event_id, type(event).__name__, attributes


MakeSwf = Callable[..., Swf]


@pytest.fixture
def make_swf() -> MakeSwf:
    """Make services with other limits, knobs or Lambda functions."""

    def make(
        limits: Limits | None = None,
        knobs: Knobs | None = None,
        lambdas: Callable[[LambdaCall], LambdaOutcome] | None = None,
    ) -> Swf:
        swf = Swf(Service(limits=limits or Limits(), knobs=knobs or Knobs(), lambdas=lambdas))
        swf.register()
        return swf

    return make


@pytest.fixture
def swf(make_swf: MakeSwf) -> Swf:
    return make_swf()
