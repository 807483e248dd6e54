"""What a driver relies on: purity, alarms, readiness, revisions; and that no table forgets a case."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest

from traction.errors import UnknownOperationException
from traction.model import operations as o
from traction.model.decisions import Decision, ScheduleActivityTask, StartTimer
from traction.model.limits import Limits
from traction.model.names import ActivityType, TaskList, WorkflowType
from traction_local.service.decisions.apply import APPLY
from traction_local.service.service import CHANGING, OPERATIONS, POLLS, READING, Service
from traction_local.service.state.execution import Execution
from traction_local.service.state.task_list import Ready
from traction_local.service.validation import DECISION_TYPES, get_validator

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def script() -> Iterator[tuple[float, o.Request[Any]]]:
    """Requests with their seconds: enough to set up and start a run."""
    yield 0, o.RegisterDomain(name="d", workflow_execution_retention_period_in_days="1")
    yield (
        0,
        o.RegisterWorkflowType(
            domain="d",
            name="trip",
            version="1",
            default_task_list=TaskList("L"),
            default_child_policy="TERMINATE",
            default_execution_start_to_close_timeout="3600",
            default_task_start_to_close_timeout="60",
        ),
    )
    yield (
        0,
        o.RegisterActivityType(
            domain="d",
            name="book",
            version="1",
            default_task_list=TaskList("A"),
            default_task_schedule_to_start_timeout="5",
            default_task_schedule_to_close_timeout="NONE",
            default_task_start_to_close_timeout="NONE",
            default_task_heartbeat_timeout="NONE",
        ),
    )
    yield 1, o.StartWorkflowExecution(domain="d", workflow_id="w", workflow_type=WorkflowType("trip", "1"))


def begin(**given: Any) -> Service:
    service = Service(**given)
    for seconds, request in script():
        service.call(request, NOON + seconds * SECOND)
    return service


POLL = o.PollForDecisionTask(domain="d", task_list=TaskList("L"))
SIGNAL = o.SignalWorkflowExecution(domain="d", workflow_id="w", signal_name="s")


def test_every_operation_is_answered_and_has_rules() -> None:
    operations = set(get_args(o.Operation))
    assert len(operations) == 39
    assert set(OPERATIONS) == operations == set(get_validator(Limits()).requests)
    assert set(CHANGING) | set(READING) | set(POLLS) == operations
    assert len(CHANGING) + len(READING) + len(POLLS) == 39


def test_every_decision_is_applied_and_has_rules() -> None:
    decisions = set(get_args(Decision))
    assert len(decisions) == 13
    assert set(APPLY) == decisions == set(get_validator(Limits()).decisions)
    assert {kind.__name__ for kind in decisions} == set(DECISION_TYPES.split(", "))


def test_every_quota_of_an_operation_or_decision_names_one() -> None:
    limits = Limits()
    assert {bucket.name for bucket in limits.api_buckets} == {kind.__name__ for kind in get_args(o.Operation)}
    assert {bucket.name for bucket in limits.decision_buckets} < {kind.__name__ for kind in get_args(Decision)}


def test_an_unknown_operation_is_refused() -> None:
    class Sing(o.Request[None]):
        pass

    with pytest.raises(UnknownOperationException):
        Service().call(Sing(), NOON)


def test_time_never_goes_back_and_has_utc_and_whole_milliseconds() -> None:
    service = begin()
    tokyo = timezone(timedelta(hours=9))
    service.advance((NOON + timedelta(seconds=9, microseconds=1999)).astimezone(tokyo))
    assert service.clock == NOON + timedelta(seconds=9, milliseconds=1)
    assert service.clock.tzinfo is UTC
    service.call(SIGNAL, NOON)
    assert service.clock == NOON + timedelta(seconds=9, milliseconds=1)
    task = service.call(POLL, NOON)
    assert task.events[-1].event_timestamp == service.clock


def test_an_alarm_fires_at_its_own_time_however_late_it_is_asked_for() -> None:
    service = begin()
    task = service.call(POLL, NOON + SECOND)
    service.call(
        o.RespondDecisionTaskCompleted(
            task_token=task.task_token, decisions=(StartTimer(timer_id="t", start_to_fire_timeout="7"),)
        ),
        NOON + SECOND,
    )
    assert service.next_alarm() == NOON + 8 * SECOND
    service.advance(NOON + 100 * SECOND)
    late = service.call(POLL, NOON + 100 * SECOND)
    assert [event.event_timestamp for event in late.events[5:]] == [
        NOON + 8 * SECOND,
        NOON + 8 * SECOND,
        NOON + 100 * SECOND,
    ]


def test_an_effect_is_due_at_once_and_a_call_brings_it_about_as_well() -> None:
    answers = []
    for advances in (True, False):
        service = begin()
        task = service.call(POLL, NOON + SECOND)
        timer = StartTimer(timer_id="t", start_to_fire_timeout="0")
        service.call(o.RespondDecisionTaskCompleted(task_token=task.task_token, decisions=(timer,)), NOON + SECOND)
        assert service.next_alarm() == NOON + SECOND
        if advances:
            service.advance(NOON + SECOND)
        answers.append(service.call(POLL, NOON + SECOND))
    assert answers[0] == answers[1]
    assert answers[0].task_token


def test_little_is_left_of_runs_whose_retention_is_over() -> None:
    service = begin()
    for n in range(500):
        service.call(
            o.StartWorkflowExecution(domain="d", workflow_id=f"w{n}", workflow_type=WorkflowType("trip", "1")), NOON
        )
        service.call(o.TerminateWorkflowExecution(domain="d", workflow_id=f"w{n}"), NOON)
    service.advance(NOON + timedelta(days=2))
    gc.collect()
    left = [thing for thing in gc.get_objects() if isinstance(thing, Execution) and thing.region is service._region]
    assert len(left) <= 200


def test_without_pending_work_there_is_no_alarm() -> None:
    assert Service().next_alarm() is None


def test_a_queue_is_ready_once_per_task_that_may_be_handed_out() -> None:
    service = begin()
    decisions, activities = Ready("decision", "d", "L"), Ready("activity", "d", "A")
    assert service.take_ready() == [decisions]
    assert service.take_ready() == []
    task = service.call(POLL, NOON + SECOND)
    service.call(SIGNAL, NOON + SECOND)
    assert service.take_ready() == []
    books = [ScheduleActivityTask(activity_type=ActivityType("book", "1"), activity_id=id) for id in "ab"]
    respond = o.RespondDecisionTaskCompleted(task_token=task.task_token, decisions=tuple(books))
    service.call(respond, NOON + SECOND)
    assert service.take_ready() == [activities, activities, decisions]


def test_only_a_call_that_changed_the_state_makes_a_revision() -> None:
    service = begin()
    before = service.revision
    assert before == 4
    service.call(o.DescribeDomain(name="d"), NOON + 2 * SECOND)
    service.call(o.ListDomains(registration_status="REGISTERED"), NOON + 2 * SECOND)
    service.call(o.PollForActivityTask(domain="d", task_list=TaskList("A")), NOON + 2 * SECOND)
    with pytest.raises(Exception, match="Unknown execution"):
        service.call(
            o.SignalWorkflowExecution(domain="d", workflow_id="x", signal_name="s"),
            NOON + 2 * SECOND,
        )
    assert service.revision == before
    service.call(POLL, NOON + 2 * SECOND)
    service.call(SIGNAL, NOON + 2 * SECOND)
    assert service.revision == before + 2


def test_a_seed_makes_other_ids_and_nothing_else() -> None:
    one, same, other = begin(seed="1"), begin(seed="1"), begin(seed="2")
    tasks = [service.call(POLL, NOON + SECOND) for service in (one, same, other)]
    assert tasks[0] == tasks[1]
    assert tasks[0].workflow_execution != tasks[2].workflow_execution
    assert tasks[0].events == tasks[2].events


PROGRAM = """
import sys
sys.path[:0] = {path!r}
from tests.unit.traction_local.test_service import NOON
from tests.unit.traction_local.test_service import POLL
from tests.unit.traction_local.test_service import SECOND
from tests.unit.traction_local.test_service import begin
print(begin(seed="s").call(POLL, NOON + SECOND))
"""


def test_equal_calls_give_equal_answers_in_any_process() -> None:
    def run(hash_seed: str) -> str:
        program = PROGRAM.format(path=[entry for entry in sys.path if entry])
        environment = {"PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", program]
        return subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout

    assert run("1") == run("2") == run("3")
