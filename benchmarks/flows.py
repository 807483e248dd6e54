"""The flows that are measured, and the histories that they make."""

from __future__ import annotations

from datetime import UTC, datetime

from traction import activity, all_of, workflow
from traction.model import events as e
from traction.model.names import TaskList


@activity
def increment(n: int) -> int:
    return n + 1


@workflow
async def chain(n: int) -> int:
    x = 0
    for _ in range(n):
        x = await increment(x)
    return x


@workflow
async def fan(n: int) -> int:
    return sum(await all_of([increment(i) for i in range(n)]))


def make_chain_history(n: int) -> tuple[list[e.Event], list[tuple[int, int]]]:
    """Give the history of `chain(n)` up to its last DecisionTaskStarted, and where the news of each task lie."""
    time, lists = datetime(2026, 1, 1, tzinfo=UTC), TaskList("list")
    events: list[e.Event] = []

    def add(kind: type, **attributes: object) -> int:
        events.append(kind(event_id=len(events) + 1, event_timestamp=time, **attributes))
        return len(events)

    spec = increment.spec  # type: ignore[attr-defined]
    add(
        e.WorkflowExecutionStarted,
        child_policy="TERMINATE",
        task_list=lists,
        workflow_type=chain.spec.type,  # type: ignore[attr-defined]
        input=f'{{"n":{n}}}',
    )
    cuts: list[tuple[int, int]] = []
    scheduled = add(e.DecisionTaskScheduled, task_list=lists)
    for i in range(1, n + 1):
        started = add(e.DecisionTaskStarted, scheduled_event_id=scheduled)
        cuts.append((cuts[-1][1] if cuts else 0, len(events)))
        completed = add(e.DecisionTaskCompleted, scheduled_event_id=scheduled, started_event_id=started)
        task = add(
            e.ActivityTaskScheduled,
            activity_type=spec.type,
            activity_id=f"increment-{i}",
            task_list=lists,
            decision_task_completed_event_id=completed,
        )
        working = add(e.ActivityTaskStarted, scheduled_event_id=task)
        add(e.ActivityTaskCompleted, scheduled_event_id=task, started_event_id=working, result=str(i))
        scheduled = add(e.DecisionTaskScheduled, task_list=lists)
    add(e.DecisionTaskStarted, scheduled_event_id=scheduled)
    cuts.append((cuts[-1][1] if cuts else 0, len(events)))
    return events, cuts
