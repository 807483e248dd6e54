"""See that the exam fails a backend that lies: each lie, and the check that must not be deceived by it."""

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
from traction.testing.conformance import ExamFailure, exam
from traction.testing.conformance import fixture as desk
from traction_local.backend import DOMAIN, LocalBackend
from traction_local.service.service import Service

Go = Callable[[Any], Any]
Lying = Callable[[dict[Any, Any], Any, Go], Any]


class Lie(NamedTuple):
    """What a backend does wrong, and the check that finds it out."""

    name: str
    check: str
    call: Lying

    def __repr__(self) -> str:
        return self.name


class Liar(LocalBackend):
    """A backend that answers as a lie says. It remembers what the lie puts into its memory."""

    def __init__(self, call: Lying) -> None:
        super().__init__(Service())
        self._lie, self._memory = call, dict[Any, Any]()
        super().call(o.RegisterDomain(name=DOMAIN, workflow_execution_retention_period_in_days="1"))

    def call(self, request: Any, wait: timedelta | None = None) -> Any:
        return self._lie(self._memory, request, lambda honest: super(Liar, self).call(honest, wait))


def asks(kinds: Any, change: Callable[[Any], Any]) -> Lying:
    """Ask for something else than was asked for."""
    return lambda _, request, go: go(change(request) if isinstance(request, kinds) else request)


def tells(kinds: Any, change: Callable[[Any], Any]) -> Lying:
    """Tell something else than is true."""
    return lambda _, request, go: change(go(request)) if isinstance(request, kinds) else go(request)


def decides(kind: Any, **changes: Any) -> Lying:
    """Take a decision for another."""

    def change(request: Any) -> Any:
        decisions = (replace(one, **changes) if isinstance(one, kind) else one for one in request.decisions or ())
        return replace(request, decisions=tuple(decisions))

    return asks(o.RespondDecisionTaskCompleted, change)


def writes(kind: Any, **changes: Any) -> Lying:
    """Tell of an event something else than is true."""

    def change(answer: Any) -> Any:
        return replace(
            answer, events=tuple(replace(one, **changes) if isinstance(one, kind) else one for one in answer.events)
        )

    return tells((o.PollForDecisionTask, o.GetWorkflowExecutionHistory), change)


def describes(**changes: Any) -> Lying:
    """Tell of an execution something else than is true."""
    return tells(
        o.DescribeWorkflowExecution, lambda told: replace(told, execution_info=replace(told.execution_info, **changes))
    )


def swallows(kinds: Any, answer: Any = None) -> Lying:
    """Say that all is well when it is too late."""

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
    """Keep inputs in another form."""

    def call(_: Any, request: Any, go: Go) -> Any:
        given = getattr(request, "input", None)
        return go(request if given is None else replace(request, input=change(given)))

    return call


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
READS, LISTS = o.GetWorkflowExecutionHistory, (o.ListOpenWorkflowExecutions, o.ListClosedWorkflowExecutions)
DESCRIBED, CLOSED = "a_description_agrees_with_the_history", "closed_runs_are_found_by_how_and_when_they_closed"
ORDERED = "executions_are_listed_newest_first_in_pages_and_backwards"
PAGED = "a_history_is_the_same_in_pages_of_any_size_and_backwards"
NOBODY = WorkflowExecution("nobody", "nothing")

LIES = (
    Lie("a poll loses a task", "a_task_goes_to_one_of_many_pollers", loses_a_task),
    Lie("two polls get the same task", "a_task_goes_to_one_of_many_pollers", gives_a_task_twice),
    Lie(
        "a heartbeat never tells of a cancellation",
        "a_heartbeat_tells_whether_the_work_is_still_wanted",
        tells(o.RecordActivityTaskHeartbeat, lambda told: replace(told, cancel_requested=False)),
    ),
    Lie(
        "a heartbeat comes too late and is taken",
        "an_activity_task_is_answered_once",
        swallows(o.RecordActivityTaskHeartbeat, o.ActivityTaskStatus(cancel_requested=False)),
    ),
    Lie(
        "a heartbeat restarts no clock",
        "a_heartbeat_restarts_its_own_clock_and_no_other",
        lambda _, request, go: None if isinstance(request, o.RecordActivityTaskHeartbeat) else go(request),
    ),
    Lie(
        "a heartbeat timeout is not kept",
        "each_of_the_four_clocks_of_an_activity_task_runs_out",
        decides(d.ScheduleActivityTask, heartbeat_timeout=None),
    ),
    Lie("a description is stale", "a_description_counts_what_is_open", describes_as_it_was),
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
        "a_decision_task_brings_its_history_in_pages",
        asks(o.PollForDecisionTask, lambda asked: replace(asked, reverse_order=False)),
    ),
    Lie(
        "the history of a task begins at the start",
        "the_next_task_tells_which_came_before_and_can_begin_there",
        asks(o.PollForDecisionTask, lambda asked: replace(asked, start_at_previous_started_event=False)),
    ),
    Lie(
        "the list of the tasks to come is not kept",
        "an_answer_may_name_the_list_of_the_tasks_to_come",
        asks(o.RespondDecisionTaskCompleted, lambda asked: replace(asked, task_list=None)),
    ),
    Lie(
        "tasks that wait are counted with one more",
        "waiting_tasks_are_counted",
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
    Lie("a signal is written twice", "a_signal_is_in_the_history_as_often_as_it_was_accepted", signals_twice),
    Lie(
        "a signal to a closed run is taken",
        "a_signal_is_in_the_history_as_often_as_it_was_accepted",
        swallows(o.SignalWorkflowExecution),
    ),
    Lie(
        "a second termination is taken",
        "a_termination_closes_at_once_and_a_second_finds_nothing_open",
        swallows(o.TerminateWorkflowExecution),
    ),
    Lie(
        "a run is terminated whichever is named",
        "what_names_a_run_reaches_no_other",
        asks(o.TerminateWorkflowExecution, lambda asked: replace(asked, run_id=None)),
    ),
    Lie(
        "the policy of a termination is not kept",
        "the_end_of_a_parent_meets_its_children_as_the_policy_says",
        asks(o.TerminateWorkflowExecution, lambda asked: replace(asked, child_policy=None)),
    ),
    Lie("a second answer is taken", "an_answer_is_taken_once", swallows(o.RespondDecisionTaskCompleted)),
    Lie("a second start ends the first", "one_run_of_an_id_is_open_at_most", starts_once_more),
    Lie("texts are stripped", "texts_are_kept_to_the_letter", texts(str.strip)),
    Lie("texts of no length are dropped", "texts_are_kept_to_the_letter", texts(without_texts)),
    Lie(
        "texts are for ASCII",
        "texts_are_kept_to_the_letter",
        texts(lambda text: text.encode("ascii", "replace").decode()),
    ),
    Lie(
        "the default of a type is not kept",
        "a_type_is_described_as_it_was_registered",
        asks(o.RegisterWorkflowType, lambda asked: replace(asked, default_lambda_role=None)),
    ),
    Lie(
        "a type cannot be deleted",
        "a_deprecated_activity_type_schedules_nothing_and_may_be_deleted",
        lambda _, request, go: None if isinstance(request, o.DeleteActivityType) else go(request),
    ),
    Lie(
        "a new run has the list of its type",
        "a_new_run_takes_what_it_is_given_and_else_what_its_type_has",
        decides(d.ContinueAsNewWorkflowExecution, task_list=None),
    ),
    Lie(
        "a signal reaches whichever run is open",
        "what_a_run_asks_of_another_names_both_sides",
        decides(d.SignalExternalWorkflowExecution, run_id=None),
    ),
    Lie(
        "a child has the policy of its type",
        "each_end_of_a_child_is_told_to_its_parent",
        decides(d.StartChildWorkflowExecution, child_policy=None),
    ),
    Lie(
        "the failure of a child has no reason",
        "each_end_of_a_child_is_told_to_its_parent",
        writes(e.ChildWorkflowExecutionFailed, reason=None),
    ),
    Lie(
        "a child is of another type",
        "a_child_is_started_and_its_close_is_told_to_its_parent",
        writes(e.ChildWorkflowExecutionCompleted, workflow_type=WorkflowType("another", "1")),
    ),
    Lie(
        "the child that was started is another",
        "a_child_is_started_and_its_close_is_told_to_its_parent",
        writes(e.ChildWorkflowExecutionStarted, workflow_execution=NOBODY),
    ),
    Lie(
        "a result links to no start",
        "an_activity_task_is_answered_once",
        writes(e.ActivityTaskCompleted, started_event_id=1),
    ),
    Lie(
        "a completion links to another schedule",
        "decisions_are_applied_in_order_and_in_one_moment",
        writes(e.DecisionTaskCompleted, scheduled_event_id=1),
    ),
    Lie(
        "a close links to no completion",
        "a_run_fails_with_reason_and_details",
        writes(e.WorkflowExecutionFailed, decision_task_completed_event_id=1),
    ),
    Lie(
        "a timer that fires is another",
        "a_timer_fires_when_it_is_due_and_not_before_unless_it_is_cancelled",
        writes(e.TimerFired, timer_id="another"),
    ),
    Lie(
        "an activity is of another type",
        "decisions_are_applied_in_order_and_in_one_moment",
        writes(e.ActivityTaskScheduled, activity_type=ActivityType("another", "1")),
    ),
    Lie(
        "the time of a close is before that of the start",
        "an_execution_times_out",
        writes(e.WorkflowExecutionTimedOut, event_timestamp=EPOCH),
    ),
    Lie(
        "the policy of a timeout is another",
        "an_execution_times_out",
        writes(e.WorkflowExecutionTimedOut, child_policy="ABANDON"),
    ),
)


@pytest.mark.parametrize("lie", LIES, ids=repr)
def test_a_backend_that_lies_fails_the_check_that_asks(lie: Lie, monkeypatch: pytest.MonkeyPatch) -> None:
    # What never comes need not be waited for as long as in earnest.
    monkeypatch.setattr(desk, "PATIENCE", 3.0)
    monkeypatch.setattr(desk, "LONG", timedelta(seconds=1))
    check = dict(exam(lambda: Liar(lie.call)))[lie.check]
    with pytest.raises((ExamFailure, AssertionError, UnknownResourceFault)):
        check()


def test_a_liar_that_does_not_lie_passes() -> None:
    checks = dict(exam(lambda: Liar(lambda _, request, go: go(request))))
    for name in {lie.check for lie in LIES}:
        checks[name]()
