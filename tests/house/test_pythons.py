"""The Pythons that Traction claims to run on are those that the checks look for, wherever they are installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
BASH = shutil.which("bash") or "bash"
THIS = f"{sys.version_info.major}.{sys.version_info.minor}"


def find_python(*versions: str, path: Path, pyenv: Path) -> subprocess.CompletedProcess[str]:
    (path / "bash").symlink_to(BASH)
    env = {**os.environ, "PATH": str(path), "PYENV_ROOT": str(pyenv)}
    return subprocess.run([ROOT / ".ci" / "find-python", *versions], env=env, capture_output=True, text=True)


def put_python(file: Path) -> None:
    """Put a Python at this path which is the one that runs the tests."""
    file.parent.mkdir(parents=True)
    file.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    file.chmod(0o755)


def test_the_checks_look_for_each_python_that_the_package_claims() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    claimed = [text.rpartition(" ")[2] for text in project["classifiers"] if re.search(r":: 3\.\d+$", text)]
    listed = re.search(r"^PYTHONS := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed is not None
    assert listed[1].split()[: len(claimed)] == claimed
    assert project["requires-python"] == f">={claimed[0]}"


def test_a_python_of_pyenv_is_found_behind_a_shim_that_fails(tmp_path: Path) -> None:
    shim = tmp_path / "shims" / f"python{THIS}"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    put_python(tmp_path / "pyenv" / "versions" / f"{THIS}.99" / "bin" / "python")
    found = find_python("2.0", THIS, path=shim.parent, pyenv=tmp_path / "pyenv")
    assert (found.returncode, found.stdout) == (0, f"{sys.executable}\n")


def test_a_python_of_another_version_is_not_taken(tmp_path: Path) -> None:
    put_python(tmp_path / "bin" / "python2.0")
    put_python(tmp_path / "versions" / "2.0.1" / "bin" / "python")
    found = find_python("2.0", path=tmp_path / "bin", pyenv=tmp_path)
    assert (found.returncode, found.stdout) == (1, "")
