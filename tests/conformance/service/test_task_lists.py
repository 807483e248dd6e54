"""Section 6 of docs/swf-semantics.md, "Task lists and timeouts"."""

from __future__ import annotations

import pytest

from tests.conformance.service.conftest import ACTIVITY, MakeSwf, Swf
from traction.model import operations as o
from traction.model.decisions import RecordMarker, RequestCancelActivityTask, ScheduleActivityTask
from traction.model.names import ActivityType, TaskList, WorkflowType
from traction_local.service.knobs import Knobs

HOST = TaskList("host")
MARK = RecordMarker(marker_name="m")


def book(id: str, priority: str | None = None) -> ScheduleActivityTask:
    return ScheduleActivityTask(activity_type=ACTIVITY, activity_id=id, task_priority=priority)


def test_s6_1_a_task_is_handed_out_once(swf: Swf) -> None:
    swf.start()
    assert swf.poll().task_token
    assert swf.poll().task_token == ""


def test_s6_1_an_unused_list_is_not_an_error(swf: Swf) -> None:
    assert swf.poll("nobody").task_token == ""
    assert swf.work("nobody").task_token == ""


def test_s6_1_the_identity_is_kept_and_left_out_if_not_given(swf: Swf) -> None:
    execution = swf.start()
    swf.respond(swf.poll(identity='{"pid": 1}'), book("a"))
    swf.work()
    assert swf.find(execution, "DecisionTaskStarted")["identity"] == '{"pid": 1}'
    assert "identity" not in swf.find(execution, "ActivityTaskStarted")


def test_s6_1_a_poll_only_gets_what_names_its_list(swf: Swf) -> None:
    swf.start("here")
    swf.start("there", task_list=TaskList("there"))
    assert swf.poll("there").workflow_execution.workflow_id == "there"
    assert swf.poll("there").task_token == ""
    assert swf.poll().workflow_execution.workflow_id == "here"


def test_s6_1_a_task_of_a_run_that_closed_is_dropped(swf: Swf) -> None:
    swf.start()
    swf.decide(book("a"))
    swf.start("v")
    swf.call(o.TerminateWorkflowExecution(domain="d", workflow_id="w"))
    swf.call(o.TerminateWorkflowExecution(domain="d", workflow_id="v"))
    assert swf.work().task_token == ""
    assert swf.poll().task_token == ""


def test_s6_1_tasks_come_in_order_of_arrival(swf: Swf) -> None:
    for number in range(5):
        swf.start(f"w{number}")
    assert [swf.poll().workflow_execution.workflow_id for _ in range(5)] == ["w0", "w1", "w2", "w3", "w4"]


def test_s6_2_a_higher_priority_comes_first_then_arrival(swf: Swf) -> None:
    swf.start("none")
    swf.start("low", task_priority="-2147483648")
    swf.start("high", task_priority="2147483647")
    swf.start("zero", task_priority="0")
    swf.start("one", task_priority="1")
    swf.start("below", task_priority="-1")
    order = [swf.poll().workflow_execution.workflow_id for _ in range(6)]
    assert order == ["high", "one", "none", "zero", "below", "low"]


def test_s6_2_activities_have_priorities_of_their_own(swf: Swf) -> None:
    execution = swf.start(task_priority="9")
    swf.decide(book("a"), book("b", "1"), book("c", "-1"), book("d"))
    assert [swf.work().activity_id for _ in range(4)] == ["b", "a", "d", "c"]
    assert "task_priority" not in swf.lines(execution, 5)[0][2]
    assert swf.lines(execution, 6)[0][2]["task_priority"] == "1"


@pytest.mark.parametrize(("given", "resolved"), [(None, "5"), ("0", "0"), ("-1", "-1")])
def test_s6_2_a_priority_that_is_given_wins_over_that_of_the_type(swf: Swf, given: str | None, resolved: str) -> None:
    urgent = ActivityType("urgent", "1")
    swf.register_activity_type(urgent, default_task_priority="5")
    swf.register_workflow_type(WorkflowType("urgent", "1"), default_task_priority="5")
    execution = swf.start(type=WorkflowType("urgent", "1"), task_priority=given)
    swf.decide(ScheduleActivityTask(activity_type=urgent, activity_id="a", task_priority=given))
    for name in ("WorkflowExecutionStarted", "DecisionTaskScheduled", "ActivityTaskScheduled"):
        assert swf.find(execution, name)["task_priority"] == resolved


def test_s6_2_what_is_cancelled_leaves_the_others_in_their_order(swf: Swf) -> None:
    execution = swf.start()
    ids = [str(n) for n in range(500)]
    swf.decide(*(book(id, str(int(id) % 7)) for id in ids))
    kept = ids[::9]
    swf.signal(execution)
    swf.decide(*(RequestCancelActivityTask(activity_id=id) for id in ids if id not in kept))
    swf.advance()
    assert pending(swf)[1] == len(kept)
    order = sorted(kept, key=lambda id: (-(int(id) % 7), int(id)))
    assert [swf.work().activity_id for _ in kept] == order
    assert swf.work().task_token == ""


def pending(swf: Swf) -> tuple[int, int]:
    decisions = swf.call(o.CountPendingDecisionTasks(domain="d", task_list=TaskList("deciders")))
    activities = swf.call(o.CountPendingActivityTasks(domain="d", task_list=TaskList("workers")))
    assert not decisions.truncated
    assert not activities.truncated
    return decisions.count, activities.count


def test_s3_1_pending_tasks_are_those_that_wait(swf: Swf) -> None:
    assert pending(swf) == (0, 0)
    execution = swf.start()
    assert pending(swf) == (1, 0)
    task = swf.poll()
    assert pending(swf) == (0, 0)
    swf.signal(execution)
    assert pending(swf) == (1, 0)
    swf.respond(task, book("a"), book("b"))
    assert pending(swf) == (1, 2)
    swf.work()
    assert pending(swf) == (1, 1)
    swf.call(o.TerminateWorkflowExecution(domain="d", workflow_id="w"))
    assert pending(swf) == (0, 0)


def test_s6_3_a_run_without_pollers_waits_until_it_times_out(swf: Swf) -> None:
    execution = swf.start(task_start_to_close_timeout="1")
    swf.advance(3599)
    assert len(swf.history(execution)) == 2
    swf.advance(1)
    assert swf.last(execution)[1] == "WorkflowExecutionTimedOut"


def test_s6_3_a_decider_that_is_too_slow_loops(swf: Swf) -> None:
    execution = swf.start()
    for _ in range(3):
        assert swf.poll().task_token
        swf.advance(60)
    loop = ["DecisionTaskStarted", "DecisionTaskTimedOut", "DecisionTaskScheduled"]
    assert swf.types(execution, 3) == loop * 3


def test_s6_3_a_decision_task_may_have_no_timeout(swf: Swf) -> None:
    execution = swf.start(task_start_to_close_timeout="NONE")
    swf.poll()
    swf.advance(3599)
    assert len(swf.history(execution)) == 3


def stick(swf: Swf, wait: str | None) -> None:
    swf.respond(swf.poll(), MARK, task_list=HOST, task_list_schedule_to_start_timeout=wait)


def test_s6_4_a_permanent_override_holds_until_another_is_given(swf: Swf) -> None:
    execution = swf.start()
    stick(swf, None)
    for _ in range(2):
        swf.signal(execution)
        task = swf.poll("host")
        assert task.task_token
        swf.advance(60)
        swf.decide(task_list="host")
    scheduled = swf.find(execution, "DecisionTaskScheduled")
    assert (scheduled["task_list"], scheduled["schedule_to_start_timeout"]) == (HOST, "NONE")
    assert swf.describe(execution).execution_configuration.task_list == TaskList("deciders")
    swf.signal(execution)
    swf.respond(swf.poll("host"), task_list=TaskList("deciders"))
    swf.signal(execution)
    assert swf.poll().task_token


@pytest.mark.parametrize(("persists", "task_list"), [(True, "host"), (False, "deciders")])
def test_s6_4_an_override_outlives_an_answer_that_names_none(make_swf: MakeSwf, persists: bool, task_list: str) -> None:
    swf = make_swf(knobs=Knobs(sticky_persists=persists))
    execution = swf.start()
    stick(swf, "100")
    swf.signal(execution)
    swf.decide(task_list="host")
    swf.signal(execution)
    assert swf.poll(task_list).task_token


def test_s6_4_a_wait_without_a_list_overrides_nothing(swf: Swf) -> None:
    execution = swf.start()
    swf.respond(swf.poll(), MARK, task_list_schedule_to_start_timeout="5")
    assert swf.find(execution, "DecisionTaskCompleted")["task_list_schedule_to_start_timeout"] == "5"
    swf.signal(execution)
    swf.advance(100)
    assert swf.find(execution, "DecisionTaskScheduled")["schedule_to_start_timeout"] == "NONE"
    assert swf.poll().task_token


def test_s6_4_a_temporary_override_is_dropped_when_its_task_times_out(swf: Swf) -> None:
    execution = swf.start()
    stick(swf, "100")
    swf.signal(execution)
    assert swf.poll("host").task_token
    swf.advance(60)
    timed_out, scheduled = swf.lines(execution, 9)
    assert timed_out[2] == {"timeout_type": "START_TO_CLOSE", "scheduled_event_id": 7, "started_event_id": 8}
    assert scheduled[2]["task_list"] == TaskList("deciders")
    swf.decide()
    swf.signal(execution)
    assert swf.poll().task_token


@pytest.mark.parametrize("timeout", ["60", "NONE"])
def test_s6_4_a_task_that_was_started_in_time_does_not_miss_its_list(swf: Swf, timeout: str) -> None:
    execution = swf.start(task_start_to_close_timeout=timeout)
    stick(swf, "5")
    swf.signal(execution)
    task = swf.poll("host")
    swf.advance(30)
    swf.respond(task)
    assert swf.last(execution)[1] == "DecisionTaskCompleted"


def test_s6_4_a_task_queued_during_the_decision_stays_where_it_is(swf: Swf) -> None:
    execution = swf.start()
    task = swf.poll()
    swf.signal(execution)
    swf.respond(task, task_list=HOST, task_list_schedule_to_start_timeout="5")
    assert swf.poll("host").task_token == ""
    assert swf.poll().task_token


def test_s6_4_a_history_may_begin_at_the_previous_start(swf: Swf) -> None:
    execution = swf.start()
    first = swf.poll(start_at_previous_started_event=True)
    assert [event.event_id for event in first.events] == [1, 2, 3]
    swf.advance(1)
    swf.respond(first, MARK)
    swf.advance(1)
    swf.signal(execution)
    second = swf.poll(start_at_previous_started_event=True)
    assert second.previous_started_event_id == 3
    assert [event.event_id for event in second.events] == [3, 4, 5, 6, 7, 8]


def test_s6_4_the_history_may_start_by_time_and_then_contains_more(make_swf: MakeSwf) -> None:
    swf = make_swf(knobs=Knobs(start_by_timestamp=True))
    execution = swf.start()
    swf.advance(1)
    swf.signal(execution)
    swf.decide(MARK)
    swf.advance(1)
    swf.signal(execution)
    task = swf.poll(start_at_previous_started_event=True)
    assert [event.event_id for event in task.events] == [3, 4, 5, 6, 7, 8, 9]


def test_s6_4_it_may_be_paged_in_either_order(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(MARK, MARK)
    swf.signal(execution)
    ids: list[list[int]] = []
    token: str | None = None
    while token or not ids:
        page = swf.poll(
            start_at_previous_started_event=True, reverse_order=True, maximum_page_size=4, next_page_token=token
        )
        ids.append([event.event_id for event in page.events])
        token = page.next_page_token
    assert ids == [[9, 8, 7, 6], [5, 4, 3]]


def test_s7_4_any_holder_of_a_token_may_answer(swf: Swf) -> None:
    execution = swf.start()
    swf.respond(swf.poll(identity="one"), book("a"))
    task = swf.work(identity="two")
    swf.advance(100)
    swf.call(o.RespondActivityTaskFailed(task_token=task.task_token, reason="from a third party"))
    assert swf.find(execution, "ActivityTaskFailed")["reason"] == "from a third party"


def test_s6_1_a_rescheduled_task_has_a_new_token(swf: Swf) -> None:
    swf.start()
    first = swf.poll()
    swf.advance(60)
    second = swf.poll()
    assert first.task_token != second.task_token
    swf.call(o.RespondDecisionTaskCompleted(task_token=second.task_token))
