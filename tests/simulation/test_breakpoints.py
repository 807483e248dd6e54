"""A debugger that a flow enters works in simulations."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from traction import activity, workflow
from traction.testing import explore, simulate

ENTERS = {
    "breakpoint": "breakpoint()",
    "pdb": "import pdb; pdb.set_trace()",
    "a helper": "helper()",
    "in a branch": "await (act(5) & stop())",
}

PROGRAM = """
import os, time
from traction import activity, workflow
from traction import step
from traction.testing import explore, simulate

@activity
def act(n: int) -> int:
    return n

def helper():
    breakpoint()

def hook(*args, **kwargs):
    print("hooked", open(os.devnull).read(), time.time() > 0, os.environ.get("HOOKED"))

@step
async def stop() -> None:
    breakpoint()

@workflow
async def flow(n: int) -> int:
    first = await act(n)
    ENTER
    second = await act(first + 1)
    return second * 10

def test_flow():
    print("result", simulate(flow(4)).result)

def test_flow_explored():
    @explore(flow(4), deviations=0)
    def looks(run):
        print("result", run.result)
    looks()

def test_flow_afterwards_is_watched():
    @workflow
    async def impure() -> float:
        helper()
        return time.time()
    try:
        simulate(impure())
    except Exception as error:
        print(type(error).__name__)

if __name__ == "__main__":
    test_flow()
"""


def run_program(folder: Path, enter: str, typed: str, *command: str, **environment: str) -> str:
    """Run a program whose flow enters a debugger, type at its prompt, and return what is printed."""
    name = folder / "test_program.py"
    name.write_text(PROGRAM.replace("ENTER", enter))
    done = subprocess.run(
        [sys.executable, *(command or [str(name)])],
        input=typed,
        cwd=folder,
        env={**os.environ, "HOOKED": "yes", **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("enter", ENTERS.values(), ids=ENTERS)
def test_pdb_stops_once_and_shows_the_flow(tmp_path: Path, enter: str) -> None:
    out = run_program(tmp_path, enter, "w\nup\nup\ndown\ndown\np 6 * 7, __import__('time').time() > 0\nc\n")
    assert "(42, True)" in out
    assert out.count("(Pdb) ") == 7
    assert "result 50" in out


def test_pdb_steps_through_a_flow(tmp_path: Path) -> None:
    out = run_program(tmp_path, "breakpoint()", "n\np first, second\nc\n")
    assert "(4, 5)" in out
    assert "result 50" in out


def test_pythonbreakpoint_names_another_debugger(tmp_path: Path) -> None:
    out = run_program(
        tmp_path,
        "breakpoint()",
        "",
        "-c",
        "import test_program as p; p.test_flow()",
        PYTHONBREAKPOINT="test_program.hook",
    )
    assert out.splitlines() == ["hooked  True yes", "result 50"]


def test_pythonbreakpoint_0_enters_none(tmp_path: Path) -> None:
    assert run_program(tmp_path, "breakpoint()", "", PYTHONBREAKPOINT="0") == "result 50\n"


def test_what_follows_a_debugger_is_watched_again(tmp_path: Path) -> None:
    program = "import test_program as p; p.test_flow_afterwards_is_watched()"
    out = run_program(tmp_path, "pass", "c\n", "-c", program)
    assert "ImpureFlowError" in out


@pytest.mark.parametrize("test", ["test_flow", "test_flow_explored"])
def test_pytest_enters_its_own_debugger(tmp_path: Path, test: str) -> None:
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"test_program.py::{test}"]
    out = run_program(tmp_path, "breakpoint()", "p first\n" + "c\n" * 3, *command, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert "PDB set_trace" in out
    assert "(Pdb) 4" in out
    assert "1 passed" in out


@activity
def act(n: int) -> int:
    return n


@workflow
async def stops(n: int) -> int:
    first = await act(n)
    breakpoint()
    return await act(first)


def test_a_breakpoint_hook_is_called_once_for_each_run(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(sys, "breakpointhook", lambda: calls.append(os.environ["PATH"]))
    assert simulate(stops(3)).result == 3
    assert len(calls) == 1

    @explore(stops(3), deviations=1)
    def looks(run: Any) -> None:
        assert run.result == 3

    calls.clear()
    looks()
    assert len(calls) == looks.explored.coverage.runs
