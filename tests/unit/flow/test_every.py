"""Recurring work starts at the times of its cron expression, and catches up by its policy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traction import Workflow, activity, days, every, hours, minutes, sleep, sleep_until, workflow
from traction.errors import FlowError, WorkflowCancelled
from traction.flow.cron import Cron, Interval, read_recurrence
from traction.flow.every import Overlap
from traction.model import events as e
from traction.testing import simulate, takes

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)  # a Tuesday


@pytest.mark.parametrize(
    ("line", "times"),
    [
        ("0 * * * *", ["01-01 13:00", "01-01 14:00"]),
        ("*/25 12 * * *", ["01-01 12:25", "01-01 12:50", "01-02 12:00"]),
        ("0-10/5 12 * * *", ["01-01 12:05", "01-01 12:10", "01-02 12:00"]),
        ("30 9 * * mon-fri", ["01-02 09:30", "01-03 09:30", "01-04 09:30", "01-07 09:30"]),
        ("0 0 1,15 * *", ["01-15 00:00", "02-01 00:00"]),
        ("0 0 13 * fri", ["01-04 00:00", "01-11 00:00", "01-13 00:00"]),
        ("0 0 29 feb *", ["02-29 00:00"]),
        ("5/20 * * * 7", ["01-06 00:05", "01-06 00:25", "01-06 00:45"]),
        ("@weekly", ["01-06 00:00", "01-13 00:00"]),
    ],
)
def test_a_cron_expression_yields_its_times(line: str, times: list[str]) -> None:
    cron, time, found = read_recurrence(line), NOON, []
    for _ in times:
        time = cron.find_next(time)
        found.append(f"{time:%m-%d %H:%M}")
    assert found == times


@pytest.mark.parametrize(
    "line",
    ["", "* * * *", "60 * * * *", "* 24 * * *", "x * * * *", "*/0 * * * *", "5-1 * * * *", "* * 0 * *", "1,,2 * * * *"],
)
def test_invalid_cron_expressions_are_rejected(line: str) -> None:
    with pytest.raises(ValueError, match="is not a cron expression"):
        read_recurrence(line)


def test_a_date_that_never_comes_is_refused() -> None:
    with pytest.raises(ValueError, match="never matches"):
        every("0 0 30 2 *", lambda _: sleep(0), again=lambda _: Tick())


def test_an_interval_of_zero_is_rejected() -> None:
    with pytest.raises(ValueError, match="longer than zero"):
        read_recurrence(0)


def test_a_skipped_local_time_is_ignored_and_a_repeated_one_is_used_once() -> None:
    berlin = read_recurrence("30 2 * * *", ZoneInfo("Europe/Berlin"))
    spring = berlin.find_next(datetime(2030, 3, 30, 12, tzinfo=UTC))  # the clock leaves 2:30 out on the 31st
    assert spring == datetime(2030, 4, 1, 0, 30, tzinfo=UTC)
    autumn = berlin.find_next(datetime(2030, 10, 26, 12, tzinfo=UTC))  # the clock repeats it on the 27th
    assert [autumn, berlin.find_next(autumn)] == [
        datetime(2030, 10, 27, 0, 30, tzinfo=UTC),
        datetime(2030, 10, 28, 1, 30, tzinfo=UTC),
    ]


RECURRENCES: st.SearchStrategy[Interval | Cron] = st.one_of(
    st.integers(1, 10_000).map(lambda n: read_recurrence(minutes(n))),
    st.sampled_from(["* * * * *", "*/7 3-5 * * *", "0 0 1 * mon", "15 6 31 * *"]).map(read_recurrence),
)


@given(RECURRENCES, st.integers(0, 3_000), st.integers(0, 4))
def test_what_is_due_is_the_earliest_of_the_latest_that_passed(
    recurrence: Interval | Cron, gap: int, catch_up: int
) -> None:
    now = NOON + minutes(gap)
    passed, time = [], recurrence.find_next(NOON)
    while time <= now:
        passed.append(time)
        time = recurrence.find_next(time)
    kept = passed[-catch_up:] if catch_up else []
    assert recurrence.find_due(NOON, now, catch_up) == (kept[0] if kept else time)


@given(
    st.sampled_from(["*/20", "30", "59,0", "1-3"]),
    st.sampled_from(["*", "1", "2-3", "0,23"]),
    st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Asia/Kathmandu"]),
    st.sampled_from([(3, 30), (4, 6), (10, 5), (10, 26)]),
    st.integers(0, 48 * 60),
)
@settings(max_examples=25)
def test_the_next_time_is_the_first_minute_after_that_clocks_show_so_for_the_first_time(
    minute: str, hour: str, zone: str, near: tuple[int, int], past: int
) -> None:
    cron, after = (
        read_recurrence(f"{minute} {hour} * * *", ZoneInfo(zone)),
        datetime(2030, *near, tzinfo=UTC) + minutes(past),
    )
    assert isinstance(cron, Cron)
    time = after + minutes(1)
    while (shown := time.astimezone(cron.zone)).fold or not (shown.hour in cron.hours and shown.minute in cron.minutes):
        time += minutes(1)
    assert cron.find_next(after) == time


def test_what_is_due_after_a_long_gap_is_found_at_once() -> None:
    asked = 0

    class Counted(Cron, frozen=True):
        def find_next(self, after: datetime) -> datetime:
            nonlocal asked
            asked += 1
            return super().find_next(after)

    minutely = read_recurrence("* * * * *")
    counted = Counted(**{name: getattr(minutely, name) for name in minutely.__struct_fields__})
    now = NOON + days(3650)
    assert counted.find_due(NOON, now, 3) == now - minutes(2)
    assert asked < 20


# In flows.


class Tick(Workflow[None]):
    since: datetime | None = None

    async def flow(self) -> None:
        await every(hours(1), work, again=Tick, since=self.since)


@activity(start_to_close=days(2))
def work(time: datetime) -> str:
    return time.isoformat()


def find_times(run: Any) -> list[int]:
    """The hours at which work was scheduled, counted from the start."""
    return [
        int((event.event_timestamp - run.history[0].event_timestamp) / timedelta(hours=1))
        for event in run.history
        if isinstance(event, e.ActivityTaskScheduled)
    ]


def test_work_recurs_at_its_times() -> None:
    run = simulate(Tick(), cancels=[hours(5.5)])
    assert find_times(run) == [1, 2, 3, 4, 5]


def test_the_next_run_begins_before_the_history_grows_long_and_goes_on_where_this_one_was() -> None:
    run = simulate(Tick(), cancels=[hours(700)], stub={work: "done"})
    started = run.history[0]
    assert isinstance(started, e.WorkflowExecutionStarted)
    assert started.continued_execution_run_id is not None
    assert len(run.history) < 5_100


def test_no_time_is_left_out_or_taken_twice_from_one_run_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("traction.flow.every.HISTORY_EVENTS_MAX", 20)
    hours_done: list[int] = []
    # Another process does not have the patched constant, so its decisions cannot be compared with those made here.
    work_done = {work: lambda call: hours_done.append(call.time.hour) or "done"}
    run = simulate(Tick(), cancels=[hours(15.5)], stub=work_done, check_determinism=False)
    assert run.history[0].continued_execution_run_id is not None  # type: ignore[union-attr]
    assert hours_done == list(range(1, 16))


@pytest.mark.parametrize(
    ("when", "open_for", "until", "times", "overlap"),
    [
        ("@weekly", days(365), days(730), 104, "wait"),
        ("@yearly", days(365), days(731), 2, "cancel"),
        (days(300), days(365), days(730), 2, "wait"),
        ("0 12 * * *", hours(10), days(30), 30, "cancel"),
        # Further away than the longest timer.
        ("0 0 29 2 *", days(365), days(1157), 1, "wait"),
    ],
)
def test_work_recurs_for_longer_than_a_run_may_be_open(
    when: Any, open_for: timedelta, until: timedelta, times: int, overlap: Overlap
) -> None:
    seen = []

    @workflow(execution_start_to_close=open_for)
    async def flow(since: datetime | None = None) -> None:
        await every(when, work, again=flow, since=since, overlap=overlap)

    run = simulate(flow(), stub={work: lambda call: str(seen.append(call.time))}, cancels=[until])
    assert isinstance(run.error, WorkflowCancelled)
    assert seen == sorted(set(seen))
    assert len(seen) == times


def test_work_that_takes_long_is_waited_for_and_the_latest_time_that_passed_is_made_up_for() -> None:
    run = simulate(Tick(), stub={work: takes(minutes(150), then="x")}, cancels=[hours(9)])
    assert [call.time.hour for call in run.calls(work)] == [1, 3, 6, 8]


def test_work_may_be_cancelled_when_its_time_is_over() -> None:
    @workflow
    async def flow() -> None:
        await every(hours(1), work, again=lambda _: flow(), overlap="cancel")

    run = simulate(flow(), stub={work: takes(days(1), then="x")}, cancels=[hours(3.5)])
    assert find_times(run) == [1, 2, 3]
    assert sum(isinstance(event, e.ActivityTaskCancelRequested) for event in run.history) == 3


def test_work_may_go_on_beside_the_next() -> None:
    class Long(Workflow[None]):
        at: datetime

        async def flow(self) -> None:
            await sleep(days(1))

    @workflow
    async def flow() -> None:
        await every(hours(1), Long, again=lambda _: flow(), overlap="beside")

    run = simulate(flow(), cancels=[hours(3.5)])
    assert sum(isinstance(event, e.ChildWorkflowExecutionStarted) for event in run.history) == 3


def test_work_that_goes_on_beside_may_have_options_of_its_own() -> None:
    @workflow
    async def long(at: datetime) -> None:
        await sleep_until(at + days(1))

    @workflow
    async def flow() -> None:
        await every(
            hours(1), lambda time: long(time).options(tags=("beside",)), again=lambda _: flow(), overlap="beside"
        )

    run = simulate(flow(), cancels=[hours(3.5)])
    assert sum(isinstance(event, e.ChildWorkflowExecutionStarted) for event in run.history) == 3


def test_overlap_beside_requires_a_call_of_a_workflow() -> None:
    @workflow
    async def flow() -> None:
        await every(hours(1), work, again=lambda _: flow(), overlap="beside")

    with pytest.raises(FlowError, match=r"expected a call of a workflow, got work\("):
        simulate(flow())


@pytest.mark.parametrize("since", [NOON.replace(tzinfo=None), "2030-01-01"])
def test_the_last_time_is_an_instant_with_a_zone(since: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"every\(since="):
        every("@daily", work, again=Tick, since=since)


def test_the_name_of_a_time_zone_is_rejected() -> None:
    zone: Any = "Europe/Berlin"
    with pytest.raises(TypeError, match=r"ZoneInfo\('Europe/Berlin'\)"):
        read_recurrence("@daily", zone)
