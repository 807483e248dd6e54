"""Steps that return at once and leave nothing in the history: reads of the execution, and its published state."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from traction.decider.context import DecisionContext
from traction.decider.diagnostics import encode_call
from traction.decider.frames import Leaf
from traction.decider.outcomes import Outcome, Raised, Returned
from traction.errors import PayloadError, PayloadUnavailableError
from traction.flow.durations import EXECUTION_SECONDS_MAX
from traction.flow.effects import ContinuedAsNew, ExecutionInfo
from traction.payloads.codec import JSON, PAYLOAD_CHARS_MAX
from traction.payloads.losses import find_loss


def publish_state(context: DecisionContext, leaf: Leaf) -> Outcome:
    """Keep a state, and send it with the response to the decision task if it fits."""
    state = leaf.node.status
    context.state = context.codec.write(state)
    if context.codec.exact:
        read = JSON.decode(context.state, Any)
        if (loss := find_loss(state, read, by_class=True, show_keys=not context.codec.hides)) is not None:
            raise PayloadError(loss.explain("the state")).as_bug()
    try:
        context.state_payload = context.codec.pack(context.state, PAYLOAD_CHARS_MAX, "the state")
    except PayloadUnavailableError:
        raise
    except PayloadError:
        pass  # too long for SWF; a query replays the flow and reads it all the same
    return Returned(None)


def get_history_length(context: DecisionContext, _: Leaf) -> Outcome:
    """Return the length of the history at this turn."""
    return Returned(context.turn_event_id)


def get_run_deadline(context: DecisionContext, _: Leaf) -> Outcome:
    """Return when the run times out."""
    assert context.begun is not None
    seconds = int(context.begun.execution_start_to_close_timeout or EXECUTION_SECONDS_MAX)
    return Returned(context.begun.event_timestamp + timedelta(seconds=seconds))


def get_execution_info(context: DecisionContext, _: Leaf) -> Outcome:
    """Return the ids, type and tags of this execution."""
    begun = context.begun
    assert begun is not None
    return Returned(
        ExecutionInfo(
            workflow_id=context.execution.workflow_id,
            run_id=context.execution.run_id,
            name=begun.workflow_type.name,
            version=begun.workflow_type.version,
            tags=tuple(begun.tag_list or ()),
            parent=begun.parent_workflow_execution,
            continued_from=begun.continued_execution_run_id or None,
        )
    )


def continue_as_new(context: DecisionContext, leaf: Leaf) -> Outcome:
    """Unwind the flow: the decision is made when it has ended."""
    # Only a check: `finally` blocks may take more decision tasks before the run closes.
    encode_call(context.codec, leaf.node.call, leaf.fiber)
    return Raised(ContinuedAsNew(leaf.node.call))
