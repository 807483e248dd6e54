"""Say what the leaves ask that are answered by the decider itself, and leave a marker, or nothing at all.

Takes leaves, and the decider that they belong to; gives asks to it, and answers. The first decider that comes to such a
leaf finds the answer; those after it read it in the marker.
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


def ask_side_effect(desk: DecisionContext, leaf: Leaf) -> Given | None:
    """Run the code, or read its value from the marker.

    Wait for the next decision task where this one has no room for the marker. Whoever only looks waits for ever.
    """
    node: SideEffect[Any] = leaf.node
    if desk.replaying and not desk.looking:
        waits = desk.more and leaf.id not in desk.markers
    else:
        waits = desk.looking or not desk.has_room()
    if waits:
        desk.local[leaf.task_id] = leaf
        return None
    if desk.replaying:
        details = _get_marker(desk, leaf)
    else:
        try:
            details = desk.codec.encode_as(leave_flow(node.f), node.type, "it")
        except PayloadUnavailableError:
            raise
        except PayloadError as error:
            if error.is_bug:
                raise PayloadError(f"the value of {leaf.id} cannot be kept as a marker: {error}").as_bug() from error
            # Kept as well, since the code may give another value when it is run again.
            details = UNSENT + desk.codec.encode(f"the value of {leaf.id} cannot be kept as a marker: {error}")
        except FlowError:
            raise
        except Exception as error:
            raise FlowError(
                f"the code of {leaf.id} raised {type(error).__name__}: {error}. A side effect cannot fail: do this in "
                "an activity, which can"
            ) from error
    desk.ask_marker(d.RecordMarker(marker_name=leaf.id, details=details))
    if details is not None and details.startswith(UNSENT):
        return ERROR, PayloadError(desk.codec.decode(details[len(UNSENT) :], str, f"the marker {leaf.id}"))
    return VALUE, desk.codec.decode(details, node.type, f"the marker {leaf.id}")


def _get_marker(desk: DecisionContext, leaf: Leaf) -> str | None:
    try:
        return desk.markers[leaf.id]
    except KeyError:
        raise _differ(desk, leaf, "nothing", leaf.id) from None


def ask_patched(desk: DecisionContext, leaf: Leaf) -> Given:
    """Say whether the execution has the patch; one that comes here for the first time has."""
    name: str = leaf.node.name
    marker = f"{PATCH}{name}"
    if name not in desk.patches:
        has = desk.patches[name] = marker in desk.markers if desk.replaying and not desk.looking else True
        if has:
            desk.ask_marker(d.RecordMarker(marker_name=marker))
    return VALUE, desk.patches[name]


def ask_report(desk: DecisionContext, leaf: Leaf) -> Given:
    """Keep what is reported, and show it with the answer to the decision task if it has room there."""
    status = leaf.node.status
    desk.reported = desk.codec.write(status)
    if desk.codec.exact:
        read = JSON.decode(desk.reported, Any)
        if (loss := find_loss(status, read, by_class=True, show_keys=not desk.codec.hides)) is not None:
            raise PayloadError(loss.explain("the state")).as_bug()
    try:
        desk.report = desk.codec.pack(desk.reported, PAYLOAD_CHARS_MAX, "the state")
    except PayloadUnavailableError:
        raise
    except PayloadError:
        pass  # those who replay the flow read it all the same
    return VALUE, None


def ask_history_events(desk: DecisionContext, _: Leaf) -> Given:
    """Say how many events there are."""
    return VALUE, desk.turn_event_id


def ask_run_ends(desk: DecisionContext, _: Leaf) -> Given:
    """Say when the run is closed if it is still open then."""
    assert desk.begun is not None
    seconds = int(desk.begun.execution_start_to_close_timeout or EXECUTION_SECONDS_MAX)
    return VALUE, desk.begun.event_timestamp + timedelta(seconds=seconds)


def ask_execution_info(desk: DecisionContext, _: Leaf) -> Given:
    """Answer which execution this is, from its first event."""
    begun = desk.begun
    assert begun is not None
    return VALUE, ExecutionInfo(
        workflow_id=desk.execution.workflow_id,
        run_id=desk.execution.run_id,
        name=begun.workflow_type.name,
        version=begun.workflow_type.version,
        tags=tuple(begun.tag_list or ()),
        parent=begun.parent_workflow_execution,
        continued_from=begun.continued_execution_run_id or None,
    )


def ask_local(desk: DecisionContext, leaf: Leaf) -> None:
    """Put a local activity where whoever decides finds it, and does it.

    Raises:
        PayloadError: its call is too long for SWF, as it would be for any other activity.
    """
    encode_call(desk.codec, leaf.node.call, leaf.fiber)
    if leaf.began is None:
        leaf.began = desk.flow.now
    desk.local[leaf.task_id] = leaf


def take_record(desk: DecisionContext, leaf: Leaf, details: str | None) -> Record:
    """Ask to record how a local activity ended, and read it.

    Raises:
        NonDeterminismError: it is of another activity, or another version.
    """
    record, mine = find_record(details), leaf.node.spec.type
    if record is None or record.type != mine:
        was = leaf.task_id if record is None else f"{record.activity} {record.version}"
        raise _differ(desk, leaf, f"RecordMarker  {was}", f"{mine.name} {mine.version}")
    del desk.local[leaf.task_id]
    desk.ask_marker(d.RecordMarker(marker_name=leaf.task_id, details=details))
    return record


def _differ(desk: DecisionContext, leaf: Leaf, expected: str, actual: str) -> NonDeterminismError:
    type = desk.workflow.spec.type
    return NonDeterminismError(
        f"{type.name} {type.version}",
        step=leaf.task_id,
        event_id=desk.answering,
        event="DecisionTaskCompleted",
        expected=expected,
        actual=f"RecordMarker  {actual}",
        place=find_place(leaf.fiber),
    )
