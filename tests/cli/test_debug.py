"""`traction debug` shows the flow at any event of a history, and steps forward and back."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest

from tests.cli.orders import buy
from tests.cli.test_run import run
from traction.history.export import make_stored, write_stored
from traction.testing import simulate

HERE = "tests.cli.orders"


@pytest.fixture
def file(tmp_path: Path) -> str:
    history = simulate(buy(7)).history
    path = tmp_path / "buy.json"
    path.write_text(write_stored(make_stored(history)))
    return str(path)


def debug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *argv: str, commands: str = ""
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "stdin", io.StringIO(commands))
    return run(capsys, "debug", *argv)


def test_a_moment_shows_the_waiting_line_the_variables_and_the_decisions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    code, out, _ = debug(monkeypatch, capsys, file, "-d", HERE, "--at", "5")
    assert code == 0
    assert out.startswith("event 5 of 11  ActivityTaskScheduled  2030-01-01 00:00:00 UTC, 0 ms after the start\n")
    assert "pay-1  waits for pay 1\n" in out
    assert re.search(r"\n    → +\d+ +return await pay\(amount\)\n", out)
    assert "\n      amount = 7\n" in out
    assert "next     ActivityTaskStarted, ActivityTaskCompleted" in out
    _, out, _ = debug(monkeypatch, capsys, file, "-d", HERE, "--at", "2")
    assert "decides  ScheduleActivityTask pay-1\n" in out


def test_commands_step_to_the_next_and_previous_events(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    commands = "n\n\np\nP\nN\n5\n99\nx\nq\nn\n"
    code, out, err = debug(monkeypatch, capsys, file, "-d", HERE, "--at", "4", commands=commands)
    assert code == 0
    shown = [line.split()[1] for line in out.splitlines() if line.startswith("event ")]
    assert shown == ["4", "5", "6", "5", "3", "9", "5"]
    assert "the history has the events 1 to 11" in err
    assert "'x' is no command" in err


def test_json_prints_the_moment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: str) -> None:
    _, out, _ = debug(monkeypatch, capsys, file, "-d", HERE, "--at", "2", "--json")
    moment = json.loads(out)
    assert (moment["event_id"], moment["decisions"][0]["decision_type"]) == (2, "ScheduleActivityTask")
    assert moment["decisions"][0]["attributes"]["activity_type"] == {"name": "pay", "version": "1"}


def test_the_debugger_of_python_opens_in_the_flow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    code, out, _ = debug(monkeypatch, capsys, file, "-d", HERE, "--at", "5", "--pdb", commands="p amount * 6\nq\n")
    assert code == 0
    assert "return await pay(amount)" in out
    assert "42" in out


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ((), "the history is of buy 1, and there is no --definitions: name the module"),
        (("-d", "tests.cli.orders:copy"), "--definitions has copy 1: name the module"),
        (("-d", HERE, "--at", "99"), "there is no event 99: the history has the events 1 to 11"),
        (("-d", HERE, "--at", "5", "--pdb", "--step", "mail-1"), "no branch of the flow waits for mail-1"),
        (("-d", HERE, "--pdb"), "no function of the flow waits at event 11: it has ended, or it uses no await"),
    ],
)
def test_what_cannot_be_shown_is_an_error_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: str, argv: tuple[str, ...], text: str
) -> None:
    code, _, err = debug(monkeypatch, capsys, file, *argv)
    assert code in (1, 2)
    assert text in err
