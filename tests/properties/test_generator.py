"""The simulator writes the histories that the generator of the laws writes, given the same decisions and outcomes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, assume, example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from traction.flow.combinators import all_of, fail, first_of, sleep
from traction.flow.step import Step
from traction.model import decisions as d
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import TaskList, WorkflowExecution
from traction.payloads.codec import Codec
from traction.testing.laws.decision_rules import TASK_LIST
from traction.testing.laws.flows import Choices, Odd, choices, flows, persist, work
from traction.testing.laws.history_generator import (
    EXECUTION,
    Choose,
    GeneratedHistory,
    TaskFailed,
    derive_outcome,
    generate_history,
)
from traction.testing.laws.laws import to_workflow
from traction_local.service.service import Service

DOMAIN = "generated"


def complete_or_fail(decision: Any, choose: Choose) -> str | BaseException | None:
    """Choose a result or a failure; a timeout would need time to pass, and a worker cancels only on request."""
    return TaskFailed("chosen") if choose(3) == 2 else derive_outcome(decision, choose)


def replay_in_simulator(generated: GeneratedHistory) -> list[e.Event]:
    """Send the requests of a generated history to the simulator, and return the history that it writes."""
    first, last = generated.events[0], generated.events[-1]
    assert isinstance(first, e.WorkflowExecutionStarted)
    service = Service(seed=DOMAIN)
    tokens: dict[int, str] = {}
    now = first.event_timestamp

    def call(request: o.Request[Any]) -> Any:
        return service.call(request, now)

    call(o.RegisterDomain(name=DOMAIN, workflow_execution_retention_period_in_days="1"))
    kind = first.workflow_type
    call(o.RegisterWorkflowType(domain=DOMAIN, name=kind.name, version=kind.version))
    decided = [one for decisions in generated.decisions.values() for one in decisions]
    for type in {one.activity_type for one in decided if isinstance(one, d.ScheduleActivityTask)}:
        call(
            o.RegisterActivityType(
                domain=DOMAIN,
                name=type.name,
                version=type.version,
                default_task_start_to_close_timeout="NONE",
                default_task_schedule_to_start_timeout="NONE",
                default_task_schedule_to_close_timeout="NONE",
                default_task_heartbeat_timeout="NONE",
            )
        )
    run = call(
        o.StartWorkflowExecution(
            domain=DOMAIN,
            workflow_id=EXECUTION.workflow_id,
            workflow_type=kind,
            input=first.input,
            task_list=TASK_LIST,
            child_policy=first.child_policy,
            execution_start_to_close_timeout="3600",
            task_start_to_close_timeout="NONE",
        )
    )
    for event in generated.events:
        now = event.event_timestamp
        match event:
            case e.DecisionTaskStarted():
                task = call(o.PollForDecisionTask(domain=DOMAIN, task_list=TASK_LIST))
                tokens[event.event_id] = task.task_token
            case e.DecisionTaskCompleted(started_event_id=started):
                decisions = tuple(map(use_own_list, generated.decisions[started]))
                call(o.RespondDecisionTaskCompleted(task_token=tokens[started], decisions=decisions))
            case e.ActivityTaskStarted(scheduled_event_id=scheduled):
                task_list = TaskList(str(getattr(generated.events[scheduled - 1], "activity_id", "")))
                tokens[scheduled] = call(o.PollForActivityTask(domain=DOMAIN, task_list=task_list)).task_token
            case e.ActivityTaskCompleted(scheduled_event_id=scheduled):
                call(o.RespondActivityTaskCompleted(task_token=tokens[scheduled], result=event.result))
            case e.ActivityTaskFailed(scheduled_event_id=scheduled):
                call(
                    o.RespondActivityTaskFailed(
                        task_token=tokens[scheduled], reason=event.reason, details=event.details
                    )
                )
            case e.ActivityTaskCanceled(scheduled_event_id=scheduled, started_event_id=started) if started:
                call(o.RespondActivityTaskCanceled(task_token=tokens[scheduled]))
            case _:
                service.advance(now)
    now = last.event_timestamp
    execution = WorkflowExecution(EXECUTION.workflow_id, run.run_id)
    return list(call(o.GetWorkflowExecutionHistory(domain=DOMAIN, execution=execution, maximum_page_size=1000)).events)


def use_own_list(decision: d.Decision) -> d.Decision:
    """Return a decision with its own task list: a list starts its tasks in order, and the generator in any order."""
    if isinstance(decision, d.ScheduleActivityTask):
        return structs.replace(decision, task_list=TaskList(decision.activity_id))
    return decision


COMPARED = ("activity_id", "timer_id", "marker_name", "cause", "input", "result", "reason", "details", "control")


def describe(event: e.Event) -> dict[str, Any]:
    """Return the type of an event, its id, its links, and the fields that its decision or its worker set."""
    names = [name for name in event.__struct_fields__ if name.endswith("event_id") or name in COMPARED]
    return {"type": type(event).__name__, **{name: getattr(event, name) or None for name in names}}


def is_freer_than_swf(events: list[e.Event]) -> bool:
    """Return whether a history has an order that the laws allow and the simulator never writes.

    A timer fires late, or the cancellation of a task that has not started comes some time after its request. Children
    are not compared, since generated ones have no history of their own.
    """
    due: dict[int, datetime] = {}
    for event in events:
        if isinstance(event, e.StartChildWorkflowExecutionInitiated):
            return True
        if isinstance(event, e.ActivityTaskCanceled) and not event.started_event_id:
            return True
        if isinstance(event, e.TimerFired | e.TimerCanceled):
            due.pop(event.started_event_id)
        if any(event.event_timestamp >= time for time in due.values()):
            return True
        if isinstance(event, e.TimerStarted):
            due[event.event_id] = event.event_timestamp + timedelta(seconds=int(event.start_to_fire_timeout))
    # A cancellation that is requested and has not come yet.
    started = {event.scheduled_event_id for event in events if isinstance(event, e.ActivityTaskStarted)}
    names = {event.activity_id for event in events if isinstance(event, e.ActivityTaskCancelRequested)}
    tasks = [event for event in events if isinstance(event, e.ActivityTaskScheduled)]
    return any(task.activity_id in names and task.event_id not in started for task in tasks)


# Drawn flows are seldom refused a decision; in these races it happens often.
RACES = [
    first_of(work(1), work(2)),
    first_of(work(1), sleep(1), persist(2)),
    all_of(work(1), fail(Odd("failed")), work(2)),
    all_of(first_of(work(1), work(2)), first_of(sleep(1), work(3))),
]


@settings(
    max_examples=4 * settings.default.max_examples,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
@given(flows() | st.sampled_from(RACES), choices())
@example(RACES[0], Choices([0, 1, 1, 5, 2]))  # the second completes while the close is decided, which is refused
def test_the_simulator_writes_the_history_that_the_generator_writes(flow: Step[Any], choose: Choose) -> None:
    generated = generate_history(to_workflow(flow), choose, outcome=complete_or_fail, codec=Codec())
    assume(not is_freer_than_swf(generated.events))
    written = replay_in_simulator(generated)
    assert [*map(describe, written)] == [*map(describe, generated.events)]
