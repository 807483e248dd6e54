"""Executions are found over HTTP as they are in process."""

from __future__ import annotations

from itertools import product

from tests.support.http_backends import Site, World
from tests.support.populations import FATES, IDS, TAGS, TYPES, Life, describe_all, populate
from traction.client.listing import count_executions, list_executions
from traction.client.query import Query
from traction_local.service.knobs import Knobs


def test_a_list_over_http_is_all_executions_that_match(site: Site) -> None:
    world = World(site.reach, knobs=Knobs(page_items_served_max=3))
    closed = [fate for fate in FATES if fate not in ("OPEN", "CONTINUED_AS_NEW")]
    population = [
        Life(type, id, tags, fate, 0.001, 1) for type, id, tags, fate in product(TYPES, IDS, [(), TAGS], closed)
    ]
    population += [Life(TYPES[0], IDS[0], TAGS, "CONTINUED_AS_NEW", 1, 1), Life(TYPES[1], IDS[1], (), "OPEN", 1, 1)]
    everything = describe_all(world.backend, populate(world, population))
    middle = sorted(execution.started_at for execution in everything)[len(everything) // 2]
    for query in (
        Query(),
        Query(status="OPEN"),
        Query(workflow="order", version="2", status="FAILED"),
        Query(tag="red", workflow="refund", started=(middle, None)),
        Query(workflow_id="a", started=(None, middle)),
        Query(status="CLOSED", closed=(middle, None), started=(None, middle)),
    ):
        expected = sorted(repr(execution) for execution in everything if query.matches(execution))
        assert sorted(map(repr, list_executions(world.backend, query))) == expected
        assert count_executions(world.backend, query).count == len(expected) > 0
    world.close()
