"""What no flow may do is refused in simulations, at its line, with what to do instead."""

from __future__ import annotations

import linecache
import logging
import os
import random
import secrets
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from traction import Step, activity, side_effect, workflow
from traction.errors import FlowError
from traction.testing import simulate
from traction_local.simulation.sandbox import ImpureFlowError, Sandbox

CLOCK, PAUSE, CHANCE, WORLD = "await now()", "await sleep(...)", "await random() and await uuid4()", "in an activity"
ZONE = "the time zone of a machine is its own"
THEN = datetime(2030, 1, 1, tzinfo=UTC)

IMPURE: list[tuple[Callable[[], Any], str]] = [
    (time.time, CLOCK),
    (time.monotonic, CLOCK),
    (time.perf_counter_ns, CLOCK),
    (datetime.now, CLOCK),
    (date.today, CLOCK),
    (lambda: time.gmtime(), CLOCK),
    (lambda: time.strftime("%S"), CLOCK),
    (lambda: time.asctime(), CLOCK),
    (lambda: time.localtime(0), ZONE),
    (lambda: time.ctime(0), ZONE),
    (lambda: THEN.astimezone(), ZONE),
    (lambda: datetime.fromtimestamp(0), ZONE),  # noqa: DTZ006
    (lambda: time.sleep(0), PAUSE),
    (random.random, CHANCE),
    (lambda: random.randint(1, 6), CHANCE),
    (lambda: random.choice([1, 2]), CHANCE),
    (uuid.uuid4, CHANCE),
    (lambda: os.urandom(4), CHANCE),
    (lambda: secrets.token_hex(4), CHANCE),
    (lambda: open(os.devnull).close(), WORLD),
    (lambda: Path(os.devnull).read_bytes(), WORLD),
    (lambda: os.listdir(os.curdir), WORLD),
    (lambda: os.environ.get("HOME"), "side_effect"),
    (lambda: Path(os.devnull).exists(), WORLD),
    (os.getpid, WORLD),
    (os.cpu_count, WORLD),
    (socket.gethostname, WORLD),
    (lambda: socket.socket().close(), WORLD),
    (lambda: subprocess.run(["true"], check=True), WORLD),
    (lambda: threading.Thread(target=print).start(), "side by side with &"),
]


@pytest.mark.parametrize(("do", "instead"), IMPURE)
def test_a_flow_is_refused_what_it_may_not_do(do: Callable[[], Any], instead: str) -> None:
    @workflow
    async def impure() -> None:
        do()

    with pytest.raises(ImpureFlowError) as refused:
        simulate(impure())
    assert Path(__file__).name in refused.value.where
    assert instead in str(refused.value)
    assert isinstance(refused.value, FlowError)


def test_what_a_flow_is_refused_is_not_done(tmp_path: Path) -> None:
    @workflow
    async def write() -> None:
        (tmp_path / "written").write_text("x")

    with pytest.raises(ImpureFlowError):
        simulate(write())
    assert not (tmp_path / "written").exists()


def test_what_a_function_does_that_a_flow_calls_counts_as_the_flow() -> None:
    @workflow
    async def impure() -> str:
        return helper()

    def helper() -> str:
        return str(uuid.uuid4())

    with pytest.raises(ImpureFlowError, match=r"test_purity\.py:\d+ calls"):
        simulate(impure())


def test_a_function_of_a_step_counts_as_the_flow() -> None:
    @activity
    def one() -> int:
        return 1

    @workflow
    def impure() -> Step[float]:
        return one().map(lambda n: n + time.time())

    with pytest.raises(ImpureFlowError):
        simulate(impure())


def test_activities_and_side_effects_may_do_anything() -> None:
    @activity
    def stamp() -> float:
        return time.time()

    @workflow
    async def honest() -> bool:
        return await stamp() > 0 and await side_effect(random.random) < 1 and len(await side_effect(_draw)) == 36

    assert simulate(honest()).result


def _draw() -> str:
    return str(uuid.uuid4())


def test_logs_imports_and_seeded_generators_are_allowed() -> None:
    @workflow
    async def honest() -> float:
        import colorsys  # noqa: F401

        logging.getLogger("flow").warning("the time of this is nobody's input")
        return random.Random(7).random()

    assert simulate(honest()).result == random.Random(7).random()


@pytest.mark.parametrize(
    "do",
    [
        lambda: time.gmtime(0),
        lambda: time.strftime("%S", time.gmtime(0)),
        lambda: time.asctime(time.gmtime(0)),
        lambda: THEN.strftime("%S"),
        lambda: THEN.astimezone(ZoneInfo("Europe/Zurich")),
        lambda: THEN.astimezone(tz=UTC),
        lambda: datetime.fromtimestamp(0, UTC),
        lambda: datetime.fromtimestamp(0, tz=UTC),
        lambda: ZoneInfo.no_cache("Europe/Zurich"),
        lambda: linecache.getlines(__file__),
        lambda: (os.path.join("a", "b"), os.fspath(Path("a") / "b"), "a".replace("a", "b"), [1].remove(1)),
    ],
)
def test_a_flow_may_work_on_what_it_is_given(do: Callable[[], Any]) -> None:
    @workflow
    async def honest() -> None:
        do()

    linecache.clearcache()
    assert simulate(honest()).error is None


def test_who_watched_before_watches_after() -> None:
    import sys

    def before(*_: object) -> None: ...

    sys.setprofile(before)
    try:
        assert Sandbox().run(lambda: 7) == 7
        assert sys.getprofile() is before
    finally:
        sys.setprofile(None)


def test_nothing_is_refused_without_check_determinism() -> None:
    @workflow
    async def impure() -> bool:
        return time.time() > 0

    assert simulate(impure(), check_determinism=False).result
