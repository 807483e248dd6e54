"""Check pages: whatever their size, they make one whole, in either order; and counts of tasks that wait."""

from __future__ import annotations

from typing import Any

from traction.backend import Backend
from traction.errors import ValidationException
from traction.model import decisions as d
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import WorkflowExecution
from traction.testing.conformance.expect import expect, expect_equal
from traction.testing.conformance.fixture import Fixture, wait_for


def _make_history(desk: Fixture) -> WorkflowExecution:
    """Make a run of a dozen events that waits for its decider."""
    desk.register()
    execution = desk.start()
    desk.decide(*(d.RecordMarker(marker_name=f"m{n}") for n in range(7)))
    desk.signal(execution)
    return execution


def a_history_is_the_same_in_pages_of_any_size_and_backwards(backend: Backend) -> None:
    """No page is larger than asked for; only the last has no token. A size of 0 is any."""
    desk = Fixture(backend)
    execution = _make_history(desk)
    whole = backend.get_history(execution)
    expect_equal([event.event_id for event in whole], list(range(1, 14)), "the ids of the events")
    for size in (1, 5, 13, 100, 0):
        for reverse in (False, True):
            events: list[e.Event] = []
            token = None
            while True:
                page = desk.call(
                    o.GetWorkflowExecutionHistory(
                        domain=desk.domain,
                        execution=execution,
                        maximum_page_size=size,
                        reverse_order=reverse,
                        next_page_token=token,
                    )
                )
                expect(
                    not size or len(page.events) <= size, f"a page of {size} should not hold {len(page.events)} events"
                )
                events += page.events
                token = page.next_page_token
                if token is None:
                    break
            expect_equal(events, whole[::-1] if reverse else whole, f"all pages of {size}, backwards: {reverse}")
    desk.terminate(execution)


def a_page_larger_than_the_largest_is_refused_and_a_token_of_nothing_too(backend: Backend) -> None:
    """By a `ValidationException`."""
    desk = Fixture(backend)
    execution = _make_history(desk)
    wrong: list[dict[str, Any]] = [
        {"maximum_page_size": backend.limits.page_items_max + 1},
        {"next_page_token": "garbage"},
    ]
    for given in wrong:
        request = o.GetWorkflowExecutionHistory(domain=desk.domain, execution=execution, **given)
        desk.expect_fault(ValidationException, request, f"a history with {given}")
    desk.terminate(execution)


def a_decision_task_brings_its_history_in_pages(backend: Backend) -> None:
    """A page more claims no task, says the same of it, and ends at its start though newer events are there."""
    desk = Fixture(backend)
    execution = _make_history(desk)
    for reverse in (False, True):
        first = page = desk.get_decision_task(maximum_page_size=4, reverse_order=reverse)
        expect(len(page.events) <= 4, f"a page of 4 should not hold {len(page.events)} events")
        desk.signal(execution)
        events = list(page.events)
        while page.next_page_token is not None:
            page = desk.find_decision_task(
                maximum_page_size=4, reverse_order=reverse, next_page_token=page.next_page_token
            )
            said = (page.task_token, page.started_event_id, page.previous_started_event_id, page.workflow_execution)
            wanted = (first.task_token, first.started_event_id, first.previous_started_event_id, execution)
            expect_equal(said, wanted, "what another page says of its task")
            expect_equal(page.workflow_type, desk.workflow_type, "the workflow type that another page says")
            expect(0 < len(page.events) <= 4, f"a page of 4 should not hold {len(page.events)} events")
            events += page.events
        ids = [event.event_id for event in events]
        wanted_ids = list(range(1, first.started_event_id + 1))
        expect_equal(ids, wanted_ids[::-1] if reverse else wanted_ids, f"all pages, backwards: {reverse}")
        desk.respond(first)
    expect_equal(desk.list_types(execution).count("DecisionTaskStarted"), 3, "how many tasks were started")
    desk.terminate(execution)


def a_list_of_types_is_the_same_in_pages_and_backwards(backend: Backend) -> None:
    """By version here, since the name is one."""
    desk = Fixture(backend)
    for n in range(5):
        desk.register_activity_type(version=f"v{n}")

    def read(size: int | None, reverse: bool) -> list[str]:
        versions: list[str] = []
        token = None
        while True:
            page = desk.call(
                o.ListActivityTypes(
                    domain=desk.domain,
                    registration_status="REGISTERED",
                    name=desk.tag,
                    maximum_page_size=size,
                    reverse_order=reverse,
                    next_page_token=token,
                )
            )
            expect(size is None or len(page.type_infos) <= size, f"a page of {size} is too long")
            versions += [info.activity_type.version for info in page.type_infos]
            token = page.next_page_token
            if token is None:
                return versions

    wait_for(lambda: len(read(None, False)) == 5, "five types in a list")
    expect_equal(read(None, True), read(None, False)[::-1], "the versions listed backwards")
    for reverse in (False, True):
        whole = read(None, reverse)
        expect_equal(sorted(whole), [f"v{n}" for n in range(5)], "the versions listed")
        expect_equal(read(2, reverse), whole, f"the versions in pages of 2, backwards: {reverse}")


def waiting_tasks_are_counted(backend: Backend) -> None:
    """None on a list that nobody used; sooner or later, those that wait."""
    desk = Fixture(backend)
    counts = (
        o.CountPendingDecisionTasks(domain=desk.domain, task_list=desk.deciders),
        o.CountPendingActivityTasks(domain=desk.domain, task_list=desk.workers),
    )
    for count in counts:
        expect_equal(desk.call(count).count, 0, "the tasks on a list that nobody used")
    execution = _make_history(desk)
    wait_for(lambda: desk.call(counts[0]).count == 1, "one decision task that waits")
    desk.decide(d.ScheduleActivityTask(activity_type=desk.activity_type, activity_id="a"))
    wait_for(lambda: desk.call(counts[1]).count == 1, "one activity task that waits")
    wait_for(lambda: desk.call(counts[0]).count == 0, "that no decision task waits any more")
    desk.signal(execution)
    desk.decide(
        *(d.ScheduleActivityTask(activity_type=desk.activity_type, activity_id=id) for id in ("b", "c")),
    )
    wait_for(lambda: desk.call(counts[1]).count == 3, "three activity tasks that wait")
    desk.get_activity_task()
    wait_for(lambda: desk.call(counts[1]).count == 2, "two activity tasks that wait")
    desk.terminate(execution)


CHECKS = (
    a_history_is_the_same_in_pages_of_any_size_and_backwards,
    a_page_larger_than_the_largest_is_refused_and_a_token_of_nothing_too,
    a_decision_task_brings_its_history_in_pages,
    a_list_of_types_is_the_same_in_pages_and_backwards,
    waiting_tasks_are_counted,
)
