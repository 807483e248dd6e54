"""Both checkers reject exactly the marked lines of `rejected`, with the marked codes.

A rejected line ends in `# E: mypy=arg-type pyright=reportArgumentType`. Several codes are joined by commas, and a
checker that accepts the line is omitted. Code that must pass is beside this file, where `make lint` checks it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
REJECTED = Path(__file__).parent / "rejected"
FILES = [str(path) for path in sorted(REJECTED.glob("*.py"))]
BIN = Path(sys.executable).parent

MARK = re.compile(r"# E:(.*)$")

Findings = dict[tuple[str, int], set[str]]
"""The reasons that a checker gives, by file and line."""


def read_marks(checker: str) -> Findings:
    marks: Findings = {}
    for path in sorted(REJECTED.glob("*.py")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if mark := MARK.search(line):
                codes = dict(part.split("=") for part in mark[1].split())
                if checker in codes:
                    marks[path.name, number] = set(codes[checker].split(","))
    return marks


def run(*command: str) -> str:
    done = subprocess.run([str(BIN / command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True)
    # Both exit with 1 when they have findings.
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def collect(found: Iterable[tuple[str, int, str]]) -> Findings:
    findings: Findings = {}
    for file, line, reason in found:
        findings.setdefault((Path(file).name, line), set()).add(reason)
    return findings


def test_mypy_refuses_the_marked_lines_and_no_others() -> None:
    findings = [json.loads(line) for line in run("mypy", "--strict", "--output=json", *FILES).splitlines()]
    errors = [finding for finding in findings if finding["severity"] == "error"]
    assert collect((one["file"], one["line"], one["code"]) for one in errors) == read_marks("mypy")


def test_pyright_refuses_the_marked_lines_and_no_others() -> None:
    findings = json.loads(run("pyright", "--outputjson", *FILES))["generalDiagnostics"]
    errors = [finding for finding in findings if finding["severity"] == "error"]
    found = ((one["file"], one["range"]["start"]["line"] + 1, one.get("rule", "none")) for one in errors)
    assert collect(found) == read_marks("pyright")
