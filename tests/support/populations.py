"""Random executions on a service whose time is set: of some types, with tags, open or closed in every way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

from tests.support.http_backends import BEGIN, World
from traction.backend import Backend
from traction.client.query import ListedExecution, Query, to_listed
from traction.model import decisions as d
from traction.model import operations as o
from traction.model.names import TaskList, WorkflowExecution, WorkflowType

TYPES: Final = (WorkflowType("order", "1"), WorkflowType("order", "2"), WorkflowType("refund", "1"))
TAGS: Final = ("red", "blue")
IDS: Final = ("a", "b", "c")
FATES: Final = ("OPEN", "COMPLETED", "FAILED", "CANCELED", "TERMINATED", "TIMED_OUT", "CONTINUED_AS_NEW")
OPEN_FOR: Final = timedelta(seconds=10)
"""How long an execution may be open that times out."""

CLOSES: Final[dict[str, d.Decision]] = {
    "COMPLETED": d.CompleteWorkflowExecution(),
    "FAILED": d.FailWorkflowExecution(reason="Lost"),
    "CANCELED": d.CancelWorkflowExecution(),
    "CONTINUED_AS_NEW": d.ContinueAsNewWorkflowExecution(),
}


class Life(NamedTuple):
    """One execution: what it is, how long it lasts, and how it ends."""

    type: WorkflowType
    workflow_id: str
    tags: tuple[str, ...]
    fate: str
    before: float
    """Seconds before its start."""
    lasts: float
    """Seconds until its end, unless it times out."""


def lives() -> st.SearchStrategy[Life]:
    """Strategy: one execution."""
    seconds = st.sampled_from([0, 0.001, 1, 5])
    return st.builds(
        Life,
        st.sampled_from(TYPES),
        st.sampled_from(IDS),
        st.sampled_from([(), TAGS[:1], TAGS[1:], TAGS]),
        st.sampled_from(FATES),
        seconds,
        seconds,
    )


def queries() -> st.SearchStrategy[Query]:
    """Strategy: queries, most of which some execution of `lives` matches."""
    instants = st.none() | st.builds(
        lambda seconds: BEGIN + timedelta(seconds=seconds),
        st.sampled_from([0, 0.001, 0.0015, 1, 2, 5, 6, 10, 11, 20]),
    )
    ranges = st.just((None, None)) | st.tuples(instants, instants).map(order_times)
    types = st.sampled_from([{}, {"workflow": "order"}, {"workflow": "order", "version": "2"}, {"workflow": "refund"}])
    others = st.fixed_dictionaries(
        {"started": ranges, "closed": ranges},
        optional={
            "status": st.sampled_from([*FATES, "CLOSED"]),
            "tag": st.sampled_from([*TAGS, "green"]),
            "workflow_id": st.sampled_from(IDS),
        },
    )

    def make(type: dict[str, Any], rest: dict[str, Any]) -> Query:
        if rest.get("status") == "OPEN":
            rest = rest | {"closed": (None, None)}
        return Query(**type, **rest)

    return st.builds(make, types, others)


def order_times(times: tuple[datetime | None, datetime | None]) -> tuple[datetime | None, datetime | None]:
    """Put two instants in their order."""
    since, until = times
    return (until, since) if since is not None and until is not None and since > until else times


def populate(world: World, population: Sequence[Life]) -> list[WorkflowExecution]:
    """Run the executions one after the other, and return all runs. Those under an open id are left out."""
    for type in TYPES:
        world.local.call(
            o.RegisterWorkflowType(
                domain=world.local.domain,
                name=type.name,
                version=type.version,
                default_task_list=TaskList("work"),
                default_task_start_to_close_timeout="NONE",
                default_execution_start_to_close_timeout="86400",
                default_child_policy="TERMINATE",
            )
        )
    runs: list[WorkflowExecution] = []
    occupied: set[str] = set()
    for life in population:
        if life.workflow_id in occupied:
            continue
        world.advance(life.before)
        runs += _live(world, life)
        if life.fate in ("OPEN", "CONTINUED_AS_NEW"):
            occupied.add(life.workflow_id)
    return runs


def _live(world: World, life: Life) -> list[WorkflowExecution]:
    domain, local = world.local.domain, world.local
    run = local.call(
        o.StartWorkflowExecution(
            domain=domain,
            workflow_id=life.workflow_id,
            workflow_type=life.type,
            tag_list=life.tags,
            execution_start_to_close_timeout=f"{OPEN_FOR.seconds}" if life.fate == "TIMED_OUT" else None,
        )
    )
    assert run.run_id is not None
    execution = WorkflowExecution(life.workflow_id, run.run_id)
    task = local.call(o.PollForDecisionTask(domain=domain, task_list=TaskList("work")), timedelta(0))
    assert task.workflow_execution == execution
    if life.fate == "TIMED_OUT":
        world.advance(OPEN_FOR.seconds)
        return [execution]
    world.advance(life.lasts)
    if life.fate == "TERMINATED":
        local.call(o.TerminateWorkflowExecution(domain=domain, workflow_id=life.workflow_id))
    elif life.fate != "OPEN":
        decision = CLOSES[life.fate]
        local.call(o.RespondDecisionTaskCompleted(task_token=task.task_token, decisions=(decision,)))
    if life.fate != "CONTINUED_AS_NEW":
        return [execution]
    following = local.call(o.PollForDecisionTask(domain=domain, task_list=TaskList("work")), timedelta(0))
    assert following.workflow_execution is not None
    return [execution, following.workflow_execution]


def describe_all(backend: Backend, runs: Sequence[WorkflowExecution]) -> list[ListedExecution]:
    """Return what the service describes of each run: what a perfect list would show."""
    return [
        to_listed(backend.call(o.DescribeWorkflowExecution(domain=backend.domain, execution=run)).execution_info)
        for run in runs
    ]
