"""Section 3 of docs/swf-semantics.md, "Operations"."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import msgspec
import pytest

from tests.conformance.service.conftest import ACTIVITY, DECIDERS, WORKFLOW, MakeSwf, Swf
from traction.model import decisions as d
from traction.model import operations as o
from traction.model.names import ActivityType, TaskList, WorkflowType
from traction_local.service.knobs import Knobs
from traction_local.service.service import Service

BARE = WorkflowType("bare", "1")
GIVEN: dict[str, Any] = {
    "execution_start_to_close_timeout": "10",
    "task_list": DECIDERS,
    "task_start_to_close_timeout": "5",
    "child_policy": "ABANDON",
}
CAUSES = {
    "execution_start_to_close_timeout": "DEFAULT_EXECUTION_START_TO_CLOSE_TIMEOUT_UNDEFINED",
    "task_list": "DEFAULT_TASK_LIST_UNDEFINED",
    "task_start_to_close_timeout": "DEFAULT_TASK_START_TO_CLOSE_TIMEOUT_UNDEFINED",
    "child_policy": "DEFAULT_CHILD_POLICY_UNDEFINED",
}
FIELDS = {
    "execution_start_to_close_timeout": "defaultExecutionStartToCloseTimeout",
    "task_list": "defaultTaskList",
    "task_start_to_close_timeout": "defaultTaskStartToCloseTimeout",
    "child_policy": "defaultChildPolicy",
}


def bare(swf: Swf) -> None:
    swf.call(o.RegisterWorkflowType(domain="d", name=BARE.name, version=BARE.version))


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in GIVEN.items() if name not in names}


@pytest.mark.parametrize("missing", list(GIVEN))
def test_s3_2_a_start_needs_each_setting_from_somewhere(swf: Swf, missing: str) -> None:
    bare(swf)
    start = o.StartWorkflowExecution(domain="d", workflow_id="w", workflow_type=BARE, **without(missing))
    assert swf.refuse(start) == ("DefaultUndefinedFault", FIELDS[missing])


def test_s3_2_settings_are_looked_for_in_order(swf: Swf) -> None:
    bare(swf)
    names = list(GIVEN)
    for position, name in enumerate(names):
        start = o.StartWorkflowExecution(domain="d", workflow_id="w", workflow_type=BARE, **without(*names[position:]))
        assert swf.refuse(start) == ("DefaultUndefinedFault", FIELDS[name])


def test_s3_2_the_fault_may_name_the_setting_without_default(make_swf: MakeSwf) -> None:
    swf = make_swf(knobs=Knobs(default_undefined_names_default=False))
    bare(swf)
    start = o.StartWorkflowExecution(domain="d", workflow_id="w", workflow_type=BARE, **without("task_list"))
    assert swf.refuse(start) == ("DefaultUndefinedFault", "taskList")


@pytest.mark.parametrize("missing", list(GIVEN))
def test_s3_2_a_child_needs_each_setting_from_somewhere(swf: Swf, missing: str) -> None:
    bare(swf)
    execution = swf.start()
    swf.decide(d.StartChildWorkflowExecution(workflow_type=BARE, workflow_id="c", **without(missing)))
    failed = swf.find(execution, "StartChildWorkflowExecutionFailed")
    assert (failed["cause"], failed["initiated_event_id"]) == (CAUSES[missing], 0)


@pytest.mark.parametrize("missing", list(GIVEN))
def test_s3_2_a_continuation_inherits_nothing_from_the_run_before(swf: Swf, missing: str) -> None:
    bare(swf)
    execution = swf.start(type=BARE, **GIVEN)
    swf.decide(d.ContinueAsNewWorkflowExecution(**without(missing)))
    assert swf.find(execution, "ContinueAsNewWorkflowExecutionFailed")["cause"] == CAUSES[missing]


ACTIVITY_SETTINGS = {
    "task_list": ("DEFAULT_TASK_LIST_UNDEFINED", TaskList("l")),
    "schedule_to_start_timeout": ("DEFAULT_SCHEDULE_TO_START_TIMEOUT_UNDEFINED", "1"),
    "schedule_to_close_timeout": ("DEFAULT_SCHEDULE_TO_CLOSE_TIMEOUT_UNDEFINED", "2"),
    "start_to_close_timeout": ("DEFAULT_START_TO_CLOSE_TIMEOUT_UNDEFINED", "3"),
    "heartbeat_timeout": ("DEFAULT_HEARTBEAT_TIMEOUT_UNDEFINED", "NONE"),
}


def test_s3_2_an_activity_needs_each_setting_and_they_are_looked_for_in_order(swf: Swf) -> None:
    kind = ActivityType("bare", "1")
    swf.call(o.RegisterActivityType(domain="d", name="bare", version="1"))
    execution = swf.start()
    given: dict[str, Any] = {}
    for name, (cause, value) in ACTIVITY_SETTINGS.items():
        swf.decide(d.ScheduleActivityTask(activity_type=kind, activity_id="a", **given))
        assert swf.find(execution, "ScheduleActivityTaskFailed")["cause"] == cause
        given[name] = value
    swf.decide(d.ScheduleActivityTask(activity_type=kind, activity_id="a", **given))
    scheduled = swf.find(execution, "ActivityTaskScheduled")
    assert {name: scheduled[name] for name in given} == given


def test_s3_2_the_role_is_that_of_the_type_unless_the_start_has_one(swf: Swf) -> None:
    kind = WorkflowType("calls", "1")
    swf.register_workflow_type(kind, default_lambda_role="of the type")
    for given, role in ((None, "of the type"), ("given", "given")):
        execution = swf.start(str(given), type=kind, lambda_role=given)
        assert swf.find(execution, "WorkflowExecutionStarted")["lambda_role"] == role


def test_s3_2_explicit_settings_override_defaults_and_events_have_the_result(swf: Swf) -> None:
    execution = swf.start(task_priority="-5", task_start_to_close_timeout="7", lambda_role="role")
    event = swf.find(execution, "WorkflowExecutionStarted")
    assert event["task_priority"] == "-5"
    assert event["task_start_to_close_timeout"] == "7"
    assert event["execution_start_to_close_timeout"] == "3600"
    assert event["lambda_role"] == "role"
    assert swf.find(execution, "DecisionTaskScheduled")["task_priority"] == "-5"
    swf.decide(d.ScheduleActivityTask(activity_type=ACTIVITY, activity_id="a", start_to_close_timeout="9"))
    scheduled = swf.find(execution, "ActivityTaskScheduled")
    assert (scheduled["start_to_close_timeout"], scheduled["schedule_to_close_timeout"]) == ("9", "900")
    # A priority is neither inherited nor recorded when it was not set.
    assert "task_priority" not in scheduled


def test_s3_2_faults_of_a_start_come_in_order(swf: Swf) -> None:
    bare(swf)
    swf.call(o.DeprecateWorkflowType(domain="d", workflow_type=BARE))
    start = o.StartWorkflowExecution(domain="d", workflow_id="w", workflow_type=BARE)
    assert swf.refuse(start) == ("TypeDeprecatedFault", "WorkflowType=[name=bare, version=1]")


def history_pages(swf: Swf, size: int, reverse: bool) -> list[list[int]]:
    execution = swf.start()
    swf.decide(*(d.RecordMarker(marker_name="m") for _ in range(3)))
    pages, token = [], None
    while True:
        page = swf.call(
            o.GetWorkflowExecutionHistory(
                domain="d",
                execution=execution,
                maximum_page_size=size,
                next_page_token=token,
                reverse_order=reverse,
            )
        )
        pages.append([event.event_id for event in page.events])
        if (token := page.next_page_token) is None:
            return pages


@pytest.mark.parametrize(
    ("size", "reverse", "pages"),
    [
        (0, False, [[1, 2, 3, 4, 5, 6, 7]]),
        (7, False, [[1, 2, 3, 4, 5, 6, 7]]),
        (3, False, [[1, 2, 3], [4, 5, 6], [7]]),
        (3, True, [[7, 6, 5], [4, 3, 2], [1]]),
        (1000, True, [[7, 6, 5, 4, 3, 2, 1]]),
    ],
)
def test_s3_3_pages_cover_all_once_and_the_last_has_no_token(
    swf: Swf, size: int, reverse: bool, pages: list[list[int]]
) -> None:
    assert history_pages(swf, size, reverse) == pages


def test_s3_3_a_page_may_be_shorter_than_asked_for_and_not_the_last(make_swf: MakeSwf) -> None:
    assert history_pages(make_swf(knobs=Knobs(page_items_served_max=4)), 1000, False) == [[1, 2, 3, 4], [5, 6, 7]]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("by_poll", [False, True])
def test_s3_3_a_page_has_room_for_about_a_megabyte(swf: Swf, reverse: bool, by_poll: bool) -> None:
    execution = swf.start()
    for _ in range(70):
        swf.signal(execution, input="x" * 32_768)
    read: Any = o.PollForDecisionTask(domain="d", task_list=DECIDERS, reverse_order=reverse)
    if not by_poll:
        swf.poll()
        read = o.GetWorkflowExecutionHistory(domain="d", execution=execution, reverse_order=reverse)
    pages = [swf.call(read)]
    while (token := pages[-1].next_page_token) is not None:
        pages.append(swf.call(msgspec.structs.replace(read, next_page_token=token)))
    assert [event.event_id for page in pages for event in page.events] == sorted(range(1, 74), reverse=reverse)
    assert [len(page.events) for page in pages] == ([32, 31, 10] if reverse else [33, 31, 9])


def test_s3_3_a_page_has_one_item_however_long(make_swf: MakeSwf) -> None:
    assert history_pages(make_swf(knobs=Knobs(page_bytes_served_max=1)), 1000, False) == [[n] for n in range(1, 8)]


@pytest.mark.parametrize("make_swf", ["in process"], indirect=True)
def test_s3_3_a_list_of_types_has_room_for_about_a_megabyte(swf: Swf) -> None:
    for number in range(999):
        swf.register_workflow_type(WorkflowType(f"t-{number}", "1"), description="x" * 1024)
    listing = o.ListWorkflowTypes(domain="d", registration_status="REGISTERED")
    first = swf.call(listing)
    second = swf.call(msgspec.structs.replace(listing, next_page_token=first.next_page_token))
    assert 850 < len(first.type_infos) < 950
    assert len(first.type_infos) + len(second.type_infos) == 1000
    assert second.next_page_token is None


def test_s3_3_a_token_is_bound_to_its_query_and_lives_for_a_day(swf: Swf) -> None:
    swf.call(o.RegisterDomain(name="e", workflow_execution_retention_period_in_days="1"))
    swf.call(o.RegisterDomain(name="f", workflow_execution_retention_period_in_days="1"))
    first = swf.call(o.ListDomains(registration_status="REGISTERED", maximum_page_size=2))
    token = first.next_page_token
    again = o.ListDomains(registration_status="REGISTERED", maximum_page_size=2, next_page_token=token)
    assert [info.name for info in swf.call(again).domain_infos] == ["f"]
    invalid = ("ValidationException", "Invalid token")
    others = [
        o.ListDomains(registration_status="REGISTERED", maximum_page_size=1, next_page_token=token),
        o.ListDomains(registration_status="DEPRECATED", maximum_page_size=2, next_page_token=token),
        o.ListWorkflowTypes(domain="d", registration_status="REGISTERED", next_page_token=token),
        o.ListDomains(registration_status="REGISTERED", maximum_page_size=2, next_page_token="garbage"),
        o.ListDomains(registration_status="REGISTERED", maximum_page_size=2, next_page_token=""),
    ]
    assert [swf.refuse(other) for other in others] == [invalid] * 5
    swf.advance(24 * 3600 + 1)
    late = ("ValidationException", "Specified token has exceeded its maximum lifetime")
    assert swf.refuse(again) == late


def test_s3_3_a_token_is_good_for_a_day_to_the_millisecond_and_for_one_kind_of_list(swf: Swf) -> None:
    for version in "23":
        swf.register_workflow_type(WorkflowType("trip", version))
        swf.register_activity_type(ActivityType("trip", version))
    given: dict[str, Any] = {"domain": "d", "registration_status": "REGISTERED", "name": "trip", "maximum_page_size": 1}
    token = swf.call(o.ListActivityTypes(**given)).next_page_token
    swf.advance(24 * 3600)
    assert swf.refuse(o.ListWorkflowTypes(**given, next_page_token=token)) == ("ValidationException", "Invalid token")
    assert swf.call(o.ListActivityTypes(**given, next_page_token=token)).type_infos[0].activity_type.version == "3"


def test_s3_3_a_changed_token_is_invalid(swf: Swf) -> None:
    execution = swf.start()
    read = o.GetWorkflowExecutionHistory(domain="d", execution=execution, maximum_page_size=1)
    token = swf.call(read).next_page_token
    assert token is not None
    decoded = b64decode(token)
    places = [place for place in range(len(decoded)) if chr(decoded[place]).isdigit()]
    for place in places:
        digit = b"1" if decoded[place : place + 1] != b"1" else b"2"
        changed = b64encode(decoded[:place] + digit + decoded[place + 1 :]).decode()
        assert swf.refuse(msgspec.structs.replace(read, next_page_token=changed))[1] == "Invalid token", changed
    assert swf.call(msgspec.structs.replace(read, next_page_token=token)).events[0].event_id == 2


def test_s3_3_a_token_of_one_service_is_invalid_in_another() -> None:
    tokens = []
    for seed in ("1", "2"):
        swf = Swf(Service(seed=seed))
        swf.register()
        swf.call(o.RegisterDomain(name="e", workflow_execution_retention_period_in_days="1"))
        tokens.append(swf.call(o.ListDomains(registration_status="REGISTERED", maximum_page_size=1)).next_page_token)
    listing = o.ListDomains(registration_status="REGISTERED", maximum_page_size=1, next_page_token=tokens[0])
    assert swf.refuse(listing) == ("ValidationException", "Invalid token")


def test_s3_3_a_history_that_grows_while_it_is_read_is_read_to_its_end(swf: Swf) -> None:
    execution = swf.start()
    for reverse, ids in ((False, [2, 3]), (True, [2, 1])):
        read = o.GetWorkflowExecutionHistory(
            domain="d", execution=execution, maximum_page_size=1, reverse_order=reverse
        )
        token = swf.call(read).next_page_token
        swf.signal(execution)
        seen = []
        while token is not None:
            page = swf.call(msgspec.structs.replace(read, next_page_token=token))
            seen += [event.event_id for event in page.events]
            token = page.next_page_token
        assert seen == ids


def test_s3_3_a_page_of_a_poll_claims_no_other_task_and_repeats_the_first(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(*(d.RecordMarker(marker_name="m") for _ in range(3)))
    swf.signal(execution)
    swf.start("another")
    first = swf.poll(maximum_page_size=4)
    assert [event.event_id for event in first.events] == [1, 2, 3, 4]
    swf.signal(execution, "late")
    second = swf.poll(maximum_page_size=4, next_page_token=first.next_page_token)
    third = swf.poll(maximum_page_size=4, next_page_token=second.next_page_token)
    assert [event.event_id for event in second.events] == [5, 6, 7, 8]
    # Pages stop at the start of this task, whatever came since.
    assert [event.event_id for event in third.events] == [9, 10]
    assert third.next_page_token is None
    for page in (second, third):
        assert (page.task_token, page.started_event_id) == (first.task_token, first.started_event_id)
        assert page.previous_started_event_id == first.previous_started_event_id == 3
        assert (page.workflow_execution, page.workflow_type) == (execution, WORKFLOW)
    assert len(swf.history(execution)) == 12
    assert swf.poll().workflow_execution.workflow_id == "another"


def test_s3_3_a_poll_may_be_read_newest_first(swf: Swf) -> None:
    swf.start()
    first = swf.poll(maximum_page_size=2, reverse_order=True)
    second = swf.poll(maximum_page_size=2, reverse_order=True, next_page_token=first.next_page_token)
    assert [event.event_id for event in first.events + second.events] == [3, 2, 1]


def test_s3_3_a_poll_token_is_only_good_for_polls(swf: Swf) -> None:
    execution = swf.start()
    token = swf.poll(maximum_page_size=1).next_page_token
    read = o.GetWorkflowExecutionHistory(domain="d", execution=execution, next_page_token=token, maximum_page_size=1)
    assert swf.refuse(read) == ("ValidationException", "Invalid token")
    other = o.PollForDecisionTask(domain="d", task_list=TaskList("other"), next_page_token=token, maximum_page_size=1)
    assert swf.refuse(other) == ("ValidationException", "Invalid token")


def test_s3_5_a_start_is_refused_while_open_and_runs_again_when_closed(swf: Swf) -> None:
    first = swf.start()
    swf.decide(d.CompleteWorkflowExecution())
    assert swf.start().run_id != first.run_id


def test_s3_5_a_repeated_signal_and_a_repeated_cancel_are_written_twice(swf: Swf) -> None:
    execution = swf.start()
    for _ in range(2):
        swf.signal(execution)
        swf.call(o.RequestCancelWorkflowExecution(domain="d", workflow_id="w"))
    assert swf.types(execution, 3) == ["WorkflowExecutionSignaled", "WorkflowExecutionCancelRequested"] * 2


def test_s3_5_a_repeated_answer_and_a_repeated_terminate_are_refused(swf: Swf) -> None:
    execution = swf.start()
    task = swf.decide(d.ScheduleActivityTask(activity_type=ACTIVITY, activity_id="a"))
    again = o.RespondDecisionTaskCompleted(task_token=task.task_token)
    assert swf.refuse(again) == ("UnknownResourceFault", "Unknown decision task, scheduledEventId = 2")
    done = o.RespondActivityTaskCompleted(task_token=swf.work().task_token)
    swf.call(done)
    assert swf.refuse(done) == ("UnknownResourceFault", "Unknown activity, scheduledEventId = 5")
    terminate = o.TerminateWorkflowExecution(domain="d", workflow_id="w")
    swf.call(terminate)
    assert swf.refuse(terminate) == ("UnknownResourceFault", "Unknown execution, workflowId = w")
    gone = f"Unknown execution: WorkflowExecution=[workflowId=w, runId={execution.run_id}]"
    assert swf.refuse(done) == ("UnknownResourceFault", gone)


def test_s3_1_a_refused_call_changes_nothing(swf: Swf) -> None:
    execution = swf.start()
    before = swf.lines(execution)
    swf.refuse(o.StartWorkflowExecution(domain="d", workflow_id="w", workflow_type=WORKFLOW))
    swf.refuse(o.RegisterDomain(name="d", workflow_execution_retention_period_in_days="1"))
    assert swf.lines(execution) == before
    retention = swf.call(o.DescribeDomain(name="d")).configuration.workflow_execution_retention_period_in_days
    assert retention == "7"
