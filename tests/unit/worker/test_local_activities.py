"""Local activities run in the workflow worker within the decision task, at least once, and are recorded as markers."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tests.support.backends import BEGIN, Stage, find_events, name_types, take_turns
from traction import (
    Activity,
    Retry,
    Workflow,
    activity,
    all_of,
    current_task,
    first_of,
    heartbeat,
    patched,
    run,
    side_effect,
    sleep,
)
from traction.decider.decider import Decider
from traction.errors import (
    ActivityFailed,
    BackendError,
    DefinitionError,
    NonDeterminismError,
    PayloadError,
    PayloadStoreError,
    TractionError,
)
from traction.history.local_records import HEAD_CHARS_MAX, Record, find_record, find_room, write_record
from traction.history.reading import read_execution
from traction.model import events as e
from traction.model.names import ActivityType
from traction.payloads.codec import Codec
from traction.payloads.failures import DeclaredError
from traction.payloads.stores import PayloadStore
from traction.payloads.transforms import Compress, Transform
from traction.plugins.hookspecs import hookimpl
from traction.plugins.loading import load_plugins
from traction.plugins.observer import find_observer
from traction.runtime.activity_task import COMPLETE_LATER
from traction.worker.decider_cache import DeciderCache
from traction.worker.local_activities import LocalActivities
from traction.worker.loop import Worker
from traction_local.file_store import DirectoryStore


class Shelf:
    """A dependency that counts lookups, and returns or raises a prepared outcome by name."""

    def __init__(self, **does: Any) -> None:
        self.does = does
        self.asked: list[str] = []

    def look_up(self, name: str) -> Any:
        self.asked.append(name)
        act = self.does.get(name, len(name))
        return act() if callable(act) else act


class LookUp(Activity[Shelf, int]):
    name: str

    def run(self, shelf: Shelf) -> int:
        return shelf.look_up(self.name)  # type: ignore[no-any-return]


class Insist(LookUp, retry=Retry(attempts=3, backoff=0)):
    pass


class Persist(LookUp, retry=Retry(attempts=3, backoff=10)):
    pass


class Hurry(LookUp, retry=Retry(attempts=9, backoff=10, max_delay=10, deadline=25)):
    pass


@activity
def double(n: int) -> int:
    return 2 * n


class NoCake(DeclaredError):
    day: str


class Bake(LookUp, raises=(NoCake,)):
    pass


@activity
def write_much(n: int) -> str:
    """Write what no compression makes shorter."""
    return Random(7).randbytes(n).hex()


class WriteMuch(Workflow[int]):
    async def flow(self) -> int:
        return len(await write_much(50_000).locally())


class Chain(Workflow[int]):
    names: list[str]

    async def flow(self) -> int:
        total = 0
        for name in self.names:
            total += await LookUp(name).locally()
        return total


class Fan(Workflow[list[int]], task_start_to_close=10):
    names: list[str]

    async def flow(self) -> list[int]:
        return await all_of([LookUp(name).locally() for name in self.names])


class Mix(Workflow[int]):
    async def flow(self) -> int:
        first = await side_effect(lambda: 5)
        one, other = await (LookUp("ab").locally() & double(first))
        if await patched("more"):
            one += await LookUp("abc").locally()
        await sleep(5)
        return one + other + await LookUp("abcd").locally()


class Fail(Workflow[str]):
    how: str

    async def flow(self) -> str:
        call = {"once": LookUp, "insist": Insist, "persist": Persist, "hurry": Hurry, "bake": Bake}[self.how]
        try:
            return str(await call("x").locally())
        except NoCake as error:
            return f"no cake on {error.day}"
        except ActivityFailed as error:
            return f"{error.step} {error.type} {error.message}"


def fail_times(count: int, then: int = 7) -> Any:
    left = [ValueError("no")] * count

    def act() -> int:
        if left:
            raise left.pop()
        return then

    return act


def play(stage: Stage, call: Any, shelf: Shelf, *needed: Any, **given: Any) -> Any:
    """Start a workflow, and take all turns that can be taken, time passing when none can."""
    provide: dict[Any, Shelf] = dict.fromkeys((LookUp, Insist, Persist, Hurry, Bake), shelf)
    handle = stage.start(call, *needed)
    decider = stage.decider(type(call), local=LocalActivities(provide), **given)
    workers: list[Worker] = [decider, *map(stage.worker, needed)]
    for _ in range(20):
        take_turns(*workers)
        if handle.status() != "OPEN" or stage.stuck:
            break
        stage.advance(5)
    return handle


def list_markers(handle: Any) -> list[str]:
    return [event.marker_name for event in find_events(handle, e.MarkerRecorded)]


def test_a_chain_of_them_takes_one_decision_task(stage: Stage) -> None:
    shelf = Shelf()
    handle = play(stage, Chain(["a", "bb", "ccc"]), shelf)
    assert handle.result(0) == 6
    assert shelf.asked == ["a", "bb", "ccc"]
    assert name_types(handle)[3:] == ["DecisionTaskCompleted", *["MarkerRecorded"] * 3, "WorkflowExecutionCompleted"]
    assert list_markers(handle) == ["LookUp-1", "LookUp-2", "LookUp-3"]


def test_those_side_by_side_are_done_in_the_order_of_their_asking(stage: Stage) -> None:
    shelf = Shelf()
    assert play(stage, Fan(["ccc", "a", "bb"]), shelf).result(0) == [3, 1, 2]
    assert shelf.asked == ["ccc", "a", "bb"]


def test_on_replay_the_markers_answer_and_nothing_is_done(stage: Stage) -> None:
    shelf = Shelf()
    # Each decision task goes to a worker that knows nothing.
    handle = play(stage, Mix(), shelf, double, cache=DeciderCache(events_max=0))
    assert handle.result(0) == 2 + 10 + 3 + 4
    assert shelf.asked == ["ab", "abc", "abcd"]
    assert list_markers(handle) == ["side_effect-1", "1.0.LookUp-1", "~patch-more", "LookUp-1", "LookUp-2"]
    decider = Decider(Mix, execution=handle.execution)
    decider.feed(handle.history())
    assert decider.closed


def test_if_the_answer_is_lost_it_is_done_again(stage: Stage) -> None:
    shelf = Shelf()
    handle = stage.start(Chain(["a"]))
    decider = stage.decider(Chain, local=LocalActivities({LookUp: shelf}))
    task = decider.poll_once(timedelta(0))
    assert task is not None
    assert decider.do(task) is not None
    stage.advance(31)
    take_turns(decider)
    assert handle.result(0) == 1
    assert shelf.asked == ["a", "a"]
    assert list_markers(handle) == ["LookUp-1"]


@pytest.mark.parametrize(
    ("how", "failures", "gives", "markers"),
    [
        ("once", 1, "LookUp-1 ValueError no", ["LookUp-1"]),
        ("insist", 2, "7", ["Insist-1", "Insist-1~2", "Insist-1~3"]),
        ("insist", 3, "Insist-1 ValueError no", ["Insist-1", "Insist-1~2", "Insist-1~3"]),
        ("persist", 2, "7", ["Persist-1", "Persist-1~2", "Persist-1~3"]),
        ("hurry", 3, "Hurry-1 ValueError no", ["Hurry-1", "Hurry-1~2", "Hurry-1~3"]),
    ],
)
@pytest.mark.parametrize("events_max", [0, 1_000])
def test_a_failure_is_recorded_and_retried_by_the_policy_of_its_class(
    stage: Stage, how: str, failures: int, gives: str, markers: list[str], events_max: int
) -> None:
    shelf = Shelf(x=fail_times(failures))
    handle = play(stage, Fail(how), shelf, cache=DeciderCache(events_max=events_max))
    assert handle.result(0) == gives
    assert list_markers(handle) == markers
    pauses = [(event.timer_id, event.start_to_fire_timeout) for event in find_events(handle, e.TimerStarted)]
    expected = {
        "persist": [("Persist-1~retry-1", "10"), ("Persist-1~retry-2", "20")],
        "hurry": [("Hurry-1~retry-1", "10"), ("Hurry-1~retry-2", "10")],
    }
    assert pauses == expected.get(how, [])


def test_a_declared_error_is_caught_with_its_fields(stage: Stage) -> None:
    def fail() -> int:
        raise NoCake("Monday")

    assert play(stage, Fail("bake"), Shelf(x=fail)).result(0) == "no cake on Monday"


def test_many_local_activities_run_over_several_decision_tasks(stage: Stage) -> None:
    shelf = Shelf()
    names = [f"{n}" for n in range(120)]
    handle = play(stage, Fan(names), shelf)
    assert handle.result(0) == [len(name) for name in names]
    assert shelf.asked == names
    completed = [event.event_id for event in find_events(handle, e.DecisionTaskCompleted)]
    counts = [
        sum(event.decision_task_completed_event_id == one for event in find_events(handle, e.MarkerRecorded))
        for one in completed
    ]
    assert counts == [50, 50, 20]
    decider = Decider(Fan, execution=handle.execution)
    decider.feed(handle.history())
    assert decider.closed


@activity
def write(n: int) -> str:
    return "x" * n


class WriteOften(Workflow[int], task_start_to_close=None):
    async def flow(self) -> int:
        return sum([len(await write(30_000).locally()) for _ in range(20)])


def test_records_that_exceed_one_response_are_sent_over_several_decision_tasks(stage: Stage) -> None:
    handle = play(stage, WriteOften(), Shelf())
    assert handle.result(0) == 600_000
    assert len(find_events(handle, e.DecisionTaskCompleted)) == 3
    assert stage.stuck == []


def test_no_more_are_begun_when_half_of_the_time_of_a_decision_task_has_passed(stage: Stage) -> None:
    def tarry() -> int:
        stage.time += timedelta(seconds=3)
        return 1

    shelf = Shelf(**dict.fromkeys("abcde", tarry))
    handle = play(stage, Fan(list("abcde")), shelf)
    assert handle.result(0) == [1] * 5
    assert shelf.asked == list("abcde")
    assert [event.timer_id for event in find_events(handle, e.TimerStarted)] == ["~more-3", "~more-10"]
    assert find_events(handle, e.DecisionTaskTimedOut) == []


def test_one_that_takes_longer_than_a_decision_task_is_logged(stage: Stage, caplog: Any) -> None:
    def tarry() -> int:
        stage.time += timedelta(seconds=11)
        return 1

    stage.start(Fan(["x"]))
    assert stage.decider(Fan, local=LocalActivities({LookUp: Shelf(x=tarry)})).work_once(timedelta(0))
    assert "0.LookUp-1 ended after 11.0 s in a decision task that may take 10 s" in caplog.text


def test_what_loses_a_race_before_it_has_begun_is_not_done(stage: Stage) -> None:
    class Race(Workflow[int]):
        async def flow(self) -> int:
            return await first_of([LookUp("a").locally(), LookUp("bb").locally()])

    shelf = Shelf()
    assert play(stage, Race(), shelf).result(0) == 1
    assert shelf.asked == ["a"]


def test_a_pause_between_attempts_can_lose_a_race(stage: Stage) -> None:
    class Race(Workflow[int]):
        async def flow(self) -> int:
            return await (Persist("x").locally() | sleep(3).map(lambda _: 0))

    handle = play(stage, Race(), Shelf(x=fail_times(1)))
    assert handle.result(0) == 0
    assert [event.timer_id for event in find_events(handle, e.TimerCanceled)] == ["1.0.Persist-1~retry-1"]


def test_what_the_body_does_to_its_input_the_flow_does_not_see(stage: Stage) -> None:
    @activity
    def spoil(items: list[int]) -> int:
        items.append(7)
        return len(items)

    class Keep(Workflow[list[int]]):
        async def flow(self) -> list[int]:
            items = [1]
            return [await spoil(items).locally(), *items]

    assert play(stage, Keep(), Shelf()).result(0) == [2, 1]


def test_an_async_activity_is_awaited(stage: Stage) -> None:
    @activity
    async def wait(n: int) -> int:
        await asyncio.sleep(0)
        return n

    class Wait(Workflow[int]):
        async def flow(self) -> int:
            return await wait(7).locally()

    assert play(stage, Wait(), Shelf()).result(0) == 7


def test_its_body_has_a_task_whose_heartbeats_are_ignored(stage: Stage) -> None:
    def tell() -> int:
        task = current_task()
        heartbeat("half")
        tasks.append((task.activity_id, task.attempt, task.activity_type, task.execution.workflow_id, task.cancelled))
        return fails() if (fails := failures.get("x")) else 1

    tasks: list[Any] = []
    failures = {"x": fail_times(1)}
    handle = play(stage, Fail("insist"), Shelf(x=tell))
    id = handle.workflow_id
    kind = ActivityType("Insist", "1")
    assert tasks == [("Insist-1", 1, kind, id, False), ("Insist-1~2", 2, kind, id, False)]
    with pytest.raises(TractionError, match="no activity is running"):
        current_task()


@pytest.mark.parametrize(
    ("gives", "says"),
    [
        ("three", "does not decode as int"),
        (COMPLETE_LATER, "has no task token"),
        (float("nan"), "JSON has no nan"),
    ],
)
def test_a_result_that_cannot_be_is_its_failure(stage: Stage, gives: Any, says: str) -> None:
    assert says in play(stage, Fail("once"), Shelf(x=gives)).result(0)


@pytest.mark.parametrize("length", [32_000, 40_000])
def test_a_result_that_a_marker_has_no_room_for_is_its_failure(stage: Stage, length: int) -> None:
    @activity
    def write(n: int) -> str:
        return "x" * n

    class Write(Workflow[str]):
        async def flow(self) -> str:
            return (await write(30_000).locally())[:1] + await write(length).locally()

    handle = play(stage, Write(), Shelf())
    if length > 32_768:
        assert handle.status() == "FAILED"
    else:
        assert len(handle.result(0)) == 1 + length


def test_a_result_that_is_too_long_goes_to_the_payload_store(stage: Stage, tmp_path: Path) -> None:
    handle = play(stage, WriteMuch(), Shelf(), codec=Codec(store=DirectoryStore(tmp_path)))
    assert handle.result(0) == 100_000
    assert len(list(tmp_path.rglob("*"))) > 0


@pytest.mark.parametrize("length", [31_000, 31_231, 32_500, 32_600, 32_700, 32_766, 32_767, 40_000])
@pytest.mark.parametrize("transforms", [(), (Compress(),)])
def test_with_a_payload_store_a_result_of_any_length_is_given(
    stage: Stage, tmp_path: Path, length: int, transforms: tuple[Transform, ...]
) -> None:
    # What can hardly be compressed.
    text = "".join(sha256(str(n).encode()).hexdigest() for n in range(length // 64 + 1))[:length]

    @activity
    def write() -> str:
        return text

    class Write(Workflow[int]):
        async def flow(self) -> int:
            return len(await write().locally())

    assert play(stage, Write(), Shelf(), codec=Codec(*transforms, store=DirectoryStore(tmp_path))).result(0) == length


def test_while_the_payload_store_takes_nothing_the_flow_waits(stage: Stage) -> None:
    class Full(PayloadStore):
        url = "full:"

        def get(self, key: str) -> bytes | None:
            return None

        def put(self, key: str, data: bytes) -> None:
            raise BackendError("no space is left")

    handle = stage.start(WriteMuch())
    take_turns(stage.decider(WriteMuch, codec=Codec(store=Full())))
    (stuck,) = stage.stuck
    assert isinstance(stuck.error, PayloadStoreError)
    assert handle.status() == "OPEN"


def test_a_failure_is_cut_to_what_a_marker_has_room_for(stage: Stage) -> None:
    def fail() -> int:
        raise ValueError("\x00" * 50_000)

    handle = play(stage, Fail("once"), Shelf(x=fail))
    assert handle.result(0).startswith("LookUp-1 ValueError")


def test_without_what_it_needs_the_flow_waits_for_a_worker_that_has_it(stage: Stage) -> None:
    handle = stage.start(Chain(["a"]))
    take_turns(stage.decider(Chain))
    (stuck,) = stage.stuck
    assert isinstance(stuck.error, DefinitionError)
    assert "start_workflow_worker(..., provide={LookUp: dependency})" in str(stuck.error)
    stage.advance(31)
    take_turns(stage.decider(Chain, local=LocalActivities({LookUp: Shelf()})))
    assert handle.result(0) == 1


def test_a_body_may_stand_for_an_activity(stage: Stage) -> None:
    handle = stage.start(Chain(["a", "b"]))
    take_turns(stage.decider(Chain, local=LocalActivities(bodies={LookUp: lambda call: ord(call.name)})))
    assert handle.result(0) == 97 + 98


def test_plugins_are_called_for_each_attempt(stage: Stage) -> None:
    class Listener:
        def __init__(self) -> None:
            self.heard: list[Any] = []

        @hookimpl
        def traction_task_started(self, task: Any) -> None:
            self.heard.append(task.activity_id)

        @hookimpl
        def traction_task_finished(self, task: Any, outcome: str, error: Any) -> None:
            self.heard.append((task.activity_id, outcome, repr(error)))

    listener = Listener()
    plugins = load_plugins()
    plugins.register(listener)
    play(stage, Fail("insist"), Shelf(x=fail_times(1)), observer=find_observer(plugins))
    first = ["Insist-1", ("Insist-1", "FAILED", "ValueError('no')")]
    assert listener.heard == [*first, "Insist-1~2", ("Insist-1~2", "COMPLETED", "None")]


def test_only_activities_are_provided_for() -> None:
    with pytest.raises(DefinitionError, match="is not one"):
        LocalActivities({Chain: 7})  # type: ignore[dict-item]


# Code that has changed.


def replay(changed: Any, handle: Any) -> str:
    decider = Decider(changed, execution=handle.execution)

    def read() -> None:
        decider.feed(handle.history())
        decider.end()

    with pytest.raises(NonDeterminismError) as caught:
        read()
    return f"{caught.value.expected} | {caught.value.actual}"


def make_chain(call: Any) -> Any:
    class Changed(Workflow[int], name="Chain"):
        names: list[str]

        async def flow(self) -> int:
            return int(await call(self.names[0]))

    return Changed


def test_code_that_asks_for_another_version_does_not_match(stage: Stage) -> None:
    class Newer(LookUp, name="LookUp", version="2"):
        pass

    handle = play(stage, Chain(["a"]), Shelf())
    assert replay(make_chain(lambda n: Newer(n).locally()), handle) == "RecordMarker  LookUp 1 | RecordMarker  LookUp 2"


def test_code_that_no_longer_asks_locally_does_not_match(stage: Stage) -> None:
    handle = play(stage, Chain(["a"]), Shelf())
    assert replay(make_chain(LookUp), handle) == "RecordMarker  LookUp-1 | ScheduleActivityTask  LookUp 1"


def test_code_that_asks_locally_from_now_on_does_not_match(stage: Stage) -> None:
    handle = stage.start(make_chain(double)(["a"]), double)
    take_turns(stage.decider(make_chain(lambda _: double(7))))
    changed = make_chain(lambda _: double(7).locally())
    assert replay(changed, handle) == "ScheduleActivityTask  double 1 | RecordMarker  double-1"


def test_code_that_asks_for_one_more_does_not_match(stage: Stage) -> None:
    waits = make_chain(lambda _: all_of([sleep(60)]))
    handle = stage.start(waits(["a"]))
    take_turns(stage.decider(waits))
    changed = make_chain(lambda name: all_of([sleep(60), LookUp(name).locally()]))
    assert replay(changed, handle) == "nothing | RecordMarker  1.1.LookUp-1"


# How they are seen.


def test_a_history_shows_each_as_a_step_with_its_time_and_its_attempts(stage: Stage) -> None:
    def tarry() -> int:
        stage.time += timedelta(milliseconds=300)
        return act()  # type: ignore[no-any-return]

    act = fail_times(1)
    handle = play(stage, Fail("persist"), Shelf(x=tarry))
    (step,) = read_execution(handle.history()).steps
    assert (step.id, step.kind, step.state, step.attempts, step.note) == (
        "Persist-1",
        "local",
        "Done",
        2,
        "attempt 2; 7",
    )
    lasted = [(part.kind, part.state, part.closed_at - part.scheduled_at) for part in step.parts if part.closed_at]
    spent = timedelta(milliseconds=300)
    assert lasted == [
        ("attempt", "Failed", spent),
        ("pause", "Done", timedelta(seconds=10)),
        ("attempt", "Done", spent),
    ]


def test_the_clock_of_another_machine_is_believed_within_the_run(stage: Stage) -> None:
    handle = play(stage, Chain(["a"]), Shelf())
    events = handle.history()
    marker = find_events(handle, e.MarkerRecorded)[0]
    for hours in (-1, 1):
        record = Record("LookUp", "1", marker.event_timestamp + timedelta(hours=hours), 2.0, None, "1")
        events[marker.event_id - 1] = structs.replace(marker, details=write_record(record))
        (step,) = read_execution(events).steps
        assert (step.scheduled_at, step.closed_at) == (events[0].event_timestamp, events[0].event_timestamp)


# Who gives them what they need.


def test_a_worker_system_passes_dependencies_to_local_activities(stage: Stage) -> None:
    shelf = Shelf()
    stage.system.start_workflow_worker(Chain, provide={LookUp: shelf})
    assert stage.system.run(Chain(["a", "bb"]), timeout=30) == 3
    assert shelf.asked == ["a", "bb"]


def test_run_passes_dependencies_to_local_activities() -> None:
    assert run(Chain(["a", "bb"]), provide={LookUp: Shelf()}, timeout=30) == 3


# Records.


@given(st.text(max_size=40), st.none() | st.text(max_size=40), st.floats(0, 1e6), st.datetimes(timezones=st.just(UTC)))
def test_a_record_that_is_written_is_read_back(text: str, reason: str | None, seconds: float, began: Any) -> None:
    record = Record(text, "1", began, seconds, reason, text)
    assert find_record(write_record(record)) == record


@given(st.none() | st.text() | st.just('{"activity":"a"}\n') | st.just('{"activity":\n'))
def test_other_markers_are_not_records(details: str | None) -> None:
    assert find_record(details) is None


def test_the_head_of_a_record_fits_whatever_the_names() -> None:
    name = '"' * 256
    record = Record(name, name[:64], BEGIN, 1 / 3, name)
    assert len(write_record(record)) <= HEAD_CHARS_MAX


@given(st.text(max_size=40), st.floats(0, 1e6), st.datetimes(timezones=st.just(UTC)))
def test_what_has_room_beside_the_head_of_a_record_can_be_written(name: str, seconds: float, began: Any) -> None:
    room = find_room(name, "1", began)
    span = timedelta(seconds=seconds).total_seconds()
    assert len(write_record(Record(name, "1", began, span, details="x" * room))) <= 32_768


def test_a_record_that_a_marker_has_no_room_for_is_refused() -> None:
    with pytest.raises(PayloadError, match="return a reference"):
        write_record(Record("a", "1", BEGIN, 0.1, details="x" * 32_768))
