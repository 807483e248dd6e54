"""A machine beats for attempts that take time, as workers do; where the schedule deviates, it dies or falls silent."""

from __future__ import annotations

from typing import Any

from traction import Retry, activity, current_task, hours, minutes, seconds, workflow
from traction import events as e
from traction.testing import Faults, explore, simulate, takes


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


def test_beats_are_no_moves() -> None:
    assert simulate(backup(), stub={copy: takes(hours(9))}, moves_max=20).elapsed == hours(9)


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
    said = [line.strip() for line in lines]
    assert any("which takes 0:05:00, and its heartbeats stop half-way" in line for line in said)
    assert any("copy-1 times out: HEARTBEAT" in line for line in said)
    begins, ends = (
        next(n for n, line in enumerate(said) if words in line) for words in ("begins copy-1~2", "ends copy-1:")
    )
    assert begins < ends
