"""A story shows every deviation, however long it is."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traction import Retry, activity, workflow
from traction.testing import Deviations, Faults, explore, simulate
from traction_local.simulation.story import LINES_MAX, fold


@activity(retry=Retry(attempts=3, backoff=1))
def count(n: int) -> int:
    return n + 1


@workflow
async def climb() -> int:
    n = 0
    while n < 100:
        n = await count(n)
    return n


def list_stars(story: str) -> list[int]:
    return [int(number) for mark in re.findall(r"^ *([\d,]+)\*", story, re.M) for number in mark.split(",")]


def test_a_long_story_shows_every_deviation_and_counts_what_is_left_out() -> None:
    plain = simulate(climb(), schedule=Deviations(), faults=Faults(losses=9))
    numbers = range(100, len(plain.widths) - 100, 150)
    run = simulate(climb(), schedule=Deviations(dict.fromkeys(numbers, 1)), faults=Faults(losses=9))
    assert run.result == 100
    assert list_stars(run.story) == list(numbers)
    lines = run.story.splitlines()
    folded = [int(n) for n in re.findall(r"^\.\.\. (\d+) moves \.\.\.$", run.story, re.M)]
    assert len(folded) > 1
    assert min(folded) > 1
    assert len(lines) < 2 * LINES_MAX
    assert len(lines) - len(folded) + sum(folded) > 300


def test_a_failure_in_a_long_run_shows_the_moves_around_its_deviations() -> None:
    @explore(climb(), faults=Faults(crashes=1))
    def never_crashes(run: Any) -> None:
        assert "crashes" not in run.story

    plain = simulate(climb(), schedule=Deviations(), faults=Faults(crashes=1))
    with pytest.raises(AssertionError) as failed:
        never_crashes.at(f"{len(plain.widths) // 2}:1")
    notes = "\n".join(failed.value.__notes__).splitlines()
    assert any("*" in line and "crashes" in line for line in notes)


LINES = st.integers(0, 400)


@given(LINES.flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, max(n - 1, 0)), max_size=150))))
def test_lines_that_are_kept_are_shown_in_order_and_the_rest_is_counted(drawn: tuple[int, set[int]]) -> None:
    length, kept = drawn
    lines = [str(number) for number in range(length)]
    story = fold(lines, "moves", kept)
    shown = [line for line in story if not line.startswith("...")]
    folded = [int(line.split()[1]) for line in story if line.startswith("...")]
    assert shown == sorted(shown, key=int)
    assert {lines[number] for number in kept if number < length} <= set(shown)
    assert len(shown) + sum(folded) == length
    assert min(folded, default=2) > 1
