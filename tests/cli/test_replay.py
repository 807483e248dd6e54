"""Exported histories and executions of a backend are replayed with the current code."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli import orders
from traction import WorkerSystem
from traction.cli import main
from traction.history.export import read_stored
from traction.worker.workflow_worker import WorkflowWorker

THEN, NOW = "tests.cli.orders", "tests.cli.orders_now"


class Command:
    """Runs commands, and gives what they print."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.url, self.capsys = url, capsys
        self.err = ""

    def __call__(self, *argv: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as left:
            main(argv)
        out, self.err = self.capsys.readouterr()
        assert (left.value.code or 0) == code, self.err
        return out

    def at(self, *argv: str, code: int = 0) -> str:
        return self(*argv, "--url", self.url, code=code)


@pytest.fixture
def traction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(f"local:{tmp_path / 'work.db'}", capsys)


@pytest.fixture
def bought(traction: Command) -> str:
    """Give the id of an execution of `buy` that has closed."""
    traction.at("run", f"{THEN}:buy", "--amount", "7")
    id: str = json.loads(traction.at("list", "--status", "closed", "--json"))[0]["workflow_id"]
    return id


def test_a_history_is_exported_to_a_file_and_replayed(traction: Command, bought: str, tmp_path: Path) -> None:
    file = tmp_path / "order.json"
    assert traction.at("history", bought, "--export", str(file)) == ""
    stored = read_stored(file.read_text())
    assert stored.execution is not None
    assert stored.execution.workflow_id == bought
    assert traction("replay", str(file), f"{THEN}:buy") == f"✓ {file}  {len(stored.events)} events, 2 decision tasks\n"


def test_a_history_is_exported_to_the_screen(traction: Command, bought: str) -> None:
    assert read_stored(traction.at("history", bought, "--export", "-")).workflow_type.name == "buy"


def test_a_file_that_cannot_be_written_leaves_with_2(traction: Command, bought: str, tmp_path: Path) -> None:
    traction.at("history", bought, "--export", str(tmp_path / "nowhere" / "order.json"), code=2)
    assert "cannot write the file: No such file or directory" in traction.err


def test_a_file_that_the_code_does_not_match_leaves_with_1_after_all_are_read(
    traction: Command, bought: str, tmp_path: Path
) -> None:
    files = [str(tmp_path / name) for name in ("a.json", "b.json")]
    for file in files:
        traction.at("history", bought, "--export", file)
    output = traction("replay", *files, f"{NOW}:buy", code=1)
    assert output.count("NonDeterminismError: buy 1 no longer matches its history at step copy_out-1") == 2
    assert "orders_now.py, line 13" in output
    first, second = json.loads(traction("replay", *files, f"{NOW}:buy", "--json", code=1))
    assert (first["file"], second["file"]) == tuple(files)
    error = first["error"]
    assert (error["step"], error["event_id"], error["event"]) == ("copy_out-1", 5, "ActivityTaskScheduled")


def test_a_file_of_another_workflow_leaves_with_2(traction: Command, bought: str, tmp_path: Path) -> None:
    file = str(tmp_path / "order.json")
    traction.at("history", bought, "--export", file)
    traction("replay", file, f"{THEN}:copy", code=2)
    assert "the history is of buy 1, and copy is copy 1" in traction.err


def test_check_names_the_executions_that_would_break(traction: Command, bought: str) -> None:
    traction.at("run", f"{THEN}:copy", "--line", "a")
    assert traction.at("check", f"{THEN}:buy", f"{THEN}:copy") == ""
    assert traction.err == "2 executions replayed, 0 would break\n"
    (line,) = traction.at("check", f"{NOW}:buy", f"{NOW}:copy", code=1).splitlines()
    assert traction.err == "2 executions replayed, 1 would break\n"
    assert line.split("  ")[:1] == [bought]
    assert "copy_out-1  event 5 ActivityTaskScheduled  ScheduleActivityTask  pay 1 ->" in line
    fields = json.loads(traction.at("check", f"{NOW}:buy", "--json", code=1))
    assert (fields["replayed"], [one["workflow_id"] for one in fields["broken"]]) == (1, [bought])


@pytest.mark.usefixtures("bought")
def test_check_replays_open_executions_and_the_newest_closed_ones(traction: Command) -> None:
    traction.at("start", f"{THEN}:buy", "--amount", "9", "--workflow-id", "open")
    # Nothing of it has been decided, so that no code can differ.
    traction.at("check", f"{NOW}:buy", "--closed", "0")
    assert traction.err == "1 executions replayed, 0 would break\n"
    traction.at("check", f"{NOW}:buy", "--no-open", code=1)
    assert traction.err == "1 executions replayed, 1 would break\n"


def test_list_stuck_shows_the_error_of_the_definitions_at_hand(traction: Command) -> None:
    with WorkerSystem(traction.url) as system:
        system.start(orders.buy(7), workflow_id="one")
        workflows: list[Any] = [orders.buy]
        assert WorkflowWorker(system.backend, workflows).work_once(timedelta(0))
    assert traction.at("list", "--stuck", "--definitions", THEN) == ""
    (line,) = traction.at("list", "--stuck", "--definitions", NOW, "--wide").splitlines()
    assert "  STUCK  buy 1  one  " in line
    assert "NonDeterminismError: buy 1 no longer matches its history at step copy_out-1" in line


def test_payloads_are_read_by_the_codec_that_wrote_them(traction: Command) -> None:
    codec = ("--codec", f"{THEN}:secret")
    traction.at("run", f"{THEN}:copy", "--line", "a", *codec)
    traction.at("check", f"{THEN}:copy", *codec)
    assert "PayloadUnavailableError" in traction.at("check", f"{THEN}:copy", code=1)
