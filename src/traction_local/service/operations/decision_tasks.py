"""Poll for decision tasks, complete them, and read histories."""

from __future__ import annotations

from datetime import datetime

from traction.errors import UnknownResourceFault, ValidationException
from traction.model import operations as o
from traction.model.events import DecisionTaskScheduled, DecisionTaskStarted, Event
from traction.model.names import WorkflowExecution, WorkflowType
from traction_local.service.decisions.apply import apply_decisions
from traction_local.service.paging import fit, get_page_size, make_page_token, read_page_token
from traction_local.service.state.index import unknown_execution
from traction_local.service.state.region import Region
from traction_local.service.state.run import Run
from traction_local.service.tokens import DECISION, make_token

NO_DECISION_TASK = o.DecisionTask(
    task_token="",
    started_event_id=0,
    previous_started_event_id=0,
    workflow_execution=WorkflowExecution("", ""),
    workflow_type=WorkflowType("", ""),
    events=(),
)
"""The response to a poll that found no task."""


def poll_for_decision_task(region: Region, request: o.PollForDecisionTask, now: datetime) -> o.DecisionTask:
    """Assign the next task of a list, or with a page token return the next page of its history."""
    domain = region.get_domain(request.domain)
    if request.next_page_token is not None:
        return _read_on(region, request, now)
    queue = domain.decision_queues.find(request.task_list.name)
    task = None if queue is None else queue.take()
    if task is None:
        return NO_DECISION_TASK
    region.revision += 1
    task.start(request.identity, now)
    execution = task.execution
    first = _find_first(execution, request.start_at_previous_started_event)
    previous = execution.previous_started_event_id
    last = task.started_event_id
    return _make_task(region, request, now, execution, last, previous, (first, last))


def _find_first(execution: Run, start_at_previous: bool | None) -> int:
    """Return the first event id of the history for a decider."""
    first = execution.previous_started_event_id
    if not start_at_previous or not first:
        return 1
    events = execution.events
    if execution.region.knobs.start_by_timestamp:
        while first > 1 and events[first - 2].event_timestamp == events[first - 1].event_timestamp:
            first -= 1
    return first


def _read_on(region: Region, request: o.PollForDecisionTask, now: datetime) -> o.DecisionTask:
    """Return another page. It assigns no task, and repeats the task fields of the first page."""
    number, last, previous, first, final = read_page_token(region, request, now, 5)
    execution = region.get_run(number)
    return _make_task(region, request, now, execution, last, previous, (first, final))


def _make_task(
    region: Region,
    request: o.PollForDecisionTask,
    now: datetime,
    execution: Run,
    started_event_id: int,
    previous: int,
    span: tuple[int, int],
) -> o.DecisionTask:
    started = execution.events[started_event_id - 1]
    assert isinstance(started, DecisionTaskStarted)
    events, rest = _cut(region, execution, span, request.maximum_page_size, request.reverse_order)
    token = None
    if rest is not None:
        token = make_page_token(region, request, now, execution.number, started_event_id, previous, *rest)
    return o.DecisionTask(
        task_token=make_token(execution.stem, DECISION, started.scheduled_event_id),
        started_event_id=started_event_id,
        previous_started_event_id=previous,
        workflow_execution=execution.execution,
        workflow_type=execution.type,
        events=events,
        next_page_token=token,
    )


def _cut(
    region: Region, execution: Run, span: tuple[int, int], size_max: int | None, reverse: bool | None
) -> tuple[tuple[Event, ...], tuple[int, int] | None]:
    """Return a page from one end of a span of event ids, and the rest of the span, if any."""
    first, last = span
    events, size = execution.events, get_page_size(region, size_max)
    if reverse:
        page = fit(region, events[max(first - 1, last - size) : last][::-1])
        first, last = first, last - len(page)
    else:
        page = fit(region, events[first - 1 : min(last, first - 1 + size)])
        first, last = first + len(page), last
    return tuple(page), (first, last) if first <= last else None


def respond_decision_task_completed(region: Region, request: o.RespondDecisionTaskCompleted, now: datetime) -> None:
    """Complete a decision task and apply its decisions. An invalid decision rejects all; a failing one only itself."""
    execution, event_id = region.read_token(request.task_token, DECISION)
    if not isinstance(execution.events[event_id - 1], DecisionTaskScheduled):
        raise ValidationException("Invalid token")
    if not execution.is_open:
        raise unknown_execution(execution.workflow_id, execution.run_id)
    if execution.queued is not None and execution.queued.scheduled_event_id == event_id:
        raise ValidationException("Invalid token")
    running = execution.running
    if running is None or running.scheduled_event_id != event_id:
        raise UnknownResourceFault(f"Unknown decision task, scheduledEventId = {event_id}")
    decisions = request.decisions or ()
    region.validator.check_decisions(decisions)
    completed_event_id = execution.complete_decision(
        request.execution_context, request.task_list, request.task_list_schedule_to_start_timeout, now
    )
    apply_decisions(region.domains[execution.index.domain], execution, decisions, completed_event_id, now)


def get_workflow_execution_history(region: Region, request: o.GetWorkflowExecutionHistory, now: datetime) -> o.History:
    """Read a page of events of a run, open or closed."""
    target = request.execution
    execution = region.get_domain(request.domain).index.get_execution(target.workflow_id, target.run_id)
    span = (1, len(execution.events))
    if request.next_page_token is not None:
        first, last = read_page_token(region, request, now, 2)
        # Oldest first, events that were appended since the first page are included.
        span = (first, last if request.reverse_order else len(execution.events))
    events, rest = _cut(region, execution, span, request.maximum_page_size, request.reverse_order)
    token = None if rest is None else make_page_token(region, request, now, *rest)
    return o.History(events=events, next_page_token=token)
