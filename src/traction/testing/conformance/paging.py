"""Check pages of histories, tasks and types, and the counts of pending tasks."""

from __future__ import annotations

from typing import Any

from traction.backend import Backend
from traction.errors import ValidationException
from traction.model import decisions as d
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import WorkflowExecution
from traction.testing.conformance.expect import expect, expect_equal
from traction.testing.conformance.fixture import Fixture, begin, wait_for


def _make_history(backend: Backend) -> tuple[Fixture, WorkflowExecution]:
    """Start a run, and record a dozen events and a pending decision task."""
    fixture, execution = begin(backend)
    fixture.decide(*(d.RecordMarker(marker_name=f"m{n}") for n in range(7)))
    fixture.signal(execution)
    return fixture, execution


def histories_are_equal_in_any_page_size_and_order(backend: Backend) -> None:
    """No page is larger than requested, and only the last has no token. A size of 0 is the default."""
    fixture, execution = _make_history(backend)
    whole = backend.get_history(execution)
    expect_equal([event.event_id for event in whole], list(range(1, 14)), "the ids of the events")
    for size in (1, 5, 13, 100, 0):
        for reverse in (False, True):
            events: list[e.Event] = []
            request = o.GetWorkflowExecutionHistory(
                domain=fixture.domain, execution=execution, maximum_page_size=size, reverse_order=reverse
            )
            for page in fixture.read_pages(request):
                count = len(page.events)
                expect(not size or count <= size, f"a page of {size} should not hold {count} events")
                events += page.events
            expect_equal(events, whole[::-1] if reverse else whole, f"all pages of {size}, backwards: {reverse}")
    fixture.terminate(execution)


def invalid_page_sizes_and_tokens_are_refused(backend: Backend) -> None:
    """The fault is `ValidationException`."""
    fixture, execution = _make_history(backend)
    invalid: list[dict[str, Any]] = [
        {"maximum_page_size": backend.limits.page_items_max + 1},
        {"next_page_token": "garbage"},
    ]
    for members in invalid:
        request = o.GetWorkflowExecutionHistory(domain=fixture.domain, execution=execution, **members)
        fixture.expect_fault(ValidationException, request, f"a history with {members}")
    fixture.terminate(execution)


def decision_tasks_have_their_history_in_pages(backend: Backend) -> None:
    """Another page assigns no task, repeats the fields of the first, and ends at the start of the task."""
    fixture, execution = _make_history(backend)
    for reverse in (False, True):
        first = page = fixture.get_decision_task(maximum_page_size=4, reverse_order=reverse)
        expect(len(page.events) <= 4, f"a page of 4 should not hold {len(page.events)} events")
        fixture.signal(execution)
        events = list(page.events)
        while page.next_page_token is not None:
            page = fixture.find_decision_task(
                maximum_page_size=4, reverse_order=reverse, next_page_token=page.next_page_token
            )
            fields = (page.task_token, page.started_event_id, page.previous_started_event_id, page.workflow_execution)
            expected = (first.task_token, first.started_event_id, first.previous_started_event_id, execution)
            expect_equal(fields, expected, "the fields of another page")
            expect_equal(page.workflow_type, fixture.workflow_type, "the workflow type of another page")
            expect(0 < len(page.events) <= 4, f"a page of 4 should not hold {len(page.events)} events")
            events += page.events
        ids = [event.event_id for event in events]
        expected_ids = list(range(1, first.started_event_id + 1))
        expect_equal(ids, expected_ids[::-1] if reverse else expected_ids, f"all pages, backwards: {reverse}")
        fixture.respond(first)
    expect_equal(fixture.list_types(execution).count("DecisionTaskStarted"), 3, "the number of started tasks")
    fixture.terminate(execution)


def lists_of_types_are_equal_in_any_page_size_and_order(backend: Backend) -> None:
    """The types have one name, so they are listed by version."""
    fixture = Fixture(backend)
    for n in range(5):
        fixture.register_activity_type(version=f"v{n}")

    def read(size: int | None, reverse: bool) -> list[str]:
        versions: list[str] = []
        request = o.ListActivityTypes(
            domain=fixture.domain,
            registration_status="REGISTERED",
            name=fixture.tag,
            maximum_page_size=size,
            reverse_order=reverse,
        )
        for page in fixture.read_pages(request):
            expect(size is None or len(page.type_infos) <= size, f"a page of {size} is too long")
            versions += [info.activity_type.version for info in page.type_infos]
        return versions

    wait_for(lambda: len(read(None, False)) == 5, "five types in a list")
    expect_equal(read(None, True), read(None, False)[::-1], "the versions listed backwards")
    for reverse in (False, True):
        whole = read(None, reverse)
        expect_equal(sorted(whole), [f"v{n}" for n in range(5)], "the versions listed")
        expect_equal(read(2, reverse), whole, f"the versions in pages of 2, backwards: {reverse}")


def pending_tasks_are_counted(backend: Backend) -> None:
    """An unused list has none. The counts may lag behind."""
    fixture = Fixture(backend)
    counts = (
        o.CountPendingDecisionTasks(domain=fixture.domain, task_list=fixture.deciders),
        o.CountPendingActivityTasks(domain=fixture.domain, task_list=fixture.workers),
    )
    for count in counts:
        expect_equal(fixture.call(count).count, 0, "the tasks on an unused list")
    execution = fixture.register().start()
    wait_for(lambda: fixture.call(counts[0]).count == 1, "one pending decision task")
    fixture.decide(d.ScheduleActivityTask(activity_type=fixture.activity_type, activity_id="a"))
    wait_for(lambda: fixture.call(counts[1]).count == 1, "one pending activity task")
    wait_for(lambda: fixture.call(counts[0]).count == 0, "no pending decision task")
    fixture.signal(execution)
    fixture.decide(
        *(d.ScheduleActivityTask(activity_type=fixture.activity_type, activity_id=id) for id in ("b", "c")),
    )
    wait_for(lambda: fixture.call(counts[1]).count == 3, "three pending activity tasks")
    fixture.get_activity_task()
    wait_for(lambda: fixture.call(counts[1]).count == 2, "two pending activity tasks")
    fixture.terminate(execution)
