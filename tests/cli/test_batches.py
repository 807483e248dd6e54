"""`signal`, `cancel` and `terminate` act on all executions that match, after a confirmation."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest

from tests.cli.test_documents import check
from tests.cli.test_list import Shop
from tests.support.populations import TYPES, Life, populate

HERE = "tests.cli.orders"
ORDERS = ["order-3", "order-2", "order-1"]


@pytest.fixture
def shop(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    shop = Shop(capsys, monkeypatch)
    orders = [Life(TYPES[0], f"order-{n}", ("red",), "OPEN", 1, 0) for n in (1, 2, 3)]
    populate(shop.world, [*orders, Life(TYPES[2], "refund-1", (), "OPEN", 1, 0)])
    yield shop
    shop.world.close()


ACTIONS = {
    "signal": ["signal", f"{HERE}:Approve", "--by", "Ann"],
    "cancel": ["cancel"],
    "terminate": ["terminate", "--reason", "a mistake"],
}


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_reaches_all_executions_that_match(shop: Shop, action: str) -> None:
    words = [*ACTIONS[action], "--all-matching", "--workflow", "order", "--yes", "--rate", "1000"]
    assert [line.split() for line in shop(*words).splitlines()] == [["done", id] for id in ORDERS]
    assert shop.err == f"{action}: 3 done\n"
    shop(*words)
    assert shop.err == {"terminate": "terminate: no matching execution is open\n"}.get(action, f"{action}: 3 already\n")


@pytest.mark.parametrize("action", ACTIONS)
def test_a_dry_run_shows_what_would_be_done(shop: Shop, action: str) -> None:
    printed = shop(*ACTIONS[action], "--all-matching", "--tag", "red", "--dry-run")
    assert [line.split() for line in printed.splitlines()] == [["planned", id] for id in ORDERS]
    assert all(one["status"] == "OPEN" and not one["cancel_requested"] for one in json.loads(shop("list", "--json")))


@pytest.mark.parametrize("action", ACTIONS)
def test_results_are_printed_as_json(shop: Shop, action: str) -> None:
    words = [*ACTIONS[action], "--all-matching", "--id", "order-1", "--yes", "--json"]
    printed = json.loads(shop(*words))
    check(f"{action} --all-matching", printed)
    assert [(one["action"], one["workflow_id"], one["outcome"]) for one in printed] == [(action, "order-1", "done")]


def test_a_refusal_exits_with_1(shop: Shop) -> None:
    words = ["terminate", "--reason", "x" * 300, "--all-matching", "--id", "order-1", "--yes"]
    assert shop(*words, code=1).startswith("refused  order-1  ")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "left"), [("y\n", 1), ("n\n", 4), ("\n", 4)])
def test_a_confirmation_is_asked_on_a_terminal(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, answer: str, left: int
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    shop("terminate", "--all-matching", "--workflow", "order")
    assert "  order-2  order 1\n" in shop.err
    assert "terminate 3 executions in shop:? [y/N]" in shop.err
    assert len(shop.ids("--status", "open")) == left


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["terminate", "--all-matching"], "terminate 4 executions in shop:: add --yes, or --dry-run"),
        (["cancel", "order-1", "--all-matching"], "--all-matching takes filters, not a workflow id or --run-id"),
        (["cancel", "--run-id", "x", "--all-matching"], "--all-matching takes filters"),
        (["cancel", "--tag", "red"], "filters and --dry-run need --all-matching"),
        (["cancel"], "name an execution by its workflow id, or write --all-matching"),
        (["terminate", "order-1", "--dry-run"], "filters and --dry-run need --all-matching"),
        (["cancel", "--all-matching", "--status", "failed"], "only open executions can be signalled"),
        (["signal", f"{HERE}:Approve", "--by", "Ann"], "write traction signal WORKFLOW_ID MODULE:SIGNAL"),
        (["signal", "order-1", f"{HERE}:Approve", "--by", "Ann", "--all-matching"], "takes filters, not a workflow id"),
    ],
)
def test_a_batch_that_is_not_clear_exits_with_2(shop: Shop, words: list[str], says: str) -> None:
    shop(*words, code=2)
    assert says in shop.err
    assert len(shop.ids("--status", "open")) == 4


def test_a_filter_may_name_a_definition_before_the_signal(shop: Shop) -> None:
    words = ["signal", "--all-matching", "--workflow", f"{HERE}:buy", f"{HERE}:Approve", "--by", "Ann", "--yes"]
    assert shop(*words) == ""
    assert shop.err == "signal: no matching execution is open\n"
