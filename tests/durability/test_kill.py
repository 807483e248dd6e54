"""Kill any process at any time: requests with a response took effect once, and the work continues."""

from __future__ import annotations

import os
import random
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import settings

from tests.support.processes import RESULT, SIGNALS, Order, find_runs, open_file, read_signals
from traction_local.service.tokens import ACTIVITY, DECISION, make_stem, parse_token

ROOT = Path(__file__).parents[2]

# Some at the desk, hundreds at night.
KILLS = max(60, settings().max_examples // 5)

ROLES = ("client", "decider", "worker", "worker")

LINES_MAX = 60
"""Within how many lines a process that is to be killed is killed."""


class Process:
    """A running process: its pipe, its output so far, and the line at which it is killed, if any."""

    def __init__(self, role: str, pipe: Path, kill_at: int | None, *, endless: bool) -> None:
        self.role = role
        self.endless = endless
        self.fd = os.open(pipe, os.O_RDONLY)
        pipe.unlink()
        self.kill_at = kill_at
        self.pid = 0
        self.lines = 0
        self.rest = b""
        self.killed = False


class Fleet:
    """The processes on one file, their output, and the arguments of the next client."""

    def __init__(self, directory: Path, seed: int, kills: int) -> None:
        self.directory = directory
        self.path = directory / "work.db"
        self.dice = random.Random(seed)
        self.kills_left, self.kills = kills, Counter[str]()
        self.order = Order(role="", path=str(self.path), pipe="")
        self.runs: dict[int, str] = {}
        self.signals: dict[str, set[tuple[int, int]]] = {"sent": set(), "late": set()}
        self.answered: list[str] = []
        self.finished = False
        self.spawned = 0
        self.selector = selectors.DefaultSelector()
        self.errors = (directory / "errors").open("w+b")
        self.nursery = subprocess.Popen(
            [sys.executable, "-m", "tests.support.processes"], cwd=ROOT, stdin=subprocess.PIPE, stderr=self.errors
        )

    def spawn(self, role: str) -> None:
        self.spawned += 1
        pipe = self.directory / f"pipe-{self.spawned}"
        os.mkfifo(pipe)
        order = msgspec.structs.replace(self.order, role=role, pipe=str(pipe))
        if role == "client" and not self.kills_left:
            order.last = order.first
        assert self.nursery.stdin is not None
        self.nursery.stdin.write(msgspec.json.encode(order) + b"\n")
        self.nursery.stdin.flush()
        kill_at = self.dice.choice([1, *[self.dice.randint(1, LINES_MAX)] * 3]) if self.kills_left else None
        process = Process(role, pipe, kill_at, endless=role == "client" and order.last is None)
        self.selector.register(process.fd, selectors.EVENT_READ, process)

    def run(self) -> None:
        """Kill and replace, until all kills are used up and the last client has finished."""
        for role in ROLES:
            self.spawn(role)
        while not self.finished:
            for key, _ in self.selector.select():
                self.hear(key.data)
        for process in self.list_processes():
            if process.role != "client" and not process.killed:
                # Output that is still in the pipe counts: the file must contain it.
                while not process.pid:
                    self.hear(process)
                self.kill(process)
            while process.fd in self.selector.get_map():
                self.hear(process)

    def list_processes(self) -> list[Process]:
        return [key.data for key in self.selector.get_map().values()]

    def hear(self, process: Process) -> None:
        chunk = os.read(process.fd, 65536)
        if not chunk:
            self.selector.unregister(process.fd)
            os.close(process.fd)
            if not self.finished:
                assert process.killed, f"a {process.role} ended by itself:\n{self.read_errors()}"
                self.spawn(process.role)
            return
        *lines, process.rest = (process.rest + chunk).split(b"\n")
        for line in lines:
            process.lines += 1
            self.note(process, *line.decode().split())
        if process.kill_at is not None and process.lines >= process.kill_at and not process.killed:
            # At times all at once, as when a machine is switched off.
            everybody = [other for other in self.list_processes() if other.pid and not other.killed]
            self.spend(self.dice.choice([0.0, 0.0005, 0.005]) * self.dice.random())
            for victim in everybody if self.dice.random() < 0.1 else [process]:
                self.kill(victim)

    def spend(self, seconds: float) -> None:
        """Let a moment pass, so that the kill falls anywhere between two lines."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    def kill(self, process: Process) -> None:
        os.kill(process.pid, signal.SIGKILL)
        process.killed = True
        self.kills[process.role] += 1
        self.kills_left = max(self.kills_left - 1, 0)
        if not self.kills_left:
            for other in self.list_processes():
                other.kill_at = None
                # Only the last client has an end, so the one before it must be stopped.
                if other.endless and other.pid and not other.killed:
                    self.kill(other)

    def note(self, process: Process, verb: str, *words: str) -> None:
        """Keep the output of a process: requests that were sent, and those that had a response."""
        order = self.order
        if verb == "pid":
            process.pid = int(words[0])
            if process.endless and not self.kills_left:
                self.kill(process)
        elif verb == "answered":
            self.answered.append(words[0])
        elif verb == "finished":
            self.finished = True
        elif verb == "starting":
            order.unsure_start = int(words[0])
            order.first = order.unsure_start + 1
        elif verb == "started":
            k, order.unsure_start = int(words[0]), None
            order.open = (*order.open, k)
            assert self.runs.setdefault(k, words[1]) == words[1]
        elif verb == "sending":
            order.unsure_signal = (int(words[0]), int(words[1]))
        elif verb in ("sent", "late"):
            order.unsure_signal = None
            self.signals[verb].add((int(words[0]), int(words[1])))
        elif verb == "closed":
            order.open = tuple(k for k in order.open if k != int(words[0]))
        else:
            assert verb == "opened"

    def read_errors(self) -> str:
        self.errors.seek(0)
        return self.errors.read().decode()

    def close(self) -> None:
        for process in self.list_processes():
            if process.pid and not process.killed:
                os.kill(process.pid, signal.SIGKILL)
        assert self.nursery.stdin is not None
        self.nursery.stdin.close()
        self.nursery.wait()
        self.errors.close()
        self.selector.close()


def check(fleet: Fleet) -> None:
    """Open the file again, and compare it with all output."""
    answers = Counter(fleet.answered)
    assert set(answers.values()) == {1}, "no answer was accepted twice"
    expected: set[tuple[str, str, int]] = set()
    for token in fleet.answered:
        for kind in (ACTIVITY, DECISION):
            if (parsed := parse_token(token, kind)) is not None:
                expected.add((kind, *parsed))
    assert len(expected) == len(fleet.answered)
    with closing(open_file(str(fleet.path))) as backend:
        reported: set[tuple[str, str, int]] = set()
        for k in range(fleet.order.first):
            (info,) = find_runs(backend, k)
            assert info.close_status == "COMPLETED"
            assert info.execution.run_id == fleet.runs[k]
            history: list[Any] = backend.get_history(info.execution)
            assert history[-1].result == str(RESULT)
            stem = make_stem(info.execution.run_id)
            done: Counter[str] = Counter()
            for event in history:
                name = type(event).__name__
                if name == "ActivityTaskCompleted":
                    reported.add((ACTIVITY, stem, event.scheduled_event_id))
                    done[history[event.scheduled_event_id - 1].activity_id] += 1
                elif name == "DecisionTaskCompleted":
                    reported.add((DECISION, stem, event.scheduled_event_id))
            assert len(done) == RESULT - 3
            assert set(done.values()) == {1}, "no step was completed twice"
            signals = read_signals(backend, info.execution)
            assert sorted(signals) == sorted({v for v in range(SIGNALS) if (k, v) in fleet.signals["sent"]})
        assert expected <= reported, "an answer that was accepted is not in the history"
    assert not fleet.signals["sent"] & fleet.signals["late"]


@pytest.mark.parametrize("seed", [1])
def test_accepted_requests_take_effect_once_whichever_process_is_killed(seed: int, tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, seed, KILLS)
    try:
        fleet.run()
    finally:
        fleet.close()
    check(fleet)
    assert sum(fleet.kills.values()) >= KILLS
    print(f"{dict(fleet.kills)} killed, {fleet.order.first} executions, {len(fleet.answered)} answers")
