"""What is written is what was answered: in memory, in a file, reopened, or shared, the histories are the same."""

from __future__ import annotations

import os
import resource
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.traction_local.test_service import NOON, POLL, SECOND, SIGNAL, script
from tests.unit.traction_local.test_service_properties import Move, World, answer_lambda, check, knob_choices, read
from tests.unit.traction_local.test_service_properties import moves as move_lists
from traction.errors import (
    BackendError,
    SerializationException,
    ServiceFault,
    UnknownResourceFault,
    ValidationException,
)
from traction.model import operations as o
from traction.model.decisions import CompleteWorkflowExecution, ScheduleActivityTask, StartTimer
from traction.model.events import Event
from traction.model.limits import Limits
from traction.model.names import ActivityType, TaskList, WorkflowExecution, WorkflowType
from traction.plugins.loading import open_backend
from traction_local import journal
from traction_local.backend import LocalBackend
from traction_local.journal import FORMAT, JournaledService, JournalError, JournalUnavailable
from traction_local.service.knobs import Knobs
from traction_local.service.service import Service

Histories = dict[WorkflowExecution, tuple[Event, ...]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "work.db"


@pytest.fixture
def open_service(path: Path) -> Iterator[Callable[..., JournaledService]]:
    """Open services on one file, and close them after the test."""
    opened: list[JournaledService] = []

    def open_one(**given: Any) -> JournaledService:
        opened.append(JournaledService(path, seed="s", **given))
        return opened[-1]

    yield open_one
    for service in opened:
        service.close()


def begin(service: Service) -> None:
    for seconds, request in script():
        service.call(request, NOON + seconds * SECOND)


def read_entries(path: Path) -> list[tuple[int, int, str, str]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT * FROM journal ORDER BY seq").fetchall()


def read_all(service: Service) -> Histories:
    """The histories of all runs, as they are: nothing that is due is let happen."""
    now, ever = service.clock, o.ExecutionTimeFilter(oldest_date=NOON)
    opened = service.call(o.ListOpenWorkflowExecutions(domain="d", start_time_filter=ever), now)
    closed = service.call(o.ListClosedWorkflowExecutions(domain="d", start_time_filter=ever), now)
    runs = (*opened.execution_infos, *closed.execution_infos)
    return {info.execution: read(service, info.execution, service.clock) for info in runs}


# The same as in memory.


class Replicas(World):
    """A world whose service is a file. Each move is made by one of those that have it open."""

    def __init__(self, path: str, knobs: Knobs, limits: Limits, replicas: int = 1) -> None:
        self.path = path
        self.given: dict[str, Any] = {"seed": "s", "knobs": knobs, "limits": limits, "lambdas": answer_lambda}
        self.open = [JournaledService(path, **self.given) for _ in range(replicas)]
        self.turn = 0
        super().__init__(knobs, limits)

    @property
    def service(self) -> Service:
        return self.open[self.turn]

    @service.setter
    def service(self, _: Service) -> None:
        """The world makes one in memory, which is not wanted."""

    def reopen(self, which: int) -> None:
        self.open[which].close()
        self.open[which] = JournaledService(self.path, **self.given)

    def close(self) -> None:
        for service in self.open:
            service.close()


@contextmanager
def make_replicas(knobs: Knobs, limits: Limits, replicas: int) -> Iterator[Replicas]:
    with TemporaryDirectory() as directory, closing(Replicas(f"{directory}/w.db", knobs, limits, replicas)) as world:
        yield world


limit_choices = st.sampled_from([Limits(), Limits(throttling=True, open_children_max=1, api_buckets=())])


@given(move_lists, knob_choices, limit_choices, st.data())
def test_a_file_gives_the_same_histories_as_memory_in_any_process(
    moves: list[Move], knobs: Knobs, limits: Limits, data: st.DataObject
) -> None:
    memory = World(knobs, limits)
    turns = data.draw(st.lists(st.sampled_from([0, 1, 2, "reopen"]), min_size=len(moves), max_size=len(moves)))
    with make_replicas(knobs, limits, 3) as files:
        for move, turn in zip(moves, turns, strict=True):
            if isinstance(turn, int):
                files.turn = turn
            else:
                files.reopen(files.turn)
            memory.move(move)
            files.move(move)
        if knobs.page_items_served_max < 1000:
            return
        expected = check(memory)
        for files.turn in range(3):
            assert check(files) == expected
        files.reopen(0)
        files.turn = 0
        assert check(files) == expected


@given(move_lists, st.data())
def test_replicas_agree_whatever_their_clocks_show(moves: list[Move], data: st.DataObject) -> None:
    skews = [timedelta(0), timedelta(seconds=3), timedelta(milliseconds=-7)]
    turns = data.draw(st.lists(st.integers(0, 2), min_size=len(moves), max_size=len(moves)))
    with make_replicas(Knobs(), Limits(), 3) as files:
        for move, files.turn in zip(moves, turns, strict=True):
            files.now += skews[files.turn]
            files.move(move)
            files.now -= skews[files.turn]
        files.reopen(0)
        files.now += timedelta(seconds=10)
        files.turn = 0
        expected = check(files)
        for files.turn in (1, 2):
            assert check(files) == expected
        assert len({(service.clock, service.revision, service.next_alarm()) for service in files.open}) == 1


@given(move_lists, st.data())
def test_calls_that_are_committed_together_are_there_together_or_not_at_all(
    moves: list[Move], data: st.DataObject
) -> None:
    """A replica that is cut off between commits has what was committed, and goes on from there."""
    with make_replicas(Knobs(), Limits(), 1) as files:
        files.open[0].close()
        files.open[0] = JournaledService(files.path, group=True, **files.given)
        committed = read_all(files.service)
        for move in moves:
            files.move(move)
            match data.draw(st.sampled_from(["go on", "go on", "commit", "cut off"])):
                case "commit":
                    files.open[0].commit()
                    committed = read_all(files.service)
                case "cut off":
                    files.open[0].close()
                    files.open[0] = JournaledService(files.path, group=True, **files.given)
                    assert read_all(files.service) == committed
        files.open[0].commit()
        expected = check(files)
        files.open[0].commit()
        files.reopen(0)
        assert check(files) == expected


def test_every_operation_is_read_as_it_was_written() -> None:
    assert set(journal._DECODE) == {kind.__name__ for kind in get_args(o.Operation)}
    for kind in get_args(o.Operation):
        example = msgspec.convert(
            {"decisions": [], "tagKeys": [], "tags": []} | _fill(kind), kind, strict=False, from_attributes=True
        )
        assert journal._DECODE[kind.__name__](journal._encode(example)) == example


def _fill(kind: Any) -> dict[str, Any]:
    """The members that a request must have, by their types."""
    values: dict[Any, Any] = {
        str: "x",
        TaskList: {"name": "l"},
        WorkflowExecution: {"workflowId": "w", "runId": "r"},
        WorkflowType: {"name": "n", "version": "1"},
        ActivityType: {"name": "n", "version": "1"},
        o.ExecutionTimeFilter: {"oldestDate": NOON},
    }
    fields = msgspec.structs.fields(kind)
    return {
        field.encode_name: values.get(field.type, "REGISTERED")
        for field in fields
        if field.required and field.encode_name not in ("tagKeys", "tags")
    }


# What is written.


def test_only_what_changed_the_state_is_written(open_service: Callable[..., JournaledService], path: Path) -> None:
    service = open_service()
    begin(service)
    service.call(o.DescribeDomain(name="d"), NOON + 2 * SECOND)
    assert not service.call(o.PollForActivityTask(domain="d", task_list=TaskList("A")), NOON + 2 * SECOND).task_token
    assert not service.call(o.PollForDecisionTask(domain="d", task_list=TaskList("none")), NOON + SECOND).task_token
    with pytest.raises(UnknownResourceFault):
        service.call(msgspec.structs.replace(SIGNAL, workflow_id="x"), NOON + 2 * SECOND)
    service.advance(NOON + 3 * SECOND)
    names = [operation for _, _, operation, _ in read_entries(path)]
    assert names == ["RegisterDomain", "RegisterWorkflowType", "RegisterActivityType", "StartWorkflowExecution"]
    assert service.call(POLL, NOON + 4 * SECOND).task_token
    assert [operation for _, _, operation, _ in read_entries(path)][4:] == ["PollForDecisionTask"]


def test_a_call_that_changed_nothing_does_not_move_the_clock_that_others_see(
    open_service: Callable[..., JournaledService],
) -> None:
    ahead, behind = open_service(), open_service()
    begin(ahead)
    ahead.call(o.DescribeDomain(name="d"), NOON + 60 * SECOND)
    with pytest.raises(UnknownResourceFault):
        ahead.call(msgspec.structs.replace(SIGNAL, workflow_id="x"), NOON + 60 * SECOND)
    behind.call(SIGNAL, NOON + 5 * SECOND)
    for service in (ahead, behind):
        (history,) = read_all(service).values()
        assert history[-1].event_timestamp == NOON + 5 * SECOND


@pytest.mark.parametrize("asks", ["advance", "read", "poll", "fault"])
def test_a_due_alarm_is_written_by_the_process_that_finds_it(
    asks: str, open_service: Callable[..., JournaledService], path: Path
) -> None:
    service = open_service()
    begin(service)
    task = service.call(POLL, NOON + SECOND)
    timer = StartTimer(timer_id="t", start_to_fire_timeout="7")
    service.call(o.RespondDecisionTaskCompleted(task_token=task.task_token, decisions=(timer,)), NOON + SECOND)
    late = NOON + 100 * SECOND
    if asks == "advance":
        service.advance(late)
    elif asks == "read":
        service.call(o.DescribeDomain(name="d"), late)
    elif asks == "poll":
        service.call(o.PollForDecisionTask(domain="d", task_list=TaskList("none")), late)
    else:
        with pytest.raises(UnknownResourceFault):
            service.call(msgspec.structs.replace(SIGNAL, workflow_id="x"), late)
    assert [operation for _, _, operation, _ in read_entries(path)][-1] == "tick"
    (history,) = read_all(open_service()).values()
    assert [(type(event).__name__, event.event_timestamp) for event in history[-2:]] == [
        ("TimerFired", NOON + 8 * SECOND),
        ("DecisionTaskScheduled", NOON + 8 * SECOND),
    ]


def test_a_request_that_cannot_be_written_has_no_effect(open_service: Callable[..., JournaledService]) -> None:
    service = open_service()
    begin(service)
    before = read_all(service)
    with pytest.raises(SerializationException):
        service.call(msgspec.structs.replace(SIGNAL, input="\ud800"), NOON + 2 * SECOND)
    with pytest.raises(ValidationException):
        service.call(msgspec.structs.replace(SIGNAL, input="\ud800", signal_name=""), NOON + 2 * SECOND)
    assert read_all(service) == read_all(open_service()) == before


def test_a_queue_is_ready_in_every_replica_once_per_task(open_service: Callable[..., JournaledService]) -> None:
    one, other = open_service(), open_service()
    begin(one)
    assert len(one.take_ready()) == 1
    other.advance(NOON + SECOND)
    assert len(other.take_ready()) == 1
    assert len(open_service().take_ready()) == 1
    one.call(POLL, NOON + SECOND)
    other.advance(NOON + SECOND)
    assert other.take_ready() == open_service().take_ready() == []


# What fails.


def grow(service: Service, names: Iterator[int]) -> None:
    """Start executions with large inputs, until one cannot be written."""
    for n in names:
        service.call(
            o.StartWorkflowExecution(
                domain="d", workflow_id=f"big-{n}", workflow_type=WorkflowType("trip", "1"), input="x" * 30_000
            ),
            NOON + 2 * SECOND,
        )


def test_what_finds_the_disk_full_has_no_effect_and_works_again_when_there_is_room(
    open_service: Callable[..., JournaledService],
) -> None:
    service, other = open_service(), open_service()
    begin(service)
    assert service._db is not None
    (pages,) = service._db.execute("PRAGMA page_count").fetchone()
    service._db.execute(f"PRAGMA max_page_count = {pages + 40}")
    with pytest.raises(JournalUnavailable, match="is full") as caught:
        grow(service, iter(range(100)))
    assert caught.value.retryable
    assert read_all(service) == read_all(other)
    assert 3 < len(read_all(other)) < 10
    service._db.execute(f"PRAGMA max_page_count = {pages + 4000}")
    count = len(read_all(service))
    grow(service, iter(range(100, 105)))
    assert len(read_all(service)) == count + 5
    assert read_all(service) == read_all(other)


def test_a_commit_that_fails_takes_all_back_that_was_called_since_the_last(
    open_service: Callable[..., JournaledService], path: Path
) -> None:
    service = open_service(group=True)
    begin(service)
    service.commit()
    before = read_all(service)
    grow(service, iter(range(3)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # What no write can pass stands for a disk that is full, or fails.
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(f"{path}-wal"), hard))
    try:
        with pytest.raises(JournalUnavailable):
            service.commit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read_all(service) == read_all(open_service()) == before
    grow(service, iter(range(3)))
    service.commit()
    assert len(read_all(open_service())) == len(before) + 3


def test_a_file_locked_for_too_long_by_another_process_raises(
    open_service: Callable[..., JournaledService], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "BUSY_SECONDS_MAX", 0.05)
    service = open_service()
    begin(service)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalUnavailable, match=r"work\.db was locked for more than 0\.05 s") as caught:
            service.call(SIGNAL, NOON + 2 * SECOND)
        assert caught.value.retryable
        assert not isinstance(caught.value, ServiceFault)
        # A reader waits for no lock.
        assert len(read_all(service)) == 1
    service.call(SIGNAL, NOON + 2 * SECOND)
    (history,) = read_all(service).values()
    assert [type(event).__name__ for event in history].count("WorkflowExecutionSignaled") == 1


def test_a_file_that_is_moved_while_open_raises(open_service: Callable[..., JournaledService], path: Path) -> None:
    service = open_service()
    begin(service)
    path.rename(path.with_name("elsewhere.db"))
    for _ in range(2):
        with pytest.raises(JournalError, match="moved or deleted while it was open"):
            service.call(SIGNAL, NOON + 2 * SECOND)
    path.with_name("elsewhere.db").rename(path)
    service.call(SIGNAL, NOON + 2 * SECOND)


def write_text(path: Path) -> None:
    path.write_text("Shopping list: bread, milk, cheese. " * 40)


def write_other_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript("CREATE TABLE books (title TEXT); INSERT INTO books VALUES ('SICP');")


def write_older_format(path: Path, format: int = FORMAT - 1) -> None:
    JournaledService(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {format}")


def write_newer_format(path: Path) -> None:
    write_older_format(path, FORMAT + 1)


def write_with_a_hole(path: Path) -> None:
    with closing(JournaledService(path)) as service:
        begin(service)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM journal WHERE seq = 2")


def write_nonsense_entry(path: Path) -> None:
    with closing(JournaledService(path)) as service:
        begin(service)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE journal SET request = '{}' WHERE seq = 3")


def write_entry_that_was_never_accepted(path: Path) -> None:
    with closing(JournaledService(path)) as service:
        begin(service)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE journal SET request = replace(request, '\"w\"', '\":\"') WHERE seq = 4")


def write_with_limits(path: Path) -> None:
    JournaledService(path, limits=Limits(open_timers_max=3)).close()


def write_torn(path: Path) -> None:
    with closing(JournaledService(path)) as service:
        begin(service)
        grow(service, iter(range(10)))
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 4096 * 20)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (write_text, "is not a file of Traction, and was not changed: use another path"),
        (write_other_database, "is not a file of Traction, and was not changed: use another path"),
        (write_older_format, f"has format {FORMAT - 1}, and this release of Traction reads format {FORMAT}: .* older"),
        (write_newer_format, f"has format {FORMAT + 1}, and this release of Traction reads format {FORMAT}: .* newer"),
        (write_with_a_hole, r"is damaged \(entry 2 is missing\)"),
        (write_nonsense_entry, r"is damaged \(entry 3 cannot be read\)"),
        (write_entry_that_was_never_accepted, "entry 4 of .*StartWorkflowExecution, was accepted, but has no effect"),
        (write_with_limits, r'was made with the limits and knobs {"Limits.open_timers_max":3}, and is opened with {}'),
        (write_torn, "is damaged .* replace it by a backup"),
    ],
)
def test_an_unusable_file_raises_and_is_left_unchanged(write: Callable[[Path], None], message: str, path: Path) -> None:
    write(path)
    before = path.read_bytes()
    with pytest.raises(JournalError, match=message) as caught:
        JournaledService(path)
    assert str(path) in str(caught.value)
    assert not caught.value.retryable
    assert path.read_bytes() == before


def test_a_path_that_cannot_be_a_file_raises(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"there is no directory .*nowhere: create it first"):
        JournaledService(tmp_path / "nowhere" / "work.db")
    with pytest.raises(JournalError, match="is a directory: use the path of a file"):
        JournaledService(tmp_path)


READ_ONLY = """
import os, sys
from traction_local.journal import JournaledService, JournalError
path, user = sys.argv[1], int(sys.argv[2])
if user:
    os.setuid(user)
try:
    JournaledService(path)
except JournalError as error:
    print(error)
"""


def test_a_file_without_write_permission_raises() -> None:
    # In a process of its own, for root may write everything, and here gives that up.
    with TemporaryDirectory(dir="/tmp") as directory:
        file = Path(directory, "work.db")
        JournaledService(file).close()
        file.chmod(0o444)
        Path(directory).chmod(0o555)
        user = "65534" if os.getuid() == 0 else "0"
        run = subprocess.run([sys.executable, "-c", READ_ONLY, file, user], capture_output=True, check=True, text=True)
        Path(directory).chmod(0o755)
    assert "make the file and its directory writable" in run.stdout or "may read and write" in run.stdout


def test_a_new_file_is_readable_by_its_owner_alone(open_service: Callable[..., JournaledService], path: Path) -> None:
    begin(open_service())
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_many_may_make_one_file_at_once(path: Path) -> None:
    seeds: list[str] = []

    def make(n: int) -> None:
        with closing(JournaledService(path, seed=str(n))) as service:
            with suppress(ServiceFault):
                service.call(o.RegisterDomain(name="d", workflow_execution_retention_period_in_days="1"), NOON)
            seeds.append(service._arguments["seed"])

    threads = [threading.Thread(target=make, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seeds) == 8
    assert len(set(seeds)) == 1
    assert [operation for _, _, operation, _ in read_entries(path)] == ["RegisterDomain"]


# As a backend.


@pytest.fixture
def open_url(path: Path) -> Iterator[Callable[..., LocalBackend]]:
    opened: list[Any] = []

    def open_one(query: str = "") -> LocalBackend:
        opened.append(open_backend(f"local:{path}{query}"))
        return opened[-1]  # type: ignore[no-any-return]

    yield open_one
    for backend in opened:
        backend.close()


def register(backend: LocalBackend) -> None:
    for _, request in script():
        if not isinstance(request, o.RegisterDomain):
            given = {"domain": backend.domain} if "domain" in request.__struct_fields__ else {}
            backend.call(msgspec.structs.replace(request, **given))


def test_a_poll_that_waits_is_woken_by_work_that_another_brings(open_url: Callable[..., LocalBackend]) -> None:
    mine, other = open_url(), open_url()
    answers: list[o.DecisionTask] = []
    poll = o.PollForDecisionTask(domain=mine.domain, task_list=TaskList("L"))
    thread = threading.Thread(target=lambda: answers.append(mine.call(poll, timedelta(seconds=60))))
    thread.start()
    register(other)
    thread.join()
    assert answers[0].task_token


def test_who_waits_for_a_close_is_woken_though_another_brings_it(open_url: Callable[..., LocalBackend]) -> None:
    mine, other = open_url(), open_url()
    register(mine)
    task = other.call(o.PollForDecisionTask(domain=mine.domain, task_list=TaskList("L")))
    closed: list[bool] = []
    thread = threading.Thread(
        target=lambda: closed.append(mine.wait_until_closed(task.workflow_execution, timedelta(seconds=60)))
    )
    thread.start()
    other.call(
        o.RespondDecisionTaskCompleted(task_token=task.task_token, decisions=(CompleteWorkflowExecution(result="1"),))
    )
    thread.join()
    assert closed == [True]
    closing_event = mine.find_closing_event(task.workflow_execution)
    assert type(closing_event).__name__ == "WorkflowExecutionCompleted"


def test_a_running_task_is_completed_after_the_backend_was_closed(
    open_url: Callable[..., LocalBackend], path: Path
) -> None:
    backend = open_url()
    register(backend)
    task = backend.call(o.PollForDecisionTask(domain=backend.domain, task_list=TaskList("L")))
    book = ScheduleActivityTask(activity_type=ActivityType("book", "1"), activity_id="a")
    backend.call(o.RespondDecisionTaskCompleted(task_token=task.task_token, decisions=(book,)))
    work = backend.call(o.PollForActivityTask(domain=backend.domain, task_list=TaskList("A")))
    backend.close()
    backend.call(o.RespondActivityTaskCompleted(task_token=work.task_token, result="7"))
    assert [operation for _, _, operation, _ in read_entries(path)][-1] == "RespondActivityTaskCompleted"
    assert not Path(f"{path}-wal").exists(), "the file is let go of again"


def test_a_waiting_poll_raises_when_the_file_cannot_be_written(open_url: Callable[..., LocalBackend]) -> None:
    mine, other = open_url(), open_url()
    service: Any = mine._service
    service._db.execute("PRAGMA query_only = ON")
    poll = o.PollForDecisionTask(domain=mine.domain, task_list=TaskList("L"))
    errors: list[BackendError] = []

    def wait() -> None:
        try:
            mine.call(poll, timedelta(seconds=60))
        except BackendError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    register(other)
    thread.join()
    assert isinstance(errors[0], JournalError)
    assert other.call(poll).task_token, "the task is still there"


def test_a_url_names_the_file_the_domain_and_the_durability(
    open_url: Callable[..., LocalBackend], path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = open_url("?domain=acme&sync=full")
    assert (backend.domain, backend.url) == ("acme", f"local:{path}?domain=acme&sync=full")
    service: Any = backend._service
    assert service._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert service._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert backend.call(o.DescribeDomain(name="acme")).domain_info.status == "REGISTERED"
    monkeypatch.chdir(tmp_path)
    with closing(open_backend("local:work.db")) as relative:
        assert relative.domain == "traction"
        assert relative.call(o.DescribeDomain(name="acme")).domain_info.status == "REGISTERED"
    with closing(open_backend("local:?domain=acme")) as memory:
        assert memory.domain == "acme"
    assert sorted(file.name for file in tmp_path.iterdir() if file.suffix == ".db") == ["work.db"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("local:work.db?sync=sometimes", "sync='sometimes' is not valid"),
        ("local:work.db?color=red", "color is not an option"),
        ("local:work.db?domain=", "domain='' is not valid"),
        ("local:work.db?sync=full&sync=full", "sync is given twice"),
        ("local:?sync=full", "does not name a file to sync"),
        ("local:/nowhere/at/all/work.db", "there is no directory /nowhere/at/all"),
    ],
)
def test_a_wrong_url_raises(url: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BackendError, match=message):
        open_backend(url)
    assert list(tmp_path.iterdir()) == []


def test_run_ids_of_two_files_are_never_the_same(tmp_path: Path) -> None:
    ids = set()
    for name in ("one.db", "two.db"):
        with closing(open_backend(f"local:{tmp_path / name}")) as backend:
            register(backend)  # type: ignore[arg-type]
            (run,) = list_runs_of(backend)
            ids.add(run.run_id)
    assert len(ids) == 2


def list_runs_of(backend: Any) -> list[WorkflowExecution]:
    ever = o.ExecutionTimeFilter(oldest_date=NOON)
    request = o.ListOpenWorkflowExecutions(domain=backend.domain, start_time_filter=ever)
    return [info.execution for info in backend.call(request).execution_infos]
