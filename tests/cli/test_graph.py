"""`traction graph` draws what simulations discover of a workflow, and lays histories over it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from traction import WorkerSystem
from traction.cli import main
from traction.cli.loading import load_workflow

FLOWS = """
from traction import activity, sleep, workflow


@activity
def ask(n: int) -> bool:
    return n > 0


@activity
def work(n: int) -> int:
    return n


@workflow
async def choose(n: int, format: str = "plain") -> int:
    if await ask(n):
        return await work(n)
    await sleep(3600)
    return 0


@workflow
async def other(n: int) -> int:
    return await work(n)
"""


@pytest.fixture
def flows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "graph_flows.py").write_text(FLOWS)
    return "graph_flows.py"


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(argv)
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err


def test_the_graph_is_written_as_mermaid_with_what_it_rests_on(flows: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "graph", f"{flows}:choose")
    assert code == 0
    assert '-->|"= true"| ' in out
    assert '-->|"= false"| ' in out
    assert err.startswith("It rests on all ")
    assert "Not seen: cancellation requests." in err
    assert f"    %% {err.splitlines()[0]}" in out.splitlines()


def test_fields_have_options_and_none_is_required(flows: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, samples = run(capsys, "graph", f"{flows}:choose")
    _, _, one = run(capsys, "graph", f"{flows}:choose", "--n", "4", "--input-format", "short")
    assert "of 5 inputs" in samples
    assert "of 1 input " in one
    code, _, err = run(capsys, "graph", f"{flows}:choose", "--n", "four")
    assert (code, "--n" in err) == (2, True)


def test_more_runs_and_deviations_are_options(flows: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, err = run(capsys, "graph", f"{flows}:choose", "--deviations", "0", "--n", "1", "--input-format", "x")
    assert "all 1 run of 1 input with up to 0 deviations" in err
    _, _, err = run(capsys, "graph", f"{flows}:choose", "--runs", "3")
    assert "the first 3 runs" in err
    _, out, _ = run(capsys, "graph", f"{flows}:choose", "--cancels")
    assert '"cancelled"' in out


def test_the_ending_of_the_file_chooses_the_format(
    flows: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("a.svg", "a.json", "a.mmd"):
        code, out, _ = run(capsys, "graph", f"{flows}:choose", "--output", name)
        assert (code, out) == (0, "")
    root = ElementTree.fromstring((tmp_path / "a.svg").read_text())
    assert [element.tag.rpartition("}")[2] for element in root][:3] == ["title", "desc", "style"]
    assert "It rests on all" in str(root[1].text)
    written = json.loads((tmp_path / "a.json").read_text())
    assert written["coverage"]["complete"] is True
    assert (tmp_path / "a.mmd").read_text().startswith("flowchart TD\n")
    _, out, _ = run(capsys, "graph", f"{flows}:choose", "--output", "-", "--json")
    assert json.loads(out) == written


def execute(target: str, workflow_id: str) -> None:
    """Run a workflow to its end, in a file in this folder."""
    workflow: Any = load_workflow(target)
    module = sys.modules[workflow.__module__]
    with WorkerSystem("local:work.db") as ws:
        ws.start_workflow_worker(workflow)
        ws.start_activity_worker(module.ask)
        ws.start_activity_worker(module.work)
        ws.run(workflow(4), workflow_id=workflow_id)


def test_the_history_of_an_execution_is_laid_over(flows: str, capsys: pytest.CaptureFixture[str]) -> None:
    url = ("--url", "local:work.db")
    execute(f"{flows}:choose", "c-1")
    code, out, _ = run(capsys, "graph", f"{flows}:choose", "--execution", "c-1", *url, "--format", "json")
    assert code == 0
    states = {node["name"]: node["states"] for node in json.loads(out)["nodes"]}
    assert states["work"] == {"Done": 1}
    assert states["sleep"] == {}

    assert run(capsys, "history", "c-1", *url, "--export", "c-1.json")[0] == 0
    _, from_file, _ = run(capsys, "graph", f"{flows}:choose", "--history", "c-1.json", "--format", "json")
    assert from_file == out

    code, alone, err = run(capsys, "graph", "--history", "c-1.json")
    assert (code, err) == (0, "")
    assert "work<br/>✓ done" in alone
    assert "sleep" not in alone


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ([], "graph needs a workflow, as module:Workflow, or --execution ID, or --history FILE"),
        (["{flows}:choose", "--format", "pdf"], "--format pdf: expected one of mermaid, svg, json"),
        (["{flows}:missing"], "has no 'missing'"),
        (["--history", "missing.json"], "--history missing.json: cannot read the file: No such file or directory"),
        (["--history", "{flows}"], "is not a history"),
        (["--history", "x.json", "--execution", "x"], "--execution and --history exclude each other"),
        (["{flows}:choose", "--output", "missing/x.svg"], "--output missing/x.svg: cannot write the file"),
    ],
)
def test_wrong_input_is_explained(flows: str, capsys: pytest.CaptureFixture[str], argv: list[str], text: str) -> None:
    code, out, err = run(capsys, "graph", *(word.format(flows=flows) for word in argv))
    assert (code in (1, 2), out) == (True, "")
    assert text in err


def test_a_history_of_another_workflow_is_rejected(flows: str, capsys: pytest.CaptureFixture[str]) -> None:
    url = ("--url", "local:work.db")
    execute(f"{flows}:other", "o-1")
    code, _, err = run(capsys, "graph", f"{flows}:choose", "--execution", "o-1", *url)
    assert code == 2
    assert "is the workflow choose, and the history is one of other" in err


def test_an_execution_that_does_not_exist_is_reported(flows: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "graph", f"{flows}:choose", "--execution", "missing", "--url", "local:work.db")
    assert (code, out) == (1, "")
    assert "missing" in err
