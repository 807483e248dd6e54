"""Every example, with a server, a decider, workers and a client in processes of their own, which are killed.

The results and histories are the same as in one process. Without a kill, *same* means: the same steps, and for each
step the same events in the same order, member by member, except for the members that differ between two runs and for
event ids. Events of decision tasks are left out, because parallel steps can be recorded in any order, and decided
together or apart. A flow without parallel steps has one order: there the whole histories are equal.

A kill adds attempts that time out, timers before the next attempt, and attempt numbers. Without those, the steps are
the same again.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
import pytest

from examples.hello import greet, hello
from examples.index_project.repository import Git
from examples.index_project.search import SearchIndex
from examples.index_project.workflow import CollectChanges, IndexIssues, IndexProjectData, IndexStories
from tests.examples.test_examples import make_repository
from tests.support.crashing_activities import SEED, is_mortal
from tests.support.profile import NIGHTLY, pick
from tests.swf.test_processes import strip, tell
from traction import Handle, WorkerSystem
from traction.model import events as e
from traction.model.names import WorkflowExecution

ROOT = Path(__file__).parents[2]
SEEDS = range(pick(1, 20))
SPEED = 60
"""How many seconds pass for the service in one: an activity that died is noticed after `start_to_close`, 300 s."""

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


class Example(NamedTuple):
    """An example: what is asked for, by whom, and what each process works on."""

    module: str
    workflow: Any
    input: dict[str, str]
    provided: dict[Any, Any]
    """What runs in one process, and what it needs there."""
    roles: tuple[tuple[str, ...], ...]
    """The arguments of each process, except for the URL."""
    mortal: tuple[int, ...]
    """Which of them may be killed at any time: whose work is done again."""
    late: tuple[int, ...] = ()
    """Which of them come when those have been killed."""
    events: int | None = None
    """How many events there are until then, if not all."""


def make_hello(_: Path) -> Example:
    # Its activity has no retry, so a worker that dies in the midst of it fails it: only its decider is killed.
    roles = ("hello",), ("greet",)
    return Example("examples.hello", hello, {"name": "world"}, {greet: None}, roles, mortal=(0,), late=(1,), events=5)


def make_index(folder: Path) -> Example:
    path = make_repository(folder / "repository", *(b"story %d, see #%d" % (n, n % 7) for n in range(pick(30, 95))))
    needs = (Git(), SearchIndex())
    provided = {CollectChanges: needs[0], IndexStories: needs, IndexIssues: needs}
    roles = (
        ("IndexProjectData",),
        ("CollectChanges", "--provide", "CollectChanges=tests.support.crashing_activities:open_git"),
        ("IndexStories", "--provide", "IndexStories=tests.support.crashing_activities:open_both"),
        ("IndexIssues", "--provide", "IndexIssues=tests.support.crashing_activities:open_both"),
    )
    return Example("examples.index_project.workflow", IndexProjectData, {"path": str(path)}, provided, roles, (0, 2, 3))


EXAMPLES = {"hello": make_hello, "index_project": make_index}


def test_every_example_is_tested() -> None:
    folder = ROOT / "examples"
    there = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__main__.py").exists()}
    assert set(EXAMPLES) == there


# Processes.


class Processes:
    """A server, and a worker for each role, of which each that dies is replaced, as a supervisor does."""

    def __init__(self, folder: Path, example: Example, *, speed: float, seed: str | None) -> None:
        self._log = (folder / "log").open("wb")
        self._environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._environment |= {} if seed is None else {SEED: seed}
        self._example = example
        self._server = self._begin(
            "serve", "--port", "0", "--domain", "acme", "--poll-wait", "0.5", "--speed", str(speed), out=True
        )
        assert self._server.stdout is not None
        self.url = f"swf://acme?endpoint={quote(self._server.stdout.readline().decode().strip())}&sticky=5"
        self.deaths = 0
        self._workers = {n: self._employ(n) for n in range(len(example.roles)) if n not in example.late}

    def _begin(self, *words: str, out: bool = False) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "traction", *words]
        stdout = subprocess.PIPE if out else self._log
        return subprocess.Popen(argv, env=self._environment, cwd=ROOT, stdout=stdout, stderr=self._log)

    def _employ(self, role: int) -> subprocess.Popen[bytes]:
        definition, *more = self._example.roles[role]
        target = f"{self._example.module}:{definition}"
        return self._begin("worker", target, *more, "--instances", "1", "--url", self.url)

    def start(self) -> WorkflowExecution:
        """Let a client start the example, in a process that ends with that."""
        given = [word for name, value in self._example.input.items() for word in (f"--{name}", value)]
        target = f"{self._example.module}:{self._example.workflow.__name__}"
        client = self._begin("start", target, *given, "--url", self.url, "--json", out=True)
        output, _ = client.communicate(timeout=60)
        assert client.returncode == 0
        started = json.loads(output)
        return WorkflowExecution(started["workflow_id"], started["run_id"])

    def kill(self, role: int) -> None:
        self._workers[role].kill()
        self._workers[role].wait()

    def tend(self, *, late: bool) -> None:
        """Replace those that have died, and employ those that come late, if they may."""
        for role, worker in self._workers.items():
            if worker.poll() is not None:
                assert worker.returncode == -signal.SIGKILL
                self.deaths += 1
                self._workers[role] = self._employ(role)
        for role in self._example.late:
            if late and role not in self._workers:
                self._workers[role] = self._employ(role)

    def close(self) -> None:
        for worker in self._workers.values():
            worker.send_signal(signal.SIGTERM)
        for worker in self._workers.values():
            worker.wait(60)
        self._server.send_signal(signal.SIGTERM)
        self._server.communicate(timeout=60)
        self._log.close()


@contextmanager
def running(folder: Path, example: Example, *, speed: float = 1, seed: str | None = None) -> Iterator[Processes]:
    with ExitStack() as stack:
        processes = Processes(folder, example, speed=speed, seed=seed)
        stack.callback(processes.close)
        yield processes


def play_here(example: Example) -> tuple[Any, list[e.Event]]:
    """Run an example in this process, which then closes what its activities needed: 3.13 reports open connections."""
    with WorkerSystem() as system, ExitStack() as stack:
        for need in (need for needs in example.provided.values() if isinstance(needs, tuple) for need in needs):
            if isinstance(need, SearchIndex):
                stack.callback(need.close)
        system.start_workflow_worker(example.workflow)
        for activity, dependency in example.provided.items():
            system.start_activity_worker(activity, dependency)
        handle = system.start(example.workflow(**example.input))
        return handle.result(60), handle.history()


def wait_for(handle: Handle[Any], processes: Processes, kills: Sequence[tuple[int, int]] = ()) -> Any:
    """Wait for the result. Kill a role once there is a number of events, and replace killed processes."""
    left = sorted(kills, reverse=True)
    while True:
        try:
            return handle.result(0.25)
        except TimeoutError:
            if left and len(handle.history()) >= left[-1][0]:
                processes.kill(left.pop()[1])
            processes.tend(late=not left)


# Histories.


def read_steps(history: list[e.Event]) -> dict[str, list[Any]]:
    """Return the events of each step, without members that differ between runs and without attempts that timed out."""
    steps: dict[str, list[Any]] = {}
    ids: dict[int, str] = {}
    lost = set(find_lost(history))
    for event in history:
        if type(event).__name__.startswith("Decision"):
            continue
        links = (getattr(event, name, None) for name in ("scheduled_event_id", "started_event_id"))
        id = getattr(event, "activity_id", None) or getattr(event, "timer_id", None)
        id = id or next((ids[link] for link in links if link in ids), "")
        ids[event.event_id] = id
        if id in lost or "~retry-" in id:
            continue
        steps.setdefault(id.partition("~")[0], []).append((type(event).__name__, read_members(event)))
    return steps


def read_members(event: e.Event) -> dict[str, Any]:
    members = strip(msgspec.to_builtins(event))
    compared = {
        name: value for name, value in members.items() if not name.lower().endswith("eventid") and name != "activityId"
    }
    if compared.get("input") is not None:
        # Which attempt it is stands beside the input.
        compared["input"] = {name: value for name, value in json.loads(compared["input"]).items() if name[0] != "~"}
    return compared


def find_lost(history: list[e.Event]) -> list[str]:
    """Return the ids of the attempts that timed out."""
    scheduled = {event.event_id: event.activity_id for event in history if isinstance(event, e.ActivityTaskScheduled)}
    return [scheduled[event.scheduled_event_id] for event in history if isinstance(event, e.ActivityTaskTimedOut)]


# Claims.


@pytest.mark.skipif(not NIGHTLY, reason="`test_processes` tests the same for one program")
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run_the_same_in_many_processes_as_in_one(tmp_path: Path, name: str) -> None:
    example = EXAMPLES[name](tmp_path)
    here, told_here = play_here(example)
    with running(tmp_path, example) as processes, WorkerSystem(processes.url) as client:
        handle = client.get_handle(processes.start(), example.workflow)
        assert wait_for(handle, processes) == here
        events = handle.history()
        assert processes.deaths == 0
    assert find_lost(events) == []
    assert read_steps(events) == read_steps(told_here)
    if len(example.provided) == 1:
        assert tell(events) == tell(told_here)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", EXAMPLES if NIGHTLY else ["index_project"])
def test_examples_run_the_same_while_their_processes_are_killed(tmp_path: Path, name: str, seed: int) -> None:
    example = EXAMPLES[name](tmp_path)
    here, told_here = play_here(example)
    chance = random.Random(seed)
    kills = [(chance.randint(1, example.events or len(told_here)), role) for role in example.mortal]
    with (
        running(tmp_path, example, speed=SPEED, seed=f"{seed}") as processes,
        WorkerSystem(processes.url) as client,
    ):
        handle = client.get_handle(processes.start(), example.workflow)
        assert wait_for(handle, processes, kills) == here
        events = handle.history()
        deaths = processes.deaths
    steps = read_steps(events)
    assert steps == read_steps(told_here)
    # Each attempt that killed its process timed out, and otherwise only those that ran at the other kills.
    mortal = {
        id for id in steps if id.endswith("-1") and example.workflow is IndexProjectData and is_mortal(f"{seed}", id)
    }
    lost = find_lost(events)
    assert mortal <= set(lost)
    assert len(lost) <= deaths
    assert deaths > 0
