"""The exam finds faulty backends: each fault, and the check that must fail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from traction.errors import UnknownResourceFault, WorkflowExecutionAlreadyStartedFault
from traction.model import decisions as d
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import ActivityType, WorkflowExecution, WorkflowType
from traction.testing.conformance import ExamFailure, exam, fixture
from traction_local.backend import DOMAIN, LocalBackend
from traction_local.service.service import Service

Go = Callable[[Any], Any]
DefectiveCall = Callable[[dict[Any, Any], Any, Go], Any]


class Defect(NamedTuple):
    """What a backend does wrong, and the check that must fail."""

    name: str
    check: str
    call: DefectiveCall

    def __repr__(self) -> str:
        return self.name


class FaultyBackend(LocalBackend):
    """A backend with a fault, which can keep state in its memory."""

    def __init__(self, call: DefectiveCall) -> None:
        super().__init__(Service())
        self._defect, self._memory = call, dict[Any, Any]()
        super().call(o.RegisterDomain(name=DOMAIN, workflow_execution_retention_period_in_days="1"))

    def call(self, request: Any, wait: timedelta | None = None) -> Any:
        return self._defect(self._memory, request, lambda correct: super(FaultyBackend, self).call(correct, wait))


def changes_requests(kinds: Any, change: Callable[[Any], Any]) -> DefectiveCall:
    """Change requests."""
    return lambda _, request, go: go(change(request) if isinstance(request, kinds) else request)


def changes_responses(kinds: Any, change: Callable[[Any], Any]) -> DefectiveCall:
    """Change responses."""
    return lambda _, request, go: change(go(request)) if isinstance(request, kinds) else go(request)


def changes_decisions(kind: Any, **changes: Any) -> DefectiveCall:
    """Change decisions."""

    def change(request: Any) -> Any:
        decisions = (replace(one, **changes) if isinstance(one, kind) else one for one in request.decisions or ())
        return replace(request, decisions=tuple(decisions))

    return changes_requests(o.RespondDecisionTaskCompleted, change)


def changes_events(kind: Any, **changes: Any) -> DefectiveCall:
    """Change events in responses."""

    def change(response: Any) -> Any:
        return replace(
            response, events=tuple(replace(one, **changes) if isinstance(one, kind) else one for one in response.events)
        )

    return changes_responses((o.PollForDecisionTask, o.GetWorkflowExecutionHistory), change)


def changes_descriptions(**changes: Any) -> DefectiveCall:
    """Change descriptions of executions."""
    return changes_responses(
        o.DescribeWorkflowExecution,
        lambda response: replace(response, execution_info=replace(response.execution_info, **changes)),
    )


def accepts_late_requests(kinds: Any, response: Any = None) -> DefectiveCall:
    """Accept requests that are too late."""

    def call(_: Any, request: Any, go: Go) -> Any:
        try:
            return go(request)
        except UnknownResourceFault:
            if isinstance(request, kinds):
                return response
            raise

    return call


def loses_a_task(memory: dict[Any, Any], request: Any, go: Go) -> Any:
    response = go(request)
    if isinstance(request, o.PollForActivityTask) and response.task_token:
        memory["assigned"] = memory.get("assigned", 0) + 1
        if memory["assigned"] == 5:
            return replace(response, task_token="")
    return response


def assigns_a_task_twice(memory: dict[Any, Any], request: Any, go: Go) -> Any:
    if isinstance(request, o.PollForActivityTask) and "again" in memory:
        return memory.pop("again")
    response = go(request)
    if isinstance(request, o.PollForActivityTask) and response.task_token:
        memory["assigned"] = memory.get("assigned", 0) + 1
        if memory["assigned"] == 5:
            memory["again"] = response
    return response


def repeats_the_first_description(memory: dict[Any, Any], request: Any, go: Go) -> Any:
    if isinstance(request, o.DescribeWorkflowExecution):
        return memory.setdefault(request.execution, go(request))
    return go(request)


def ends_the_first_run(_: dict[Any, Any], request: Any, go: Go) -> Any:
    try:
        return go(request)
    except WorkflowExecutionAlreadyStartedFault:
        go(o.TerminateWorkflowExecution(domain=request.domain, workflow_id=request.workflow_id))
        return go(request)


def signals_twice(_: Any, request: Any, go: Go) -> Any:
    if isinstance(request, o.SignalWorkflowExecution):
        go(request)
    return go(request)


def skips_an_event(response: Any) -> Any:
    return replace(response, events=response.events[1:]) if response.next_page_token else response


def repeats_an_event(response: Any) -> Any:
    return replace(response, events=response.events + response.events[-1:]) if response.next_page_token else response


def add_one_to_the_count(response: Any) -> Any:
    return replace(response, count=response.count + 1)


def drop_empty_text(text: str) -> str | None:
    return text or None


def changes_inputs(change: Callable[[str], str | None]) -> DefectiveCall:
    """Change inputs."""

    def call(_: Any, request: Any, go: Go) -> Any:
        text = getattr(request, "input", None)
        return go(request if text is None else replace(request, input=change(text)))

    return call


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
READS, LISTS = o.GetWorkflowExecutionHistory, (o.ListOpenWorkflowExecutions, o.ListClosedWorkflowExecutions)
DESCRIBED, CLOSED = "descriptions_match_the_history", "closed_runs_are_found_by_status_and_time"
ORDERED = "executions_are_listed_by_time_in_any_page_size_and_order"
PAGED = "histories_are_equal_in_any_page_size_and_order"
UNKNOWN = WorkflowExecution("unknown", "unknown")

DEFECTS = (
    Defect("a poll loses a task", "each_task_is_assigned_to_one_poller", loses_a_task),
    Defect("two polls get the same task", "each_task_is_assigned_to_one_poller", assigns_a_task_twice),
    Defect(
        "a heartbeat never reports a cancellation",
        "heartbeat_reports_a_requested_cancellation",
        changes_responses(o.RecordActivityTaskHeartbeat, lambda response: replace(response, cancel_requested=False)),
    ),
    Defect(
        "a late heartbeat is accepted",
        "an_activity_task_is_completed_once",
        accepts_late_requests(o.RecordActivityTaskHeartbeat, o.ActivityTaskStatus(cancel_requested=False)),
    ),
    Defect(
        "a heartbeat does not restart its timeout",
        "heartbeats_restart_only_the_heartbeat_timeout",
        lambda _, request, go: None if isinstance(request, o.RecordActivityTaskHeartbeat) else go(request),
    ),
    Defect(
        "a heartbeat timeout is dropped",
        "all_four_activity_timeouts_expire",
        changes_decisions(d.ScheduleActivityTask, heartbeat_timeout=None),
    ),
    Defect("a description is stale", "descriptions_count_open_activities_and_timers", repeats_the_first_description),
    Defect("a description has another start", DESCRIBED, changes_descriptions(start_timestamp=EPOCH)),
    Defect("a description has no tags", DESCRIBED, changes_descriptions(tag_list=None)),
    Defect("a description has no parent", DESCRIBED, changes_descriptions(parent=None)),
    Defect("a description has no cancel request", DESCRIBED, changes_descriptions(cancel_requested=False)),
    Defect("a page skips an event", PAGED, changes_responses(READS, skips_an_event)),
    Defect("a page repeats an event", PAGED, changes_responses(READS, repeats_an_event)),
    Defect(
        "a history is never in reverse order",
        PAGED,
        changes_requests(READS, lambda request: replace(request, reverse_order=False)),
    ),
    Defect(
        "the page size is ignored",
        PAGED,
        changes_requests(READS, lambda request: replace(request, maximum_page_size=None)),
    ),
    Defect(
        "the history of a task is never in reverse order",
        "decision_tasks_have_their_history_in_pages",
        changes_requests(o.PollForDecisionTask, lambda request: replace(request, reverse_order=False)),
    ),
    Defect(
        "the history of a task always begins at event 1",
        "decision_tasks_name_the_previous_completed_task",
        changes_requests(
            o.PollForDecisionTask, lambda request: replace(request, start_at_previous_started_event=False)
        ),
    ),
    Defect(
        "the task list of later tasks is dropped",
        "a_completed_decision_task_can_set_the_list_of_later_tasks",
        changes_requests(o.RespondDecisionTaskCompleted, lambda request: replace(request, task_list=None)),
    ),
    Defect(
        "one pending task too many is counted",
        "pending_tasks_are_counted",
        changes_responses((o.CountPendingActivityTasks, o.CountPendingDecisionTasks), add_one_to_the_count),
    ),
    Defect(
        "one closed run too many is counted",
        CLOSED,
        changes_responses(o.CountClosedWorkflowExecutions, add_one_to_the_count),
    ),
    Defect(
        "closed runs are listed for any version",
        CLOSED,
        changes_requests(
            o.ListClosedWorkflowExecutions,
            lambda request: replace(
                request, type_filter=request.type_filter and replace(request.type_filter, version=None)
            ),
        ),
    ),
    Defect(
        "the oldest close time is ignored",
        CLOSED,
        changes_requests(
            o.ListClosedWorkflowExecutions,
            lambda request: replace(
                request,
                close_time_filter=request.close_time_filter and replace(request.close_time_filter, oldest_date=EPOCH),
            ),
        ),
    ),
    Defect(
        "a list is never in reverse order",
        ORDERED,
        changes_requests(LISTS, lambda request: replace(request, reverse_order=False)),
    ),
    Defect(
        "a list ends after one page",
        ORDERED,
        changes_responses(LISTS, lambda response: replace(response, next_page_token=None)),
    ),
    Defect(
        "a list has no parents",
        DESCRIBED,
        changes_responses(
            LISTS,
            lambda response: replace(
                response, execution_infos=tuple(replace(info, parent=None) for info in response.execution_infos)
            ),
        ),
    ),
    Defect("a signal is written twice", "each_accepted_signal_is_recorded_once_and_in_order", signals_twice),
    Defect(
        "a signal to a closed run is accepted",
        "each_accepted_signal_is_recorded_once_and_in_order",
        accepts_late_requests(o.SignalWorkflowExecution),
    ),
    Defect(
        "a second termination is accepted",
        "a_termination_closes_the_run_at_once",
        accepts_late_requests(o.TerminateWorkflowExecution),
    ),
    Defect(
        "the run id of a termination is ignored",
        "requests_with_a_run_id_affect_only_that_run",
        changes_requests(o.TerminateWorkflowExecution, lambda request: replace(request, run_id=None)),
    ),
    Defect(
        "the child policy of a termination is dropped",
        "the_child_policy_is_applied_when_the_parent_closes",
        changes_requests(o.TerminateWorkflowExecution, lambda request: replace(request, child_policy=None)),
    ),
    Defect(
        "a second response is accepted",
        "a_decision_task_is_completed_once",
        accepts_late_requests(o.RespondDecisionTaskCompleted),
    ),
    Defect("a second start ends the first run", "a_workflow_id_has_at_most_one_open_run", ends_the_first_run),
    Defect("inputs are stripped", "texts_are_stored_unchanged", changes_inputs(str.strip)),
    Defect("empty inputs are dropped", "texts_are_stored_unchanged", changes_inputs(drop_empty_text)),
    Defect(
        "inputs are converted to ASCII",
        "texts_are_stored_unchanged",
        changes_inputs(lambda text: text.encode("ascii", "replace").decode()),
    ),
    Defect(
        "a default of a type is dropped",
        "descriptions_of_types_contain_all_that_was_registered",
        changes_requests(o.RegisterWorkflowType, lambda request: replace(request, default_lambda_role=None)),
    ),
    Defect(
        "a type cannot be deleted",
        "deprecated_activity_types_cannot_be_scheduled_and_can_be_deleted",
        lambda _, request, go: None if isinstance(request, o.DeleteActivityType) else go(request),
    ),
    Defect(
        "a new run has the task list of its type",
        "continue_as_new_takes_settings_from_decision_or_type",
        changes_decisions(d.ContinueAsNewWorkflowExecution, task_list=None),
    ),
    Defect(
        "the run id of a signal is ignored",
        "signals_and_cancel_requests_name_source_and_target",
        changes_decisions(d.SignalExternalWorkflowExecution, run_id=None),
    ),
    Defect(
        "a child has the policy of its type",
        "each_close_of_a_child_has_its_event_in_the_parent",
        changes_decisions(d.StartChildWorkflowExecution, child_policy=None),
    ),
    Defect(
        "the failure of a child has no reason",
        "each_close_of_a_child_has_its_event_in_the_parent",
        changes_events(e.ChildWorkflowExecutionFailed, reason=None),
    ),
    Defect(
        "a child is of another type",
        "the_close_of_a_child_is_recorded_by_its_parent",
        changes_events(e.ChildWorkflowExecutionCompleted, workflow_type=WorkflowType("another", "1")),
    ),
    Defect(
        "another child was started",
        "the_close_of_a_child_is_recorded_by_its_parent",
        changes_events(e.ChildWorkflowExecutionStarted, workflow_execution=UNKNOWN),
    ),
    Defect(
        "a result links to another start",
        "an_activity_task_is_completed_once",
        changes_events(e.ActivityTaskCompleted, started_event_id=1),
    ),
    Defect(
        "a completion links to another schedule",
        "decisions_are_applied_in_order_with_one_timestamp",
        changes_events(e.DecisionTaskCompleted, scheduled_event_id=1),
    ),
    Defect(
        "a close links to another completion",
        "a_failed_run_records_reason_and_details",
        changes_events(e.WorkflowExecutionFailed, decision_task_completed_event_id=1),
    ),
    Defect(
        "another timer fires",
        "timers_fire_when_due_unless_cancelled",
        changes_events(e.TimerFired, timer_id="another"),
    ),
    Defect(
        "an activity is of another type",
        "decisions_are_applied_in_order_with_one_timestamp",
        changes_events(e.ActivityTaskScheduled, activity_type=ActivityType("another", "1")),
    ),
    Defect(
        "the time of a close is before that of the start",
        "executions_time_out",
        changes_events(e.WorkflowExecutionTimedOut, event_timestamp=EPOCH),
    ),
    Defect(
        "the child policy of a timeout differs",
        "executions_time_out",
        changes_events(e.WorkflowExecutionTimedOut, child_policy="ABANDON"),
    ),
)


@pytest.mark.parametrize("defect", DEFECTS, ids=repr)
def test_a_faulty_backend_fails_the_check_for_its_fault(defect: Defect, monkeypatch: pytest.MonkeyPatch) -> None:
    # The checks need not wait as long as for a real backend.
    monkeypatch.setattr(fixture, "PATIENCE", 3.0)
    monkeypatch.setattr(fixture, "LONG", timedelta(seconds=1))
    check = dict(exam(lambda: FaultyBackend(defect.call)))[defect.check]
    with pytest.raises((ExamFailure, AssertionError, UnknownResourceFault)):
        check()


def test_the_wrapper_without_a_fault_passes() -> None:
    checks = dict(exam(lambda: FaultyBackend(lambda _, request, go: go(request))))
    for name in {defect.check for defect in DEFECTS}:
        checks[name]()
