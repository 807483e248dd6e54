"""pytest makes a test of each history that is kept, wherever a project keeps them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from traction.history.export import make_stored, write_stored
from traction.testing import simulate

FLOWS = """
from traction import activity, workflow

@activity
def charge(n: int) -> str:
    return f"receipt {n}"

@activity
def ship(receipt: str) -> str:
    return receipt

@workflow
async def checkout(n: int) -> str:
    return await ship(await charge(n))
"""

SETTINGS = """
[pytest]
pythonpath = .
traction_definitions = flows
filterwarnings = error
"""


class Project:
    """A folder with flows and a history of theirs, whose tests can be run."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester, self.root = pytester, pytester.path
        self.write("pytest.ini", SETTINGS)
        self.write("flows.py", FLOWS)
        made: dict[str, object] = {"__name__": "flows"}
        exec(FLOWS, made)
        checkout: object = made["checkout"]
        self.history = write_stored(make_stored(simulate(checkout(7)).history))  # type: ignore[operator]
        self.write("tests/histories/order.json", self.history)

    def write(self, name: str, text: str) -> None:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def test(self, *options: str) -> tuple[int, str]:
        """Run the tests; return the exit code and what is printed."""
        done = self.pytester.runpytest_inprocess(*options)
        return done.ret, done.stdout.str() + done.stderr.str()


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)


def test_a_history_of_other_code_fails_with_the_message_alone(project: Project) -> None:
    project.write("flows.py", FLOWS.replace("await ship(await charge(n))", "await ship('none')"))
    code, out = project.test()
    assert code == 1, out
    assert "NonDeterminismError: checkout 1 no longer matches its history at step ship-1" in out
    assert "flows.py, line 14" in out
    assert "decide.py" not in out
    assert "Traceback" not in out


def test_a_history_of_an_unknown_workflow_reports_how_to_add_its_module(project: Project) -> None:
    project.write("pytest.ini", "[pytest]\n")
    code, out = project.test()
    assert code == 1, out
    assert "order.json is a history of checkout 1, and traction_definitions names no module" in out
    assert "(known: none)" in out


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("traction_definitions = lost", "names lost, which cannot be imported: No module named 'lost'"),
        ("traction_definitions = flows\ntraction_codec = flows:charge", "not a traction.payloads.Codec"),
    ],
)
def test_settings_with_names_that_do_not_exist_are_reported(project: Project, setting: str, says: str) -> None:
    project.write("pytest.ini", f"[pytest]\npythonpath = .\n{setting}\n")
    code, out = project.test()
    assert code == 1, out
    assert says in out


def test_the_folder_has_the_name_that_the_settings_give(project: Project) -> None:
    project.write("pytest.ini", f"{SETTINGS}traction_histories = kept\n")
    project.write("kept/other.json", project.history)
    code, out = project.test("--collect-only", "-q")
    assert code == 0, out
    assert "kept/other.json::replay" in out
    assert "order.json" not in out


def test_histories_that_the_code_would_have_made_pass_in_a_process_of_xdist(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The other plugins of this environment take longer to import than the test to run.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    project.write("tests/histories/another.json", project.history)
    done = project.pytester.runpytest_subprocess("-v", "-p", "xdist", "-n", "1", "-p", "traction.testing.pytest_plugin")
    done.assert_outcomes(passed=2)
    done.stdout.fnmatch_lines("*PASSED tests/histories/order.json::replay*")


def test_a_run_without_histories_loads_nothing_for_them() -> None:
    code = "import sys, traction.testing.pytest_plugin as p; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()
    assert {"hypothesis", "asyncio", "traction.replay", "traction.decider.decider", "traction_local"} & set(
        loaded
    ) == set()
