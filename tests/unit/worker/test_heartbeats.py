"""Heartbeats: sent for running tasks, no more often than needed; a cancelled task is detected."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest

from tests.support.activities import Act, CallAct
from tests.support.backends import NOW, LossyBackend, Stage, find_events, take_turns
from traction import Activity, Cancelled, Retry, Workflow, current_task, first_of, heartbeat, sleep
from traction.errors import ValidationException
from traction.model import events as e
from traction.model import operations as o
from traction.payloads.failure_text import HANDED_BACK
from traction.worker.activity_worker import ActivityWorker
from traction.worker.heartbeats import CLEANUP_SECONDS, OUTLIVED_SECONDS, Heartbeater, RunningActivity, find_interval


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def attempts() -> Iterator[ExitStack]:
    """Attempts that end with the test."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def heartbeater(clock: Clock) -> Heartbeater:
    return Heartbeater(clock=clock, threads=0)


def beats(stage: Stage) -> int:
    return stage.backend.asked.count("RecordActivityTaskHeartbeat")


def list_heartbeats(stage: Stage) -> list[str | None]:
    return [request.details for request in stage.backend.sent if isinstance(request, o.RecordActivityTaskHeartbeat)]


def test_three_heartbeats_are_sent_within_the_timeout_of_a_silent_activity(
    stage: Stage, clock: Clock, heartbeater: Heartbeater
) -> None:
    counted: list[tuple[int, float | None]] = []

    def act(_: Any) -> None:
        for _ in range(4):
            left = heartbeater.beat_once()
            counted.append((beats(stage), left))
            clock.seconds += left or 0

    stage.start(CallAct())
    take_turns(stage.decider(CallAct), stage.worker(Act, act, heartbeater=heartbeater))
    assert counted == [(0, 10.0), (1, 0.0), (1, 10.0), (2, 0.0)]
    assert heartbeater.beat_once() is None


@pytest.mark.parametrize(
    ("timeout", "seconds"), [("NONE", None), ("1", 0.5), ("2", 1.0), ("3", 1.0), ("30", 10.0), ("3600", 1200.0)]
)
def test_heartbeats_are_a_third_of_the_timeout_apart_and_at_least_a_second(timeout: str, seconds: float | None) -> None:
    assert find_interval(timeout) == seconds


class HurryAct(Workflow[Any]):
    heartbeat: int | None

    async def flow(self) -> Any:
        return await Act().options(heartbeat=self.heartbeat)


@pytest.mark.parametrize(("heartbeat", "left"), [(6, 2.0), (None, 600.1)])
def test_the_heartbeat_timeout_of_a_call_replaces_that_of_its_class(
    stage: Stage, heartbeater: Heartbeater, heartbeat: int | None, left: float | None
) -> None:
    seen: list[float | None] = []
    handle = stage.start(HurryAct(heartbeat), Act)
    worker = stage.worker(Act, lambda _: seen.append(heartbeater.beat_once()), heartbeater=heartbeater)
    take_turns(stage.decider(HurryAct), worker)
    assert (handle.result(0), seen) == (None, [left])


def test_frequent_heartbeats_are_sent_once_a_second_with_the_latest_details(
    stage: Stage, clock: Clock, heartbeater: Heartbeater
) -> None:
    def act(_: Any) -> None:
        for page in range(100):
            heartbeat(page)
        assert list_heartbeats(stage) == ["0"]
        assert heartbeater.beat_once() == 1.0
        clock.seconds += 1
        assert heartbeater.beat_once() == 0
        assert list_heartbeats(stage) == ["0", "99"]
        clock.seconds += 10
        heartbeater.beat_once()

    stage.start(CallAct())
    take_turns(stage.decider(CallAct), stage.worker(Act, act, heartbeater=heartbeater))
    assert list_heartbeats(stage) == ["0", "99", "99"]


def test_a_heartbeat_of_the_activity_postpones_the_next_automatic_one(
    stage: Stage, clock: Clock, heartbeater: Heartbeater
) -> None:
    def act(_: Any) -> None:
        clock.seconds += 9
        heartbeat()
        assert heartbeater.beat_once() == 10

    stage.start(CallAct())
    take_turns(stage.decider(CallAct), stage.worker(Act, act, heartbeater=heartbeater))
    assert beats(stage) == 1


def test_a_completed_task_gets_no_heartbeats(stage: Stage, clock: Clock, heartbeater: Heartbeater) -> None:
    stage.start(CallAct())
    take_turns(stage.decider(CallAct), stage.worker(Act, lambda _: 1, heartbeater=heartbeater))
    clock.seconds += 1_000
    assert heartbeater.beat_once() is None
    assert beats(stage) == 0


def test_a_task_that_has_ended_gets_no_heartbeats_and_its_activity_is_cancelled(
    stage: Stage, clock: Clock, heartbeater: Heartbeater
) -> None:
    handle = stage.start(CallAct())
    seen: list[bool] = []

    def act(_: Any) -> None:
        handle.terminate()
        seen.append(current_task().cancelled)
        clock.seconds += 10
        heartbeater.beat_once()
        seen.append(current_task().cancelled)
        clock.seconds += 10
        assert heartbeater.beat_once() is None
        heartbeat()

    take_turns(stage.decider(CallAct), stage.worker(Act, act, heartbeater=heartbeater))
    assert seen == [False, True]


class Race(Workflow[Any]):
    async def flow(self) -> Any:
        await first_of(Act(), sleep(5))
        await sleep(100)


def test_a_cancelled_activity_can_read_the_flag_before_its_heartbeat_raises(
    stage: Stage, clock: Clock, heartbeater: Heartbeater
) -> None:
    decider = stage.decider(Race)
    seen: list[object] = []

    def act(_: Any) -> None:
        stage.advance(6)
        take_turns(decider)
        clock.seconds += 10
        heartbeater.beat_once()
        seen.append(current_task().cancelled)
        clock.seconds += 10
        # It cleans up, and is beaten for meanwhile: the task is its own until it is answered.
        seen.append(heartbeater.beat_once())
        heartbeat()

    worker = stage.worker(Act, act, heartbeater=heartbeater)
    handle = stage.start(Race())
    take_turns(decider, worker)
    assert seen == [True, 0.0]
    assert len(find_events(handle, e.ActivityTaskCanceled)) == 1


def test_a_lost_heartbeat_is_followed_by_the_next(stage: Stage, clock: Clock, heartbeater: Heartbeater) -> None:
    def act(_: Any) -> None:
        stage.backend.lose_requests.append(o.RecordActivityTaskHeartbeat)
        for _ in range(2):
            clock.seconds += 10
            heartbeater.beat_once()

    handle = stage.start(CallAct())
    take_turns(stage.decider(CallAct), stage.worker(Act, act, heartbeater=heartbeater))
    assert handle.result(0) is None
    assert beats(stage) == 2


def test_heartbeats_of_an_event_loop_are_sent_by_the_heartbeater(stage: Stage, heartbeater: Heartbeater) -> None:
    handle = stage.start(CallAct(), Act)
    take_turns(stage.decider(CallAct))
    worker = stage.worker(Act, print, heartbeater=heartbeater)
    task = worker.poll_once(NOW)
    assert task is not None
    with worker.attempt(task, defer_heartbeats=True) as attempt:
        attempt.running.heartbeat("page 1")
        assert beats(stage) == 0
        assert heartbeater.beat_once() == 0
        assert list_heartbeats(stage) == ['"page 1"']
        attempt.complete(None)
    worker.respond(task, attempt.response)
    assert handle.history()


def test_threads_send_heartbeats_and_end_with_the_heartbeater(stage: Stage) -> None:
    arrived = threading.Event()

    class Heard(RunningActivity):
        def beat(self) -> None:
            super().beat()
            arrived.set()

    stage.start(CallAct(), Act)
    take_turns(stage.decider(CallAct))
    before = set(threading.enumerate())
    heartbeater = Heartbeater(threads=2)
    worker = stage.worker(Act, print)
    task = worker.poll_once(NOW)
    assert task is not None
    heard = Heard(stage.backend, task, worker._codec, timeout="1", heartbeater=heartbeater)
    heartbeater.begin(heard)
    assert arrived.wait(60)
    heartbeater.end(heard)
    heartbeater.close()
    assert set(threading.enumerate()) - before == set()


def test_a_heartbeat_that_the_service_rejects_raises_in_the_activity(stage: Stage) -> None:
    class Picky(LossyBackend):
        def call(self, request: Any, wait: timedelta | None = None) -> Any:
            if isinstance(request, o.RecordActivityTaskHeartbeat):
                raise ValidationException("no heartbeats today")
            return super().call(request, wait)

    handle = stage.start(CallAct(), Act)
    stage.decider(CallAct).work_once(NOW)
    ActivityWorker(Picky(stage.backend), Act, lambda _: heartbeat()).work_once(NOW)
    (failed,) = find_events(handle, e.ActivityTaskFailed)
    assert "no heartbeats today" in failed.details


# Bodies that outlive their tasks.


class Limited(Activity[None, None], start_to_close=10):
    def run(self) -> None: ...


class CallLimited(Workflow[None]):
    limit: int | None = None
    longest: int | None = None

    async def flow(self) -> None:
        call: Any = Limited()
        given = {"start_to_close": self.limit, "schedule_to_close": self.longest}
        given = {name: span for name, span in given.items() if span is not None}
        await (call.options(**given) if given else call)


@pytest.mark.parametrize(
    ("limits", "asked_at"),
    [((), 10.1), ((3,), 3.1), ((None, 4), 4.1), ((600, 4), 4.1), ((600,), 600.1)],
)
def test_a_task_without_a_heartbeat_is_asked_about_when_it_should_have_timed_out(
    stage: Stage, clock: Clock, heartbeater: Heartbeater, attempts: ExitStack, limits: Any, asked_at: float
) -> None:
    stage.start(CallLimited(*limits), Limited)
    take_turns(stage.decider(CallLimited))
    worker = stage.worker(Limited, heartbeater=heartbeater)
    task = worker.poll_once(NOW)
    assert task is not None
    running = attempts.enter_context(worker.attempt(task)).running
    outlived: list[float] = []
    running.when_outlived(lambda: outlived.append(clock.seconds))
    began = clock.seconds
    assert heartbeater.beat_once() == pytest.approx(asked_at)
    clock.seconds = began + asked_at + 0.1
    stage.advance(asked_at + 0.1)
    assert heartbeater.beat_once() == 0
    assert running.gone
    assert heartbeater.beat_once() == pytest.approx(OUTLIVED_SECONDS)
    clock.seconds += OUTLIVED_SECONDS + 0.1
    assert heartbeater.beat_once() == 0
    assert outlived == [clock.seconds]
    assert heartbeater.beat_once() is None


def test_the_pauses_between_checks_of_a_late_task_double(
    stage: Stage, clock: Clock, heartbeater: Heartbeater, attempts: ExitStack
) -> None:
    stage.start(CallLimited(), Limited)
    take_turns(stage.decider(CallLimited))
    worker = stage.worker(Limited, heartbeater=heartbeater)
    task = worker.poll_once(NOW)
    assert task is not None
    attempts.enter_context(worker.attempt(task))
    pauses = []
    for _ in range(10):
        pause = heartbeater.beat_once() or 0
        pauses.append(round(pause))
        clock.seconds += pause + 0.001
        heartbeater.beat_once()
    assert pauses == [10, 1, 1, 2, 4, 9, 18, 35, 60, 60]
    assert beats(stage) == 10


def test_a_body_that_has_noticed_that_its_task_is_gone_has_time_to_clean_up(
    stage: Stage, clock: Clock, heartbeater: Heartbeater, attempts: ExitStack
) -> None:
    handle = stage.start(CallAct(), Act)
    take_turns(stage.decider(CallAct))
    worker = stage.worker(Act, print, heartbeater=heartbeater)
    task = worker.poll_once(NOW)
    assert task is not None
    running = attempts.enter_context(worker.attempt(task)).running
    outlived: list[float] = []
    running.when_outlived(lambda: outlived.append(clock.seconds))
    handle.terminate()
    for _ in range(2):
        with pytest.raises(Cancelled):
            running.heartbeat()
    assert beats(stage) == 1
    clock.seconds += OUTLIVED_SECONDS + 0.1
    heartbeater.beat_once()
    assert outlived == []
    clock.seconds += CLEANUP_SECONDS
    heartbeater.beat_once()
    assert outlived == [clock.seconds]


def test_the_plans_of_tasks_that_have_ended_are_not_kept_until_they_would_be_due(
    stage: Stage, heartbeater: Heartbeater
) -> None:
    stage.start(CallAct(), Act)
    take_turns(stage.decider(CallAct))
    worker = stage.worker(Act, print, heartbeater=heartbeater)
    task = worker.poll_once(NOW)
    assert task is not None
    for _ in range(2_000):
        with worker.attempt(task):
            pass
    assert len(heartbeater._queue) < 500


# Handing back.


def test_a_task_that_is_handed_back_is_scheduled_again_without_a_retry_policy(
    stage: Stage, heartbeater: Heartbeater
) -> None:
    decider = stage.decider(CallAct)
    raised: list[type[BaseException]] = []

    def act(_: Any) -> str:
        heartbeater.hand_back()
        assert current_task().cancelled
        try:
            heartbeat()
        except Cancelled as error:
            raised.append(type(error))
        return "too late"

    handle = stage.start(CallAct())
    take_turns(decider, stage.worker(Act, act, heartbeater=heartbeater))
    (failed,) = find_events(handle, e.ActivityTaskFailed)
    assert failed.reason == HANDED_BACK
    assert "its worker stopped before it finished" in (failed.details or "")
    assert (raised, handle.status()) == ([Cancelled], "OPEN")
    stage.advance(60)
    take_turns(decider, stage.worker(Act, lambda _: "in time"))
    assert handle.result(0) == "in time"


class Insist(Workflow[int]):
    async def flow(self) -> int:
        return await Act().options(retry=Retry(attempts=2, backoff=0))


def test_a_task_is_handed_back_once(stage: Stage, heartbeater: Heartbeater) -> None:
    def act(_: Any) -> None:
        heartbeater.hand_back()
        heartbeater.hand_back()

    stage.start(CallAct())
    take_turns(stage.decider(CallAct), stage.worker(Act, act, heartbeater=heartbeater))
    assert stage.backend.asked.count("RespondActivityTaskFailed") == 1


def test_a_task_that_is_handed_back_does_not_count_as_an_attempt(stage: Stage) -> None:
    attempts: list[int] = []

    def act(_: Any) -> int:
        attempts.append(current_task().attempt)
        if len(attempts) <= 2:
            heartbeater.hand_back()
        if len(attempts) == 3:
            raise ValueError("no such page")
        return len(attempts)

    decider = stage.decider(Insist)
    handle = stage.start(Insist(), Act)
    for _ in range(3):
        heartbeater = Heartbeater(threads=0)
        take_turns(decider, stage.worker(Act, act, heartbeater=heartbeater))
        stage.advance(2)
    assert (handle.result(0), attempts) == (4, [1, 1, 1, 2])


def test_a_task_that_comes_after_the_grace_is_handed_back_before_its_activity_begins(
    stage: Stage, heartbeater: Heartbeater
) -> None:
    begun: list[object] = []
    heartbeater.hand_back()
    handle = stage.start(CallAct())
    take_turns(stage.decider(CallAct), stage.worker(Act, begun.append, heartbeater=heartbeater))
    assert begun == []
    assert len(find_events(handle, e.ActivityTaskFailed)) == 1


def test_a_task_that_cannot_be_handed_back_is_left_to_time_out(stage: Stage, heartbeater: Heartbeater) -> None:
    def act(_: Any) -> None:
        stage.backend.lose_requests.append(o.RespondActivityTaskFailed)
        heartbeater.hand_back()

    handle = stage.start(CallAct())
    take_turns(stage.decider(CallAct), stage.worker(Act, act, heartbeater=heartbeater))
    assert find_events(handle, e.ActivityTaskFailed) == []
    stage.advance(30)
    assert len(find_events(handle, e.ActivityTaskTimedOut)) == 1
