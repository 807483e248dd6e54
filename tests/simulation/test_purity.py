"""What no flow may do is refused in simulations, at its line, with what to do instead."""

from __future__ import annotations

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
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from traction import Step, activity, side_effect, workflow
from traction.errors import FlowError
from traction.testing import simulate
from traction.testing.purity import ImpureFlow, watch

CLOCK, PAUSE, CHANCE, WORLD = "await now()", "await sleep(...)", "await random() and await uuid4()", "in an activity"

IMPURE: list[tuple[Callable[[], Any], str]] = [
    (time.time, CLOCK),
    (time.monotonic, CLOCK),
    (time.perf_counter_ns, CLOCK),
    (datetime.now, CLOCK),
    (date.today, CLOCK),
    (lambda: time.sleep(0), PAUSE),
    (random.random, CHANCE),
    (lambda: random.randint(1, 6), CHANCE),
    (lambda: random.choice([1, 2]), CHANCE),
    (uuid.uuid4, CHANCE),
    (lambda: os.urandom(4), CHANCE),
    (lambda: secrets.token_hex(4), CHANCE),
    (lambda: open(os.devnull).close(), WORLD),
    (lambda: Path(os.devnull).read_bytes(), WORLD),
    (lambda: socket.socket().close(), WORLD),
    (lambda: subprocess.run(["true"], check=True), WORLD),
    (lambda: threading.Thread(target=print).start(), "side by side with &"),
]


@pytest.mark.parametrize(("do", "instead"), IMPURE)
def test_a_flow_is_refused_what_it_may_not_do(do: Callable[[], Any], instead: str) -> None:
    @workflow
    async def impure() -> None:
        do()

    with pytest.raises(ImpureFlow) as refused:
        simulate(impure())
    assert Path(__file__).name in refused.value.where
    assert instead in str(refused.value)
    assert isinstance(refused.value, FlowError)


def test_what_a_function_does_that_a_flow_calls_counts_as_the_flow() -> None:
    @workflow
    async def impure() -> str:
        return helper()

    def helper() -> str:
        return str(uuid.uuid4())

    with pytest.raises(ImpureFlow, match=r"test_purity\.py:\d+ calls"):
        simulate(impure())


def test_a_function_of_a_step_counts_as_the_flow() -> None:
    @activity
    def one() -> int:
        return 1

    @workflow
    def impure() -> Step[float]:
        return one().map(lambda n: n + time.time())

    with pytest.raises(ImpureFlow):
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


def test_logs_imports_and_seeded_generators_are_no_business_of_the_watch() -> None:
    @workflow
    async def honest() -> float:
        import colorsys  # noqa: F401

        logging.getLogger("flow").warning("the time of this is nobody's input")
        return random.Random(7).random()

    assert simulate(honest()).result == random.Random(7).random()


def test_who_watched_before_watches_after() -> None:
    import sys

    def before(*_: object) -> None: ...

    sys.setprofile(before)
    try:
        assert watch(lambda: 7) == 7
        assert sys.getprofile() is before
    finally:
        sys.setprofile(None)


def test_nothing_is_refused_where_nobody_checks() -> None:
    @workflow
    async def impure() -> bool:
        return time.time() > 0

    assert simulate(impure(), checked=False).result
