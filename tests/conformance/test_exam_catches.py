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
Lying = Callable[[dict[Any, Any], Any, Go], Any]


class Lie(NamedTuple):
    """What a backend does wrong, and the check that must fail."""

    name: str
    check: str
    call: Lying

    def __repr__(self) -> str:
        return self.name


class Liar(LocalBackend):
    """A backend with a fault, which can keep state in its memory."""

    def __init__(self, call: Lying) -> None:
        super().__init__(Service())
        self._lie, self._memory = call, dict[Any, Any]()
        super().call(o.RegisterDomain(name=DOMAIN, workflow_execution_retention_period_in_days="1"))

    def call(self, request: Any, wait: timedelta | None = None) -> Any:
        return self._lie(self._memory, request, lambda honest: super(Liar, self).call(honest, wait))


def asks(kinds: Any, change: Callable[[Any], Any]) -> Lying:
    """Change requests."""
    return lambda _, request, go: go(change(request) if isinstance(request, kinds) else request)


def tells(kinds: Any, change: Callable[[Any], Any]) -> Lying:
    """Change responses."""
    return lambda _, request, go: change(go(request)) if isinstance(request, kinds) else go(request)


def decides(kind: Any, **changes: Any) -> Lying:
    """Change decisions."""

    def change(request: Any) -> Any:
        decisions = (replace(one, **changes) if isinstance(one, kind) else one for one in request.decisions or ())
        return replace(request, decisions=tuple(decisions))

    return asks(o.RespondDecisionTaskCompleted, change)


def writes(kind: Any, **changes: Any) -> Lying:
    """Change events in responses."""

    def change(answer: Any) -> Any:
        return replace(
            answer, events=tuple(replace(one, **changes) if isinstance(one, kind) else one for one in answer.events)
        )

    return tells((o.PollForDecisionTask, o.GetWorkflowExecutionHistory), change)


def describes(**changes: Any) -> Lying:
    """Change descriptions of executions."""
    return tells(
        o.DescribeWorkflowExecution, lambda told: replace(told, execution_info=replace(told.execution_info, **changes))
    )


def swallows(kinds: Any, answer: Any = None) -> Lying:
    """Accept requests that are too late."""

    def call(_: Any, request: Any, go: Go) -> Any:
        try:
            return go(request)
        except UnknownResourceFault:
            if isinstance(request, kinds):
                return answer
            raise

    return call


def loses_a_task(memory: dict[Any, Any], request: Any, go: Go) -> Any:
    answer = go(request)
    if isinstance(request, o.PollForActivityTask) and answer.task_token:
        memory["given"] = memory.get("given", 0) + 1
        if memory["given"] == 5:
            return replace(answer, task_token="")
    return answer


def gives_a_task_twice(memory: dict[Any, Any], request: Any, go: Go) -> Any:
    if isinstance(request, o.PollForActivityTask) and "again" in memory:
        return memory.pop("again")
    answer = go(request)
    if isinstance(request, o.PollForActivityTask) and answer.task_token:
        memory["given"] = memory.get("given", 0) + 1
        if memory["given"] == 5:
            memory["again"] = answer
    return answer


def describes_as_it_was(memory: dict[Any, Any], request: Any, go: Go) -> Any:
    if isinstance(request, o.DescribeWorkflowExecution):
        return memory.setdefault(request.execution, go(request))
    return go(request)


def starts_once_more(_: dict[Any, Any], request: Any, go: Go) -> Any:
    try:
        return go(request)
    except WorkflowExecutionAlreadyStartedFault:
        go(o.TerminateWorkflowExecution(domain=request.domain, workflow_id=request.workflow_id))
        return go(request)


def signals_twice(_: Any, request: Any, go: Go) -> Any:
    if isinstance(request, o.SignalWorkflowExecution):
        go(request)
    return go(request)


def skips(answer: Any) -> Any:
    return replace(answer, events=answer.events[1:]) if answer.next_page_token else answer


def repeats(answer: Any) -> Any:
    return replace(answer, events=answer.events + answer.events[-1:]) if answer.next_page_token else answer


def count_more(answer: Any) -> Any:
    return replace(answer, count=answer.count + 1)


def without_texts(text: str) -> str | None:
    return text or None


def texts(change: Callable[[str], str | None]) -> Lying:
    """Change inputs."""

    def call(_: Any, request: Any, go: Go) -> Any:
        given = getattr(request, "input", None)
        return go(request if given is None else replace(request, input=change(given)))

    return call


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
READS, LISTS = o.GetWorkflowExecutionHistory, (o.ListOpenWorkflowExecutions, o.ListClosedWorkflowExecutions)
DESCRIBED, CLOSED = "descriptions_match_the_history", "closed_runs_are_found_by_status_and_time"
ORDERED = "executions_are_listed_by_time_in_any_page_size_and_order"
PAGED = "histories_are_equal_in_any_page_size_and_order"
NOBODY = WorkflowExecution("nobody", "nothing")

LIES = (
    Lie("a poll loses a task", "each_task_is_assigned_to_one_poller", loses_a_task),
    Lie("two polls get the same task", "each_task_is_assigned_to_one_poller", gives_a_task_twice),
    Lie(
        "a heartbeat never tells of a cancellation",
        "heartbeat_reports_a_requested_cancellation",
        tells(o.RecordActivityTaskHeartbeat, lambda told: replace(told, cancel_requested=False)),
    ),
    Lie(
        "a heartbeat comes too late and is taken",
        "an_activity_task_is_completed_once",
        swallows(o.RecordActivityTaskHeartbeat, o.ActivityTaskStatus(cancel_requested=False)),
    ),
    Lie(
        "a heartbeat restarts no clock",
        "heartbeats_restart_only_the_heartbeat_timeout",
        lambda _, request, go: None if isinstance(request, o.RecordActivityTaskHeartbeat) else go(request),
    ),
    Lie(
        "a heartbeat timeout is not kept",
        "all_four_activity_timeouts_expire",
        decides(d.ScheduleActivityTask, heartbeat_timeout=None),
    ),
    Lie("a description is stale", "descriptions_count_open_activities_and_timers", describes_as_it_was),
    Lie("a description has another start", DESCRIBED, describes(start_timestamp=EPOCH)),
    Lie("a description has no tags", DESCRIBED, describes(tag_list=None)),
    Lie("a description has no parent", DESCRIBED, describes(parent=None)),
    Lie("a description knows no request to cancel", DESCRIBED, describes(cancel_requested=False)),
    Lie("a page skips an event", PAGED, tells(READS, skips)),
    Lie("a page repeats an event", PAGED, tells(READS, repeats)),
    Lie("a history is never backwards", PAGED, asks(READS, lambda asked: replace(asked, reverse_order=False))),
    Lie("a page has any size", PAGED, asks(READS, lambda asked: replace(asked, maximum_page_size=None))),
    Lie(
        "the history of a task is never backwards",
        "decision_tasks_have_their_history_in_pages",
        asks(o.PollForDecisionTask, lambda asked: replace(asked, reverse_order=False)),
    ),
    Lie(
        "the history of a task begins at the start",
        "decision_tasks_name_the_previous_completed_task",
        asks(o.PollForDecisionTask, lambda asked: replace(asked, start_at_previous_started_event=False)),
    ),
    Lie(
        "the list of the tasks to come is not kept",
        "a_completed_decision_task_can_set_the_list_of_later_tasks",
        asks(o.RespondDecisionTaskCompleted, lambda asked: replace(asked, task_list=None)),
    ),
    Lie(
        "tasks that wait are counted with one more",
        "pending_tasks_are_counted",
        tells((o.CountPendingActivityTasks, o.CountPendingDecisionTasks), count_more),
    ),
    Lie("closed runs are counted with one more", CLOSED, tells(o.CountClosedWorkflowExecutions, count_more)),
    Lie(
        "all closed runs are listed whatever their type",
        CLOSED,
        asks(
            o.ListClosedWorkflowExecutions,
            lambda asked: replace(asked, type_filter=asked.type_filter and replace(asked.type_filter, version=None)),
        ),
    ),
    Lie(
        "all closed runs are listed whenever they closed",
        CLOSED,
        asks(
            o.ListClosedWorkflowExecutions,
            lambda asked: replace(
                asked, close_time_filter=asked.close_time_filter and replace(asked.close_time_filter, oldest_date=EPOCH)
            ),
        ),
    ),
    Lie("a list is never backwards", ORDERED, asks(LISTS, lambda asked: replace(asked, reverse_order=False))),
    Lie("a list ends after a page", ORDERED, tells(LISTS, lambda told: replace(told, next_page_token=None))),
    Lie(
        "a list has no parents",
        DESCRIBED,
        tells(
            LISTS,
            lambda told: replace(
                told, execution_infos=tuple(replace(info, parent=None) for info in told.execution_infos)
            ),
        ),
    ),
    Lie("a signal is written twice", "each_accepted_signal_is_recorded_once_and_in_order", signals_twice),
    Lie(
        "a signal to a closed run is taken",
        "each_accepted_signal_is_recorded_once_and_in_order",
        swallows(o.SignalWorkflowExecution),
    ),
    Lie(
        "a second termination is taken",
        "a_termination_closes_the_run_at_once",
        swallows(o.TerminateWorkflowExecution),
    ),
    Lie(
        "a run is terminated whichever is named",
        "requests_with_a_run_id_affect_only_that_run",
        asks(o.TerminateWorkflowExecution, lambda asked: replace(asked, run_id=None)),
    ),
    Lie(
        "the policy of a termination is not kept",
        "the_child_policy_is_applied_when_the_parent_closes",
        asks(o.TerminateWorkflowExecution, lambda asked: replace(asked, child_policy=None)),
    ),
    Lie("a second answer is taken", "a_decision_task_is_completed_once", swallows(o.RespondDecisionTaskCompleted)),
    Lie("a second start ends the first", "a_workflow_id_has_at_most_one_open_run", starts_once_more),
    Lie("texts are stripped", "texts_are_stored_unchanged", texts(str.strip)),
    Lie("texts of no length are dropped", "texts_are_stored_unchanged", texts(without_texts)),
    Lie(
        "texts are for ASCII",
        "texts_are_stored_unchanged",
        texts(lambda text: text.encode("ascii", "replace").decode()),
    ),
    Lie(
        "the default of a type is not kept",
        "descriptions_of_types_contain_all_that_was_registered",
        asks(o.RegisterWorkflowType, lambda asked: replace(asked, default_lambda_role=None)),
    ),
    Lie(
        "a type cannot be deleted",
        "deprecated_activity_types_cannot_be_scheduled_and_can_be_deleted",
        lambda _, request, go: None if isinstance(request, o.DeleteActivityType) else go(request),
    ),
    Lie(
        "a new run has the list of its type",
        "continue_as_new_takes_settings_from_decision_or_type",
        decides(d.ContinueAsNewWorkflowExecution, task_list=None),
    ),
    Lie(
        "a signal reaches whichever run is open",
        "signals_and_cancel_requests_name_source_and_target",
        decides(d.SignalExternalWorkflowExecution, run_id=None),
    ),
    Lie(
        "a child has the policy of its type",
        "each_close_of_a_child_has_its_event_in_the_parent",
        decides(d.StartChildWorkflowExecution, child_policy=None),
    ),
    Lie(
        "the failure of a child has no reason",
        "each_close_of_a_child_has_its_event_in_the_parent",
        writes(e.ChildWorkflowExecutionFailed, reason=None),
    ),
    Lie(
        "a child is of another type",
        "the_close_of_a_child_is_recorded_by_its_parent",
        writes(e.ChildWorkflowExecutionCompleted, workflow_type=WorkflowType("another", "1")),
    ),
    Lie(
        "the child that was started is another",
        "the_close_of_a_child_is_recorded_by_its_parent",
        writes(e.ChildWorkflowExecutionStarted, workflow_execution=NOBODY),
    ),
    Lie(
        "a result links to no start",
        "an_activity_task_is_completed_once",
        writes(e.ActivityTaskCompleted, started_event_id=1),
    ),
    Lie(
        "a completion links to another schedule",
        "decisions_are_applied_in_order_with_one_timestamp",
        writes(e.DecisionTaskCompleted, scheduled_event_id=1),
    ),
    Lie(
        "a close links to no completion",
        "a_failed_run_records_reason_and_details",
        writes(e.WorkflowExecutionFailed, decision_task_completed_event_id=1),
    ),
    Lie(
        "a timer that fires is another",
        "timers_fire_when_due_unless_cancelled",
        writes(e.TimerFired, timer_id="another"),
    ),
    Lie(
        "an activity is of another type",
        "decisions_are_applied_in_order_with_one_timestamp",
        writes(e.ActivityTaskScheduled, activity_type=ActivityType("another", "1")),
    ),
    Lie(
        "the time of a close is before that of the start",
        "executions_time_out",
        writes(e.WorkflowExecutionTimedOut, event_timestamp=EPOCH),
    ),
    Lie(
        "the policy of a timeout is another",
        "executions_time_out",
        writes(e.WorkflowExecutionTimedOut, child_policy="ABANDON"),
    ),
)


@pytest.mark.parametrize("lie", LIES, ids=repr)
def test_a_faulty_backend_fails_the_check_for_its_fault(lie: Lie, monkeypatch: pytest.MonkeyPatch) -> None:
    # The checks need not wait as long as for a real backend.
    monkeypatch.setattr(fixture, "PATIENCE", 3.0)
    monkeypatch.setattr(fixture, "LONG", timedelta(seconds=1))
    check = dict(exam(lambda: Liar(lie.call)))[lie.check]
    with pytest.raises((ExamFailure, AssertionError, UnknownResourceFault)):
        check()


def test_the_wrapper_without_a_fault_passes() -> None:
    checks = dict(exam(lambda: Liar(lambda _, request, go: go(request))))
    for name in {lie.check for lie in LIES}:
        checks[name]()
