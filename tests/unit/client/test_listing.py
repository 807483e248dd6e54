"""Executions are found and counted by any filters, with few requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.http_backends import BEGIN, Counting, World, reach_here
from tests.support.populations import TYPES, Life, describe_all, lives, populate, queries
from traction import Client, workflow
from traction.client.listing import CHOICES, count_executions, list_executions, make_plan
from traction.client.query import Query
from traction.errors import DefinitionError
from traction.model import operations as o
from traction_local.service.knobs import Knobs


@workflow(version="2")
async def order() -> None:
    pass


@contextmanager
def open_world(page_size: int = 1_000) -> Iterator[World]:
    world = World(reach_here, knobs=Knobs(page_items_served_max=page_size))
    try:
        yield world
    finally:
        world.close()


@given(st.lists(lives(), max_size=12), queries(), st.integers(1, 4))
def test_a_list_is_all_executions_that_match_newest_first(population: list[Life], query: Query, page_size: int) -> None:
    with open_world(page_size) as world:
        everything = describe_all(world.backend, populate(world, population))
        found = list(list_executions(world.backend, query))
        expected = [execution for execution in everything if query.matches(execution)]
        assert sorted(found, key=repr) == sorted(expected, key=repr)
        by_close = query.closed != (None, None)
        times = [execution.closed_at if by_close else execution.started_at for execution in found]
        assert all(newer >= older for newer, older in pairwise(times))  # type: ignore[operator]


@given(st.lists(lives(), max_size=12), queries())
def test_a_count_is_the_length_of_the_list(population: list[Life], query: Query) -> None:
    with open_world() as world:
        populate(world, population)
        counted = count_executions(world.backend, query)
        assert (counted.count, counted.truncated) == (len(list(list_executions(world.backend, query))), False)


@given(queries())
def test_a_request_has_one_filter_and_the_rest_is_applied_here(query: Query) -> None:
    for closed in (False, True):
        plan = make_plan(query, closed=closed)
        filters = [name for name in plan.members if name not in ("start_time_filter", "close_time_filter")]
        assert len(filters) <= 1
        assert len(plan.members) == len(filters) + 1
        if plan.rest - {"started"}:
            assert filters


SELECTIVE = [
    (Query(workflow_id="a", tag="red", workflow="order", status="FAILED"), "execution_filter"),
    (Query(tag="red", workflow="order", status="FAILED"), "tag_filter"),
    (Query(workflow="order", status="FAILED"), "close_status_filter"),
    (Query(workflow="order", status="COMPLETED"), "type_filter"),
    (Query(status="COMPLETED"), "close_status_filter"),
    (Query(status="CLOSED"), None),
    (Query(), None),
]


@pytest.mark.parametrize(("query", "chosen"), SELECTIVE)
def test_the_most_selective_filter_is_sent_to_the_service(query: Query, chosen: str | None) -> None:
    members = make_plan(query, closed=True).members
    assert [name for name in members if name != "start_time_filter"] == ([] if chosen is None else [chosen])


def test_every_filter_of_the_service_is_in_the_table() -> None:
    members = {name for name in o.ListClosedWorkflowExecutions.__struct_fields__ if name.endswith("_filter")}
    full = Query(workflow_id="a", tag="red", workflow="order", version="1", status="FAILED")
    made = {name for choice in CHOICES for name in choice.make(full) or {}}
    assert made == members - {"start_time_filter", "close_time_filter"}


def live(fate: str, workflow_id: str, *, before: float = 1) -> Life:
    return Life(TYPES[0], workflow_id, ("red",), fate, before, 0)


def test_pages_are_read_when_they_are_needed() -> None:
    with open_world(page_size=2) as world:
        populate(world, [live("COMPLETED" if n % 2 else "OPEN", f"w{n}") for n in range(12)])
        world.backend.asked.clear()
        for query, requests in ((Query(), 2), (Query(status="OPEN"), 1), (Query(status="COMPLETED"), 1)):
            found = list_executions(world.backend, query)
            assert world.backend.asked == []
            next(found)
            assert len(world.backend.asked) == requests
            world.backend.asked.clear()


def test_an_execution_that_closes_while_a_list_is_read_is_listed_once() -> None:
    for place in range(6):
        with open_world(page_size=1) as world:
            populate(world, [live("OPEN", f"w{n}", before=n % 2) for n in range(6)])
            found = list_executions(world.backend, Query())
            listed = [next(found).workflow_id]
            world.backend.call(o.TerminateWorkflowExecution(domain=world.backend.domain, workflow_id=f"w{place}"))
            listed += [execution.workflow_id for execution in found]
            assert sorted(listed) == [f"w{n}" for n in range(6)]


def test_a_count_costs_a_request_for_open_and_one_for_closed() -> None:
    with open_world() as world:
        populate(world, [live("OPEN", "a"), live("FAILED", "b")])
        world.backend.asked.clear()
        count_executions(world.backend, Query(workflow="order"))
        assert world.backend.asked == ["CountOpenWorkflowExecutions", "CountClosedWorkflowExecutions"]
        world.backend.asked.clear()
        count_executions(world.backend, Query(workflow="order", status="FAILED"))
        assert world.backend.asked == ["ListClosedWorkflowExecutions"]


def test_a_count_that_the_service_stops_is_truncated() -> None:
    world = World(reach_here, knobs=Knobs(page_bytes_served_max=600))
    populate(world, [live("OPEN", f"w{n}") for n in range(9)])
    counted = count_executions(world.backend, Query())
    assert counted.truncated
    assert 0 < counted.count < 9
    world.close()


def open_client(world: World) -> Client:
    return Client(backend=world.backend)


def test_a_client_lists_by_a_definition_and_a_status_in_lower_case() -> None:
    with open_world() as world, open_client(world) as client:
        populate(world, [live("FAILED", "a"), live("OPEN", "b"), live("COMPLETED", "c")])
        assert [one.workflow_id for one in client.list(workflow=order)] == ["c", "b", "a"]
        assert [one.workflow_id for one in client.list(workflow=order, status="failed")] == ["a"]
        assert [one.workflow_id for one in client.list(workflow=order, status="closed")] == ["c", "a"]
        assert list(client.list(workflow=order, version="2")) == []
        assert client.count(workflow="order", started=(BEGIN + timedelta(seconds=2), None)).count == 2


ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"status": "done"}, "'DONE' is not one of OPEN, CLOSED, COMPLETED"),
    ({"started": (BEGIN.replace(tzinfo=None), None)}, "2024-02-29 12:00:00 has no time zone"),
    ({"closed": (BEGIN, BEGIN - timedelta(days=1))}, "2024-02-29 12:00:00+00:00 is after 2024-02-28 12:00:00+00:00"),
    ({"version": "2"}, "version='2' needs workflow="),
    ({"workflow": 7}, "workflow=7: expected a workflow or the name of one"),
    ({"tag": ""}, "tag='': expected a non-empty string"),
    ({"started": BEGIN}, "expected a pair"),
    ({"closed": ("2024-01-01", None)}, "expected aware datetimes or None, got '2024-01-01'"),
    ({"status": "open", "closed": (BEGIN, None)}, "matches no open execution"),
    ({"state": "open"}, "state=... is not a filter; the filters are workflow, version, status, tag"),
]


@pytest.mark.parametrize(("filters", "text"), ERRORS)
def test_a_filter_that_is_wrong_raises_before_any_request(filters: dict[str, Any], text: str) -> None:
    with open_world() as world, open_client(world) as client:
        backend: Counting = world.backend
        for method in (client.list, client.count):
            with pytest.raises(DefinitionError) as caught:
                method(**filters)
            assert text in str(caught.value)
        assert backend.asked == []
