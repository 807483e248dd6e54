"""The error text of each mistake with URLs, queries, keys, stored histories and simulations.

`GOLDEN=write` rewrites the files, as for `test_errors`. Each case makes one mistake.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.golden.test_errors import format_error
from traction import activity, workflow
from traction.client.query import Query
from traction.history import make_stored, read_execution, read_stored
from traction.payloads.encryption import KeyRing
from traction.testing import Deviations, Seeded, explore, fails, simulate
from traction.testing.strategies import inputs
from traction_local.file_store import open_directory
from traction_local.plugin import traction_backend
from traction_swf.s3 import open_bucket
from traction_swf.url import read_url

GOLDEN = Path(__file__).parent / "tool_errors"


@activity
def greet(name: str) -> str:
    return f"Hello, {name}!"


@workflow
async def hello(name: str) -> str:
    return await greet(name)


def explore_a_test_without_a_parameter() -> None:
    @explore(hello("Ann"))  # type: ignore[arg-type]
    def nothing_is_checked() -> None: ...


def explore_an_async_test() -> None:
    @explore(hello("Ann"))  # type: ignore[arg-type]
    async def greetings_are_polite(run: object) -> None: ...


NAIVE = datetime.fromisoformat("2030-01-01")
S: Any = simulate
Q: Any = Query

CASES: dict[str, Callable[[], Any]] = {
    "swf_url_without_a_domain": lambda: read_url("swf://"),
    "swf_url_with_a_domain_that_is_not_a_name": lambda: read_url("swf://a%7Cb"),
    "swf_url_with_an_unknown_option": lambda: read_url("swf://acme?regoin=us-east-1"),
    "swf_url_with_an_option_twice": lambda: read_url("swf://acme?pool=1&pool=2"),
    "swf_url_with_an_invalid_value": lambda: read_url("swf://acme?pool=none"),
    "local_url_with_an_unknown_option": lambda: traction_backend("local:work.db?fsync=full"),
    "local_url_with_an_invalid_value": lambda: traction_backend("local:work.db?sync=always"),
    "local_url_that_syncs_memory": lambda: traction_backend("local:?sync=full"),
    "file_store_with_a_relative_path": lambda: open_directory("file:payloads"),
    "s3_store_without_a_bucket": lambda: open_bucket("s3:///payloads"),
    "s3_store_with_an_unknown_option": lambda: open_bucket("s3://bucket?regoin=eu-west-1"),
    "query_by_version_without_a_workflow": lambda: Q(version="2"),
    "query_by_an_unknown_status": lambda: Q(status="DONE"),
    "query_by_an_empty_tag": lambda: Q(tag=""),
    "query_by_close_time_of_open_executions": lambda: Q(status="OPEN", closed=(None, NAIVE.astimezone())),
    "query_by_a_time_without_a_zone": lambda: Q(started=(NAIVE, None)),
    "query_by_one_time": lambda: Q(started=NAIVE),
    "key_ring_without_keys": lambda: KeyRing({}),
    "key_of_another_length": lambda: KeyRing({"2030": b"short"}),
    "key_without_an_id": lambda: KeyRing({"": bytes(32)}),
    "stored_history_without_events": lambda: make_stored([]),
    "stored_history_that_is_not_json": lambda: read_stored("events", "trip.json"),
    "stored_history_of_a_newer_format": lambda: read_stored('{"traction": 99, "events": []}', "trip.json"),
    "execution_without_events": lambda: read_execution([]),
    "deviations_that_are_not_numbers": lambda: Deviations("once"),
    "seed_with_a_rate_above_one": lambda: Seeded(7, rate=2),
    "stub_that_fails_a_negative_number_of_times": lambda: fails(-1),
    "simulation_with_an_unknown_option": lambda: S(hello("Ann"), stubs={}),
    "simulation_without_workers": lambda: S(hello("Ann"), workers=0),
    "simulation_with_a_schedule_that_is_a_string": lambda: S(hello("Ann"), schedule="4:2"),
    "simulation_with_faults_that_are_a_number": lambda: S(hello("Ann"), faults=1),
    "simulation_with_a_signal_that_is_a_string": lambda: S(hello("Ann"), signals=["Approve"]),
    "simulation_with_a_stub_of_another_type": lambda: S(hello("Ann"), stub={greet: 7}),
    "simulation_with_a_stub_of_a_workflow": lambda: S(hello("Ann"), stub={hello: "Hello"}),
    "inputs_of_an_activity": lambda: inputs(greet),  # type: ignore[arg-type]
    "explore_a_test_without_a_parameter": explore_a_test_without_a_parameter,
    "explore_an_async_test": explore_an_async_test,
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_with_a_tool_has_this_error_text(name: str) -> None:
    text = format_error(CASES[name]).replace(f"{__name__}.", "")
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_every_golden_text_of_a_tool_has_its_case() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)
