"""Measure the simulator: operations of the service, and whole workflows in virtual time."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from benchmarks.measures import Measure
from traction import Activity, Retry, Workflow, days, sleep
from traction.model import operations as o
from traction.model.decisions import CompleteWorkflowExecution, ScheduleActivityTask
from traction.model.names import ActivityType, TaskList, WorkflowType
from traction.testing import fails, simulate
from traction_local.service.service import Service

START = datetime(2030, 1, 1, tzinfo=UTC)
LIST = TaskList("list")
FLOW, WORK = WorkflowType("flow", "1"), ActivityType("work", "1")


class Nap(Workflow[None]):
    async def flow(self) -> None:
        await sleep(days(30))


class Work(Activity[None, int], retry=Retry(attempts=3, backoff=60)):
    n: int

    def run(self) -> int:
        return self.n


class Ordinary(Workflow[int]):
    async def flow(self) -> int:
        first = await Work(1)
        await sleep(days(1))
        second, third = await (Work(first) & Work(first + 1))
        return second + third


def time_each(act: Callable[[], object], times: int = 200) -> float:
    """Milliseconds for one, of so many."""
    begin = time.perf_counter()
    for _ in range(times):
        act()
    return (time.perf_counter() - begin) / times * 1000


def nap() -> object:
    return simulate(Nap()).result


def ordinary() -> object:
    return simulate(Ordinary(), stub={Work: fails(1, then=2)}).result


class World:
    """A service with one type of each kind, asked directly."""

    def __init__(self) -> None:
        self.service, self.time, self.calls = Service(), START, 0
        self.call(o.RegisterDomain(name="d", workflow_execution_retention_period_in_days="90"))
        self.call(
            o.RegisterWorkflowType(
                domain="d",
                name=FLOW.name,
                version=FLOW.version,
                default_task_list=LIST,
                default_child_policy="TERMINATE",
                default_execution_start_to_close_timeout="3600000",
                default_task_start_to_close_timeout="30",
            )
        )
        self.call(
            o.RegisterActivityType(
                domain="d",
                name=WORK.name,
                version=WORK.version,
                default_task_list=LIST,
                default_task_heartbeat_timeout="NONE",
                default_task_schedule_to_close_timeout="NONE",
                default_task_schedule_to_start_timeout="NONE",
                default_task_start_to_close_timeout="300",
            )
        )

    def call(self, request: Any) -> Any:
        self.calls += 1
        self.time += timedelta(milliseconds=1)
        return self.service.call(request, self.time)

    def run(self, id: str, activities: int) -> None:
        """One execution, from its start to its end."""
        self.call(o.StartWorkflowExecution(domain="d", workflow_id=id, workflow_type=FLOW))
        decides = o.PollForDecisionTask(domain="d", task_list=LIST, start_at_previous_started_event=True)
        works = o.PollForActivityTask(domain="d", task_list=LIST)
        for n in range(activities):
            decision = ScheduleActivityTask(activity_type=WORK, activity_id=f"work-{n}", input="{}")
            self._answer(decides, decision)
            self.call(o.RespondActivityTaskCompleted(task_token=self.call(works).task_token, result="1"))
        self._answer(decides, CompleteWorkflowExecution(result="1"))

    def _answer(self, poll: o.PollForDecisionTask, decision: Any) -> None:
        self.call(o.RespondDecisionTaskCompleted(task_token=self.call(poll).task_token, decisions=(decision,)))


def rate_operations(activities: int, runs: int, closed: int = 0) -> float:
    """Operations per second of the service, with so many closed executions at hand."""
    world = World()
    for n in range(closed):
        world.run(f"closed-{n}", 0)
    # What Python's collector still owes for the closed ones is theirs; from here on its work is counted.
    gc.collect()
    world.calls, begin = 0, time.perf_counter()
    for n in range(runs):
        world.run(f"run-{n}", activities)
    return world.calls / (time.perf_counter() - begin)


def cost_of_closed() -> float:
    """How much more an operation costs with 100,000 closed executions at hand."""
    return max(rate_operations(100, 30) for _ in range(3)) / max(rate_operations(100, 30, 100_000) for _ in range(3))


def cost_of_events() -> float:
    """How much more an operation costs in histories of 24,000 events than in those of 600."""
    return max(rate_operations(100, 40) for _ in range(3)) / max(rate_operations(4000, 1) for _ in range(3))


SIMULATOR = [
    Measure("a timer of 30 days, simulated", partial(time_each, nap), 1, "ms", more_is_better=False),
    Measure("an ordinary workflow test", partial(time_each, ordinary), 5, "ms", more_is_better=False),
    Measure("operations of the service", lambda: rate_operations(100, 30), 50_000, "ops/s"),
    Measure(
        "cost of an operation, 100,000 closed against none", cost_of_closed, 1.3, "x", more_is_better=False, times=1
    ),
    Measure("cost of an operation, 24,000 events against 600", cost_of_events, 1.3, "x", more_is_better=False, times=1),
]
