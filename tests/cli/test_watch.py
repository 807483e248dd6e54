"""`traction watch` shows what open executions wait for, and prints again what has changed."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from tests.cli.orders import buy, wait_for_approval
from tests.cli.test_run import run
from traction.cli.commands.watch import draw_all, show_frames
from traction.client.system import WorkerSystem
from traction.payloads.codec import JSON


def test_frames_are_printed_only_when_they_differ(capsys: pytest.CaptureFixture[str]) -> None:
    waits: list[int] = []
    show_frames(iter(["a", "a", "b", "b"]), lambda: waits.append(1))
    assert capsys.readouterr().out == "a\n\nb\n"
    assert len(waits) == 4


def test_a_closed_execution_is_shown_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    url = f"local:{tmp_path / 'work.db'}"
    with WorkerSystem(url) as system:
        system.start(buy(7), workflow_id="one").terminate("enough")
    code, out, _ = run(capsys, "watch", "one", "--every", "0.1", "--url", url)
    assert code == 0
    assert out.startswith("one (buy 1) terminated after ")
    assert out.count("one (buy 1)") == 1


def test_the_open_executions_are_shown_with_what_they_wait_for(tmp_path: Path) -> None:
    with WorkerSystem(f"local:{tmp_path / 'work.db'}") as system:
        frames = draw_all(system.backend, [], JSON)
        assert next(frames) == "0 open"
        system.start(buy(7), workflow_id="one")
        handle = system.start(wait_for_approval(), workflow_id="two")
        head, *rows = next(frames).splitlines()
        assert head == "2 open"
        assert [row.split()[2:6] for row in rows] == [
            ["OPEN", "wait_for_approval", "1", "two"],
            ["OPEN", "buy", "1", "one"],
        ]
        assert all("is open: a decision" in row for row in rows)
        handle.terminate()
        assert next(islice(frames, 1)).startswith("1 open\n")
