"""`traction run` builds a call from its options, runs it, and prints its result and timeline."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from traction.cli import COMMANDS, main, make_app

HERE = "tests.cli.orders"
ORDERS = Path(__file__).with_name("orders.py")


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Return the exit code, standard output and standard error."""
    with pytest.raises(SystemExit) as left:
        main(argv)
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err


def order(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    code, out, err = run(capsys, "run", f"{HERE}:Order", *words)
    assert code == 0, err
    fields: dict[str, Any] = json.loads(out)
    return fields


def test_fields_are_options_and_those_left_out_have_their_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert order(capsys, "--number", "7", "--gift") == {
        "number": 7,
        "gift": True,
        "size": "small",
        "due": None,
        "address": {"city": "Bern", "zip": 0},
        "notes": [],
        "url": "",
        "half_price": False,
    }


def test_words_are_read_as_the_types_of_their_fields(capsys: pytest.CaptureFixture[str]) -> None:
    fields = order(
        capsys,
        *("--number=7", "--no-gift", "--size", "large", "--due", "2030-01-02", "--half-price"),
        *("--address", '{"city":"Ulm","zip":89073}', "--notes", '["a","b"]', "--input-url", "x:"),
    )
    assert (fields["gift"], fields["size"], fields["due"], fields["half_price"]) == (False, "large", "2030-01-02", True)
    assert (fields["address"], fields["notes"], fields["url"]) == ({"city": "Ulm", "zip": 89073}, ["a", "b"], "x:")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--gift"], "Missing option '--number'"),
        (["--number", "7"], "Missing option '--gift'"),
        (["--number", "seven", "--gift"], "--number: Expected `int`, got `str`"),
        (["--number", "0", "--gift"], "--number: Expected `int` >= 1"),
        (["--number", "7", "--gift", "--size", "huge"], "--size: Invalid enum value 'huge'"),
        (["--number", "7", "--gift", "--notes", "a"], "--notes: expected JSON (list[str])"),
        (["--number", "7", "--gift", "--notes", "[1]"], "--notes: Expected `str`, got `int`"),
        (["--number", "7", "--gift", "--colour", "red"], "No such option"),
    ],
)
def test_values_of_the_wrong_type_exit_with_2(capsys: pytest.CaptureFixture[str], words: list[str], says: str) -> None:
    code, out, err = run(capsys, "run", f"{HERE}:Order", *words)
    assert (code, out) == (2, "")
    assert says in " ".join(err.split())


def test_help_shows_the_fields_with_their_types_and_defaults() -> None:
    argv = ["run", f"{HERE}:Order", "--help"]
    shown = CliRunner().invoke(make_app(argv), argv, env={"COLUMNS": "200"}).output
    text = " ".join(shown.split())
    for line in (
        "--number INTEGER Input of Order: int [required]",
        "--gift / --no-gift Input of Order [required]",
        "--size small|large Input of Order: Size [default: small]",
        "--due DATE Input of Order: datetime.date | None [default: none]",
        '--address JSON Input of Order: Address, as JSON [default: {"city":"Bern","zip":0}]',
        "--notes JSON Input of Order: list[str], as JSON [default: []]",
        '--input-url TEXT Input of Order: str [default: ""]',
        "--half-price / --no-half-price Input of Order [default: no]",
    ):
        assert line in text


def test_a_result_is_printed_alone_and_the_timeline_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "run", f"{HERE}:buy", "--amount", "7")
    assert (code, out) == (0, "paid 7\n")
    assert "buy 1  COMPLETED" in err
    assert "✓ pay-1" in err


def test_a_workflow_that_fails_exits_with_1_and_prints_the_failure(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "run", f"{HERE}:buy", "--amount", "700")
    assert (code, out) == (1, "")
    assert "✗ pay-1" in err
    assert "pay-1 failed: ValueError: the card is declined" in err.splitlines()[-1]


def test_a_workflow_that_takes_too_long_leaves_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "run", f"{HERE}:wait_long", "--timeout", "0.05")
    assert code == 1
    assert "is still open after" in err


def test_json_contains_the_result_and_the_timeline(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "run", f"{HERE}:buy", "--amount", "7", "--json")
    fields = json.loads(out)
    assert (code, err, fields["result"], fields["execution"]["status"]) == (0, "", "paid 7", "COMPLETED")
    assert fields["execution"]["steps"][0]["id"] == "pay-1"


def test_json_contains_the_failure(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "run", f"{HERE}:buy", "--amount", "700", "--json")
    fields = json.loads(out)
    assert (code, fields["error"]["kind"], fields["execution"]["status"]) == (1, "WorkflowFailed", "FAILED")


@pytest.mark.parametrize(
    ("factory", "result"), [("open_book", "ledger: a\n"), ("lend_book", "lent: a\n")], ids=["function", "context"]
)
def test_an_activity_is_given_what_it_needs(capsys: pytest.CaptureFixture[str], factory: str, result: str) -> None:
    provide = f"Write={HERE}:{factory}"
    assert run(capsys, "run", f"{HERE}:Keep", "--line", "a", "--provide", provide)[:2] == (0, result)


@pytest.mark.parametrize("command", ["run", "start"])
def test_what_is_too_long_goes_to_the_store_that_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    store = tmp_path / "payloads"
    line = "".join(sha256(bytes([n % 256, n // 256])).hexdigest() for n in range(2_000))
    words = [command, f"{HERE}:copy", "--line", line, "--codec", f"{HERE}:secret"]
    code, _, err = run(capsys, *words)
    assert (code, "WorkerSystem(..., payloads=...)" in err) == (1, True), err
    code, out, err = run(capsys, *words, "--payloads", store.as_uri())
    assert (code, line in out) == (0, command == "run"), err
    assert [*store.iterdir()]


def test_a_codec_that_is_none_leaves_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "run", f"{HERE}:copy", "--line", "a", "--codec", f"{HERE}:pay")
    assert (code, "not a traction.payloads.Codec" in err) == (2, True)


@pytest.mark.parametrize(
    ("provide", "says"),
    [
        ([], "Write --provide Write=module:factory, where factory() returns it"),
        (["--provide", "Write"], "write --provide Activity=module:factory"),
        (["--provide", f"Wrote={HERE}:open_book"], "no activity 'Wrote'"),
        (["--provide", f"Write={HERE}:shut_book"], "has no 'shut_book'\n"),
        (["--provide", f"Write={HERE}:lose_book"], "failed: OSError: it is lost"),
    ],
)
def test_what_is_not_provided_leaves_with_2(capsys: pytest.CaptureFixture[str], provide: list[str], says: str) -> None:
    code, _, err = run(capsys, "run", f"{HERE}:Keep", "--line", "a", *provide)
    assert code == 2
    assert says in err


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("nowhere:Flow", "there is no module 'nowhere'"),
        (f"{HERE}:Nothing", f"has no 'Nothing'; its workflows are {HERE}:Order, {HERE}:buy"),
        (f"{HERE}:pay", "not a workflow"),
        ("nowhere.py:Flow", "there is no file 'nowhere.py'"),
    ],
)
def test_a_workflow_that_is_not_there_leaves_with_2(capsys: pytest.CaptureFixture[str], target: str, says: str) -> None:
    code, _, err = run(capsys, "run", target)
    assert code == 2
    assert says in err


def test_a_worker_of_an_unknown_name_lists_workflows_and_activities(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "worker", f"{HERE}:Nothing")
    assert code == 2
    assert f"has no 'Nothing'; its workflows are {HERE}:Order" in err
    assert f"; its activities are {HERE}:" in err


def test_a_url_of_an_unknown_scheme_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "run", f"{HERE}:buy", "--amount", "1", "--url", "nope:")
    assert code == 2
    assert "no installed backend opens 'nope:'" in err


# The real command, in a process of its own.


def call_command(*argv: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "TRACTION_URL")}
    command = [sys.executable, "-m", "traction", *argv]
    return subprocess.run(command, cwd=cwd, env=clean | env, capture_output=True, text=True, timeout=60)


def test_the_command_finds_modules_in_the_current_directory(tmp_path: Path) -> None:
    shutil.copy(ORDERS, tmp_path / "shop.py")
    done = call_command("run", "shop:buy", "--amount", "7", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "paid 7\n")
    assert "✓ pay-1" in done.stderr


def test_a_module_of_one_workflow_may_be_named_alone(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parents[2] / "examples" / "hello.py", tmp_path)
    for target in ("hello", "hello.py", "hello:hello", "hello.py:hello"):
        assert call_command("run", target, "--name", "Ann", cwd=tmp_path).stdout == "Hello, Ann!\n"


def test_the_command_takes_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    shutil.copy(ORDERS, tmp_path / "there" / "shop.py")
    assert call_command("run", "there/shop.py:buy", "--amount", "7", cwd=tmp_path).stdout == "paid 7\n"


def test_a_terminal_without_unicode_is_written_to_in_ascii(tmp_path: Path) -> None:
    shutil.copy(ORDERS, tmp_path / "shop.py")
    done = call_command("run", "shop:buy", "--amount", "7", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "+ pay-1" in done.stderr


def test_a_module_that_fails_when_imported_is_reported_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("x = 1\nx / 0\n")
    done = call_command("run", "broken:flow", cwd=tmp_path)
    assert done.returncode == 2
    assert "broken cannot be imported: ZeroDivisionError: division by zero" in done.stderr
    assert "broken.py, line 2)" in done.stderr


def test_without_the_extra_the_command_prints_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('No module named typer', name='typer')")
    done = call_command("run", "shop:buy", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        'traction: the command line needs typer, which is not installed: pip install "traction[cli]"\n'
    )


def test_progress_is_drawn_on_a_terminal(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    shutil.copy(ORDERS, tmp_path / "shop.py")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "traction", "run", "shop:wait_long", "--timeout", "0.5"]
    with subprocess.Popen(command, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        shown = b""
        # After the last writer has closed a terminal, a read raises (Linux) or returns nothing.
        try:
            while more := os.read(ours, 65536):
                shown += more
        except OSError:
            pass
        assert running.wait(timeout=60) == 1
    os.close(ours)
    assert shown.count(b"sleep-1") > 1
    assert b"\x1b[" in shown


def test_a_dependency_is_provided_by_the_type_that_activities_need(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("Book", f"{HERE}:Book", f"{HERE}:Write"):
        words = ["run", f"{HERE}:Keep", "--line", "a", "--provide", f"{name}={HERE}:open_book"]
        assert run(capsys, *words)[:2] == (0, "ledger: a\n")


def test_a_url_may_stand_before_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    url = f"local:{tmp_path / 'work.db'}"
    run(capsys, "--url", url, "start", f"{HERE}:buy", "--amount", "7", "--workflow-id", "one")
    for words in (["--url", url, "list"], [f"--url={url}", "list"], ["list", "--url", url]):
        assert " one " in run(capsys, *words)[1]
    assert run(capsys, "--url", "local:", "list", "--url", url)[1] != ""


def test_the_command_to_start_workers_is_quoted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    url = f"local:{tmp_path / 'my work.db'}"
    _, _, err = run(capsys, "start", f"{HERE}:buy", "--amount", "7", "--url", url)
    command = shlex.split(err.partition("Its workers: ")[2])
    assert command == ["traction", "worker", HERE, "--url", url]


def test_version_prints_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"traction {version('traction')}\n", "")


def test_help_lists_every_command_in_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "--help")
    commands = out.partition("\nRun:")[2]
    shown = [line.split()[0] for line in commands.splitlines() if line.startswith("  ") and line.strip()]
    assert shown[: len(COMMANDS) + 1] == [*COMMANDS, "serve"]
    assert "Other commands" not in out
    assert [line for line in commands.splitlines() if line.endswith("...")] == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_fields(tmp_path: Path, shell: str) -> None:
    def complete(*words: str) -> str:
        line = " ".join(["traction", *words])
        asked = {"_TYPER_COMPLETE_ARGS": line, "COMP_WORDS": line, "COMP_CWORD": str(len(words))}
        asked |= {"_TYPER_COMPLETE_FISH_ACTION": "get-args", "_TRACTION_COMPLETE": f"complete_{shell}"}
        return call_command(cwd=tmp_path, **asked).stdout

    shutil.copy(ORDERS, tmp_path / "shop.py")
    assert "describe" in complete("des")
    assert "--amount" in complete("run", "shop:buy", "--am")
    assert "--url" in complete("run", "nowhere:buy", "--u")


def test_no_color_prints_no_escapes(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    shutil.copy(ORDERS, tmp_path / "shop.py")
    for setting, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "traction", "run", "shop:buy", "--amount", "7"]
        environment = os.environ | {"TERM": "xterm-256color"} | setting
        with subprocess.Popen(command, cwd=tmp_path, stdin=theirs, stderr=theirs, stdout=theirs, env=environment) as it:
            os.close(theirs)
            shown = b""
            try:
                while more := os.read(ours, 65536):
                    shown += more
            except OSError:
                pass
            assert it.wait(timeout=60) == 0
        os.close(ours)
        assert bool(re.search(rb"\x1b\[[0-9;]*3[0-9][0-9;]*m", shown)) is coloured
