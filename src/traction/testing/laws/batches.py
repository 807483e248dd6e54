"""Say what SWF does with a batch of decisions: refuse all of it, or write an event for each.

Takes decisions, and why one is refused; gives events' types and attributes.

Source: Amazon SWF API reference, decisions and HistoryEvent.
"""

from __future__ import annotations

from typing import Any, Final

from traction.decider.batching import DECISIONS_MAX
from traction.model import decisions as d
from traction.model import events as e
from traction.model.correlation import BY_DECISION, CLOSE_DECISIONS
from traction.model.names import TaskList, WorkflowType
from traction.model.sizes import REQUEST_BYTES_MAX, measure

TASK_LIST: Final = TaskList("played")
"""The task list of everything in a play."""

_NEXT: Final = "the next run"


class BatchRejected(Exception):
    """SWF would answer this list of decisions with a ValidationException, and apply nothing of it."""


def write_answer(decision: Any, cause: str | None) -> tuple[type[Any], dict[str, Any]]:
    """Give the event that answers a decision: it has of the decision what both have."""
    row = BY_DECISION[type(decision)]
    kind: Any = row.accepted if cause is None else row.refused
    attributes = {name: getattr(decision, name) for name in kind.__struct_fields__ if hasattr(decision, name)}
    if kind is e.StartChildWorkflowExecutionFailed:
        attributes["initiated_event_id"] = 0
    if kind is e.WorkflowExecutionContinuedAsNew:
        version = WorkflowType(_NEXT, decision.workflow_type_version or "1")
        attributes |= {"new_execution_run_id": "run-2", "workflow_type": version}
    if attributes.get("task_list", kind) is None:
        attributes["task_list"] = TASK_LIST
    if attributes.get("child_policy", kind) is None:
        attributes["child_policy"] = "TERMINATE"
    return kind, attributes if cause is None else attributes | {"cause": cause}


def check_batch(decisions: list[d.Decision]) -> None:
    """Refuse a batch that SWF would not take.

    Raises:
        BatchRejected: it is too long, or closes the execution and then asks for more.
    """
    if len(decisions) > DECISIONS_MAX:
        raise BatchRejected(f"{len(decisions)} decisions, and at most {DECISIONS_MAX} are taken")
    if (size := sum(map(measure, decisions))) > REQUEST_BYTES_MAX:
        raise BatchRejected(f"{size:,} bytes of decisions, and a request has at most {REQUEST_BYTES_MAX:,}")
    if any(isinstance(decision, CLOSE_DECISIONS) for decision in decisions[:-1]):
        raise BatchRejected(f"Close must be last decision in list: {decisions!r}")
    if decisions and isinstance(decisions[-1], CLOSE_DECISIONS):
        asks = [one for one in decisions if isinstance(one, d.ScheduleActivityTask | d.StartTimer)]
        if asks:
            raise BatchRejected(f"Specified decision is incompatible with close decision: {asks!r}")
