"""`traction list` finds executions by filters, and prints them in the width of the terminal."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path

import pytest

from tests.cli.test_backends import View
from tests.support.http_backends import BEGIN, World, reach_here
from tests.support.populations import TYPES, Life, populate
from traction.backend import Backend
from traction.cli import main
from traction.cli.loading import UsageError
from traction.cli.spans import read_time
from traction.client.following import follow_executions
from traction.client.query import ListedExecution, Query
from traction.history.escaping import is_safe
from traction.model import decisions as d
from traction.model import operations as o
from traction.model.names import TaskList
from traction.plugins.hookspecs import hookimpl
from traction.plugins.loading import load_plugins

GOLDEN = Path(__file__).parents[1] / "golden" / "cli"


class Shop:
    """A plugin whose `shop:` is a service in time that stands still, and the commands that look at it."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = World(reach_here)
        self.capsys, self.monkeypatch = capsys, monkeypatch
        self.plugins = load_plugins(self)
        self.err = ""

    @hookimpl
    def traction_backend(self, url: str) -> Backend | None:
        if url != "shop:":
            return None
        view = View(self.world.local)
        view.url = url
        return view

    @hookimpl
    def traction_schemes(self) -> list[str]:
        return ["shop:"]

    def __call__(self, *argv: str, columns: int = 200, code: int = 0) -> str:
        self.monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit) as left:
            main([*argv, "--url", "shop:"], self.plugins)
        out, self.err = self.capsys.readouterr()
        assert (left.value.code or 0) == code, self.err
        return out

    def ids(self, *words: str) -> list[str]:
        return [one["workflow_id"] for one in json.loads(self("list", *words, "--json"))]


@pytest.fixture
def shop(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    shop = Shop(capsys, monkeypatch)
    populate(
        shop.world,
        [
            Life(TYPES[0], "order-1", ("red",), "COMPLETED", 60, 5),
            Life(TYPES[1], "order-2", ("red", "blue"), "FAILED", 3600, 5),
            Life(TYPES[2], "refund-1", (), "TERMINATED", 60, 5),
            Life(TYPES[1], "order-3", ("blue",), "OPEN", 60, 5),
        ],
    )
    yield shop
    shop.world.close()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], ["order-3", "refund-1", "order-2", "order-1"]),
        (["--workflow", "order"], ["order-3", "order-2", "order-1"]),
        (["--workflow", "order", "--workflow-version", "2"], ["order-3", "order-2"]),
        (["--status", "FAILED"], ["order-2"]),
        (["--status", "open"], ["order-3"]),
        (["--status", "closed"], ["refund-1", "order-2", "order-1"]),
        (["--tag", "red"], ["order-2", "order-1"]),
        (["--id", "refund-1"], ["refund-1"]),
        (["--since", "10m"], ["order-3", "refund-1", "order-2"]),
        (["--until", "10m"], ["order-1"]),
        (["--since", "2024-02-29T12:30", "--until", "2024-02-29T14:01:30+01:00"], ["order-2"]),
        (["--closed-since", "1m"], []),
        (["--closed-since", "10m", "--tag", "red"], ["order-2"]),
        (["--count", "1"], ["order-3"]),
    ],
)
def test_filters_select_executions(shop: Shop, words: list[str], found: list[str]) -> None:
    assert shop.ids(*words) == found
    if "--count" not in words:
        assert shop("list", *words, "--count-only") == f"{len(found)}\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--status", "done"], "'done' is not one of"),
        (["--since", "yesterday"], "--since yesterday: expected a time, such as 1d, 2h30m or 2030-01-31T09:00Z"),
        (["--since", "1d", "--until", "2d"], "--since 1d is after --until 2d"),
        (["--since", "999999999w"], "999999999w is too long a span"),
        (["--workflow-version", "2"], "--workflow-version needs --workflow"),
        (["--status", "open", "--closed-since", "1d"], "matches no open execution"),
        (["--workflow", "nowhere:order"], "there is no module 'nowhere'"),
        (["--count-only", "--follow"], "exclude each other"),
        (["--stuck", "--follow"], "exclude each other"),
        (["--stuck", "--status", "failed"], "--stuck finds open executions"),
        (["--stuck", "--definitions", "json"], "the module defines no workflow"),
    ],
)
def test_a_wrong_filter_exits_with_2(shop: Shop, words: list[str], says: str) -> None:
    shop("list", *words, code=2)
    assert says in " ".join(shop.err.split())


def test_reasons_are_read_on_demand_and_for_failures(shop: Shop) -> None:
    assert "Lost" not in shop("list")
    for words in (["--reasons"], ["--status", "failed"]):
        (line,) = [line for line in shop("list", *words).splitlines() if "order-2" in line]
        assert line.endswith("  Lost")
    assert "Lost" not in shop("list", "--status", "failed", "--no-reasons")
    assert "reason            Lost" in shop("describe", "order-2")


def test_run_ids_are_short_unless_asked(shop: Shop) -> None:
    run_id = json.loads(shop("list", "--id", "order-1", "--json"))[0]["run_id"]
    short, wide = shop("list", "--id", "order-1"), shop("list", "--id", "order-1", "--wide")
    assert (f" {run_id[:8]}\n" in short, run_id in short, run_id in wide) == (True, False, True)


@pytest.mark.parametrize("columns", [80, 120])
def test_what_list_prints_fits_the_terminal(shop: Shop, columns: int) -> None:
    backend = shop.world.local
    task = backend.call(o.SignalWorkflowExecution(domain=backend.domain, workflow_id="order-3", signal_name="go"))
    assert task is None
    fail(shop, "order-4", f"the card of order 4 was declined: {'limit exceeded, ' * 10}")
    printed = shop("list", "--reasons", columns=columns)
    assert all(len(line) <= columns for line in printed.splitlines())
    compare(f"list-{columns}.txt", printed)
    compare(f"describe-{columns}.txt", shop("describe", "order-2", columns=columns))
    compare(f"types-{columns}.txt", shop("types", columns=columns))
    compare(f"tasks-{columns}.txt", shop("tasks", columns=columns))


@pytest.mark.parametrize("columns", [80, 120])
def test_texts_of_others_are_escaped_and_fit_the_terminal(shop: Shop, columns: int) -> None:
    backend = shop.world.local
    hostile = "\x1b[2Jgo\u202e\n2024-02-29 13:03  COMPLETED  order 1"
    populate_one(shop, "order-4")
    signal = o.SignalWorkflowExecution(domain=backend.domain, workflow_id="order-4", signal_name=hostile, input=hostile)
    backend.call(signal)
    task = backend.call(o.PollForDecisionTask(domain=backend.domain, task_list=TaskList("work")), timedelta(0))
    failure = d.FailWorkflowExecution(reason=hostile, details=hostile)
    backend.call(o.RespondDecisionTaskCompleted(task_token=task.task_token, decisions=(failure,)))
    printed = "\n".join(
        shop(*words, columns=columns)
        for words in (["list", "--id", "order-4", "--reasons"], ["history", "order-4"], ["why", "order-4"])
    )
    assert all(is_safe(c) or c == "\n" for c in printed)
    compare(f"hostile-{columns}.txt", printed)


def test_stuck_shows_executions_whose_decision_task_waits_or_times_out(shop: Shop) -> None:
    backend = shop.world.local
    assert shop("list", "--stuck") == ""
    assert shop.err == "No open execution in shop: is stuck\n"
    # The decision task of order-3 was taken and has no timeout; that of order-4 times out, that of order-5 waits.
    for id in ("order-4", "order-5"):
        backend.call(
            o.StartWorkflowExecution(
                domain=backend.domain,
                workflow_id=id,
                workflow_type=TYPES[0],
                task_list=TaskList(id),
                task_start_to_close_timeout="10",
            )
        )
    for _ in range(3):
        backend.call(o.PollForDecisionTask(domain=backend.domain, task_list=TaskList("order-4")), timedelta(0))
        shop.world.advance(10)
    printed = [line.split(maxsplit=6) for line in shop("list", "--stuck").splitlines()]
    assert [(words[2], words[5], words[6][9:].strip()) for words in printed] == [
        ("STUCK", "order-4", "3 decision tasks in a row timed out")
    ]
    shop.world.advance(60)
    stuck = {one["workflow_id"]: one["reason"] for one in json.loads(shop("list", "--stuck", "--json"))}
    assert stuck == {
        "order-4": "3 decision tasks in a row timed out",
        "order-5": "a decision task has waited on the list order-5 for 1 m 30 s",
    }
    assert "3 decision tasks" in shop("list", "--stuck", "--id", "order-4", columns=100)


def fail(shop: Shop, id: str, reason: str) -> None:
    populate_one(shop, id)
    backend = shop.world.local
    task = backend.call(o.PollForDecisionTask(domain=backend.domain, task_list=TaskList("work")), timedelta(0))
    failure = d.FailWorkflowExecution(reason="CardDeclined", details=reason)
    backend.call(o.RespondDecisionTaskCompleted(task_token=task.task_token, decisions=(failure,)))


def populate_one(shop: Shop, id: str) -> None:
    backend = shop.world.local
    backend.call(o.StartWorkflowExecution(domain=backend.domain, workflow_id=id, workflow_type=TYPES[0]))


def compare(name: str, printed: str) -> None:
    file = GOLDEN / name
    if os.environ.get("GOLDEN") == "write":
        GOLDEN.mkdir(exist_ok=True)
        file.write_text(printed)
    assert file.read_text() == printed


def test_following_yields_the_newest_and_then_each_change(shop: Shop) -> None:
    backend = shop.world.local
    turns: Iterator[Callable[[], object]] = iter(
        [
            lambda: populate_one(shop, "order-5"),
            lambda: backend.call(o.TerminateWorkflowExecution(domain=backend.domain, workflow_id="order-5")),
            lambda: shop.world.advance(3600),
            lambda: backend.call(o.TerminateWorkflowExecution(domain=backend.domain, workflow_id="order-3")),
        ]
    )
    followed = follow_executions(shop.world.backend, Query(), lambda: next(turns)(), newest=2)
    assert [(one.workflow_id, one.status) for one in islice(followed, 5)] == [
        ("refund-1", "TERMINATED"),
        ("order-3", "OPEN"),
        ("order-5", "OPEN"),
        ("order-5", "TERMINATED"),
        ("order-3", "TERMINATED"),
    ]
    assert next(turns, None) is None


def test_following_yields_only_what_matches(shop: Shop) -> None:
    backend = shop.world.local
    turns: Iterator[Callable[[], object]] = iter(
        [
            lambda: populate_one(shop, "order-5"),
            lambda: backend.call(o.TerminateWorkflowExecution(domain=backend.domain, workflow_id="order-5")),
        ]
    )
    query = Query(status="TERMINATED", workflow="order")
    followed: Iterator[ListedExecution] = follow_executions(shop.world.backend, query, lambda: next(turns)())
    assert next(followed).workflow_id == "order-5"


def test_a_time_is_a_span_before_now_or_an_instant() -> None:
    assert read_time("1d", BEGIN, "--since") == BEGIN - timedelta(days=1)
    assert read_time("2024-01-01T01:00+01:00", BEGIN, "--since").isoformat() == "2024-01-01T01:00:00+01:00"
    with pytest.raises(UsageError):
        read_time("", BEGIN, "--since")
