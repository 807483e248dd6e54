"""Machines send heartbeats for attempts that take time; where the schedule deviates, they crash or stop sending."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traction import Retry, activity, all_of, current_task, hours, minutes, seconds, sleep, start_child, step, workflow
from traction.errors import WorkflowCancelled
from traction.model import events as e
from traction.testing import Faults, explore, simulate, simulate_all, takes


@activity(heartbeat=30, start_to_close=hours(10), retry=Retry(attempts=5))
def copy() -> int:
    return current_task().attempt


@workflow
async def backup() -> int:
    return await copy()


def find_timeouts(run: Any) -> list[e.ActivityTaskTimedOut]:
    return [event for event in run.history if isinstance(event, e.ActivityTaskTimedOut)]


def test_an_attempt_that_takes_longer_than_its_heartbeat_timeout_is_beaten_for() -> None:
    run = simulate(backup(), stub={copy: takes(minutes(5))})
    assert (run.result, run.elapsed) == (1, minutes(5))


def test_heartbeats_are_not_moves() -> None:
    assert simulate(backup(), stub={copy: takes(hours(9))}, max_moves=20).elapsed == hours(9)


def test_in_no_order_does_an_attempt_time_out_that_is_beaten_for() -> None:
    @explore(backup(), stub={copy: takes(minutes(5))}, deviations=2)
    def beats(run: Any) -> None:
        assert not find_timeouts(run)

    beats()


def test_a_machine_may_die_between_two_beats() -> None:
    spans = set()

    @explore(backup(), stub={copy: takes(minutes(5))}, faults=Faults(crashes=1), deviations=1)
    def dies(run: Any) -> None:
        for event in find_timeouts(run):
            assert event.timeout_type == "HEARTBEAT"
            spans.add(event.event_timestamp - run.history[event.started_event_id - 1].event_timestamp)

    dies()
    assert seconds(30) in spans
    assert any(minutes(2) < span < minutes(3) for span in spans)


def test_heartbeats_that_stop_leave_two_attempts_side_by_side() -> None:
    stories = []

    @explore(backup(), stub={copy: takes(minutes(5))}, faults=Faults(timeouts=1), deviations=1)
    def stops(run: Any) -> None:
        assert run.result in (1, 2)
        stories.append(run.story)

    stops()
    [late] = [story for story in stories if "half-way" in story]
    lines = [line.split(maxsplit=1)[1] for line in late.replace("*", " ").splitlines()]
    shown = [line.strip() for line in lines]
    assert any("which takes 0:05:00, and its heartbeats stop half-way" in line for line in shown)
    assert any("copy-1 times out: HEARTBEAT" in line for line in shown)
    begins, ends = (
        next(n for n, line in enumerate(shown) if words in line) for words in ("begins copy-1~2", "ends copy-1:")
    )
    assert begins < ends


@activity(heartbeat=60, start_to_close=hours(2))
def work() -> None: ...


@workflow
async def impatient(span: float) -> None:
    await work().timeout(span)


HOUR = {work: takes(hours(1), then=None)}


@pytest.mark.parametrize("span", [20, 40, 299, 300, 301, 3599, 3600])
def test_a_timer_that_is_due_with_a_heartbeat_fires_on_time(span: int) -> None:
    assert simulate(impatient(span), stub=HOUR).elapsed == seconds(span)


def list_late(run: Any) -> list[tuple[str, timedelta]]:
    """Return the timers that were not followed by a decision at the very time at which they were due."""
    late = []
    for event in run.history:
        if isinstance(event, e.TimerFired):
            started = run.history[event.started_event_id - 1]
            due = started.event_timestamp + seconds(int(started.start_to_fire_timeout))
            decided = next(
                later.event_timestamp
                for later in run.history[event.event_id :]
                if isinstance(later, e.DecisionTaskStarted)
            )
            if decided != due:
                late.append((event.timer_id, decided - due))
    return late


@activity(start_to_close=hours(20))
def beat_often(n: int) -> None: ...


@workflow
async def beside(beats: list[int], timers: list[int]) -> None:
    work = [beat_often(n).options(heartbeat=beat) for n, beat in enumerate(beats)]
    await all_of([*work, *(sleep(span) for span in timers)])


SPANS = st.one_of(st.integers(1, 40).map(lambda n: 10 * n), st.integers(1, 400))


@settings(deadline=None, max_examples=50)
@given(
    beats=st.lists(st.integers(1, 20).map(lambda n: 3 * n), min_size=1, max_size=3),
    timers=st.lists(st.lists(SPANS, min_size=1, max_size=4, unique=True), min_size=1, max_size=3, unique_by=tuple),
)
def test_timers_beside_activities_that_beat_are_acted_on_at_their_time(
    beats: list[int], timers: list[list[int]]
) -> None:
    runs = simulate_all([beside(beats, spans) for spans in timers], stub={beat_often: takes(500, then=None)})
    assert [list_late(run) for run in runs] == [[]] * len(timers)


def test_a_cancel_that_comes_with_a_heartbeat_is_acted_on_at_its_time() -> None:
    run = simulate(impatient(hours(2).total_seconds()), stub=HOUR, cancels=[300])
    assert isinstance(run.error, WorkflowCancelled)
    assert run.elapsed == minutes(5)


@workflow
async def short() -> None: ...


@workflow
async def starts_later() -> None:
    @step
    async def begin() -> None:
        await sleep(minutes(5))
        await (await start_child(short())).result()

    await (work() & begin())


def test_a_child_that_is_started_with_a_heartbeat_starts_at_its_time() -> None:
    run = simulate(starts_later(), stub=HOUR)
    [started] = [event for event in run.history if isinstance(event, e.ChildWorkflowExecutionStarted)]
    assert started.event_timestamp - run.history[0].event_timestamp == minutes(5)


def test_a_timer_that_is_due_with_a_heartbeat_fires_on_time_in_every_order() -> None:
    @explore(impatient(300), stub=HOUR, faults=Faults(crashes=1), deviations=1)
    def looks(run: Any) -> None:
        spans.append(run.elapsed)

    spans: list[timedelta] = []
    looks()
    assert spans[0] == minutes(5)
    assert max(spans) < hours(1)
