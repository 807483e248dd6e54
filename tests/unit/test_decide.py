"""What the decider says of flows that do what no flow may do, and of histories that other code made."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from traction import events as e
from traction.decide import decide
from traction.definition import activity, workflow
from traction.names import TaskList

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@activity
def charge(n: int) -> int:
    return n


@activity
def refund(n: int) -> int:
    return n


def begin(definition: Any, input: str = "{}") -> list[e.Event]:
    """Give the history of an execution up to its first DecisionTaskStarted."""
    here = TaskList("here")
    return [
        e.WorkflowExecutionStarted(
            event_id=1,
            event_timestamp=NOON,
            child_policy="TERMINATE",
            task_list=here,
            workflow_type=definition.spec.type,
            input=input,
        ),
        e.DecisionTaskScheduled(event_id=2, event_timestamp=NOON, task_list=here),
        e.DecisionTaskStarted(event_id=3, event_timestamp=NOON, scheduled_event_id=2),
    ]


def test_deciding_lets_go_of_the_flow() -> None:
    let_go: list[bool] = []

    @workflow
    async def waits() -> int:
        try:
            return await charge(1)
        finally:
            let_go.append(True)
            await refund(1)

    decide(waits, begin(waits))
    assert let_go == [True]


def test_a_failure_said_once_and_read_twice_gives_equal_decisions() -> None:
    spent = fail(ValueError("spent"))

    @workflow
    async def fails() -> int:
        return await spent

    assert decide(fails, begin(fails)) == decide(fails, begin(fails))
