"""Handle the steps that the decider completes itself, and record their values in markers.

The first decider that reaches such a step computes its value; later ones read it from the marker.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from traction.decider.context import DecisionContext
from traction.decider.diagnostics import encode_call, find_place
from traction.decider.frames import ERROR, VALUE, Given, Leaf
from traction.errors import FlowError, NonDeterminismError, PayloadError, PayloadUnavailableError
from traction.flow.durations import EXECUTION_SECONDS_MAX
from traction.flow.effects import ExecutionInfo, SideEffect
from traction.history.local_records import Record, find_record
from traction.model import decisions as d
from traction.payloads.codec import JSON, PAYLOAD_CHARS_MAX
from traction.payloads.losses import find_loss
from traction.runtime.turn import leave_flow

PATCH: Final = "~patch-"
"""How the names of markers begin that `patched` leaves."""


UNSENT: Final = "!"
"""How the details of a marker begin that keeps no value, but why there is none. No payload begins so."""


def ask_side_effect(context: DecisionContext, leaf: Leaf) -> Given | None:
    """Run the code, or read its value from the marker.

    Wait for the next decision task if this one has no room for the marker. A decider that only looks never runs it.
    """
    node: SideEffect[Any] = leaf.node
    if context.replaying and not context.looking:
        waits = context.more and leaf.id not in context.markers
    else:
        waits = context.looking or not context.has_room()
    if waits:
        context.local[leaf.task_id] = leaf
        return None
    if context.replaying:
        details = _get_marker(context, leaf)
    else:
        try:
            details = context.codec.encode_as(leave_flow(node.f), node.type, "it")
        except PayloadUnavailableError:
            raise
        except PayloadError as error:
            if error.is_bug:
                raise PayloadError(f"the value of {leaf.id} cannot be kept as a marker: {error}").as_bug() from error
            # Kept as well, since the code may give another value when it is run again.
            details = UNSENT + context.codec.encode(f"the value of {leaf.id} cannot be kept as a marker: {error}")
        except FlowError:
            raise
        except Exception as error:
            raise FlowError(
                f"the code of {leaf.id} raised {type(error).__name__}: {error}. A side effect cannot fail: do this in "
                "an activity, which can"
            ) from error
    context.ask_marker(d.RecordMarker(marker_name=leaf.id, details=details))
    if details is not None and details.startswith(UNSENT):
        return ERROR, PayloadError(context.codec.decode(details[len(UNSENT) :], str, f"the marker {leaf.id}"))
    return VALUE, context.codec.decode(details, node.type, f"the marker {leaf.id}")


def _get_marker(context: DecisionContext, leaf: Leaf) -> str | None:
    try:
        return context.markers[leaf.id]
    except KeyError:
        raise _differ(context, leaf, "nothing", leaf.id) from None


def ask_patched(context: DecisionContext, leaf: Leaf) -> Given:
    """Return whether the execution has the patch, which an execution that first runs this step has."""
    name: str = leaf.node.name
    marker = f"{PATCH}{name}"
    if name not in context.patches:
        has = context.patches[name] = marker in context.markers if context.replaying and not context.looking else True
        if has:
            context.ask_marker(d.RecordMarker(marker_name=marker))
    return VALUE, context.patches[name]


def ask_report(context: DecisionContext, leaf: Leaf) -> Given:
    """Keep what is reported, and show it with the answer to the decision task if it has room there."""
    status = leaf.node.status
    context.reported = context.codec.write(status)
    if context.codec.exact:
        read = JSON.decode(context.reported, Any)
        if (loss := find_loss(status, read, by_class=True, show_keys=not context.codec.hides)) is not None:
            raise PayloadError(loss.explain("the state")).as_bug()
    try:
        context.report = context.codec.pack(context.reported, PAYLOAD_CHARS_MAX, "the state")
    except PayloadUnavailableError:
        raise
    except PayloadError:
        pass  # those who replay the flow read it all the same
    return VALUE, None


def ask_history_events(context: DecisionContext, _: Leaf) -> Given:
    """Return the length of the history at this turn."""
    return VALUE, context.turn_event_id


def ask_run_ends(context: DecisionContext, _: Leaf) -> Given:
    """Return when the run times out."""
    assert context.begun is not None
    seconds = int(context.begun.execution_start_to_close_timeout or EXECUTION_SECONDS_MAX)
    return VALUE, context.begun.event_timestamp + timedelta(seconds=seconds)


def ask_execution_info(context: DecisionContext, _: Leaf) -> Given:
    """Return the ids, type and tags of this execution."""
    begun = context.begun
    assert begun is not None
    return VALUE, ExecutionInfo(
        workflow_id=context.execution.workflow_id,
        run_id=context.execution.run_id,
        name=begun.workflow_type.name,
        version=begun.workflow_type.version,
        tags=tuple(begun.tag_list or ()),
        parent=begun.parent_workflow_execution,
        continued_from=begun.continued_execution_run_id or None,
    )


def ask_local(context: DecisionContext, leaf: Leaf) -> None:
    """Queue a local activity for the worker that runs this decider.

    Raises:
        PayloadError: its call is too long for SWF, as it would be for any other activity.
    """
    encode_call(context.codec, leaf.node.call, leaf.fiber)
    if leaf.began is None:
        leaf.began = context.flow.now
    context.local[leaf.task_id] = leaf


def take_record(context: DecisionContext, leaf: Leaf, details: str | None) -> Record:
    """Queue the marker of a local activity that ended, and return its record.

    Raises:
        NonDeterminismError: it is of another activity, or another version.
    """
    record, mine = find_record(details), leaf.node.spec.type
    if record is None or record.type != mine:
        was = leaf.task_id if record is None else f"{record.activity} {record.version}"
        raise _differ(context, leaf, f"RecordMarker  {was}", f"{mine.name} {mine.version}")
    del context.local[leaf.task_id]
    context.ask_marker(d.RecordMarker(marker_name=leaf.task_id, details=details))
    return record


def _differ(context: DecisionContext, leaf: Leaf, expected: str, actual: str) -> NonDeterminismError:
    type = context.workflow.spec.type
    return NonDeterminismError(
        f"{type.name} {type.version}",
        step=leaf.task_id,
        event_id=context.answering,
        event="DecisionTaskCompleted",
        expected=expected,
        actual=f"RecordMarker  {actual}",
        place=find_place(leaf.fiber),
    )
