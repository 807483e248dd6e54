"""The wheel works in an empty environment, and with each extra alone; what is missing is named by its extra.

Each environment has the wheel, and of the packages of the environment that the tests run in those alone that the wheel
requires. So nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.wheel.doors import DOORS

ROOT = Path(__file__).parents[2]
HELLO = (ROOT / "README.md").read_text(encoding="utf-8").partition("```python\n# hello.py\n")[2].partition("```")[0]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# Each test makes an environment of its own, which takes a while on a busy machine.
pytestmark = pytest.mark.timeout(600)

EXTRAS = sorted({*PROJECT["optional-dependencies"]} - {"all"})


def call(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    # The Python settings of the tests' own environment must not reach the other one.
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, once in each process that runs tests."""
    folder = tmp_path_factory.mktemp("wheel")
    built = call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    assert built.returncode == 0, built.stderr
    (file,) = folder.glob("*.whl")
    return file


def find_required(requirements: list[Requirement], extras: set[str]) -> Iterator[Distribution]:
    """Find the installed distributions that meet requirements, and what they require in turn."""
    for requirement in requirements:
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            found = distribution(requirement.name)
            assert requirement.specifier.contains(found.version), f"{requirement}, but {found.version} is installed"
            yield found
            yield from find_required([Requirement(text) for text in found.requires or ()], requirement.extras)


def link(found: Distribution, site_packages: Path) -> None:
    """Link the modules of an installed distribution into another environment.

    A package is linked whole, with its compiled modules. A namespace package belongs to several distributions, so its
    files are linked one by one.
    """
    for file in found.files or ():
        package = Path(str(found.locate_file(file.parts[0])))
        whole = (package / "__init__.py").exists()
        here, there = (package, file.parts[0]) if whole else (Path(str(found.locate_file(file))), file)
        target = site_packages / there
        if file.parts[0] != ".." and file.suffix != ".pyc" and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(here)


def make_environment(folder: Path, wheel: Path) -> tuple[Path, Path]:
    """Make an environment with the wheel. Return its interpreter and its folder of packages."""
    environment = folder / "environment"
    made = call(sys.executable, "-m", "venv", "--without-pip", environment, cwd=folder)
    assert made.returncode == 0, made.stderr
    uv = Path(sys.executable).with_name("uv")
    python = environment / "bin" / "python"
    put = call(uv, "pip", "install", "--offline", "--no-deps", "--python", python, wheel, cwd=folder)
    assert put.returncode == 0, put.stderr
    (site_packages,) = environment.glob("lib/python*/site-packages")
    return python, site_packages


@pytest.fixture(scope="session")
def packages(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The packages of the wheel, whose modules are compiled once for all environments."""
    _, site_packages = make_environment(tmp_path_factory.mktemp("compiled"), wheel)
    return [package for package in site_packages.glob("traction*") if (package / "__init__.py").exists()]


@pytest.fixture
def install(wheel: Path, packages: list[Path], tmp_path: Path) -> Callable[..., Path]:
    """Make an environment with the wheel and some extras, and give its folder of programs."""

    def install(*extras: str) -> Path:
        python, site_packages = make_environment(tmp_path, wheel)
        for package in packages:
            shutil.rmtree(site_packages / package.name)
            (site_packages / package.name).symlink_to(package)
        (metadata,) = site_packages.glob("traction-*.dist-info")
        requirements = [Requirement(text) for text in PathDistribution(metadata).requires or ()]
        for found in find_required(requirements, set(extras)):
            link(found, site_packages)
        return python.parent

    return install


@pytest.mark.parametrize("extras", [(), *((extra,) for extra in EXTRAS)], ids=str)
def test_the_wheel_runs_and_names_each_missing_extra(
    install: Callable[..., Path], extras: tuple[str, ...], tmp_path: Path
) -> None:
    programs = install(*extras)
    (tmp_path / "hello.py").write_text(HELLO, encoding="utf-8")

    ran = call(programs / "python", "-W", "error", "hello.py", cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "Hello, world!\n", "")

    doors = call(programs / "python", "-W", "error", ROOT / "tests" / "wheel" / "doors.py", cwd=tmp_path)
    assert doors.returncode == 0, doors.stderr
    report = json.loads(doors.stdout)
    missing = {extra for extra in EXTRAS if extra not in extras}
    # The plugin for pytest is only imported by pytest.
    allowed = "", "ModuleNotFoundError: No module named 'pytest'"
    failed = {name: error for name, error in report["imports"].items() if error not in allowed}
    assert {name: error for name, error in failed.items() if not names_one_of(error, missing)} == {}
    for code, extra in DOORS.items():
        error = report["doors"][code]
        assert names_one_of(error, {extra}) if extra in missing else error == "", f"{code}: {error}"

    command = call(programs / "traction", "run", "hello:hello", "--name", "Ann", cwd=tmp_path)
    if "cli" in missing:
        assert (command.returncode, names_one_of(command.stderr, {"cli"})) == (2, True), command.stderr
    else:
        assert (command.returncode, command.stdout) == (0, "Hello, Ann!\n"), command.stderr


COMMANDS = {
    ("serve", "--port", "0"): "server",
    ("list", "--url", "swf://acme?region=us-east-1"): "swf",
    ("start", "hello:hello", "--name", "Ann", "--url", "swf://acme?region=us-east-1"): "swf",
}


def test_a_command_names_the_extra_that_it_needs_besides_its_own(install: Callable[..., Path], tmp_path: Path) -> None:
    programs = install("cli")
    (tmp_path / "hello.py").write_text(HELLO, encoding="utf-8")
    for command, extra in COMMANDS.items():
        done = call(programs / "traction", *command, cwd=tmp_path)
        assert (done.returncode, names_one_of(done.stderr, {extra})) == (2, True), done.stderr
        assert done.stderr.startswith("traction: ")


def names_one_of(error: str, extras: set[str]) -> bool:
    """Return whether a text advises to install one of these extras."""
    return any(f'which is not installed: pip install "traction[{extra}]"' in error for extra in extras)
