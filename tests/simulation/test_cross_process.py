"""The cross-process check replays histories in another process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from traction import workflow
from traction.model.names import WorkflowExecution
from traction.testing import explore, simulate
from traction_local.simulation import cross_process
from traction_local.simulation.cross_process import OtherProcess, Reply, Request

EXPLORES = """
from traction import workflow
from traction.testing import explore
from traction_local.simulation import cross_process

cross_process.OtherProcess = None  # to start a process here would start more without end


@workflow
async def answer() -> int:
    return 42


@explore(answer(), deviations=0)
def test_answer(run):
    assert run.result == 42


test_answer()
"""


def test_the_other_process_starts_none_when_a_module_explores_at_import(tmp_path: Path) -> None:
    module = tmp_path / "explores.py"
    module.write_text(EXPLORES)
    other = OtherProcess()
    try:
        reply = other.send(Request(sys.path, "explores", str(module), "answer", WorkflowExecution("w", "r"), [], []))
    finally:
        other.close()
    assert (reply.unknown, reply.error) == ("", "")


@workflow
async def top() -> int:
    return 42


def test_an_exploration_has_the_reason_why_the_check_was_skipped() -> None:
    @workflow
    async def local() -> int:
        return 42

    for flow, world, why in [
        (top, {}, ""),
        (top, {"deploy": {top: local}}, "the other process would not have the deploy"),
        (local, {}, f"{local.__qualname__} is not at the top of a module"),
    ]:

        @explore(flow(), deviations=0, **world)
        def answers(run: Any) -> None:
            assert run.result == 42

        answers()
        assert answers.explored.cross_process_skipped == why


# Simulations ask the other process too.

FLOWS = """
from traction import activity, Workflow, workflow
from traction import step

print("imported")
NAMES = {f"name {n}" for n in range(12)}
LIMIT = 3


@activity
def act(name: str) -> str:
    return name


@workflow
async def unsorted(n: int) -> None:
    for name in NAMES:
        await act(name)


@workflow
async def sorts(n: int) -> None:
    for name in sorted(NAMES):
        await act(name)


@workflow
async def parent(n: int) -> None:
    await unsorted(n)


@workflow
async def reads(names: set[str]) -> None:
    for name in names:
        await act(name)


@step
async def go_over(names: set[str]) -> None:
    for name in names:
        await act(name)


class Steps(Workflow[None]):
    async def flow(self) -> None:
        await go_over({f"name {n}" for n in range(12)})


@workflow
async def limited() -> None:
    for n in range(LIMIT):
        await act(str(n))
"""

ASKS = """
from traction.testing import simulate, simulate_all, UnsoundFlowError


def ask(call):
    try:
        run = simulate(call)
    except UnsoundFlowError as error:
        assert "with another hash seed" in str(error), error
        print("unsound")
    else:
        print(run.cross_process_skipped or "sound")
"""


class Folder:
    """A folder with a module of flows, in which programs are run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "flows.py").write_text(FLOWS)

    def run(self, program: str, *command: str, input: str = "") -> list[str]:
        """Run a program in a process of its own and return the lines that it prints, without those of the import."""
        (self.root / "program.py").write_text(ASKS + program)
        done = subprocess.run(
            [sys.executable, "-W", "error", *(command or ["program.py"])],
            input=input,
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return [line for line in done.stdout.splitlines() if line != "imported"]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_simulation_finds_a_flow_that_goes_over_a_set(folder: Folder) -> None:
    out = folder.run(
        "import flows\n"
        "for call in (flows.sorts(1), flows.unsorted(1), flows.unsorted(1), flows.unsorted(2), flows.parent(1)):\n"
        "    ask(call)\n"
        "ask(flows.reads(flows.NAMES))\n"
        "ask(flows.Steps())\n"
        "try:\n"
        "    simulate_all([flows.unsorted(n) for n in (7, 8)])\n"
        "except UnsoundFlowError:\n"
        "    print('unsound')\n"
        "print(simulate(flows.unsorted(3), check_determinism=False).error)\n"
    )
    assert out == ["sound", *["unsound"] * 7, "None"]


def test_a_state_machine_finds_it_too(folder: Folder) -> None:
    out = folder.run(
        "import flows\n"
        "from traction.testing import SimulationMachine\n"
        "class Machine(SimulationMachine):\n"
        "    def begin(self):\n"
        "        self.simulation.start(flows.unsorted(1))\n"
        "try:\n"
        "    Machine().teardown()\n"
        "except UnsoundFlowError:\n"
        "    print('unsound')\n"
    )
    assert out == ["unsound"]


@pytest.mark.parametrize(
    ("command", "input"),
    [
        (["program.py"], ""),
        (["-m", "program"], ""),
        (["-c", f"{FLOWS}{ASKS}ask(sorts(1))"], ""),
        (["-"], f"{FLOWS}{ASKS}ask(sorts(1))"),
        (["-X", "frozen_modules=on", "program.py"], ""),
        (["-X", "dev", "-X", "frozen_modules=off", "-I", "program.py"], ""),
    ],
    ids=["script", "module", "command", "stdin", "frozen", "isolated"],
)
def test_a_program_is_not_run_again_for_its_own_definitions(folder: Folder, command: list[str], input: str) -> None:
    out = folder.run(f"{FLOWS}ask(sorts(1))", *command, input=input)
    assert out == ["sorts is part of the main program, not of a module"]


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_child_processes_of_a_program_start_their_own_other_process(folder: Folder, method: str) -> None:
    out = folder.run(
        f"{FLOWS}\n"
        "import flows\n"
        "from multiprocessing import get_context\n"
        "def work(n):\n"
        "    ask(flows.unsorted(n))\n"
        "    ask(sorts(n))\n"
        "if __name__ == '__main__':\n"
        "    work(1)\n"
        f"    child = get_context('{method}').Process(target=work, args=(2,))\n"
        "    child.start()\n"
        "    child.join()\n"
        "    assert child.exitcode == 0\n"
        "    ask(flows.sorts(3))\n"
    )
    assert sorted(out) == sorted(
        ["unsound", "sorts is part of the main program, not of a module"] * 2 + ["sound"],
    )


@pytest.mark.parametrize(
    ("guarded", "reason"),
    [
        ("raise SystemExit", "SystemExit()"),
        ("input()", "EOFError('EOF when reading a line')"),
        ("import os; os._exit(0)", "the process ends or hangs while the module is imported or the flow is run"),
    ],
)
def test_a_module_that_cannot_be_imported_again_is_left_alone(folder: Folder, guarded: str, reason: str) -> None:
    (folder.root / "odd.py").write_text(
        f"import sys\nif 'program' not in sys.argv[0]:\n    {guarded}\nfrom flows import *\n{FLOWS}"
    )
    out = folder.run("import odd, flows\nask(odd.unsorted(1))\nask(odd.sorts(1))\nask(flows.unsorted(1))\n")
    assert out == [
        f"unsorted is not found there: {reason}",
        f"sorts is not found there: {reason}",
        "unsound",
    ]


def test_output_of_a_module_during_import_is_not_read_as_a_reply(folder: Folder) -> None:
    noise = "import os, subprocess, sys\nos.write(1, b'noise')\nsubprocess.run([sys.executable, '-c', 'print(1)'])\n"
    (folder.root / "noisy.py").write_text(f"import sys\nif 'program' not in sys.argv[0]:\n    pass\n{noise}{FLOWS}")
    assert folder.run("import noisy\nask(noisy.unsorted(1))\n")[-1] == "unsound"


def test_a_constant_that_a_test_has_set_does_not_count_as_a_difference(folder: Folder) -> None:
    out = folder.run(
        "import flows\n"
        "flows.LIMIT = 5\n"
        "ask(flows.limited())\n"
        "flows.LIMIT = 3\n"
        "ask(flows.limited())\n"
        "ask(flows.unsorted(1))\n"
    )
    assert out == ["flows.LIMIT has another value there; a test may have set it here", "sound", "unsound"]


def test_a_module_that_has_changed_since_is_left_alone(folder: Folder) -> None:
    out = folder.run(
        "import flows\n"
        "from pathlib import Path\n"
        "Path('flows.py').write_text(Path('flows.py').read_text().replace('LIMIT = 3', 'LIMIT = 4'))\n"
        "ask(flows.limited())\n"
    )
    assert out == ["limited is not found there: its module has changed since this process started"]


def test_the_other_process_ends_with_its_parent_even_during_an_import(tmp_path: Path) -> None:
    module = tmp_path / "hangs.py"
    module.write_text("import threading\nthreading.Event().wait()\n")
    other = OtherProcess()
    process = other._process
    try:
        assert process.stdin is not None
        question = Request([str(tmp_path), *sys.path], "hangs", None, "none", WorkflowExecution("w", "r"), [], [])
        process.stdin.write(msgspec.json.encode(question) + b"\n")
        process.stdin.close()  # as when the parent is gone
        assert process.wait(timeout=60) == 0
    finally:
        other.close()


def test_another_process_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hangs.py").write_text("import threading\nthreading.Event().wait()\n")
    monkeypatch.setattr(cross_process, "REPLY_SECONDS_MAX", 0.1)
    other = OtherProcess()
    reply = other.send(Request([str(tmp_path), *sys.path], "hangs", None, "none", WorkflowExecution("w", "r"), [], []))
    assert reply.gone
    assert not other.usable


def test_no_process_is_begun_for_definitions_that_it_cannot_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_process, "OtherProcess", None)
    monkeypatch.setattr(cross_process, "_processes", [])

    @workflow
    async def local() -> int:
        return 42

    assert simulate(local()).cross_process_skipped == f"{local.__qualname__} is not at the top of a module"


def test_each_history_is_checked_once_up_to_a_maximum_per_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[Request] = []

    class Counting(OtherProcess):
        def send(self, request: Request) -> Reply:
            requests.append(request)
            return super().send(request)

    counting = Counting()
    monkeypatch.setattr(cross_process, "_processes", [counting])
    monkeypatch.setattr(cross_process, "_differences", {})
    monkeypatch.setattr(cross_process, "HISTORIES_MAX", 3)
    for n in (1, 1, 2, 3, 4, 5):
        simulate(echo(n))
    counting.close()
    assert len(requests) == 3


@workflow
async def echo(n: int) -> int:
    return n
