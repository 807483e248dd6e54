"""`traction simulate` shows a run in virtual time, and `traction explore` all of few deviations."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path

import pytest

from traction.cli import main

FLOWS = """
from traction import activity, days, receive, Signal, sleep, workflow


@activity
def double(n: int) -> int:
    return n * 2


class Go(Signal):
    pass


@workflow
async def later(n: int) -> int:
    await sleep(days(30))
    return await double(n)


@workflow
async def hopeful() -> None:
    await receive(Go)


@workflow
async def choosy(below: int, note: str, loud: bool) -> int:
    await sleep(days(30))
    if await double(below) > 0:
        raise ValueError(note)
    return below
"""


@pytest.fixture
def flows(tmp_path: Path) -> str:
    path = tmp_path / "cli_flows.py"
    path.write_text(FLOWS)
    return str(path)


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(argv)
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err


def test_a_simulation_prints_its_result_and_its_story(flows: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "simulate", f"{flows}:later", "--n", "4")
    assert (code, out) == (0, "8\n")
    assert "+30d 0:00:00.000  service   sleep-1 fires" in err


def test_the_deviations_that_a_seed_prints_make_the_same_run(flows: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("simulate", f"{flows}:later", "--n", "4", "--faults", "all", "--workers", "2", "--json")
    _, seeded, _ = run(capsys, *words, "--seed", "1", "--rate", "0.3")
    deviations = json.loads(seeded)["deviations"]
    assert deviations
    _, repeated, _ = run(capsys, *words, "--deviations", deviations)
    assert repeated == seeded


@pytest.mark.parametrize("command", [["simulate", "--seed", "1", "--rate", "0.3"], ["explore"]])
def test_the_printed_command_repeats_the_run(
    flows: str, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    name, *words = command
    call = (f"{flows}:choosy", "--below", "-3", "--note", "it isn't", "--no-loud")
    _, _, first = run(capsys, name, *call, "--faults", "all", "--workers", "2", *words)
    again = shlex.split(first.partition("Again: ")[2].splitlines()[0])
    assert again[0] == "traction"
    _, _, second = run(capsys, *again[1:])
    story = first.partition("\n\n")[0].splitlines()
    assert second.splitlines()[: len(story)] == story


def test_deviations_are_read_from_a_file(flows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "deviations.txt"
    path.write_text("0:1\n")
    _, out, _ = run(
        capsys, "simulate", f"{flows}:later", "--n", "4", "--faults", "some", "--deviations", str(path), "--json"
    )
    assert json.loads(out)["deviations"] == "0:1"


def test_one_walks_through_a_story_step_by_step(
    flows: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    entered = io.StringIO("\n\n")
    monkeypatch.setattr("sys.stdin", entered)
    code, out, _ = run(capsys, "simulate", f"{flows}:later", "--n", "4", "--step")
    assert (code, out, entered.read()) == (0, "8\n", "")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--faults", "many"], "expected one of none, some, all"),
        (["--seed", "1", "--deviations", "0:1"], "exclude each other"),
        (["--deviations", "once"], "'once' is not a deviation"),
    ],
)
def test_a_schedule_that_cannot_be_leaves_with_2(
    flows: str, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    code, _, err = run(capsys, "simulate", f"{flows}:later", "--n", "4", *words)
    assert code == 2
    assert says in err


def test_an_exploration_prints_its_coverage(flows: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "explore", f"{flows}:later", "--n", "4", "--faults", "some", "--fails", "--json")
    assert code == 0
    coverage = json.loads(out)
    assert coverage["complete"]
    assert coverage["runs"] > coverage["histories"] > 1


def test_an_exploration_prints_the_story_of_a_failing_run(flows: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "explore", f"{flows}:hopeful")
    assert code == 1
    assert "the signal Go: it was not sent" in err
    assert f"Again: traction simulate {flows}:hopeful" in err


def test_an_exploration_finds_the_fault_that_a_workflow_does_not_survive(
    flows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("explore", f"{flows}:later", "--n", "4", "--faults", "some")
    code, _, err = run(capsys, *words)
    assert code == 1
    assert "ActivityTimedOut" in err
    code, out, _ = run(capsys, *words, "--fails")
    assert (code, "all" in out) == (0, True)


WAITING = """
from traction import activity, all_of, days, receive, Signal, sleep, workflow


class Approve(Signal):
    by: str
    gift: bool = False


@activity
def charge(cents: int) -> str:
    raise OSError("no network here")


@workflow
async def order(cents: int) -> str:
    approval = await receive(Approve)
    return f"{approval.by} {await charge(cents)}"


def receipt(call) -> str:
    return f"receipt for {call.cents}"
"""


@pytest.fixture
def waiting(tmp_path: Path) -> str:
    path = tmp_path / "cli_waiting.py"
    path.write_text(WAITING)
    return str(path)


def test_a_simulation_takes_signals_and_stubs(waiting: str, capsys: pytest.CaptureFixture[str]) -> None:
    signal = f'3d:{waiting}:Approve{{"by": "Ann"}}'
    words = [f"{waiting}:order", "--cents", "5", "--signal", signal, "--stub", f"charge={waiting}:receipt"]
    code, out, err = run(capsys, "simulate", *words)
    assert (code, out) == (0, "Ann receipt for 5\n"), err
    assert "+3d" in err
    code, out, err = run(capsys, "explore", *words, "--deviations", "0")
    assert (code, out) == (0, "all 1 runs with up to 0 deviations: 1 different histories\n"), err


def test_the_command_that_repeats_a_failure_has_its_signals_and_stubs(
    waiting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"{waiting}:order", "--cents", "5", "--signal", f'{waiting}:Approve{{"by": "it isn\'t"}}']
    code, _, err = run(capsys, "explore", *words)
    assert code == 1
    again = shlex.split(err.partition("Again: ")[2].splitlines()[0])
    code, _, err = run(capsys, *again[1:])
    assert (code, "no network here" in err) == (1, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--signal", "Approve"], "write AFTER:MODULE:SIGNAL{FIELDS}"),
        (["--signal", "{}:charge"], "not a signal class"),
        (["--signal", '{}:Approve{{"by": 7}}'], "Expected `str`, got `int`"),
        (["--signal", "{}:Approve"], "missing required field `by`"),
        (["--stub", "charge"], "write --stub ACTIVITY=MODULE:FUNCTION"),
        (["--stub", "unheard_of={}:receipt"], "no activity 'unheard_of'"),
    ],
)
def test_a_world_that_cannot_be_leaves_with_2(
    waiting: str, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    code, _, err = run(capsys, "simulate", f"{waiting}:order", "--cents", "5", words[0], words[1].format(waiting))
    assert code == 2
    assert says in err


@pytest.mark.parametrize("command", ["simulate", "explore"])
def test_a_history_that_is_saved_can_be_replayed(
    waiting: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    file = str(tmp_path / "failed.json")
    words = [f"{waiting}:order", "--cents", "5", "--signal", f'2h30m:{waiting}:Approve{{"by": "Ann"}}']
    code, _, err = run(capsys, command, *words, "--save", file)
    assert code == 1, err
    assert run(capsys, "replay", file, f"{waiting}:order")[0] == 0
    code, _, err = run(capsys, "simulate", *words, "--save", str(tmp_path / "nowhere" / "x.json"))
    assert (code, "cannot write the file" in err) == (2, True)
