"""Read the graph of a flow from histories.

Theory of operation. In one place of a flow only one thing is awaited at a time, beside deadlines and started children.
So what a step followed is what had closed last when it was opened: a member of its place that closed before, with no
other one opened and closed in between. If nothing in its place closed since the decision task before, and a signal
came, then the step followed the signal. The events are compared in the order in which a decider applies them: what
closed before the DecisionTaskStarted of the decision that opened the step (SWF: an event that came later belongs to
the next decision task). The order in which branches of a group close makes no difference to the graph.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import msgspec

from traction.errors import PayloadUnavailableError
from traction.history.graphs.graph import (
    PLACES,
    ROOT,
    START,
    Edge,
    Graph,
    Node,
    NodeKind,
    build_graph,
    keep_results,
    merge_graphs,
)
from traction.history.local_records import find_step
from traction.history.state import HistoryState
from traction.model import events as e
from traction.model.correlation import CLOSE_STATUSES, CORRELATIONS, EXECUTION_CLOSES
from traction.payloads.codec import Codec
from traction.payloads.failure_text import read_failure

Position = tuple[int, int, int]
"""When something happened, in the order in which a decider applies events."""

_KINDS: Final[dict[type, tuple[NodeKind, str]]] = {
    e.ActivityTaskScheduled: ("activity", "activity_type"),
    e.ScheduleActivityTaskFailed: ("activity", "activity_type"),
    e.TimerStarted: ("timer", ""),
    e.StartTimerFailed: ("timer", ""),
    e.StartChildWorkflowExecutionInitiated: ("child", "workflow_type"),
    e.StartChildWorkflowExecutionFailed: ("child", "workflow_type"),
    e.LambdaFunctionScheduled: ("lambda", "name"),
    e.ScheduleLambdaFunctionFailed: ("lambda", "name"),
    e.SignalExternalWorkflowExecutionInitiated: ("send", "signal_name"),
    e.RequestCancelExternalWorkflowExecutionInitiated: ("cancel", ""),
    e.MarkerRecorded: ("marker", ""),
}
"""The kind of step that an event opens, and the attribute with its name; without one, the id has the name."""

_REFUSALS: Final = {row.refused: row.id_name for row in CORRELATIONS if row.closed and row.refused and row.id_name}

_WITHDRAWALS: Final = (e.TimerCanceled, e.ActivityTaskCancelRequested)
"""The events by which a flow stops waiting for a step."""

_MACHINERY: Final = "~more-"
"""How the ids of timers begin that a decider starts for itself."""

_SUFFIX: Final = re.compile(r"~(?:\d{1,9}|(retry|wait)-\d{1,9})$")
"""The suffix of an attempt, or of a pause between two attempts."""

_COUNT: Final = re.compile(r"-\d{1,9}$")
_REPEATED: Final = re.compile(r"~\d{1,9}$")
_SHORT: Final = re.compile(r'null|true|false|-?\d{1,6}(?:\.\d{1,3})?|"[\w .-]{1,20}"')
"""The results that an edge shows."""


_BEFORE: Final[Position] = (0, 0, 0)
"""A position before all events."""


class _Member:
    """A member of a place in one history: a step, or a place within."""

    def __init__(self, id: str, place: str, kind: NodeKind, name: str) -> None:
        self.id, self.place, self.name = id, place, name
        self.kind: NodeKind = kind
        self.opened: Position = _BEFORE
        self.closed: Position | None = None
        self.outcome = "open"
        self.result = ""
        self.attempts = 0
        self.raced = False
        self.members: dict[str, _Member] = {}
        self.arrives = False
        """Whether it comes from outside: a signal, or a request to cancel."""


def make_graph(histories: Iterable[Iterable[e.Event]], *, codec: Codec | None = None) -> Graph:
    """Return the graph of what histories of one workflow show.

    Args:
        histories: each from event 1, or the part of it that exists.
        codec: decodes encrypted failures. Without it, their types are not shown.

    Raises:
        HistoryError: no execution can have these events.

    Laws:
        The order of the histories, and how often each occurs, make no difference.
        `make_graph([*hs, *js]) == merge_graphs(make_graph(hs), make_graph(js))`.
    """
    graphs = dict[frozenset[str], Graph]()
    for history in histories:
        graph = read_graph(history, codec=codec)
        graphs.setdefault(graph.paths, graph)
    return merge_graphs(*graphs.values())


def read_graph(events: Iterable[e.Event], *, codec: Codec | None = None) -> Graph:
    """Return the graph of one history, which has one path.

    Raises:
        HistoryError: no execution can have these events.
    """
    root, turns = _read_members(events, codec)
    nodes, edges = list[Node](), list[Edge]()
    for place in _walk(root):
        if place.kind in PLACES and place is not root:
            _sum_up(place)
        if place.kind != "group":
            edges += _connect(place, turns)
    if root.opened != _BEFORE:
        nodes.append(Node(START, ROOT, "start", root.name, first=True, steps=frozenset({START})))
    targets = {edge.target for edge in edges}
    nodes += [_make_node(member, first=member.id not in targets) for member in _walk(root) if member is not root]
    nodes.sort(key=lambda node: node.id)
    edges.sort(key=lambda edge: (edge.source, edge.target))
    text = repr([(n.id, n.kind, n.name, sorted(n.outcomes), n.attempts, n.raced) for n in nodes]) + repr(
        [(edge.source, edge.target, sorted(edge.outcomes), sorted(edge.results)) for edge in edges]
    )
    paths = frozenset({sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]}) if nodes else frozenset[str]()
    return build_graph(
        [msgspec.structs.replace(node, paths=paths) for node in nodes],
        [msgspec.structs.replace(edge, paths=paths) for edge in edges],
        paths,
    )


def _make_node(member: _Member, *, first: bool) -> Node:
    return Node(
        id=member.id,
        place=member.place,
        kind=member.kind,
        name=member.name,
        outcomes=frozenset({member.outcome}) if member.kind != "close" else frozenset(),
        attempts=member.attempts,
        raced=member.raced,
        first=first,
        steps=frozenset({member.id}),
    )


# From events to members.


def _read_members(events: Iterable[e.Event], codec: Codec | None) -> tuple[_Member, list[int]]:
    """Return the flow as a member, and the DecisionTaskStarted of each decision task that completed."""
    history, root, turns = HistoryState(), _Member(ROOT, ROOT, "scope", ""), dict[int, int]()
    by_step, by_activity, counts = dict[int, _Member](), dict[str, _Member](), dict[str, int]()
    cancelling, pauses = dict[str, Position](), set[int]()
    began = datetime.min.replace(tzinfo=UTC)
    for event in events:
        history_step = history.add(event)
        position = _find_position(event, turns)
        match event:
            case e.WorkflowExecutionStarted():
                root.opened, root.name = (1, 0, 0), event.workflow_type.name
                began = event.event_timestamp
            case e.DecisionTaskCompleted():
                turns[event.event_id] = event.started_event_id
            case e.ActivityTaskCancelRequested():
                cancelling[event.activity_id] = position
            case e.WorkflowExecutionSignaled() | e.WorkflowExecutionCancelRequested():
                signal = isinstance(event, e.WorkflowExecutionSignaled)
                name = event.signal_name if isinstance(event, e.WorkflowExecutionSignaled) else "cancel requested"
                label = f"~{'signal' if signal else 'cancel'} {name}"
                counts[label] = counts.get(label, 0) + 1
                member = _Member(f"{label}-{counts[label]}", ROOT, "signal" if signal else "cancel", name)
                member.opened = member.closed = position
                member.outcome, member.arrives = "done", True
                root.members[member.id] = member
            case e.MarkerRecorded():
                local = find_step(event, began)
                member = _place(
                    root, event.marker_name, "marker" if local is None else "local", event, counts, position
                )
                _close_member(member, None if local is None else local.closed, position, codec)
            case _ if type(event) in _REFUSALS and history_step is None:
                id = _find_id(event, getattr(event, _REFUSALS[type(event)]))
                if not id.startswith(_MACHINERY):
                    member = _place(root, id, _KINDS[type(event)][0], event, counts, position)
                    _close_member(member, event, position, codec)
            case _ if history_step is not None and history_step.opened is event:
                id = _find_id(event, history_step.id)
                if not id.startswith(_MACHINERY):
                    member = _place(root, id, _KINDS[type(event)][0], event, counts, position)
                    by_step[event.event_id] = by_activity[id] = member
                    if (found := _SUFFIX.search(id)) and found[1]:
                        pauses.add(event.event_id)
            case _ if history_step is not None and history_step.closed is event:
                opened = by_step.get(history_step.opened.event_id)
                # After a pause that has passed comes another attempt.
                waits = history_step.opened.event_id in pauses and not isinstance(event, e.TimerCanceled)
                if opened is not None and not waits:
                    left = cancelling.get(history_step.id) if opened.kind == "activity" else None
                    _close_member(opened, event, left or position, codec, cancelled=left is not None)
        if type(event) in EXECUTION_CLOSES:
            name = _name_close(event, codec)
            close = root.members[f"~close {name}"] = _Member(f"~close {name}", ROOT, "close", name)
            close.opened = position
    for id, left in cancelling.items():
        # The flow does not wait for an activity that it has cancelled.
        if (abandoned := by_activity.get(id)) is not None and abandoned.closed is None:
            abandoned.closed, abandoned.outcome = max(left, abandoned.opened), "cancelled"
    return root, sorted(turns.values())


def _find_position(event: Any, turns: dict[int, int]) -> Position:
    completed = getattr(event, "decision_task_completed_event_id", 0)
    if not completed:
        return event.event_id, 0, 0
    turn = turns.setdefault(completed, event.event_id)
    return (turn, 0, 0) if type(event) in _WITHDRAWALS else (turn, 1, event.event_id)


def _find_id(event: Any, id: str) -> str:
    """Return the id of a step; of steps with the id of another execution it is in `control`, if Traction made them."""
    if _KINDS[type(event)][0] in ("child", "send", "cancel"):
        return getattr(event, "control", None) or ""
    return id


def _place(root: _Member, id: str, kind: NodeKind, event: Any, counts: dict[str, int], position: Position) -> _Member:
    """Return the member for a step, at the place that its id names; a further attempt has the member of the first."""
    segments = id.split(".")
    if not id:
        counts[kind] = counts.get(kind, 0) + 1
        segments = [f"~{kind}-{counts[kind]}"]
    elif not all(segments):
        segments = [id]
    around, prefix = root, ROOT
    for segment in segments[:-1]:
        prefix = f"{prefix}{segment}."
        within: NodeKind = "scope" if not segment.isdecimal() else "branch" if around.kind == "group" else "group"
        label = (_REPEATED.sub("", segment) or "attempt") if within == "scope" else ""
        around = around.members.setdefault(prefix, _Member(prefix, around.id, within, label))
    step, how = segments[-1], ""
    if found := _SUFFIX.search(step):
        step, how = step[: found.start()] or step, found[1] or ""
    key = prefix + step
    member = around.members.get(key)
    if member is None:
        member = around.members[key] = _Member(key, around.id, kind, _name_step(event, step, kind))
        member.opened = position
    if not how:
        member.kind, member.attempts = kind, member.attempts + 1
        member.name = _name_step(event, step, kind)
    member.closed, member.outcome, member.result = None, "open", ""
    return member


def _name_step(event: Any, step: str, kind: NodeKind) -> str:
    attribute = _KINDS[type(event)][1]
    if kind == "local" or not attribute:
        return _COUNT.sub("", step)
    named = getattr(event, attribute)
    return str(getattr(named, "name", named))


# How members close.


def _close_member(
    member: _Member, closing: Any, position: Position, codec: Codec | None, *, cancelled: bool = False
) -> None:
    member.closed = max(position, member.opened)
    member.outcome = "cancelled" if cancelled else _describe_outcome(closing, codec)
    result = getattr(closing, "result", None)
    if member.outcome == "done" and member.kind in ("activity", "local", "child", "lambda"):
        member.result = result if result is not None and _SHORT.fullmatch(result) else "…"


def _describe_outcome(closing: Any, codec: Codec | None) -> str:
    if closing is None:
        return "done"
    if (cause := getattr(closing, "cause", None)) is not None:
        return f"refused: {cause}"
    if (timeout := getattr(closing, "timeout_type", None)) is not None:
        return f"timed out: {timeout}"
    status = CLOSE_STATUSES.get(type(closing), "FAILED")
    if status == "FAILED":
        return f"failed: {_name_failure(closing, codec)}"
    return {"COMPLETED": "done", "CANCELED": "cancelled"}.get(status, status.lower().replace("_", " "))


def _name_failure(closing: Any, codec: Codec | None) -> str:
    if not hasattr(closing, "reason"):
        return "failure"
    try:
        failure = read_failure(closing.reason, closing.details, codec)
    except PayloadUnavailableError:  # of another key, for one
        failure = read_failure(closing.reason, closing.details)
    return failure.type.rpartition(".")[2] or "failure"


def _name_close(event: Any, codec: Codec | None) -> str:
    match event:
        case e.WorkflowExecutionCompleted():
            return "completed"
        case e.WorkflowExecutionFailed():
            return f"failed: {_name_failure(event, codec)}"
        case e.WorkflowExecutionCanceled():
            return "cancelled"
        case e.WorkflowExecutionContinuedAsNew():
            return "continued as new"
        case e.WorkflowExecutionTimedOut():
            return "timed out"
    return "terminated"


def _sum_up(place: _Member) -> None:
    """Set when a place was opened and closed, and how, from its members, which are summed up before."""
    members = list(place.members.values())
    place.opened = min(member.opened for member in members)
    closes = [member.closed for member in members]
    if None not in closes:
        place.closed = max(when for when in closes if when is not None)
    if place.kind == "group":
        awaited = [member for member in members if member.outcome != "cancelled"] or members
        failed = [member for member in awaited if member.outcome not in ("done", "open", "cancelled")]
        last = max(failed or awaited, key=lambda member: (member.closed or _BEFORE, member.outcome))
    else:
        awaited, last = members, max(members, key=lambda member: (member.opened, member.id))
    place.outcome = last.outcome if place.closed is not None else "open"
    place.raced = place.outcome == "done" and len(awaited) < len(members)


def _walk(root: _Member) -> Iterator[_Member]:
    """Yield all members, those of a place before the place itself."""
    waiting, found = [root], list[_Member]()
    while waiting:
        member = waiting.pop()
        found.append(member)
        waiting += member.members.values()
    return reversed(found)


# From members to edges.


def _connect(place: _Member, turns: Sequence[int]) -> Iterator[Edge]:
    """Yield the edges between the members of a place.

    Args:
        place: the place.
        turns: the DecisionTaskStarted of each decision task that completed.
    """
    ordered = sorted(place.members.values(), key=lambda member: (member.opened, member.id))
    members = [member for member in ordered if not member.arrives]
    arrived = [member for member in ordered if member.arrives]
    closed = sorted((m for m in members if m.closed is not None), key=lambda m: (m.closed or m.opened, m.id))
    number, latest, left = 0, _BEFORE, {member.id for member in arrived}
    for index, member in enumerate(members):
        while number < len(closed) and _precedes(closed[number], member):
            latest = max(latest, closed[number].opened)
            number += 1
        before = _choose_before(closed, number, latest) or _choose_open(members, index)
        turn = member.opened[0]
        previous = turns[at - 1] if (at := bisect_left(turns, turn)) else 0
        came = [one for one in arrived if previous < one.opened[0] < turn]
        if came and not any(one.closed is not None and previous < one.closed[0] < turn for one in before):
            left -= {one.id for one in came}
            # A signal that only made the flow wait for another one stands between.
            waited = [one for one in arrived if one.id in left and one.opened < came[0].opened]
            ended = max((_find_turn(one.closed, turns) for one in before if one.closed is not None), default=0)
            if waited and _find_turn(waited[-1].opened, turns) >= ended:
                before = waited[-1:]
            for one in came:
                yield from _make_edges(place, before, one)
            before = came
        yield from _make_edges(place, before, member)
    for member in arrived:
        if member.id in left:
            earlier = [one for one in closed if _precedes(one, member)]
            latest = max((one.opened for one in earlier), default=_BEFORE)
            yield from _make_edges(place, _choose_before(earlier, len(earlier), latest), member)


def _find_turn(position: Position, turns: Sequence[int]) -> int:
    """Return the DecisionTaskStarted of the decision task that received an event, or that caused it."""
    at = bisect_left(turns, position[0])
    return turns[at] if at < len(turns) else position[0]


def _make_edges(place: _Member, before: Sequence[_Member], member: _Member) -> Iterator[Edge]:
    if not before and place.id == ROOT:
        yield Edge(START, member.id)
    for one in before:
        results = keep_results({one.result}) if one.result else frozenset[str]()
        yield Edge(one.id, member.id, frozenset({one.outcome}), results)


def _precedes(member: _Member, other: _Member) -> bool:
    return member is not other and member.closed is not None and member.closed < other.opened


def _choose_before(closed: Sequence[_Member], count: int, latest: Position) -> list[_Member]:
    """Return those of the first `count` members that closed after the latest of them was opened."""
    last = list[_Member]()
    for member in reversed(closed[:count] if count < 64 else closed[count - 64 : count]):
        if member.closed is None or member.closed < latest:
            break
        last.append(member)
    # What was cancelled did not lead anywhere, unless nothing else did.
    return [member for member in last if member.outcome != "cancelled"] or last[:1]


def _choose_open(members: Sequence[_Member], index: int) -> list[_Member]:
    """Return the member that was opened last, by an earlier decision task, and that is still open."""
    turn = members[index].opened[0]
    before = [member for member in members[max(index - 8, 0) : index] if member.opened[0] < turn]
    return before[-1:]
