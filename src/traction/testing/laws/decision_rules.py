"""SWF's rules for decisions: it rejects a whole response, or writes an event for each decision.

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
"""The task list of all tasks in generated histories."""

_NEXT: Final = "the next run"


class BatchRejected(Exception):
    """SWF would reject these decisions with a ValidationException, and apply none of them."""


def build_event(decision: Any, cause: str | None) -> tuple[type[Any], dict[str, Any]]:
    """Return the type and attributes of the event of a decision; `cause` is why it is refused."""
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
    """Check that SWF accepts the decisions of a response.

    Raises:
        BatchRejected: they are too many or too large, or a close is not the last or comes with a new task or timer.
    """
    if len(decisions) > DECISIONS_MAX:
        raise BatchRejected(f"{len(decisions)} decisions, and at most {DECISIONS_MAX} are allowed")
    if (size := sum(map(measure, decisions))) > REQUEST_BYTES_MAX:
        raise BatchRejected(f"{size:,} bytes of decisions, and a request has at most {REQUEST_BYTES_MAX:,}")
    if any(isinstance(decision, CLOSE_DECISIONS) for decision in decisions[:-1]):
        raise BatchRejected(f"Close must be last decision in list: {decisions!r}")
    if decisions and isinstance(decisions[-1], CLOSE_DECISIONS):
        starts = [one for one in decisions if isinstance(one, d.ScheduleActivityTask | d.StartTimer)]
        if starts:
            raise BatchRejected(f"Specified decision is incompatible with close decision: {starts!r}")
